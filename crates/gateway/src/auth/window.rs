//! How much was taken within the last minute, and when there is room for more.
//!
//! Any minute counts, not the one on the clock: whoever takes all at its end cannot take all again a second later. Every single taking
//! kept would be exact and without bound, so takings within half a second of each other are one, and all of it counts for a minute
//! after the last of them. So a limit is never exceeded, at the price of a hundredth of it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What a limit is for.
pub(super) const MINUTE: Duration = Duration::from_secs(60);
/// Takings so near to each other are one: at most 121 are kept.
const GRAIN: Duration = Duration::from_millis(500);

/// The takings of the last minute.
#[derive(Debug, Default)]
pub(super) struct Window {
    slots: VecDeque<Slot>,
    /// The number of the first slot; they are numbered as they come.
    first: u64,
    /// The sum of all slots.
    used: u64,
}

#[derive(Debug)]
struct Slot {
    opened: Instant,
    /// When something was last taken.
    last: Instant,
    amount: u64,
}

/// What was taken, and where. It is settled at most once.
#[derive(Debug)]
pub(super) struct Taken {
    slot: u64,
    amount: u64,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// There will be room in a while, at most a minute, if nobody else takes it.
    For(Duration),
    /// It is more than the whole limit.
    Forever,
}

impl Window {
    /// Whether so much more stays within the limit.
    pub(super) fn room(&mut self, amount: u64, limit: u64, now: Instant) -> Result<(), Full> {
        self.advance(now);
        let most = limit.checked_sub(amount).ok_or(Full::Forever)?;
        let mut left = self.used;
        if left <= most {
            return Ok(());
        }
        let mut wait = Duration::ZERO;
        for slot in &self.slots {
            left = left.saturating_sub(slot.amount);
            wait = MINUTE.saturating_sub(now.saturating_duration_since(slot.last));
            if left <= most {
                break;
            }
        }
        Err(Full::For(wait))
    }

    /// Takes so much. Time that goes back reads as no time passed.
    pub(super) fn take(&mut self, amount: u64, now: Instant) -> Taken {
        self.advance(now);
        self.used = self.used.saturating_add(amount);
        let following = self.first.saturating_add(self.slots.len() as u64);
        let last = self.slots.back_mut();
        match last.filter(|slot| now.saturating_duration_since(slot.opened) < GRAIN) {
            Some(slot) => {
                slot.last = slot.last.max(now);
                slot.amount = slot.amount.saturating_add(amount);
                Taken { slot: following.saturating_sub(1), amount }
            }
            None => {
                self.slots.push_back(Slot { opened: now, last: now, amount });
                Taken { slot: following, amount }
            }
        }
    }

