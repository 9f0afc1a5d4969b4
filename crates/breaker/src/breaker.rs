//! The machine: decides whether a call may start, from what was reported and the time it is handed.
//!
//! # Why permits with epochs?
//! A result that arrives after the state has changed says nothing about the present state. A breaker that counts
//! it is closed by a call that began before the outage, or trips twice for one. So each stay in one state has a
//! number, the epoch; a permit carries it, and a report of another epoch changes nothing.
//!
//! # Why leases?
//! A trial that is forgotten must not hold its slot for ever, or the circuit stands half-open until a restart.
//!
//! # Limits
//! Open turns to half-open at the first `acquire` that finds its time over, so a circuit nobody asks stays open.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::clock::{self, Clock};
use crate::rule::{Counts, Thresholds, TripRule};
use crate::state::Kind;
use crate::trials::{self, Trials};
use crate::window::{CountWindow, TimeWindow};
use crate::{BreakerConfig, ConfigError, Event, Permit, Rejected, Report, State, TripReason, Verdict};

/// Transitions kept for [`Breaker::poll_event`]: a reader may sleep through five full cycles of open, half-open
/// and closed.
const EVENTS: usize = 16;

/// A trip rule with its counts.
#[derive(Clone, Debug)]
enum Rule {
    Consecutive { failures: u32 },
    Count { window: CountWindow, min_calls: u32, thresholds: Thresholds },
    Time { window: TimeWindow, min_calls: u32, thresholds: Thresholds },
}

impl Rule {
    fn new(rule: TripRule) -> Self {
        match rule {
            TripRule::Consecutive { failures } => Self::Consecutive { failures },
            TripRule::CountWindow { size, min_calls, thresholds } => Self::Count {
                window: CountWindow::new(size),
                min_calls: min_calls.clamp(1, size),
                thresholds,
            },
            TripRule::TimeWindow { length, buckets, min_calls, thresholds } => {
                let window = TimeWindow::new(clock::nanos(length), buckets);
                Self::Time { window, min_calls: min_calls.max(1), thresholds }
            }
        }
    }

    /// Counts a call.
    fn record(&mut self, failed: bool, duration: Option<Duration>, now: u64) {
        match self {
            Self::Consecutive { .. } => {}
            Self::Count { window, thresholds, .. } => window.record(failed, thresholds.is_slow(duration)),
            Self::Time { window, thresholds, .. } => {
                window.roll(now);
                window.record(failed, thresholds.is_slow(duration));
            }
        }
    }

    /// Whether it fires, after a record, with so many failures in a row.
    fn judge(&self, run: u32) -> Option<TripReason> {
        let (counts, min_calls, thresholds) = match self {
            Self::Consecutive { failures } => {
                return (*failures > 0 && run >= *failures).then_some(TripReason::Consecutive);
            }
            Self::Count { window, min_calls, thresholds } => (window.totals(), *min_calls, thresholds),
            Self::Time { window, min_calls, thresholds } => (window.totals(), *min_calls, thresholds),
        };
        if counts.total < min_calls { None } else { thresholds.judge(counts) }
    }

    fn counts(&self, now: u64) -> Option<Counts> {
        match self {
            Self::Consecutive { .. } => None,
            Self::Count { window, .. } => Some(window.totals()),
            Self::Time { window, .. } => Some(window.totals_at(now)),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Consecutive { .. } => {}
            Self::Count { window, .. } => window.clear(),
            Self::Time { window, .. } => window.clear(),
        }
    }
}

/// Decides whether a call may start. Closed: all pass; open: none; half-open: a few trials pass.
///
/// Inputs are [`report`](Self::report), [`confirm`](Self::confirm) and [`release`](Self::release); the one
/// decision is [`acquire`](Self::acquire). `now` should not go back between calls; where it does, it is read as
/// 'no time has passed'.
///
/// Invariant: a permit counts in the epoch that issued it, and nowhere else. A late answer changes nothing.
#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    clock: Clock,
    state: State,
    epoch: u64,
    /// When the present state began.
    since: u64,
    /// End of the open time; meaningful while open.
    until: u64,
    /// Failures in a row, while closed.
    run: u32,
    rules: Box<[Rule]>,
    trials: Trials,
    /// Since the last close.
    openings: u32,
    opened_total: u64,
    reason: Option<TripReason>,
    /// The latest randomness heard of, for openings that no report causes.
    draw: u64,
    events: VecDeque<Event>,
    events_lost: u64,
}

impl Breaker {
    /// A closed breaker, whose time zero is the first instant it is told. Only the edges of time-window buckets
    /// depend on it.
    ///
    /// # Errors
    /// What [`BreakerConfig::validate`] finds.
    pub fn new(config: BreakerConfig) -> Result<Self, ConfigError> {
        Self::build(config, None)
    }

