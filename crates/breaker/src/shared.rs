//! The shared handle: one breaker for many threads, a lock only where one is needed.
//!
//! # How?
//! The machine sits behind a mutex; one atomic word beside it says what most calls need to know. Its two low bits:
//!
//! | tag | meaning | the rest of the word |
//! | --- | --- | --- |
//! | 0 | ask the machine | nothing |
//! | 1 | closed | failures in a row (22 bits), epoch (40 bits) |
//! | 2 | open until `until`, a second word | epoch |
//! | 3 | disabled | nothing |
//!
//! `acquire` when closed is one load, as is the refusal of an open circuit (three loads). With consecutive rules
//! alone the run of failures lives in the word while closed, and a report is at most one successful
//! compare-and-swap; the report that trips swaps the tag to 0 first, so that nobody counts beside it. With a window a
//! report takes one short lock.
//!
//! # Why is it linearizable?
//! Each fast path takes effect at one atomic operation on the word. Every other operation runs under the lock and
//! takes effect when it publishes the word, still under the lock. `until` is written before the word and read
//! between two reads of it that agree; an epoch is never reused, so it belongs to that stay. The test beside this file runs it
//! under shuttle against the machine.
//!
//! # Limits
//! A fast path does not tell the machine the time. Clocks of threads that disagree are evened out by the
//! slow path only.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::sync::{AtomicU64, Mutex, MutexGuard, SeqCst};
use crate::clock::Clock;
use crate::state::Kind;
use crate::{
    Breaker, BreakerConfig, ConfigError, Event, Permit, Rejected, Report, State, TripReason, TripRule,
    Verdict,
};

const TAG: u64 = 0b11;
const ASK: u64 = 0;
const CLOSED: u64 = 1;
const OPEN: u64 = 2;
const DISABLED: u64 = 3;

const RUN_BITS: u32 = 22;
const RUN_SHIFT: u32 = 2;
const RUN_MASK: u64 = (1 << RUN_BITS) - 1;
const EPOCH_SHIFT: u32 = RUN_SHIFT + RUN_BITS;
/// Epochs above this many bits are never published: then the lock is always taken.
const EPOCH_LIMIT: u64 = 1 << (u64::BITS - EPOCH_SHIFT);

/// A breaker that many threads share. Cloning it shares the same circuit.
///
/// ```
/// # use std::time::Instant;
/// use outrigger_breaker::{BreakerConfig, SharedBreaker, Verdict};
/// # fn run(now: Instant) -> Result<(), Box<dyn std::error::Error>> {
/// let breaker = SharedBreaker::new(BreakerConfig::default(), now)?;
/// let guard = breaker.guard(now)?; // gives its slot back when dropped
/// guard.report(Verdict::Success, now);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SharedBreaker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    word: AtomicU64,
    /// End of the open time, in the machine's nanoseconds.
    until: AtomicU64,
    machine: Mutex<Breaker>,
    /// The fewest failures in a row that trip, when no window counts; the run then lives in the word.
    threshold: Option<u64>,
    count_rate_limits: bool,
    /// Knows the origin, never the latest time.
    clock: Clock,
}

