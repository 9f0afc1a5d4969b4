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
//! # Where?
//! This file has the decisions and the one place where the state changes; below it stand what each trip rule counts
//! (`tally`), how trials are judged (`half_open`), the operator's `commands`, and the getters (`look`).
//!
//! # Limits
//! Open turns to half-open at the first `acquire` that finds its time over, so a circuit nobody asks stays open.

mod commands;
mod half_open;
mod look;
mod tally;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::tally::Tally;
use crate::clock::{self, Clock};
use crate::state::Kind;
use crate::trials::Trials;
use crate::{BreakerConfig, ConfigError, Event, Permit, Rejected, Report, State, TripReason, Verdict};

/// Transitions kept for [`Breaker::poll_event`]: a reader may sleep through five full cycles of open, half-open
/// and closed.
const EVENTS: usize = 16;

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
    tallies: Box<[Tally]>,
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
            tallies: config.all_rules().map(Tally::new).collect(),
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
            State::Closed => self.count(&report, now),
            State::HalfOpen => self.conclude(permit.kind, &report, now),
            State::Open | State::ForcedOpen | State::Disabled => {}
        }
    }

    /// A call of the present closed stay has ended.
    fn count(&mut self, report: &Report, now: u64) {
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
        for tally in &mut self.tallies {
            tally.record(failed, report.duration, now);
        }
        if let Some(reason) = self.tallies.iter().find_map(|tally| tally.judge(self.run)) {
            self.draw = report.draw;
            self.trip(reason, report.retry_after, now);
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

    #[inline]
    fn settle(&mut self, now: u64) {
        if self.state == State::HalfOpen {
            self.settle_half_open(now);
        }
    }

    /// The oldest transition not yet fetched, one per change of state and in order. Sixteen are kept; beyond that the
    /// oldest goes and [`events_lost`](Self::events_lost) counts it.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
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
        for tally in &mut self.tallies {
            tally.clear();
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
