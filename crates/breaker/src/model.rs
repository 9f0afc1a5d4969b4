//! The naive breaker: keeps every call ever reported and counts them again each time it is asked.
//!
//! It exists to be compared with. Whatever it does is meant to be obvious, at any cost in time and memory. It reads a
//! config with its own eyes and shares no step of the machine's: a fault in both would have to be made twice.

mod reading;

use std::time::{Duration, Instant};

use self::reading::{Outcome, exceeded, nanos, open_time, rules, size};
use crate::state::Kind;
use crate::{
    BreakerConfig, ConfigError, Event, Gate, Permit, Rejected, Report, State, Thresholds, TripReason,
    TripRule, Verdict,
};

/// A call that was counted.
#[derive(Clone, Debug)]
struct Sample {
    at: u64,
    verdict: Verdict,
    duration: Option<Duration>,
}

/// A trial, from its admission on.
#[derive(Clone, Debug)]
struct Trial {
    since: u64,
    lease_end: u64,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Out,
    GivenBack,
    Counted(Outcome),
}

/// A stay in one state, with all that was counted in it.
#[derive(Clone, Debug)]
struct Stay {
    state: State,
    since: u64,
    until: u64,
    samples: Vec<Sample>,
    trials: Vec<Trial>,
}

/// A breaker that keeps its whole history: one record per stay, one per call.
#[derive(Clone, Debug)]
pub struct Model {
    config: BreakerConfig,
    origin: Instant,
    last: u64,
    stays: Vec<Stay>,
    reason: Option<TripReason>,
    draw: u64,
    fetched: usize,
    events: Vec<Event>,
}

impl Model {
    /// A closed breaker whose time zero is `origin`.
    ///
    /// # Errors
    /// What [`BreakerConfig::validate`] finds.
    pub fn new(config: BreakerConfig, origin: Instant) -> Result<Self, ConfigError> {
        config.validate()?;
        let first = Stay { state: State::Closed, since: 0, until: 0, samples: vec![], trials: vec![] };
        let (stays, events) = (vec![first], vec![]);
        Ok(Self { config, origin, last: 0, stays, reason: None, draw: 0, fetched: 0, events })
    }