    /// What was taken turns out to be `truth`. Less makes room at once. More counts as if it had been taken then, or, when that
    /// is more than a minute ago, now: a minute that was exceeded is paid for by the next.
    pub(super) fn settle(&mut self, taken: Taken, truth: u64, now: Instant) {
        self.advance(now);
        let index = taken.slot.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| self.slots.get_mut(index)) {
            Some(slot) => {
                let before = slot.amount;
                slot.amount = before.saturating_sub(taken.amount).saturating_add(truth);
                self.used = self.used.saturating_sub(before).saturating_add(slot.amount);
            }
            None => {
                let excess = truth.saturating_sub(taken.amount);
                if excess > 0 {
                    self.take(excess, now);
                }
            }
        }
    }

    /// Forgets what is a minute ago.
    fn advance(&mut self, now: Instant) {
        while let Some(slot) = self.slots.front()
            && now.saturating_duration_since(slot.last) >= MINUTE
        {
            self.used = self.used.saturating_sub(slot.amount);
            self.first = self.first.saturating_add(1);
            self.slots.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_wait_is_exact_and_what_is_more_than_all_never_fits() {
        let (mut window, start) = (Window::default(), Instant::now());
        window.take(3, start);
        window.take(2, at(start, 10_000));
        assert_eq!(window.room(5, 10, at(start, 20_000)), Ok(()));
        assert_eq!(window.room(6, 10, at(start, 20_000)), Err(Full::For(Duration::from_secs(40))));
        assert_eq!(window.room(9, 10, at(start, 20_000)), Err(Full::For(Duration::from_secs(50))));
        assert_eq!(window.room(11, 10, at(start, 20_000)), Err(Full::Forever));
        assert_eq!(window.room(8, 10, at(start, 59_999)), Err(Full::For(Duration::from_millis(1))));
        assert_eq!(window.room(8, 10, at(start, 60_000)), Ok(()));
    }

    #[test]
    fn an_answer_that_took_more_than_was_thought_is_paid_for() {
        let (mut window, start) = (Window::default(), Instant::now());
        let taken = window.take(1, start);
        window.settle(taken, 15, at(start, 5_000));
        assert_eq!(window.room(1, 10, at(start, 5_000)), Err(Full::For(Duration::from_secs(55))));
        let long = window.take(1, at(start, 60_000));
        window.settle(long, 15, at(start, 130_000));
        assert_eq!(window.room(1, 10, at(start, 130_000)), Err(Full::For(MINUTE)));
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let (mut window, start) = (Window::default(), Instant::now());
        for ms in 0..130_000 {
            window.take(1, at(start, ms));
        }
        assert!(window.slots.len() <= 121, "{}", window.slots.len());
    }

    /// All that was ever taken, one by one.
    #[derive(Default)]
    struct Naive(Vec<(Instant, u64)>);

    impl Naive {
        fn within(&self, end: Instant) -> u64 {
            self.0.iter().filter(|(at, _)| *at <= end && end - *at < MINUTE).map(|(_, amount)| amount).sum()
        }
    }

    /// Later, by so many milliseconds; and what is asked for then, and what it comes to: tenths of the asked.
    fn steps() -> impl Strategy<Value = Vec<(u64, u64, Option<u64>)>> {
        prop::collection::vec((0..9_000_u64, 1..12_u64, prop::option::of(0..=10_u64)), 1..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// **No minute sees more than its limit**, whenever it begins, when answers take no more than was reserved. Fails if a slot is
        /// let go by its first taking, or a taking is granted beside the check.
        #[test]
        fn no_minute_sees_more_than_its_limit(steps in steps(), limit in 1..30_u64) {
            let (mut window, mut naive, mut now) = (Window::default(), Naive::default(), Instant::now());
            for (later, amount, used) in steps {
                now += Duration::from_millis(later);
                if window.room(amount, limit, now).is_ok() {
                    let taken = window.take(amount, now);
                    let truth = used.map_or(amount, |tenths| amount * tenths / 10);
                    window.settle(taken, truth, now);
                    naive.0.push((now, truth));
                }
                prop_assert!(naive.within(now) <= limit, "{} of {limit}", naive.within(now));
            }
        }

        /// **A wait is long enough and not a grain too long**: who comes back then is let in, and the naive count agrees that nobody
        /// could have been let in more than half a second sooner.
        #[test]
        fn whoever_waits_as_told_is_let_in(steps in steps(), limit in 12..30_u64) {
            let (mut window, mut naive, mut now) = (Window::default(), Naive::default(), Instant::now());
            for (later, amount, _) in steps {
                now += Duration::from_millis(later);
                if let Err(full) = window.room(amount, limit, now) {
                    let Full::For(wait) = full else { panic!("no limit is below what is asked") };
                    prop_assert!(wait > Duration::ZERO && wait <= MINUTE);
                    let sooner = wait.saturating_sub(GRAIN + Duration::from_millis(1));
                    let counted = naive.within(now + sooner) + amount;
                    prop_assert!(sooner.is_zero() || counted > limit, "room after {sooner:?} of {wait:?}");
                    now += wait;
                    prop_assert_eq!(window.room(amount, limit, now), Ok(()));
                }
                window.take(amount, now);
                naive.0.push((now, amount));
            }
        }

        /// **What is given back is there for others**: once all is settled to nothing, the whole limit is free.
        #[test]
        fn what_was_reserved_is_released(steps in steps(), order in any::<prop::sample::Index>()) {
            let (mut window, mut now, mut held) = (Window::default(), Instant::now(), Vec::new());
            for (later, amount, used) in steps {
                now += Duration::from_millis(later);
                held.push(window.take(amount, now));
                if used.is_some() {
                    let taken = held.swap_remove(order.index(held.len()));
                    window.settle(taken, 0, now);
                }
            }
            for taken in held {
                window.settle(taken, 0, now);
            }
            prop_assert_eq!(window.used, 0);
            prop_assert_eq!(window.room(1, 1, now), Ok(()));
        }
    }
}