impl SharedBreaker {
    /// A closed breaker whose time zero is `now`.
    ///
    /// # Errors
    /// What [`BreakerConfig::validate`] finds.
    pub fn new(config: BreakerConfig, now: Instant) -> Result<Self, ConfigError> {
        let threshold = lone_threshold(&config);
        let count_rate_limits = config.count_rate_limits;
        let machine = Breaker::new_at(config, now)?;
        let shared = Shared {
            word: AtomicU64::new(word_of(&machine)),
            until: AtomicU64::new(0),
            machine: Mutex::new(machine),
            threshold,
            count_rate_limits,
            clock: Clock::new(Some(now)),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Leave for one call, to be handed back by [`report`](Self::report) or [`release`](Self::release). A
    /// forgotten trial holds its slot until its lease ends; [`guard`](Self::guard) cannot forget.
    ///
    /// # Errors
    /// As [`Breaker::acquire`].
    #[inline]
    pub fn acquire(&self, now: Instant) -> Result<Permit, Rejected> {
        match self.shared.glance(now) {
            Some(answer) => answer,
            None => self.with(|machine| machine.acquire(now)),
        }
    }

    /// As [`acquire`](Self::acquire), with the trial's own lease.
    ///
    /// # Errors
    /// As [`Breaker::acquire`].
    #[inline]
    pub fn acquire_until(&self, lease_end: Instant, now: Instant) -> Result<Permit, Rejected> {
        match self.shared.glance(now) {
            Some(answer) => answer,
            None => self.with(|machine| machine.acquire_until(lease_end, now)),
        }
    }

    /// Leave for one call, as a permit that gives itself back.
    ///
    /// # Errors
    /// As [`Breaker::acquire`].
    pub fn guard(&self, now: Instant) -> Result<Guard, Rejected> {
        let permit = self.acquire(now)?;
        Ok(Guard { breaker: self.clone(), permit: Some(permit) })
    }

    /// The call has ended.
    #[inline]
    pub fn report(&self, permit: Permit, report: impl Into<Report>, now: Instant) {
        let report = report.into();
        if !self.shared.tally(&permit, report.verdict) {
            self.with(|machine| machine.report(permit, report, now));
        }
    }

    /// The call was dropped: no verdict, a trial's slot is free again.
    #[inline]
    pub fn release(&self, permit: Permit) {
        if permit.is_trial() {
            self.with(|machine| machine.release(permit));
        }
    }

    /// The call goes well so far; see [`Breaker::confirm`].
    pub fn confirm(&self, permit: &mut Permit, now: Instant) {
        if permit.is_trial() {
            self.with(|machine| machine.confirm(permit, now));
        }
    }

    /// Where the circuit stands.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        match self.shared.word.load(SeqCst) & TAG {
            CLOSED => State::Closed,
            OPEN => State::Open,
            DISABLED => State::Disabled,
            _ => self.with(|machine| machine.state(now)),
        }
    }

    /// Time passes.
    pub fn advance(&self, now: Instant) {
        self.with(|machine| machine.advance(now));
    }

