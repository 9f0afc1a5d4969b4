//! How much the gateway takes on at once: requests, and bytes of bodies held in memory.
//!
//! Both are counted over all callers and refused at the bound with 503 `overloaded`, because a gateway that runs out of memory
//! takes every caller down with it. A [`Seat`] gives back what it holds when it is dropped, so that a caller that hangs up
//! frees its place whatever state its request was in.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use outrigger::Room;

use crate::settings::Settings;

/// The bounds, and what is taken of them.
#[derive(Debug)]
pub(crate) struct Load {
    requests: Gauge,
    bytes: Gauge,
}

#[derive(Debug)]
struct Gauge {
    taken: AtomicU64,
    limit: AtomicU64,
}

impl Gauge {
    fn new(limit: u64) -> Self {
        Self { taken: AtomicU64::new(0), limit: AtomicU64::new(limit) }
    }

    fn take(&self, amount: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let fits = |taken: u64| taken.checked_add(amount).filter(|&sum| sum <= limit);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// Takes what is there already, bound or not.
    fn take_anyway(&self, amount: u64) {
        self.taken.fetch_add(amount, Ordering::Relaxed);
    }

    fn give_back(&self, amount: u64) {
        self.taken.fetch_sub(amount, Ordering::Relaxed);
    }
}

impl Load {
    /// Bounds of so many requests at once, and so many bytes of bodies over all of them.
    pub(crate) fn new(max_requests: u64, max_bytes: u64) -> Arc<Self> {
        Arc::new(Self { requests: Gauge::new(max_requests), bytes: Gauge::new(max_bytes) })
    }

    /// The bounds that settings give.
    pub(crate) fn of(settings: &Settings) -> Arc<Self> {
        Self::new(u64::from(settings.max_concurrent), settings.max_buffered.0)
    }

    /// Other bounds from now on. What is taken stays taken.
    pub(crate) fn set_limits(&self, max_requests: u64, max_bytes: u64) {
        self.requests.limit.store(max_requests, Ordering::Relaxed);
        self.bytes.limit.store(max_bytes, Ordering::Relaxed);
    }

    /// Requests that have a place now.
    pub(crate) fn under_way(&self) -> u64 {
        self.requests.taken.load(Ordering::Relaxed)
    }

    /// A place for one request, or `None` when all are taken.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Seat> {
        self.requests.take(1).then(|| Seat { load: Arc::clone(self), bytes: 0 })
    }
}

/// What the client holds of answers is held here too.
impl Room for Load {
    fn take(&self, bytes: usize) -> bool {
        self.bytes.take(bytes as u64)
    }

    fn give_back(&self, bytes: usize) {
        self.bytes.give_back(bytes as u64);
    }
}

/// One request's place.
///
/// # Drop
/// Gives back the place and the bytes held in it.
#[derive(Debug)]
#[must_use = "dropping the seat gives the place back"]
pub(crate) struct Seat {
    load: Arc<Load>,
    bytes: u64,
}

impl Seat {
    /// Notes that so many more bytes are held; `false` when that is more than all may hold together.
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let fits = self.load.bytes.take(bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }

    /// The request's bytes are let go: its answer has begun.
    pub(crate) fn let_go(&mut self) {
        self.load.bytes.give_back(std::mem::take(&mut self.bytes));
    }

    /// So many bytes of an answer are held instead of the request's.
    pub(crate) fn hold_answer(&mut self, bytes: usize) {
        self.let_go();
        self.bytes = bytes as u64;
        self.load.bytes.take_anyway(self.bytes);
    }

    /// A whole answer, held in the seat until the last of its bytes has been written.
    pub(crate) fn around(mut self, answer: Bytes) -> Bytes {
        self.hold_answer(answer.len());
        Bytes::from_owner(Seated { answer, _seat: self })
    }
}

struct Seated {
    answer: Bytes,
    _seat: Seat,
}

impl AsRef<[u8]> for Seated {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.load.bytes.give_back(self.bytes);
        self.load.requests.give_back(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_seat_is_free_again_with_all_it_held() {
        let load = Load::new(1, 10);
        let mut seat = load.enter().unwrap();
        assert!(load.enter().is_none());
        assert!(seat.hold(10) && !seat.hold(1));
        assert_eq!(load.under_way(), 1);
        drop(seat);
        assert_eq!(load.under_way(), 0);
        assert!(load.enter().unwrap().hold(10));
    }

    #[test]
    fn a_whole_answer_keeps_its_seat_until_its_last_bytes_are_gone() {
        let load = Load::new(1, 10);
        let mut seat = load.enter().unwrap();
        assert!(seat.hold(10));
        let mut answer = seat.around(Bytes::from_static(b"twenty bytes or more"));
        assert_eq!(answer, "twenty bytes or more");
        let rest = answer.split_off(3);
        drop(answer);
        assert!(load.enter().is_none());
        drop(rest);
        assert!(load.enter().unwrap().hold(10));
    }

    #[test]
    fn what_was_let_go_can_be_held_by_others() {
        let load = Load::new(2, 10);
        let (mut first, mut second) = (load.enter().unwrap(), load.enter().unwrap());
        assert!(first.hold(10));
        first.let_go();
        assert!(second.hold(10));
        drop(first);
        assert!(!second.hold(1), "it is given back once");
    }

    #[test]
    fn other_bounds_hold_at_once_and_take_nothing_away() {
        let load = Load::new(1, 10);
        let mut seat = load.enter().unwrap();
        assert!(seat.hold(10));
        load.set_limits(2, 5);
        let mut other = load.enter().unwrap();
        assert!(load.enter().is_none() && !other.hold(1));
        drop(seat);
        assert!(other.hold(5) && !other.hold(1));
    }

    #[test]
    fn a_refused_hold_takes_nothing() {
        let load = Load::new(2, 10);
        let (mut first, mut second) = (load.enter().unwrap(), load.enter().unwrap());
        assert!(!first.hold(11));
        assert!(second.hold(10));
    }
}