    fn read(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.origin))
    }

    fn epoch(&self) -> u64 {
        self.events.len().try_into().unwrap_or(u64::MAX)
    }

    #[expect(clippy::expect_used, reason = "the first stay is made with the model and none is ever removed")]
    fn stay(&self) -> &Stay {
        self.stays.last().expect("a model is always in some state")
    }

    #[expect(clippy::expect_used, reason = "as above")]
    fn stay_mut(&mut self) -> &mut Stay {
        self.stays.last_mut().expect("a model is always in some state")
    }

    fn tick(&mut self, now: Instant) -> u64 {
        self.last = self.last.max(self.read(now));
        let now = self.last;
        if let Some(end) = self.overdue(now) {
            self.trip(TripReason::HalfOpenTimeout, None, end);
        }
        let ended = |trial: &&mut Trial| trial.fate == Fate::Out && trial.lease_end <= now;
        self.stay_mut().trials.iter_mut().filter(ended).for_each(|trial| trial.fate = Fate::GivenBack);
        now
    }

    /// The end of a half-open stay, if that is over.
    fn overdue(&self, now: u64) -> Option<u64> {
        let end = self.stay().since.saturating_add(nanos(self.config.half_open_max_stay?));
        (self.stay().state == State::HalfOpen && end <= now).then_some(end)
    }

    /// Openings since the last close, counted over the whole history.
    fn openings(&self) -> usize {
        let since_close = self.stays.iter().rev().take_while(|stay| stay.state != State::Closed);
        since_close.filter(|stay| stay.state == State::Open).count()
    }

    fn enter(&mut self, state: State, at: u64, until: u64) {
        let from = self.stay().state;
        self.stays.push(Stay { state, since: at, until, samples: vec![], trials: vec![] });
        let instant = |nanos| self.origin + Duration::from_nanos(nanos);
        let opened = state == State::Open;
        self.events.push(Event {
            from,
            to: state,
            reason: self.reason.filter(|_| opened),
            epoch: self.epoch() + 1,
            at: instant(at),
            open_until: opened.then(|| instant(until)),
        });
    }

    fn trip(&mut self, reason: TripReason, wish: Option<Duration>, at: u64) {
        let until = at.saturating_add(nanos(open_time(&self.config, self.openings(), wish, self.draw)));
        self.reason = Some(reason);
        self.enter(State::Open, at, until);
    }

    fn close(&mut self, at: u64) {
        self.reason = None;
        self.enter(State::Closed, at, 0);
    }

    /// The first rule that fires over all samples of this stay.
    fn fired(&self, now: u64) -> Option<TripReason> {
        let samples = &self.stay().samples;
        let run = samples.iter().rev().take_while(|sample| sample.verdict == Verdict::Failure).count();
        rules(&self.config).into_iter().find_map(|rule| {
            let (inside, min_calls, thresholds): (Vec<&Sample>, u32, Thresholds) = match rule {
                TripRule::Consecutive { failures } => {
                    let enough = failures > 0 && run >= size(failures);
                    return enough.then_some(TripReason::Consecutive);
                }
                TripRule::CountWindow { size: calls, min_calls, thresholds } => {
                    (samples.iter().rev().take(size(calls)).collect(), min_calls.min(calls), thresholds)
                }
                TripRule::TimeWindow { length, buckets, min_calls, thresholds } => {
                    let width = nanos(length) / u64::from(buckets);
                    let live = |at: u64| at / width + u64::from(buckets) > now / width;
                    (samples.iter().filter(|sample| live(sample.at)).collect(), min_calls, thresholds)
                }
            };
            let outcome = |sample: &&Sample| Outcome {
                failed: matches!(sample.verdict, Verdict::Failure | Verdict::RateLimited),
                duration: sample.duration,
            };
            let outcomes: Vec<Outcome> = inside.iter().map(outcome).collect();
            if outcomes.len() < size(min_calls) { None } else { exceeded(&outcomes, &thresholds) }
        })
    }

    /// Counts a trial's result.
    fn weigh(&mut self, number: u64, outcome: Outcome, wish: Option<Duration>, now: u64) {
        self.set_fate(number, Fate::Counted(outcome));
        let outcomes: Vec<Outcome> = self.stay().trials.iter().filter_map(Trial::outcome).collect();
        let successes = outcomes.iter().filter(|outcome| !outcome.failed).count();
        match self.config.half_open_rate {
            None if outcome.failed => self.trip(TripReason::TrialFailed, wish, now),
            None if successes == size(self.config.success_threshold) => self.close(now),
            Some(thresholds) if outcomes.len() == size(self.config.half_open_max_calls) => {
                match exceeded(&outcomes, &thresholds) {
                    Some(reason) => self.trip(reason, wish, now),
                    None => self.close(now),
                }
            }
            None | Some(_) => {}
        }
    }

    fn trial(&self, number: u64) -> Option<&Trial> {
        self.stay().trials.get(usize::try_from(number).ok()?)
    }

    fn set_fate(&mut self, number: u64, fate: Fate) {
        if let Some(trial) = usize::try_from(number).ok().and_then(|n| self.stay_mut().trials.get_mut(n)) {
            trial.fate = fate;
        }
    }

    /// Slots held or spent, were it `now`.
    fn slots_taken(&self, now: u64) -> usize {
        let taken = |trial: &&Trial| match trial.fate {
            Fate::Out => trial.lease_end > now,
            Fate::GivenBack => false,
            Fate::Counted(_) => true,
        };
        self.stay().trials.iter().filter(taken).count()
    }
}

impl Trial {
    const fn outcome(&self) -> Option<Outcome> {
        match self.fate {
            Fate::Counted(outcome) => Some(outcome),
            Fate::Out | Fate::GivenBack => None,
        }
    }
}

impl Gate for Model {
    fn acquire_until(&mut self, lease_end: Instant, now: Instant) -> Result<Permit, Rejected> {
        let answer = self.admits(now);
        let now = self.tick(now);
        answer?;
        match self.stay().state {
            State::Closed => return Ok(Permit::issue(self.epoch(), None)),
            State::Disabled => return Ok(Permit::untracked()),
            State::Open => self.enter(State::HalfOpen, now, 0),
            State::HalfOpen | State::ForcedOpen => {}
        }
        let lease_end = self.read(lease_end);
        self.stay_mut().trials.push(Trial { since: now, lease_end, fate: Fate::Out });
        let number = u64::try_from(self.stay().trials.len()).unwrap_or(u64::MAX) - 1;
        Ok(Permit::issue(self.epoch(), Some(number)))
    }

