//! How long to wait before asking the same deployment again.
//!
//! Delays grow by a factor up to a bound, and chance takes a share of each away, so that those who failed together do not come
//! back together. The server's own wish replaces the delay and starts the series anew (gRPC proposal A6): it knows better,
//! and what it said of this failure says nothing about the next.

use std::time::Duration;

use crate::{config::BackoffConfig, error::ConfigError};

/// Decides how long to wait after a failure.
///
/// The n-th delay since the start, or since the server's last wish, is
/// `min(initial * multiplier^(n-1), max) * (1 - jitter * u)`, where `u` is drawn evenly from `0..1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    config: BackoffConfig,
    /// The next delay, before chance.
    step: Duration,
}

impl Backoff {
    /// A series at its start.
    ///
    /// # Errors
    /// As [`BackoffConfig::validate`] says.
    pub fn new(config: BackoffConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { step: config.initial, config })
    }

    /// The delay after one more failure; never above `max`, unless the server wishes it.
    ///
    /// `pushback` is the server's wish (Retry-After): it is the delay, whole and without chance, since coming earlier is what the
    /// server asked not to be done. `draw` is 64 random bits.
    pub fn next(&mut self, pushback: Option<Duration>, draw: u64) -> Duration {
        if let Some(wish) = pushback {
            self.reset();
            return wish;
        }
        let delay = self.step;
        let grown = Duration::try_from_secs_f64(delay.as_secs_f64() * self.config.multiplier);
        self.step = grown.unwrap_or(self.config.max).min(self.config.max);
        let taken = Duration::try_from_secs_f64(delay.as_secs_f64() * self.config.jitter * unit(draw));
        delay.saturating_sub(taken.unwrap_or(delay))
    }

    /// Starts the series anew: something succeeded.
    pub const fn reset(&mut self) {
        self.step = self.config.initial;
    }
}

/// 64 random bits as a number of `0..1`, of the 53 bits that a float holds.
#[expect(clippy::cast_precision_loss, reason = "53 bits are exact in a float")]
const fn unit(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(jitter: f64) -> Backoff {
        let config = BackoffConfig {
            initial: Duration::from_millis(100),
            multiplier: 2.0,
            max: Duration::from_millis(300),
            jitter,
        };
        Backoff::new(config).unwrap()
    }

    #[test]
    fn delays_grow_up_to_their_bound() {
        let mut backoff = backoff(0.0);
        let delays: Vec<_> = (0..4).map(|_| backoff.next(None, u64::MAX).as_millis()).collect();
        assert_eq!(delays, [100, 200, 300, 300]);
        backoff.reset();
        assert_eq!(backoff.next(None, 0), Duration::from_millis(100));
    }

    #[test]
    fn the_servers_wish_is_taken_whole_even_above_the_bound() {
        let mut backoff = backoff(1.0);
        backoff.next(None, 0);
        assert_eq!(backoff.next(Some(Duration::from_secs(9)), u64::MAX), Duration::from_secs(9));
        assert_eq!(backoff.next(None, 0), Duration::from_millis(100));
    }

    #[test]
    fn chance_takes_away_its_share_and_no_more() {
        assert_eq!(backoff(0.25).next(None, 0), Duration::from_millis(100));
        let least = backoff(0.25).next(None, u64::MAX);
        assert!((Duration::from_millis(75)..Duration::from_micros(75_001)).contains(&least), "{least:?}");
        assert!(backoff(1.0).next(None, u64::MAX) < Duration::from_nanos(10));
    }

    #[test]
    fn a_series_without_end_does_not_overflow() {
        let config = BackoffConfig {
            initial: Duration::from_secs(1),
            multiplier: 1e9,
            max: Duration::MAX,
            jitter: 0.0,
        };
        let mut backoff = Backoff::new(config).unwrap();
        let last = (0..100).map(|_| backoff.next(None, 0)).last();
        assert_eq!(last, Some(Duration::MAX));
    }
}
