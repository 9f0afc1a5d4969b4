//! What most attempts take: a quantile of durations, learned in bounded memory and forgotten with time.
//!
//! # Why a histogram, and not an average?
//! A limit is about the slow tail, which an average does not know: four times the mean of a wide distribution cuts off healthy
//! answers, and of a narrow one it waits for nothing. A quantile asks what share of the answers a limit would let pass.
//!
//! # How
//! Durations are counted in buckets whose width grows with the duration, eight to each doubling (the layout of
//! HdrHistogram). Two windows of time rotate: counts go into the present one, and what is asked is the sum of the present
//! and the one before it, so that everything is forgotten after one window at the earliest and two at the latest.
//!
//! # Limits
//! What is told is the upper edge of a bucket: never below the true quantile of what was recorded, and above it by an eighth
//! at most. Below 1 ms and above 71 minutes durations are not told apart.

use std::time::{Duration, Instant};

/// Buckets to each doubling, as a power of two.
const SUB_BITS: u32 = 3;
const SUB: usize = 1 << SUB_BITS;
/// Microseconds of the lowest bucket's upper edge, as a power of two: about 1 ms.
const LEAST_BITS: u32 = 10;
/// Doublings from there: up to about 71 minutes.
const DOUBLINGS: usize = 22;
const BUCKETS: usize = 1 + DOUBLINGS * SUB;

type Counts = [u32; BUCKETS];

/// Durations seen lately, as far as a quantile of them needs.
///
/// Input is [`record`](Self::record), the questions are [`quantile`](Self::quantile) and [`count`](Self::count), which change
/// nothing. It never allocates. Time that goes back reads as 'no time has passed'.
#[derive(Clone, Debug)]
pub struct Quantiles {
    window: Duration,
    /// When the first window began.
    origin: Option<Instant>,
    /// The number of the present window.
    index: u64,
    present: Counts,
    before: Counts,
}

impl Quantiles {
    /// Nothing seen yet; what is seen is remembered for `window` at least and twice that at most. Below 1 ms acts as 1 ms.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        let window = window.max(Duration::from_millis(1));
        Self { window, origin: None, index: 0, present: [0; BUCKETS], before: [0; BUCKETS] }
    }

    /// Something took this long.
    pub fn record(&mut self, took: Duration, now: Instant) {
        self.origin.get_or_insert(now);
        let index = self.index_at(now);
        if index > self.index {
            self.before = if index == self.index + 1 { self.present } else { [0; BUCKETS] };
            self.present = [0; BUCKETS];
            self.index = index;
        }
        if let Some(count) = self.present.get_mut(bucket(took)) {
            *count = count.saturating_add(1);
        }
    }

    /// How many are remembered.
    #[must_use]
    pub fn count(&self, now: Instant) -> u64 {
        self.counts(now).sum()
    }

    /// What a share of those remembered did not exceed, 0 to 1; `None` when none is remembered. Never below the value of
    /// rank `ceil(share x count)`, and above it by an eighth at most.
    #[must_use]
    pub fn quantile(&self, share: f64, now: Instant) -> Option<Duration> {
        let count = self.count(now);
        let rank = rank(share, count);
        let mut seen = 0;
        for (bucket, counted) in self.counts(now).enumerate() {
            seen += counted;
            if count > 0 && seen >= rank {
                return Some(upper_edge(bucket));
            }
        }
        None
    }

    fn counts(&self, now: Instant) -> impl Iterator<Item = u64> {
        let age = self.index_at(now).saturating_sub(self.index);
        let (present, before) = (u64::from(age <= 1), u64::from(age == 0));
        let both = self.present.iter().zip(&self.before);
        both.map(move |(new, old)| u64::from(*new) * present + u64::from(*old) * before)
    }

    fn index_at(&self, now: Instant) -> u64 {
        let age = self.origin.map_or(Duration::ZERO, |origin| now.saturating_duration_since(origin));
        let index = age.as_nanos() / self.window.as_nanos().max(1);
        u64::try_from(index).unwrap_or(u64::MAX).max(self.index)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a share of a count lies between 0 and that count; beyond 2^53 samples one more or less is nothing"
)]
fn rank(share: f64, count: u64) -> u64 {
    ((share.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count.max(1))
}

/// The bucket of a duration: the first holds all up to 1.024 ms, the last all that is longer than the others.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    // A bucket holds its upper edge, and not its lower one.
    let last = micros.saturating_sub(1);
    let Some(bits) = last.checked_ilog2().filter(|bits| *bits >= LEAST_BITS) else { return 0 };
    let doubling = usize::try_from(bits - LEAST_BITS).unwrap_or(usize::MAX);
    let within = usize::try_from((last >> (bits - SUB_BITS)) & (SUB as u64 - 1)).unwrap_or(0);
    (1 + doubling.saturating_mul(SUB).saturating_add(within)).min(BUCKETS - 1)
}

fn upper_edge(bucket: usize) -> Duration {
    let Some(bucket) = bucket.checked_sub(1) else { return Duration::from_micros(1 << LEAST_BITS) };
    let doubling = u32::try_from(bucket / SUB).unwrap_or(u32::MAX).saturating_add(LEAST_BITS);
    let within = bucket as u64 % SUB as u64;
    Duration::from_micros((SUB as u64 + within + 1) << (doubling - SUB_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_tells_no_less_than_it_holds_and_little_more() {
        let mut micros = 1_u64;
        while micros < 1 << 32 {
            for near in [micros - 1, micros, micros + 1] {
                let took = Duration::from_micros(near);
                let told = upper_edge(bucket(took));
                assert!(told >= took, "{took:?} is told as {told:?}");
                assert!(
                    near <= 1_024 || told.as_micros() * 8 <= u128::from(near) * 9 + 9,
                    "{took:?}: {told:?}"
                );
            }
            micros += micros / 7 + 1;
        }
        assert_eq!(upper_edge(bucket(Duration::MAX)), Duration::from_micros(1 << 32));
        assert_eq!(upper_edge(bucket(Duration::ZERO)), Duration::from_micros(1_024));
    }
}
