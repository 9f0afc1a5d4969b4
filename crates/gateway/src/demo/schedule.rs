//! Who asks what, and when: a list that follows from the scenario and the seed alone.
//!
//! Callers come as they please (a Poisson process), whether or not those before them have been answered: a load that waits
//! for answers would hide how slow they are. Two clients that are given the same schedule are asked the same at the same times.

use std::time::Duration;

use sim::{Act, Scenario};

/// Questions a second where an act's load is 1.
const RATE: f64 = 60.0;

/// One thing that a caller wants to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Question {
    /// When it is asked, from the run's start.
    pub(crate) due: Duration,
    /// The act in which it is asked, if any runs then.
    pub(crate) act: Option<usize>,
    /// The region next to the caller, by its place in the scenario.
    pub(crate) place: usize,
    /// Whether the answer is wanted as a stream.
    pub(crate) stream: bool,
    /// How long the caller waits before it hangs up and asks again; absent: as long as a patient caller does.
    pub(crate) patience: Option<Duration>,
    /// What makes its text its own, and decides what is chance in its caller.
    pub(crate) draw: u64,
}

/// The questions of a run, in order.
#[derive(Debug)]
pub(crate) struct Schedule<'a> {
    scenario: &'a Scenario,
    draws: Draws,
    at: Duration,
    end: Duration,
    /// Questions a second where an act's load is 1.
    rate: f64,
}

impl<'a> Schedule<'a> {
    /// The questions of the scenario's first `length`.
    pub(crate) fn new(scenario: &'a Scenario, length: Duration) -> Self {
        Self::with_rate(scenario, length, RATE)
    }

    /// The same, so many a second where an act's load is 1.
    pub(crate) fn with_rate(scenario: &'a Scenario, length: Duration, rate: f64) -> Self {
        Self { scenario, draws: Draws::new(scenario.seed), at: Duration::ZERO, end: length, rate }
    }

    /// Until when the load is what it is at `at`.
    fn steady_until(&self, at: Duration) -> Duration {
        let edges = self.scenario.acts.iter().flat_map(|act| [act.at, end_of(act)]);
        edges.filter(|edge| *edge > at).min().map_or(self.end, |edge| edge.min(self.end))
    }
}

/// The act that runs at `at`; of several the first.
pub(crate) fn act_at(acts: &[Act], at: Duration) -> Option<usize> {
    acts.iter().position(|act| act.at <= at && at < end_of(act))
}

fn end_of(act: &Act) -> Duration {
    act.at.saturating_add(act.lasting)
}

impl Iterator for Schedule<'_> {
    type Item = Question;

    fn next(&mut self) -> Option<Question> {
        while self.at < self.end {
            let index = act_at(&self.scenario.acts, self.at);
            let act = index.and_then(|index| self.scenario.acts.get(index));
            let rate = self.rate * act.map_or(1.0, |act| act.load.max(0.0));
            let gap = -(1.0 - self.draws.unit()).ln() / rate;
            let due = self.at.saturating_add(Duration::try_from_secs_f64(gap).unwrap_or(Duration::MAX));
            let steady_until = self.steady_until(self.at);
            if due >= steady_until {
                // The process has no memory, so where the load changes it begins afresh.
                self.at = steady_until;
                continue;
            }
            self.at = due;
            return Some(Question {
                due,
                act: index,
                place: self.draws.below(self.scenario.regions.len()),
                stream: self.draws.next().is_multiple_of(2),
                patience: act.and_then(|act| act.patience),
                draw: self.draws.next(),
            });
        }
        None
    }
}

/// A stream of seeded numbers: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        let bits = u32::try_from(self.next() >> 32).unwrap_or(u32::MAX); // 32 bits are left of 64
        f64::from(bits) / 4_294_967_296.0 // 2^32
    }

    /// A number below `bound`; 0 where there is none.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(40);

    fn questions(seed: u64) -> Vec<Question> {
        Schedule::new(&Scenario::four_acts(LENGTH, seed), LENGTH).collect()
    }

    #[test]
    fn a_seed_gives_one_schedule() {
        assert_eq!(questions(7), questions(7));
        assert_ne!(questions(7), questions(8));
    }

    #[test]
    fn questions_come_in_order_and_in_time() {
        let questions = questions(7);
        assert!(questions.is_sorted_by_key(|question| question.due));
        assert!(questions.last().unwrap().due < LENGTH);
    }

    /// 600 and 900 are expected; five deviations are 122 and 150.
    #[test]
    fn an_act_has_the_load_it_says() {
        let count = |act| questions(7).iter().filter(|question| question.act == Some(act)).count();
        assert!(count(0).abs_diff(600) < 122, "{}", count(0));
        assert!(count(1).abs_diff(900) < 150, "{}", count(1));
    }

    #[test]
    fn an_act_without_load_is_silent() {
        let mut scenario = Scenario::four_acts(LENGTH, 7);
        scenario.acts[1].load = 0.0;
        scenario.acts[2].load = f64::NAN;
        let acts: Vec<_> = Schedule::new(&scenario, LENGTH).map(|question| question.act).collect();
        assert!(acts.contains(&Some(0)) && acts.contains(&Some(3)));
        assert!(!acts.contains(&Some(1)) && !acts.contains(&Some(2)));
    }

    #[test]
    fn all_places_ask_in_both_ways() {
        let questions = questions(7);
        for place in 0..3 {
            for stream in [true, false] {
                assert!(questions.iter().any(|q| q.place == place && q.stream == stream));
            }
        }
    }
}
