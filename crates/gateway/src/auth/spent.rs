//! What keys have spent: who is asked, and for which time.
//!
//! A budget is for a period, and periods follow each other without a gap from the first of January 1970 on: every replica, and every
//! start of this program, agrees on them without a word. One of a day begins at midnight UTC.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Who knows what keys have spent. It is asked before each call of a key that has a budget, so it must be quick and must not block.
pub(crate) trait Spent: fmt::Debug + Send + Sync {
    /// What the key of this name has spent in the period of this length that `wall` lies in, in millionths of a USD. What calls on
    /// their way may cost is not in it.
    fn micro_usd(&self, key: &str, every: Duration, wall: SystemTime) -> u64;
}

/// Which period of this length an instant lies in, and how long that goes on.
pub(crate) fn period(every: Duration, wall: SystemTime) -> (u64, Duration) {
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let every_secs = every.as_secs().max(1);
    let number = since.as_secs() / every_secs;
    let end = Duration::from_secs(number.saturating_add(1).saturating_mul(every_secs));
    (number, end.saturating_sub(since))
}

/// Millionths of a USD.
pub(crate) fn micro_usd(usd: f64) -> u64 {
    parts_of_usd(usd, 1e6)
}

/// USD, of so many millionths.
#[expect(clippy::cast_precision_loss, reason = "beyond nine billion USD a millionth more or less is nothing")]
pub(crate) fn usd(micro_usd: u64) -> f64 {
    micro_usd as f64 / 1e6
}

/// More than what prices and sums lose by being binary fractions, and less than anybody is paid.
const NOISE: f64 = 1e-12;

/// Whole parts of a USD, of which it has so many; rounded up: what costs something is never booked as nothing. A whole number of parts
/// is that number, though a binary fraction may lie a hair above it.
pub(crate) fn parts_of_usd(usd: f64, parts: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float stops at the bounds of the integer, and takes what is no number for nothing"
    )]
    let whole = (usd * parts * (1.0 - NOISE)).ceil() as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(secs: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn a_period_of_a_day_ends_at_midnight() {
        assert_eq!(period(DAY, at(0)), (0, DAY));
        assert_eq!(period(DAY, at(86_399)), (0, Duration::from_secs(1)));
        assert_eq!(period(DAY, at(86_400)), (1, DAY));
    }

    #[test]
    fn the_smallest_cost_is_booked() {
        assert_eq!([micro_usd(1e-9), micro_usd(0.0), micro_usd(-1.0), micro_usd(f64::NAN)], [1, 0, 0, 0]);
        assert_eq!([micro_usd(1.5), micro_usd(f64::INFINITY)], [1_500_000, u64::MAX]);
    }

    /// **What a price list says is what is booked.** Fails if the noise of a binary fraction is rounded up to a part of its own.
    #[test]
    fn a_whole_number_of_parts_is_booked_as_that() {
        for tokens in 0..20_000_u32 {
            let usd = f64::from(tokens) * 2.0 / 1e6 + f64::from(tokens) * 8.0 / 1e6;
            assert_eq!(parts_of_usd(usd, 1e9), u64::from(tokens) * 10_000, "{usd}");
        }
    }
}
