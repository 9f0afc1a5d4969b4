//! Chance and delay: a small seeded generator, and the distributions that a region's latency is drawn from.
//!
//! The generator is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): one addition and three mixing steps a number, every
//! seed as good as another, and the same numbers on every machine. A region's n-th request is given a generator of its
//! own, so that what one request draws never moves what the next one gets.

use std::{f64::consts::TAU, time::Duration};

use serde::{Deserialize, Serialize};

/// A stream of seeded numbers.
#[derive(Clone, Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, any `u64`.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// The next number in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exactly what a double holds")]
        let bits = (self.next() >> 11) as f64;
        bits / 9_007_199_254_740_992.0 // 2^53
    }

    /// The next number of the standard normal distribution (Box and Muller, 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }
}

/// SplitMix64's finalizer.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A hash of text that is the same on every machine: FNV-1a, finished by the mixer.
pub(crate) fn hash(text: &str) -> u64 {
    let folded = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    mix(folded)
}

/// How long a region takes to the first byte of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Latency {
    /// Always the same.
    Fixed(#[serde(with = "humantime_serde")] Duration),
    /// Log-normal: half of all draws are below `median`, and a few are far above it, as real latencies are.
    LogNormal {
        /// The middle draw.
        #[serde(with = "humantime_serde")]
        median: Duration,
        /// Standard deviation of the logarithm: 0.1 is calm (99 % within 1.26 x median), 0.5 is wild (3.2 x).
        sigma: f64,
    },
}

impl Latency {
    /// The middle draw.
    pub fn median(&self) -> Duration {
        match *self {
            Self::Fixed(median) | Self::LogNormal { median, .. } => median,
        }
    }

    /// One draw. At most ten medians, so that no single draw of a long simulation eats it up.
    pub(crate) fn sample(&self, draws: &mut Draws) -> Duration {
        match *self {
            Self::Fixed(fixed) => fixed,
            Self::LogNormal { median, sigma } => scaled(median, (sigma * draws.normal()).exp().min(10.0)),
        }
    }
}

impl From<Duration> for Latency {
    /// Always the same.
    fn from(fixed: Duration) -> Self {
        Self::Fixed(fixed)
    }
}

/// `duration` times `factor`; a factor that is no positive number counts as 1, and the product ends at an hour.
pub(crate) fn scaled(duration: Duration, factor: f64) -> Duration {
    const LONGEST: Duration = Duration::from_secs(3600);
    let factor = if factor >= 0.0 { factor } else { 1.0 };
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(LONGEST).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_log_normal_draws_are_below_the_median() {
        let latency = Latency::LogNormal { median: Duration::from_millis(35), sigma: 0.5 };
        let mut draws = Draws::new(7);
        let below = (0..4000).filter(|_| latency.sample(&mut draws) < latency.median()).count();
        assert!((1880..=2120).contains(&below), "{below} of 4000 below the median"); // 0.5 +- 4 deviations
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // The first numbers of seed 0, as the algorithm's authors publish them.
        let mut draws = Draws::new(0);
        assert_eq!(draws.next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(draws.next(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn an_absurd_factor_neither_panics_nor_overflows() {
        for factor in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert!(scaled(Duration::from_secs(1), factor) <= Duration::from_secs(3600));
        }
    }
}