    /// A closed breaker with a time zero of one's choice; whatever lies before it reads as it.
    ///
    /// # Errors
    /// What [`BreakerConfig::validate`] finds.
    pub fn new_at(config: BreakerConfig, origin: Instant) -> Result<Self, ConfigError> {
        Self::build(config, Some(origin))
    }

    fn build(config: BreakerConfig, origin: Option<Instant>) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            rules: config.all_rules().map(Rule::new).collect(),
            trials: Trials::new(config.half_open_max_calls),
            clock: Clock::new(origin),
            state: State::Closed,
            epoch: 0,
            since: 0,
            until: 0,
            run: 0,
            openings: 0,
            opened_total: 0,
            reason: None,
            draw: 0,
            events: VecDeque::with_capacity(EVENTS),
            events_lost: 0,
            config,
        })
    }

    /// Leave for one call. A trial's lease is [`trial_lease`](BreakerConfig::trial_lease).
    ///
    /// # Errors
    /// [`Rejected`] while open, forced open, or half-open with all trials out.
    #[inline]
    pub fn acquire(&mut self, now: Instant) -> Result<Permit, Rejected> {
        let now = self.clock.tick(now);
        let lease = self.config.trial_lease.map_or(u64::MAX, clock::nanos);
        self.admit(now.saturating_add(lease), now)
    }

    /// Leave for one call that, if it is a trial, holds its slot until `lease_end` at the latest: the call's own
    /// deadline and some seconds.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn acquire_until(&mut self, lease_end: Instant, now: Instant) -> Result<Permit, Rejected> {
        let now = self.clock.tick(now);
        self.admit(self.clock.nanos(lease_end), now)
    }

    fn admit(&mut self, lease_end: u64, now: u64) -> Result<Permit, Rejected> {
        self.settle(now);
        match self.state {
            State::Closed => return Ok(Permit { epoch: self.epoch, kind: Kind::Plain }),
            State::Disabled => return Ok(Permit::untracked()),
            State::ForcedOpen => return Err(Rejected::new(None)),
            State::Open if now < self.until => return Err(Rejected::new(self.clock.instant(self.until))),
            State::Open => {
                self.trials.clear();
                self.enter(State::HalfOpen, now);
            }
            State::HalfOpen => {}
        }
        let number = self.trials.admit(now, lease_end).ok_or(Rejected::new(None))?;
        Ok(Permit { epoch: self.epoch, kind: Kind::Trial(number) })
    }

    /// Whether [`acquire`](Self::acquire) would succeed now; changes nothing.
    ///
    /// # Errors
    /// [`Rejected`], as `acquire` would return it.
    pub fn admits(&self, now: Instant) -> Result<(), Rejected> {
        let now = self.clock.at(now);
        let until = match self.state {
            State::Closed | State::Disabled => return Ok(()),
            State::ForcedOpen => return Err(Rejected::new(None)),
            State::Open => self.until,
            State::HalfOpen => match self.stay_end().filter(|end| now >= *end) {
                Some(end) => end.saturating_add(self.config.open_time(self.openings, None, self.draw)),
                None if self.trials.has_room(now) => return Ok(()),
                None => return Err(Rejected::new(None)),
            },
        };
        if now < until { Err(Rejected::new(self.clock.instant(until))) } else { Ok(()) }
    }

    /// The call has ended. A report of a past epoch, or of a trial past its lease, changes nothing.
    #[inline]
    pub fn report(&mut self, permit: Permit, report: impl Into<Report>, now: Instant) {
        let now = self.clock.tick(now);
        self.settle(now);
        if permit.epoch != self.epoch || permit.kind == Kind::Untracked {
            return;
        }
        let mut report = report.into();
        if report.verdict == Verdict::RateLimited && self.config.count_rate_limits {
            report.verdict = Verdict::Failure;
        }
        if permit.kind == Kind::Confirmed && report.verdict != Verdict::Failure {
            return;
        }
        match self.state {
            State::Closed => self.count(report, now),
            State::HalfOpen => self.conclude(permit.kind, report, now),
            State::Open | State::ForcedOpen | State::Disabled => {}
        }
    }

    /// A call of the present closed stay has ended.
    fn count(&mut self, report: Report, now: u64) {
        let failed = match report.verdict {
            Verdict::Ignored => return,
            Verdict::Failure => {
                self.run = self.run.saturating_add(1);
                true
            }
            Verdict::RateLimited => {
                self.run = 0;
                true
            }
            Verdict::Success => {
                self.run = 0;
                false
            }
        };
        for rule in &mut self.rules {
            rule.record(failed, report.duration, now);
        }
        if let Some(reason) = self.rules.iter().find_map(|rule| rule.judge(self.run)) {
            self.draw = report.draw;
            self.trip(reason, report.retry_after, now);
        }
    }

    /// A trial of the present half-open stay has ended.
    fn conclude(&mut self, kind: Kind, report: Report, now: u64) {
        match kind {
            Kind::Trial(number) if self.trials.take(number).is_some() => {}
            Kind::Confirmed => return self.recant(report, now),
            Kind::Trial(_) | Kind::Plain | Kind::Untracked => return,
        }
        let failed = match report.verdict {
            Verdict::Ignored => return,
            Verdict::Success => false,
            Verdict::RateLimited => self.config.rate_limited_fails,
            Verdict::Failure => true,
        };
        self.draw = report.draw;
        self.weigh(failed, report.duration, report.retry_after, now);
    }

    /// A trial that was confirmed in this very stay has failed: its success was none.
    fn recant(&mut self, report: Report, now: u64) {
        self.draw = report.draw;
        self.trials.results.failures += 1;
        // Judged by rate, the stay is still undecided: its last trial decides.
        if self.config.half_open_rate.is_none() {
            self.trip(TripReason::TrialFailed, report.retry_after, now);
        }
    }

    /// Counts a trial's result and decides the stay if it decides it.
    fn weigh(&mut self, failed: bool, duration: Option<Duration>, wish: Option<Duration>, now: u64) {
        let Some(thresholds) = self.config.half_open_rate else {
            self.trials.results.add(failed, false);
            if failed {
                self.trip(TripReason::TrialFailed, wish, now);
            } else if self.trials.successes() >= self.config.success_threshold {
                self.close(now);
            }
            return;
        };
        self.trials.results.add(failed, thresholds.is_slow(duration));
        if self.trials.are_all_back() {
            match thresholds.judge(self.trials.results) {
                Some(reason) => self.trip(reason, wish, now),
                None => self.close(now),
            }
        }
    }

    /// The call goes well so far: a long trial counts its success here (a stream at its first content) and its
    /// slot is spent. The permit moves to the epoch of this moment, where its later report counts only if it is
    /// a failure. For any other permit, and one whose epoch or lease is over, this changes nothing.
    pub fn confirm(&mut self, permit: &mut Permit, now: Instant) {
        let now = self.clock.tick(now);
        self.settle(now);
        let Kind::Trial(number) = permit.kind else { return };
        if permit.epoch != self.epoch || self.state != State::HalfOpen {
            return;
        }
        if let Some(since) = self.trials.take(number) {
            self.weigh(false, Some(trials::elapsed(since, now)), None, now);
            *permit = Permit { epoch: self.epoch, kind: Kind::Confirmed };
        }
    }

    /// The call was dropped: no verdict, and a trial's slot is free again. Needs no clock, so that a destructor
    /// can call it.
    pub fn release(&mut self, permit: Permit) {
        if let (Kind::Trial(number), true) = (permit.kind, permit.epoch == self.epoch) {
            self.trials.take(number);
        }
    }

    /// Time passes: leases and the half-open stay end. Every other method that is handed the time does this, too.
    pub fn advance(&mut self, now: Instant) {
        let now = self.clock.tick(now);
        self.settle(now);
    }

    fn settle(&mut self, now: u64) {
        if self.state != State::HalfOpen {
            return;
        }
        match self.stay_end().filter(|end| now >= *end) {
            // Opened at the moment it was due, so that it does not matter who noticed when.
            Some(end) => self.trip(TripReason::HalfOpenTimeout, None, end),
            None => self.trials.expire(now),
        }
    }

    fn stay_end(&self) -> Option<u64> {
        self.config.half_open_max_stay.map(|stay| self.since.saturating_add(clock::nanos(stay)))
    }

    /// Where the circuit stands at `now`; a projection that changes nothing. An open circuit reads as open until
    /// its first trial is admitted.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        let now = self.clock.at(now);
        match self.state {
            State::HalfOpen if self.stay_end().is_some_and(|end| now >= end) => State::Open,
            state => state,
        }
    }

    /// The next instant at which time alone changes an answer: the open time's end, a lease's, the half-open
    /// stay's. None once that instant has been passed to any method, so that a driver sleeping until here never spins.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        let next = match self.state {
            State::Open => Some(self.until),
            State::HalfOpen => self.stay_end().into_iter().chain(self.trials.next_lease_end()).min(),
            State::Closed | State::ForcedOpen | State::Disabled => None,
        };
        self.clock.instant(next.filter(|next| *next > self.clock.last())?)
    }

    /// The oldest transition not yet fetched, one per change of state and in order. Sixteen are kept; beyond that the
    /// oldest goes and [`events_lost`](Self::events_lost) counts it.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Keeps the circuit open until another command.
    pub fn force_open(&mut self, now: Instant) {
        self.advance(now);
        if self.state != State::ForcedOpen {
            self.reason = Some(TripReason::Manual);
            self.enter(State::ForcedOpen, self.clock.last());
        }
    }

    /// Takes the breaker out: every call is admitted, none is counted, until another command.
    pub fn disable(&mut self, now: Instant) {
        self.advance(now);
        if self.state != State::Disabled {
            self.reason = None;
            self.enter(State::Disabled, self.clock.last());
        }
    }

    /// Back to closed from any state, with nothing counted. A closed breaker stays in its epoch and forgets its
    /// counts.
    pub fn reset(&mut self, now: Instant) {
        self.advance(now);
        if self.state == State::Closed {
            self.forget();
        } else {
            self.close(self.clock.last());
        }
    }

    /// Open now, for this long, whatever the rules say. Counts as an opening, unless the circuit is open: then
    /// only its end moves.
    pub fn open_for(&mut self, duration: Duration, now: Instant) {
        self.advance(now);
        let now = self.clock.last();
        let until = now.saturating_add(clock::nanos(duration));
        if self.state == State::Open {
            self.until = until;
            self.reason = Some(TripReason::Manual);
        } else {
            self.open(TripReason::Manual, until, now);
        }
    }

    fn trip(&mut self, reason: TripReason, wish: Option<Duration>, at: u64) {
        let wait = self.config.open_time(self.openings, wish, self.draw);
        self.open(reason, at.saturating_add(wait), at);
    }

    fn open(&mut self, reason: TripReason, until: u64, at: u64) {
        self.until = until;
        self.openings = self.openings.saturating_add(1);
        self.opened_total += 1;
        self.reason = Some(reason);
        self.enter(State::Open, at);
    }

    fn close(&mut self, at: u64) {
        self.openings = 0;
        self.reason = None;
        self.forget();
        self.enter(State::Closed, at);
    }

    fn forget(&mut self) {
        self.run = 0;
        for rule in &mut self.rules {
            rule.clear();
        }
    }

    /// The one place where the state changes: a new epoch, and one event.
    fn enter(&mut self, to: State, at: u64) {
        let from = std::mem::replace(&mut self.state, to);
        self.epoch += 1;
        self.since = at;
        let Some(at) = self.clock.instant(at) else { return };
        if self.events.len() == EVENTS {
            self.events.pop_front();
            self.events_lost += 1;
        }
        let opened = to == State::Open;
        self.events.push_back(Event {
            from,
            to,
            reason: if opened { self.reason } else { None },
            epoch: self.epoch,
            at,
            open_until: if opened { self.clock.instant(self.until) } else { None },
        });
    }
}

