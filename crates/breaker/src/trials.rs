//! The trials of one half-open stay: who is out, until when, and what has come back.

use std::time::Duration;

use crate::rule::Counts;

/// A trial in flight.
#[derive(Clone, Copy, Debug)]
struct Trial {
    number: u64,
    since: u64,
    /// `u64::MAX`: never.
    lease_end: u64,
}

/// Slots are leases. A slot comes back when its trial is dropped, ignored or outlives its lease; a verdict
/// spends it.
#[derive(Clone, Debug)]
pub(crate) struct Trials {
    out: Vec<Trial>,
    next: u64,
    limit: usize,
    /// The verdicts so far. `total` slots are spent.
    pub(crate) results: Counts,
}

impl Trials {
    /// Reserves all room now, so that a trial allocates nothing.
    pub(crate) fn new(limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { out: Vec::with_capacity(limit), next: 0, limit, results: Counts::default() }
    }

    /// From now on so many slots. Trials that are out stay out, however few there are to be.
    pub(crate) fn set_limit(&mut self, limit: u32) {
        self.limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.out.reserve(self.limit.saturating_sub(self.out.len()));
    }

    /// A new stay begins.
    pub(crate) fn clear(&mut self) {
        self.out.clear();
        self.next = 0;
        self.results = Counts::default();
    }

    /// Sends a trial out, if a slot is free, and tells its number.
    pub(crate) fn admit(&mut self, now: u64, lease_end: u64) -> Option<u64> {
        if !self.has_room(now) {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.out.push(Trial { number, since: now, lease_end });
        Some(number)
    }

    /// Whether a slot is free, counting the leases over by `now` as returned.
    pub(crate) fn has_room(&self, now: u64) -> bool {
        let held = self.out.iter().filter(|trial| trial.lease_end > now).count();
        usize::try_from(self.results.total).is_ok_and(|spent| spent + held < self.limit)
    }

    /// Whether every slot is spent on a verdict.
    pub(crate) fn are_all_back(&self) -> bool {
        usize::try_from(self.results.total).is_ok_and(|spent| spent >= self.limit)
    }

    /// The leases over by `now` end; their slots are free.
    pub(crate) fn expire(&mut self, now: u64) {
        self.out.retain(|trial| trial.lease_end > now);
    }

    /// Takes a trial back and tells when it was sent out; none if its lease had ended.
    pub(crate) fn take(&mut self, number: u64) -> Option<u64> {
        let place = self.out.iter().position(|trial| trial.number == number)?;
        Some(self.out.swap_remove(place).since)
    }

    /// When the next lease ends.
    pub(crate) fn next_lease_end(&self) -> Option<u64> {
        self.out.iter().map(|trial| trial.lease_end).min().filter(|end| *end != u64::MAX)
    }

    /// Successes so far.
    pub(crate) const fn successes(&self) -> u32 {
        self.results.total - self.results.failures
    }
}

/// How long ago `since` is.
pub(crate) const fn elapsed(since: u64, now: u64) -> Duration {
    Duration::from_nanos(now.saturating_sub(since))
}
