//! How many requests a region admits: a bucket of tokens that fills evenly.
//!
//! A token bucket and not a counter that starts afresh each minute, because that is how the providers in front of it
//! describe theirs: a limit of 60 a minute may be spent at once and comes back one a second. It also makes the wait of a
//! refused request exact, so a test can hold its caller to it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// So many requests in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Quota {
    /// Requests admitted at once when none came for a while.
    pub requests: u32,
    /// The time in which as many are admitted again. Zero counts as a nanosecond.
    #[serde(with = "humantime_serde", default = "minute")]
    pub per: Duration,
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

impl Quota {
    /// `requests` in each `per`.
    pub fn new(requests: u32, per: Duration) -> Self {
        Self { requests, per }
    }

    /// `requests` in each minute.
    pub fn per_minute(requests: u32) -> Self {
        Self::new(requests, minute())
    }
}

/// What is left of a quota.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    quota: Quota,
    level: f64,
    at: Duration,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(quota: Quota, now: Duration) -> Self {
        Self { quota, level: f64::from(quota.requests), at: now }
    }

    pub(crate) fn quota(&self) -> Quota {
        self.quota
    }

    /// Takes one request out.
    ///
    /// # Errors
    /// The wait until one will be there; a quota of none gives its whole period.
    pub(crate) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let gained = now.saturating_sub(self.at).as_secs_f64() * self.rate();
        self.level = (self.level + gained).min(f64::from(self.quota.requests));
        self.at = self.at.max(now);
        // A thousandth of a request is forgiven: rounding must not refuse who waited exactly as long as told.
        if self.level < 0.999 {
            return Err(if self.quota.requests == 0 {
                self.quota.per
            } else {
                self.time_for(1.0 - self.level)
            });
        }
        self.level = (self.level - 1.0).max(0.0);
        Ok(())
    }

    /// Requests left, rounded down.
    pub(crate) fn remaining(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a u32")]
        let whole = self.level as u32;
        whole
    }

    /// Time until the bucket is full.
    pub(crate) fn reset(&self) -> Duration {
        self.time_for(f64::from(self.quota.requests) - self.level)
    }

    /// Requests a second.
    fn rate(&self) -> f64 {
        f64::from(self.quota.requests) / self.quota.per.max(Duration::from_nanos(1)).as_secs_f64()
    }

    fn time_for(&self, requests: f64) -> Duration {
        Duration::try_from_secs_f64(requests / self.rate()).unwrap_or(self.quota.per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_request_is_admitted_after_exactly_its_wait() {
        let mut bucket = Bucket::new(Quota::per_minute(3), Duration::ZERO);
        for _ in 0..3 {
            assert_eq!(bucket.take(Duration::ZERO), Ok(()));
        }
        let wait = bucket.take(Duration::ZERO).unwrap_err();
        assert_eq!(wait, Duration::from_secs(20));
        assert!(bucket.take(wait - Duration::from_millis(100)).is_err());
        assert_eq!(bucket.take(wait), Ok(()));
        assert_eq!(bucket.remaining(), 0);
    }

    #[test]
    fn a_quota_of_nothing_or_of_no_time_never_divides_by_zero() {
        let mut none = Bucket::new(Quota::new(0, Duration::from_secs(9)), Duration::ZERO);
        assert_eq!(none.take(Duration::from_secs(100)), Err(Duration::from_secs(9)));
        assert_eq!(none.reset(), Duration::from_secs(9)); // 0/0, read as the period
        let mut endless = Bucket::new(Quota::new(1, Duration::ZERO), Duration::ZERO);
        assert_eq!((endless.take(Duration::ZERO), endless.take(Duration::from_secs(1))), (Ok(()), Ok(())));
    }
}