/// What the shared handle needs beside.
impl Breaker {
    pub(crate) const fn set_run(&mut self, run: u32) {
        self.run = run;
    }

    /// The state without a look at the time.
    pub(crate) const fn stored_state(&self) -> State {
        self.state
    }

    pub(crate) const fn open_end(&self) -> u64 {
        self.until
    }
}

/// What dashboards and tests look at.
impl Breaker {
    /// The config it was built from.
    #[must_use]
    pub const fn config(&self) -> &BreakerConfig {
        &self.config
    }

    /// The number of the present stay in one state; the first is 0.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How often the circuit has opened; forced stays do not count.
    #[must_use]
    pub const fn opened_total(&self) -> u64 {
        self.opened_total
    }

    /// Why it is open, or was before the present trials; none when closed or disabled.
    #[must_use]
    pub const fn reason(&self) -> Option<TripReason> {
        self.reason
    }

    /// The end of the present open time; none unless open.
    #[must_use]
    pub fn open_until(&self) -> Option<Instant> {
        if self.state == State::Open { self.clock.instant(self.until) } else { None }
    }

    /// When the present state began; none before the first transition.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        if self.epoch == 0 { None } else { self.clock.instant(self.since) }
    }

    /// Failures in a row of the present closed stay, or of the one that tripped.
    #[must_use]
    pub const fn consecutive_failures(&self) -> u32 {
        self.run
    }

    /// What the window of the `rule`-th trip rule holds at `now`, in the order of evaluation: the consecutive
    /// rule if it is on, `failure_rate` if set, then `rules`. None for a rule without a window. After a trip
    /// the counts that caused it stay readable until the circuit closes.
    #[must_use]
    pub fn window(&self, rule: usize, now: Instant) -> Option<Counts> {
        self.rules.get(rule)?.counts(self.clock.at(now))
    }

    /// What the trials of the present half-open stay, or the last one, have brought.
    #[must_use]
    pub const fn trial_results(&self) -> Counts {
        self.trials.results
    }

    /// Transitions that nobody fetched in time.
    #[must_use]
    pub const fn events_lost(&self) -> u64 {
        self.events_lost
    }
}
