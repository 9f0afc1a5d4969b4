//! What is to happen, in the order of its times; of one instant, in the order in which it was entered.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    time::Duration,
};

/// What is to happen. Virtual time stands still but for [`next`](Self::next).
#[derive(Debug)]
pub(super) struct Agenda<T> {
    entries: BinaryHeap<Reverse<Entry<T>>>,
    entered: u64,
    pub(super) now: Duration,
}

#[derive(Debug)]
struct Entry<T> {
    at: Duration,
    number: u64,
    what: T,
}

impl<T> Agenda<T> {
    pub(super) fn new() -> Self {
        Self { entries: BinaryHeap::new(), entered: 0, now: Duration::ZERO }
    }

    /// Enters what happens at a time; what lies in the past happens now.
    pub(super) fn enter(&mut self, at: Duration, what: T) {
        let at = at.max(self.now);
        self.entries.push(Reverse(Entry { at, number: self.entered, what }));
        self.entered += 1;
    }

    /// Enters what happens after so long.
    pub(super) fn enter_in(&mut self, wait: Duration, what: T) {
        self.enter(self.now.saturating_add(wait), what);
    }

    /// Goes on to what happens next.
    pub(super) fn next(&mut self) -> Option<T> {
        let Reverse(entry) = self.entries.pop()?;
        self.now = entry.at;
        Some(entry.what)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_at_one_instant_keeps_its_order() {
        let mut agenda = Agenda::new();
        let at = Duration::from_secs;
        for (time, what) in [(3, 'd'), (1, 'a'), (2, 'b'), (2, 'c')] {
            agenda.enter(at(time), what);
        }
        let order: String = std::iter::from_fn(|| agenda.next()).collect();
        assert_eq!((order.as_str(), agenda.now), ("abcd", at(3)));
        agenda.enter(at(1), 'x');
        assert_eq!((agenda.next(), agenda.now), (Some('x'), at(3)), "time does not go back");
    }
}
