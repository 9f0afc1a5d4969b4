//! What keys have spent: who is asked, and the answer of a gateway that keeps nothing over a restart.
//!
//! A budget is for a period, and periods follow each other without a gap from the first of January 1970 on: every replica, and every
//! start of this program, agrees on them without a word. One of a day begins at midnight UTC.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::StatusCode;
use outrigger::Notice;

use crate::clerk::{Clerk, Subject};

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

/// Millionths of a USD, rounded up: what costs something is never booked as nothing.
pub(crate) fn micro_usd(usd: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float stops at the bounds of the integer, and takes what is no number for nothing"
    )]
    let micro = (usd * 1e6).ceil() as u64;
    micro
}

/// Spend in memory: of each key, what its period has cost so far. It forgets with the process.
#[derive(Debug, Default)]
pub(crate) struct InMemory(Mutex<HashMap<Arc<str>, Account>>);

#[derive(Debug)]
struct Account {
    every: Duration,
    period: u64,
    micro_usd: u64,
}

impl Account {
    /// What was spent in this period; another one begins with nothing.
    fn within(&self, every: Duration, period: u64) -> u64 {
        if (self.every, self.period) == (every, period) { self.micro_usd } else { 0 }
    }
}

impl InMemory {
    fn accounts(&self) -> MutexGuard<'_, HashMap<Arc<str>, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book(&self, key: &Arc<str>, every: Duration, wall: SystemTime, micro_usd: u64) {
        let (period, _) = period(every, wall);
        let mut accounts = self.accounts();
        let before = accounts.get(key).map_or(0, |account| account.within(every, period));
        let micro_usd = before.saturating_add(micro_usd);
        accounts.insert(Arc::clone(key), Account { every, period, micro_usd });
    }
}

impl Spent for InMemory {
    fn micro_usd(&self, key: &str, every: Duration, wall: SystemTime) -> u64 {
        let (period, _) = period(every, wall);
        self.accounts().get(key).map_or(0, |account| account.within(every, period))
    }
}

impl Clerk for InMemory {
    fn notice(&self, subject: &Subject, notice: &Notice) {
        if let (Some(pass), Notice::CallEnded { cost_usd: Some(usd), .. }) = (&subject.pass, notice)
            && let Some(budget) = pass.budget()
        {
            self.book(pass.key(), budget.every, SystemTime::now(), micro_usd(*usd));
        }
    }

    fn failed(&self, _subject: &Subject, _status: StatusCode, _code: &str) {}
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
    fn a_new_period_begins_with_nothing() {
        let (spent, key) = (InMemory::default(), Arc::from("a"));
        spent.book(&key, DAY, at(10), 3);
        spent.book(&key, DAY, at(86_000), 4);
        assert_eq!(spent.micro_usd("a", DAY, at(86_399)), 7);
        assert_eq!(spent.micro_usd("a", DAY, at(86_400)), 0);
        spent.book(&key, DAY, at(86_400), 5);
        assert_eq!(spent.micro_usd("a", DAY, at(86_401)), 5);
        assert_eq!(spent.micro_usd("b", DAY, at(86_401)), 0);
    }

    #[test]
    fn the_smallest_cost_is_booked() {
        assert_eq!([micro_usd(1e-9), micro_usd(0.0), micro_usd(-1.0), micro_usd(f64::NAN)], [1, 0, 0, 0]);
        assert_eq!([micro_usd(1.5), micro_usd(f64::INFINITY)], [1_500_000, u64::MAX]);
    }
}
