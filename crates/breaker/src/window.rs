//! Rings of counts: the last so many calls, or the calls of the last while.
//!
//! Both keep running totals and subtract what leaves, so that a report costs the same at any size.

use crate::rule::Counts;

/// The last `ring.len()` calls.
#[derive(Clone, Debug)]
pub(crate) struct CountWindow {
    /// Bit 0: failed, bit 1: slow.
    ring: Box<[u8]>,
    next: usize,
    totals: Counts,
}

const FAILED: u8 = 1;
const SLOW: u8 = 2;

impl CountWindow {
    pub(crate) fn new(size: u32) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Self { ring: vec![0; size].into(), next: 0, totals: Counts::default() }
    }

    /// Whether both hold so many calls.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.ring.len() == other.ring.len()
    }

    pub(crate) fn record(&mut self, failed: bool, slow: bool) {
        let full = usize::try_from(self.totals.total).is_ok_and(|total| total == self.ring.len());
        if let Some(cell) = self.ring.get_mut(self.next) {
            if full {
                let (failures, slow) = (u32::from(*cell & FAILED), u32::from((*cell & SLOW) >> 1));
                self.totals.remove(Counts { total: 1, failures, slow });
            }
            *cell = if failed { FAILED } else { 0 } | if slow { SLOW } else { 0 };
        }
        self.next = if self.next + 1 < self.ring.len() { self.next + 1 } else { 0 };
        self.totals.add(failed, slow);
    }

    pub(crate) const fn totals(&self) -> Counts {
        self.totals
    }

    pub(crate) fn clear(&mut self) {
        self.next = 0;
        self.totals = Counts::default();
    }
}

/// The calls of the last while, in buckets whose edges lie at multiples of `width` from time 0.
///
/// `width` is rounded down to whole nanoseconds, so edges lie a hair early where the length is no multiple of
/// the number of buckets.
#[derive(Clone, Debug)]
pub(crate) struct TimeWindow {
    width: u64,
    ring: Box<[Counts]>,
    /// The cell of the newest bucket, and when that bucket began.
    head: usize,
    began: u64,
    totals: Counts,
}

impl TimeWindow {
    /// `buckets` is at least 1 and `length`, in nanoseconds, at least `buckets`.
    pub(crate) fn new(length: u64, buckets: u32) -> Self {
        let cells = usize::try_from(buckets).unwrap_or(usize::MAX);
        let ring = vec![Counts::default(); cells].into();
        Self { width: length / u64::from(buckets), ring, head: 0, began: 0, totals: Counts::default() }
    }

    /// Whether both have the same buckets.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.width, self.ring.len()) == (other.width, other.ring.len())
    }

    /// Time passes: what is too old leaves. `now` does not go back.
    pub(crate) fn roll(&mut self, now: u64) {
        let steps = self.steps(now);
        if steps == 0 {
            return;
        }
        self.began += steps * self.width;
        if steps >= self.len() {
            self.clear();
            return;
        }
        for _ in 0..steps {
            self.head = if self.head + 1 < self.ring.len() { self.head + 1 } else { 0 };
            if let Some(cell) = self.ring.get_mut(self.head) {
                self.totals.remove(std::mem::take(cell));
            }
        }
    }

    /// Counts a call at the time last rolled to.
    pub(crate) fn record(&mut self, failed: bool, slow: bool) {
        if self.totals.total == u32::MAX {
            return; // Four thousand million calls in one window: the rates are known well enough.
        }
        if let Some(cell) = self.ring.get_mut(self.head) {
            cell.add(failed, slow);
            self.totals.add(failed, slow);
        }
    }

    /// The totals at the time last rolled to.
    pub(crate) const fn totals(&self) -> Counts {
        self.totals
    }

    /// The totals as a roll to `now` would leave them.
    pub(crate) fn totals_at(&self, now: u64) -> Counts {
        let gone = usize::try_from(self.steps(now).min(self.len())).unwrap_or(usize::MAX);
        let mut totals = self.totals;
        for age in 1..=gone {
            // The oldest cell follows the head.
            if let Some(cell) = self.ring.get((self.head + age) % self.ring.len()) {
                totals.remove(*cell);
            }
        }
        totals
    }

    pub(crate) fn clear(&mut self) {
        self.ring.fill(Counts::default());
        self.totals = Counts::default();
    }

    fn steps(&self, now: u64) -> u64 {
        let age = now.saturating_sub(self.began);
        // The common case without a division.
        if age < self.width { 0 } else { age / self.width }
    }

    fn len(&self) -> u64 {
        u64::try_from(self.ring.len()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(total: u32, failures: u32) -> Counts {
        Counts { total, failures, slow: 0 }
    }

    #[test]
    fn the_oldest_call_leaves_a_full_count_window() {
        let mut window = CountWindow::new(2);
        window.record(true, true);
        window.record(false, false);
        assert_eq!(window.totals(), Counts { total: 2, failures: 1, slow: 1 });
        window.record(false, false);
        assert_eq!(window.totals(), counts(2, 0));
    }

    #[test]
    fn a_bucket_is_gone_one_length_after_it_began() {
        let mut window = TimeWindow::new(100, 10);
        window.roll(25);
        window.record(true, false);
        assert_eq!(window.totals_at(119), counts(1, 1));
        assert_eq!(window.totals_at(120), counts(0, 0));
        window.roll(119);
        assert_eq!(window.totals(), counts(1, 1));
        window.roll(120);
        assert_eq!(window.totals(), counts(0, 0));
    }

    #[test]
    fn a_long_silence_empties_a_time_window() {
        let mut window = TimeWindow::new(100, 10);
        window.record(true, false);
        window.roll(u64::MAX);
        window.record(false, false);
        assert_eq!(window.totals_at(u64::MAX), counts(1, 0));
    }
}
