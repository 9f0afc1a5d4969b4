//! How much was taken within the last minute, and when there is room for more.
//!
//! Any minute counts, not the one on the clock: whoever takes all at its end cannot take all again a second later. Every single taking
//! kept would be exact and without bound, so takings within half a second of each other are one, and all of it counts for a minute
//! after the last of them. So a limit is never exceeded, at the price of a hundredth of it.
//!
//! What others took of the same limit, as far as it is known, counts beside it until it is a minute old too ([`Window::hear`]).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What a limit is for.
pub(super) const MINUTE: Duration = Duration::from_secs(60);
/// Takings so near to each other are one: at most 121 are kept.
const GRAIN: Duration = Duration::from_millis(500);

/// What is told to others of takings so near to each other is one: twelve numbers a minute say enough for a wait.
const TOLD_GRAIN: Duration = Duration::from_secs(5);

/// The takings of the last minute.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// What others took: until when it counts, and how much it is, the soonest first.
    others: Vec<(Instant, u64)>,
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
        let others = self.others.iter().filter(|(until, _)| now < *until);
        let mut left = others.clone().fold(self.used, |sum, (_, amount)| sum.saturating_add(*amount));
        if left <= most {
            return Ok(());
        }
        let mut own = self.slots.iter().map(|slot| (slot.last + MINUTE, slot.amount)).peekable();
        let mut others = others.copied().peekable();
        let mut wait = Duration::ZERO;
        while left > most {
            let own_is_next = own.peek().zip(others.peek()).is_none_or(|(own, other)| own.0 <= other.0);
            let next = if own_is_next && own.peek().is_some() { own.next() } else { others.next() };
            let Some((until, amount)) = next else { break };
            left = left.saturating_sub(amount);
            // Who asks beside another may come with a time before the other's, and waits no longer for that.
            wait = until.saturating_duration_since(now).min(MINUTE);
        }
        Err(Full::For(wait))
    }

    /// What others took, as it is known now: until when each taking counts, and how much it is.
    pub(super) fn hear(&mut self, mut others: Vec<(Instant, u64)>) {
        others.sort_unstable();
        self.others = others;
    }

    /// What was taken here, in a few parts: for how much longer each counts, and how much it is.
    pub(super) fn told(&mut self, now: Instant) -> Vec<(Duration, u64)> {
        self.advance(now);
        let mut parts: Vec<(Duration, u64)> = Vec::new();
        let mut opened = None;
        for slot in &self.slots {
            let left = MINUTE.saturating_sub(now.saturating_duration_since(slot.last));
            let is_near = |opened: Instant| slot.last.saturating_duration_since(opened) < TOLD_GRAIN;
            match parts.last_mut().filter(|_| opened.is_some_and(is_near)) {
                Some(part) => *part = (left, part.1.saturating_add(slot.amount)),
                None => {
                    opened = Some(slot.opened);
                    parts.push((left, slot.amount));
                }
            }
        }
        parts.retain(|(_, amount)| *amount > 0);
        parts
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

    /// **No wait is longer than a minute**, which is the longest that SDKs keep. Fails if one who was overtaken by another on the way
    /// here is told to wait for that too.
    #[test]
    fn time_that_goes_back_makes_no_wait_longer() {
        let (mut window, start) = (Window::default(), Instant::now());
        window.take(10, at(start, 3));
        assert_eq!(window.room(1, 10, start), Err(Full::For(MINUTE)));
        window.hear(vec![(at(start, 60_007), 10)]);
        assert_eq!(window.room(1, 10, start), Err(Full::For(MINUTE)));
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
    fn what_others_took_counts_until_it_is_a_minute_old() {
        let (mut window, start) = (Window::default(), Instant::now());
        window.hear(vec![(at(start, 50_000), 4), (at(start, 20_000), 3)]);
        window.take(2, start);
        assert_eq!(window.room(1, 10, start), Ok(()));
        assert_eq!(window.room(2, 10, start), Err(Full::For(Duration::from_secs(20))));
        assert_eq!(window.room(5, 10, start), Err(Full::For(Duration::from_secs(50))));
        assert_eq!(window.room(9, 10, start), Err(Full::For(MINUTE)), "the last that frees is its own");
        assert_eq!(window.room(4, 10, at(start, 20_000)), Ok(()));
        window.hear(Vec::new());
        assert_eq!(window.room(8, 10, at(start, 20_000)), Ok(()), "they are what was heard last");
    }

    /// Fails if a part is told to count for less time than the last of it does, or takings far apart are one.
    #[test]
    fn a_part_counts_as_long_as_the_last_of_it() {
        let (mut window, start) = (Window::default(), Instant::now());
        for (ms, amount) in [(0, 1), (4_000, 2), (5_000, 3)] {
            window.take(amount, at(start, ms));
        }
        let secs = Duration::from_secs;
        assert_eq!(window.told(at(start, 10_000)), [(secs(54), 3), (secs(55), 3)]);
        assert_eq!(window.told(at(start, 60_000)), [(secs(5), 5)]);
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let (mut window, start) = (Window::default(), Instant::now());
        for ms in 0..130_000 {
            window.take(1, at(start, ms));
        }
        assert!(window.slots.len() <= 121, "{}", window.slots.len());
        assert!(window.told(at(start, 130_000)).len() <= 13);
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

        /// **Two that tell each other share one limit.** Where each hears what the other took before it lets anyone in, no minute sees more than
        /// the limit over both; and once a minute has passed since the last taking, all of it is free at both. Fails if a part is told
        /// for less time than its last taking counts, or is left out.
        #[test]
        fn two_that_tell_each_other_share_one_limit(steps in steps(), limit in 1..30_u64, turns in any::<u64>()) {
            let (mut windows, mut naive) = ([Window::default(), Window::default()], Naive::default());
            let mut now = Instant::now();
            for (number, (later, amount, _)) in steps.into_iter().enumerate() {
                now += Duration::from_millis(later);
                let here = usize::from(turns.rotate_right(u32::try_from(number).unwrap()) & 1 == 1);
                let heard = windows[1 - here].told(now).into_iter().map(|(left, amount)| (now + left, amount));
                let heard = heard.collect();
                windows[here].hear(heard);
                if windows[here].room(amount, limit, now).is_ok() {
                    windows[here].take(amount, now);
                    naive.0.push((now, amount));
                }
                prop_assert!(naive.within(now) <= limit, "{} of {limit}", naive.within(now));
            }
            now += MINUTE;
            prop_assert_eq!(windows[0].room(limit, limit, now), Ok(()));
            prop_assert_eq!(windows[1].told(now), []);
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
