//! How many requests and tokens a region admits: buckets that fill evenly.
//!
//! Buckets and not counters that start afresh each minute, because that is how the providers in front of it
//! describe theirs: a limit of 60 a minute may be spent at once and comes back one a second. It also makes the wait of a
//! refused request exact, so a test can hold its caller to it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// So many requests, and so many tokens where that is limited too, in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Quota {
    /// Requests admitted at once when none came for a while.
    pub requests: u32,
    /// Tokens admitted at once, those of the question and at most those of its answer; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
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
        Self { requests, tokens: None, per }
    }

    /// `requests` in each minute.
    pub fn per_minute(requests: u32) -> Self {
        Self::new(requests, minute())
    }

    /// And no more than so many tokens in the same time.
    #[must_use]
    pub fn tokens(mut self, tokens: u32) -> Self {
        self.tokens = Some(tokens);
        self
    }
}

/// What a request was refused for, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short {
    pub(crate) of_tokens: bool,
    pub(crate) wait: Duration,
}

/// What is left of a quota.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    quota: Quota,
    pub(crate) requests: Level,
    pub(crate) tokens: Option<Level>,
    at: Duration,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(quota: Quota, now: Duration) -> Self {
        let level = |limit| Level { limit, left: f64::from(limit), per: quota.per };
        Self { quota, requests: level(quota.requests), tokens: quota.tokens.map(level), at: now }
    }

    pub(crate) fn quota(&self) -> Quota {
        self.quota
    }

    /// Takes one request out, and its tokens. A refused request takes nothing.
    ///
    /// # Errors
    /// The wait until there will be enough; what can never be enough gives the whole period.
    pub(crate) fn take(&mut self, now: Duration, tokens: u32) -> Result<(), Short> {
        let passed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        self.requests.fill(passed);
        self.requests.check(1).map_err(|wait| Short { of_tokens: false, wait })?;
        if let Some(level) = &mut self.tokens {
            level.fill(passed);
            level.check(tokens).map_err(|wait| Short { of_tokens: true, wait })?;
            level.take(tokens);
        }
        self.requests.take(1);
        Ok(())
    }
}

/// One number that is used up and fills evenly.
#[derive(Clone, Debug)]
pub(crate) struct Level {
    limit: u32,
    left: f64,
    per: Duration,
}

impl Level {
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// What is left, rounded down.
    pub(crate) fn remaining(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a u32")]
        let whole = self.left as u32;
        whole
    }

    /// Time until it is full.
    pub(crate) fn reset(&self) -> Duration {
        self.time_for(f64::from(self.limit) - self.left)
    }

    fn fill(&mut self, passed: Duration) {
        self.left = (self.left + passed.as_secs_f64() * self.rate()).min(f64::from(self.limit));
    }

    fn check(&self, wanted: u32) -> Result<(), Duration> {
        let missing = f64::from(wanted) - self.left;
        // A thousandth of one is forgiven: rounding must not refuse who waited exactly as long as told.
        if missing <= 0.001 {
            return Ok(());
        }
        Err(if wanted > self.limit { self.per } else { self.time_for(missing) })
    }

    fn take(&mut self, wanted: u32) {
        self.left = (self.left - f64::from(wanted)).max(0.0);
    }

    /// How many come back a second.
    fn rate(&self) -> f64 {
        f64::from(self.limit) / self.per.max(Duration::from_nanos(1)).as_secs_f64()
    }

    fn time_for(&self, wanted: f64) -> Duration {
        Duration::try_from_secs_f64(wanted / self.rate()).unwrap_or(self.per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_request_is_admitted_after_exactly_its_wait() {
        let mut bucket = Bucket::new(Quota::per_minute(3), Duration::ZERO);
        for _ in 0..3 {
            assert_eq!(bucket.take(Duration::ZERO, 0), Ok(()));
        }
        let Short { wait, of_tokens } = bucket.take(Duration::ZERO, 0).unwrap_err();
        assert!(!of_tokens);
        assert_eq!(wait, Duration::from_secs(20));
        assert!(bucket.take(wait - Duration::from_millis(100), 0).is_err());
        assert_eq!(bucket.take(wait, 0), Ok(()));
        assert_eq!(bucket.requests.remaining(), 0);
    }

    #[test]
    fn a_quota_of_nothing_or_of_no_time_never_divides_by_zero() {
        let mut none = Bucket::new(Quota::new(0, Duration::from_secs(9)), Duration::ZERO);
        let short = Short { of_tokens: false, wait: Duration::from_secs(9) };
        assert_eq!(none.take(Duration::from_secs(100), 0), Err(short));
        assert_eq!(none.requests.reset(), Duration::from_secs(9)); // 0/0, read as the period
        let mut endless = Bucket::new(Quota::new(1, Duration::ZERO), Duration::ZERO);
        assert_eq!(
            (endless.take(Duration::ZERO, 0), endless.take(Duration::from_secs(1), 0)),
            (Ok(()), Ok(()))
        );
    }

    #[test]
    fn tokens_run_out_by_themselves_and_a_refusal_takes_nothing() {
        let mut bucket = Bucket::new(Quota::per_minute(10).tokens(60), Duration::ZERO);
        assert_eq!(bucket.take(Duration::ZERO, 50), Ok(()));
        let short = Short { of_tokens: true, wait: Duration::from_secs(20) };
        assert_eq!(bucket.take(Duration::ZERO, 30), Err(short));
        assert_eq!(bucket.requests.remaining(), 9);
        assert_eq!(bucket.take(Duration::from_secs(20), 30), Ok(()));
        let never = Short { of_tokens: true, wait: Duration::from_secs(60) };
        assert_eq!(bucket.take(Duration::from_secs(20), 61), Err(never), "more than there ever is");
    }
}