    /// See [`Breaker::next_wakeup`].
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.with(|machine| machine.next_wakeup())
    }

    /// See [`Breaker::poll_event`].
    #[must_use]
    pub fn poll_event(&self) -> Option<Event> {
        self.with(Breaker::poll_event)
    }

    /// See [`Breaker::force_open`].
    pub fn force_open(&self, now: Instant) {
        self.with(|machine| machine.force_open(now));
    }

    /// See [`Breaker::disable`].
    pub fn disable(&self, now: Instant) {
        self.with(|machine| machine.disable(now));
    }

    /// See [`Breaker::reset`].
    pub fn reset(&self, now: Instant) {
        self.with(|machine| machine.reset(now));
    }

    /// See [`Breaker::open_for`].
    pub fn open_for(&self, duration: Duration, now: Instant) {
        self.with(|machine| machine.open_for(duration, now));
    }

    /// How often the circuit has opened.
    #[must_use]
    pub fn opened_total(&self) -> u64 {
        self.with(|machine| machine.opened_total())
    }

    /// Why it is open, or was before the present trials.
    #[must_use]
    pub fn reason(&self) -> Option<TripReason> {
        self.with(|machine| machine.reason())
    }

    /// A copy of the machine as it stands, for whatever else one wants to read of it. It allocates.
    #[must_use]
    pub fn snapshot(&self) -> Breaker {
        self.with(|machine| machine.clone())
    }

    /// Runs a step of the machine under the lock and publishes what it led to.
    fn with<T>(&self, step: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut machine = self.shared.lock();
        self.shared.fetch_run(&mut machine);
        let result = step(&mut machine);
        self.shared.publish(&machine);
        drop(machine);
        result
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Breaker> {
        // A step that panicked has not been seen; were there one, the machine's fields are each valid still.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to an `acquire`, if the words alone give it.
    #[inline]
    fn glance(&self, now: Instant) -> Option<Result<Permit, Rejected>> {
        let word = self.word.load(SeqCst);
        match word & TAG {
            CLOSED => Some(Ok(Permit { epoch: word >> EPOCH_SHIFT, kind: Kind::Plain })),
            DISABLED => Some(Ok(Permit::untracked())),
            OPEN => {
                let until = self.until.load(SeqCst);
                let valid = self.word.load(SeqCst) == word && self.clock.nanos(now) < until;
                valid.then(|| Err(Rejected::new(self.clock.instant(until))))
            }
            _ => None,
        }
    }

    /// Counts a report in the word, if that is all it takes.
    #[inline]
    fn tally(&self, permit: &Permit, verdict: Verdict) -> bool {
        match permit.kind {
            Kind::Untracked => return true,
            Kind::Plain => {}
            Kind::Trial(_) | Kind::Confirmed => return false,
        }
        if verdict == Verdict::Ignored {
            return true;
        }
        let Some(threshold) = self.threshold else { return false };
        let failed =
            verdict == Verdict::Failure || (verdict == Verdict::RateLimited && self.count_rate_limits);
        let mut word = self.word.load(SeqCst);
        loop {
            if word & TAG == ASK {
                return false;
            }
            if word & TAG != CLOSED || word >> EPOCH_SHIFT != permit.epoch {
                return true; // Another epoch: a late report changes nothing.
            }
            let run = (word >> RUN_SHIFT) & RUN_MASK;
            let next = if failed { run + 1 } else { 0 };
            if next >= threshold {
                return false;
            }
            if next == run {
                return true;
            }
            let counted = (word & !(RUN_MASK << RUN_SHIFT)) | (next << RUN_SHIFT);
            match self.word.compare_exchange_weak(word, counted, SeqCst, SeqCst) {
                Ok(_) => return true,
                Err(seen) => word = seen,
            }
        }
    }

    /// Where the run lives in the word, moves it to the machine, and everybody else to the lock.
    fn fetch_run(&self, machine: &mut Breaker) {
        if self.threshold.is_some() {
            let word = self.word.swap(ASK, SeqCst);
            if word & TAG == CLOSED {
                machine.set_run(u32::try_from((word >> RUN_SHIFT) & RUN_MASK).unwrap_or(u32::MAX));
            }
        }
    }

    fn publish(&self, machine: &Breaker) {
        if machine.open_end() != self.until.load(SeqCst) {
            self.until.store(machine.open_end(), SeqCst);
        }
        let word = word_of(machine);
        // With a window the word changes with the state only; an unneeded store would cost others their cache line.
        if self.word.load(SeqCst) != word {
            self.word.store(word, SeqCst);
        }
    }
}

/// What the word says of a machine. Without a lone threshold its run is of no use, and harmless.
fn word_of(machine: &Breaker) -> u64 {
    if machine.epoch() >= EPOCH_LIMIT {
        return ASK;
    }
    let epoch = machine.epoch() << EPOCH_SHIFT;
    match machine.stored_state() {
        State::Closed if lone_threshold(machine.config()).is_none() => epoch | CLOSED,
        State::Closed => {
            epoch | ((u64::from(machine.consecutive_failures()) & RUN_MASK) << RUN_SHIFT) | CLOSED
        }
        State::Open => epoch | OPEN,
        State::Disabled => epoch | DISABLED,
        State::HalfOpen | State::ForcedOpen => ASK,
    }
}

/// The fewest failures in a row that trip, if every rule is consecutive and the run fits the word.
fn lone_threshold(config: &BreakerConfig) -> Option<u64> {
    config.all_rules().try_fold(RUN_MASK, |fewest, rule| match rule {
        TripRule::Consecutive { failures: 0 } => Some(fewest),
        TripRule::Consecutive { failures } => {
            (u64::from(failures) < RUN_MASK).then(|| fewest.min(u64::from(failures)))
        }
        TripRule::CountWindow { .. } | TripRule::TimeWindow { .. } => None,
    })
}

/// A permit that looks after itself.
///
/// # Drop
/// Dropping the guard releases the call: its trial slot is free again and no verdict is counted. A caller that
/// times out, is cancelled or panics therefore needs no clean-up code.
#[derive(Debug)]
#[must_use = "dropping the guard releases the call"]
pub struct Guard {
    breaker: SharedBreaker,
    permit: Option<Permit>,
}

impl Guard {
    /// The call has ended.
    pub fn report(mut self, report: impl Into<Report>, now: Instant) {
        if let Some(permit) = self.permit.take() {
            self.breaker.report(permit, report, now);
        }
    }

    /// The call goes well so far; see [`Breaker::confirm`].
    pub fn confirm(&mut self, now: Instant) {
        if let Some(permit) = &mut self.permit {
            self.breaker.confirm(permit, now);
        }
    }

    /// Whether this call is a trial.
    #[must_use]
    pub fn is_trial(&self) -> bool {
        self.permit.as_ref().is_some_and(Permit::is_trial)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.breaker.release(permit);
        }
    }
}
