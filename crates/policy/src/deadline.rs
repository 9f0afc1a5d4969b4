//! When a request is over, whatever happens, and how that time is shared among its attempts.
//!
//! A deadline is an instant and not a timeout, because a timeout starts anew with every attempt and a caller's patience does
//! not. One deadline holds for the request; each attempt gets a part of what is left.

use std::time::{Duration, Instant};

/// A stand-in for 'never' where adding would pass the end of the clock: about thirty years.
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);

/// The instant by which a request is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Instant);

impl Deadline {
    /// At an instant.
    #[must_use]
    pub const fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// So long after `now`. What the clock cannot represent is cut to thirty years.
    #[must_use]
    pub fn after(now: Instant, patience: Duration) -> Self {
        Self(later(now, patience))
    }

    /// The instant itself.
    #[must_use]
    pub const fn instant(self) -> Instant {
        self.0
    }

    /// How long it is until then; zero once it has passed.
    #[must_use]
    pub fn remaining(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Whether it has been reached.
    #[must_use]
    pub fn is_over(self, now: Instant) -> bool {
        now >= self.0
    }

    /// The earlier of both: a caller may shorten a deadline, and never lengthen it.
    #[must_use]
    pub fn earliest(self, other: Self) -> Self {
        self.min(other)
    }

    /// The instant, or the deadline if that is earlier.
    #[must_use]
    pub fn clamp(self, instant: Instant) -> Instant {
        instant.min(self.0)
    }

    /// The end of an attempt that starts now, when up to `attempts` of them, this one included (0 acts as 1), may have to share
    /// the time that is left.
    ///
    /// Each gets an even share, so that a silent first attempt leaves time for the next; at least `floor`, because a share too
    /// short for any answer helps nobody; and at most `patience`, which is how long an attempt is given when there is time
    /// enough. Never later than the deadline: `min(max(remaining / attempts, floor), patience, remaining)` from now.
    #[must_use]
    pub fn split(self, now: Instant, attempts: u32, floor: Duration, patience: Duration) -> Instant {
        let share = self.remaining(now) / attempts.max(1);
        self.clamp(later(now, share.max(floor).min(patience)))
    }
}

fn later(now: Instant, by: Duration) -> Instant {
    now.checked_add(by).or_else(|| now.checked_add(FAR)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "an instant can only be made from a clock; its value is never looked at"
    )]
    fn t0() -> Instant {
        Instant::now()
    }

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_left_shrinks_to_nothing() {
        let now = t0();
        let deadline = Deadline::after(now, secs(10));
        assert_eq!(deadline.remaining(now + secs(4)), secs(6));
        assert_eq!(deadline.remaining(now + secs(11)), Duration::ZERO);
        assert!(!deadline.is_over(now + secs(9)));
        assert!(deadline.is_over(now + secs(10)));
    }

    #[test]
    fn a_caller_can_only_shorten() {
        let now = t0();
        let ours = Deadline::after(now, secs(10));
        assert_eq!(ours.earliest(Deadline::after(now, secs(20))), ours);
        assert_eq!(ours.earliest(Deadline::at(now)).instant(), now);
    }

    #[test]
    fn time_is_shared_between_floor_and_patience() {
        let now = t0();
        let split = |total, attempts, floor, patience| {
            Deadline::after(now, secs(total)).split(now, attempts, secs(floor), secs(patience)) - now
        };
        assert_eq!(split(12, 4, 1, 60), secs(3));
        assert_eq!(split(12, 4, 5, 60), secs(5));
        assert_eq!(split(600, 4, 1, 10), secs(10));
        assert_eq!(split(3, 4, 5, 60), secs(3));
        assert_eq!(split(12, 0, 1, 60), secs(12));
    }

    #[test]
    fn no_patience_is_too_long_for_the_clock() {
        let now = t0();
        let deadline = Deadline::after(now, Duration::MAX);
        assert!(deadline.remaining(now) >= secs(86_400 * 365));
        assert_eq!(deadline.split(now, 1, Duration::MAX, Duration::MAX), deadline.instant());
    }
}