    fn report(&mut self, permit: Permit, mut report: Report, now: Instant) {
        let now = self.tick(now);
        if report.verdict == Verdict::RateLimited && self.config.count_rate_limits {
            report.verdict = Verdict::Failure;
        }
        let (verdict, wish) = (report.verdict, report.retry_after);
        if permit.epoch != self.epoch() || permit.kind == Kind::Untracked {
            return;
        }
        match (self.stay().state, permit.kind) {
            (State::Closed | State::HalfOpen, Kind::Confirmed) if verdict != Verdict::Failure => {}
            (State::Closed, _) if verdict != Verdict::Ignored => {
                self.stay_mut().samples.push(Sample { at: now, verdict, duration: report.duration });
                if let Some(reason) = self.fired(now) {
                    self.draw = report.draw;
                    self.trip(reason, wish, now);
                }
            }
            (State::HalfOpen, Kind::Trial(number)) => {
                if self.trial(number).is_none_or(|trial| trial.fate != Fate::Out) {
                    return;
                }
                if verdict == Verdict::Ignored {
                    return self.set_fate(number, Fate::GivenBack);
                }
                self.draw = report.draw;
                let limited = verdict == Verdict::RateLimited && self.config.rate_limited_fails;
                let failed = limited || verdict == Verdict::Failure;
                self.weigh(number, Outcome { failed, duration: report.duration }, wish, now);
            }
            (State::HalfOpen, Kind::Confirmed) => {
                // One of the successes was none; which one makes no difference.
                self.draw = report.draw;
                let counted = self.stay_mut().trials.iter_mut().find_map(|trial| match &mut trial.fate {
                    Fate::Counted(outcome) if !outcome.failed => Some(&mut outcome.failed),
                    Fate::Counted(_) | Fate::Out | Fate::GivenBack => None,
                });
                if let Some(failed) = counted {
                    *failed = true;
                }
                if self.config.half_open_rate.is_none() {
                    self.trip(TripReason::TrialFailed, wish, now);
                }
            }
            _ => {}
        }
    }

    fn release(&mut self, permit: Permit) {
        if let (Kind::Trial(number), true) = (permit.kind, permit.epoch == self.epoch())
            && self.trial(number).is_some_and(|trial| trial.fate == Fate::Out)
        {
            self.set_fate(number, Fate::GivenBack);
        }
    }

    fn confirm(&mut self, permit: &mut Permit, now: Instant) {
        let now = self.tick(now);
        let (Kind::Trial(number), true) = (permit.kind, permit.epoch == self.epoch()) else { return };
        let Some(since) = self.trial(number).filter(|trial| trial.fate == Fate::Out).map(|trial| trial.since)
        else {
            return;
        };
        let outcome = Outcome { failed: false, duration: Some(Duration::from_nanos(now - since)) };
        self.weigh(number, outcome, None, now);
        *permit = Permit { epoch: self.epoch(), kind: Kind::Confirmed };
    }

    fn state(&self, now: Instant) -> State {
        if self.overdue(self.read(now).max(self.last)).is_some() { State::Open } else { self.stay().state }
    }

    fn admits(&self, now: Instant) -> Result<(), Rejected> {
        let mut later = self.clone();
        let now = later.tick(now);
        match later.stay().state {
            State::Closed | State::Disabled => Ok(()),
            State::Open if now >= later.stay().until => Ok(()),
            State::Open => Err(Rejected::new(later.open_until())),
            State::HalfOpen if later.slots_taken(now) < size(self.config.half_open_max_calls) => Ok(()),
            State::HalfOpen | State::ForcedOpen => Err(Rejected::new(None)),
        }
    }

    fn advance(&mut self, now: Instant) {
        self.tick(now);
    }

    fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.get(self.fetched).copied()?;
        self.fetched += 1;
        Some(event)
    }

    fn force_open(&mut self, now: Instant) {
        let now = self.tick(now);
        if self.stay().state != State::ForcedOpen {
            self.reason = Some(TripReason::Manual);
            self.enter(State::ForcedOpen, now, 0);
        }
    }

    fn disable(&mut self, now: Instant) {
        let now = self.tick(now);
        if self.stay().state != State::Disabled {
            self.reason = None;
            self.enter(State::Disabled, now, 0);
        }
    }

    fn reset(&mut self, now: Instant) {
        let now = self.tick(now);
        if self.stay().state == State::Closed {
            self.stay_mut().samples.clear();
        } else {
            self.close(now);
        }
    }

    fn open_for(&mut self, duration: Duration, now: Instant) {
        let now = self.tick(now);
        let until = now.saturating_add(nanos(duration));
        self.reason = Some(TripReason::Manual);
        if self.stay().state == State::Open {
            self.stay_mut().until = until;
        } else {
            self.enter(State::Open, now, until);
        }
    }

    fn opened_total(&self) -> u64 {
        self.events.iter().filter(|event| event.to == State::Open).map(|_| 1).sum()
    }

    fn reason(&self) -> Option<TripReason> {
        self.reason
    }

    fn open_until(&self) -> Option<Instant> {
        let stay = self.stay();
        (stay.state == State::Open).then(|| self.origin + Duration::from_nanos(stay.until))
    }
}
