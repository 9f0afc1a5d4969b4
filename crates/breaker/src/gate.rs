//! What a client needs of a circuit, as a trait: the breaker is one, a test's gate that always admits another.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use crate::{Breaker, BreakerConfig, Event, Permit, Rejected, Report, State, TripReason};

/// A circuit as its client sees it. Object-safe; what a plain gate has no use for is defaulted.
///
/// ```
/// use std::time::Instant;
/// use outrigger_breaker::{Gate, Permit, Rejected, Report, State};
///
/// #[derive(Debug)]
/// struct AlwaysOpenHouse;
///
/// impl Gate for AlwaysOpenHouse {
///     fn acquire_until(&mut self, _lease_end: Instant, _now: Instant) -> Result<Permit, Rejected> {
///         Ok(Permit::untracked())
///     }
///     fn report(&mut self, _permit: Permit, _report: Report, _now: Instant) {}
///     fn release(&mut self, _permit: Permit) {}
///     fn state(&self, _now: Instant) -> State {
///         State::Closed
///     }
///     fn admits(&self, _now: Instant) -> Result<(), Rejected> {
///         Ok(())
///     }
/// }
/// ```
pub trait Gate: Debug + Send {
    /// Leave for one call, whose slot, if it is a trial, comes back at `lease_end` at the latest.
    ///
    /// # Errors
    /// [`Rejected`] when the circuit admits no call now.
    fn acquire_until(&mut self, lease_end: Instant, now: Instant) -> Result<Permit, Rejected>;

    /// The call has ended.
    fn report(&mut self, permit: Permit, report: Report, now: Instant);

    /// The call was dropped: no verdict, a trial's slot is free again.
    fn release(&mut self, permit: Permit);

    /// The call has gone well so far; a trial counts its success here.
    fn confirm(&mut self, permit: &mut Permit, now: Instant) {
        let _ = (permit, now);
    }

    /// Where the circuit stands.
    fn state(&self, now: Instant) -> State;

    /// Whether `acquire_until` would succeed now; changes nothing.
    ///
    /// # Errors
    /// [`Rejected`] as `acquire_until` would return it.
    fn admits(&self, now: Instant) -> Result<(), Rejected>;

    /// Time passes.
    fn advance(&mut self, now: Instant) {
        let _ = now;
    }

    /// When time alone will next change what the gate answers.
    fn next_wakeup(&self) -> Option<Instant> {
        None
    }

    /// The oldest transition not yet fetched.
    fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// Keeps the circuit open until [`reset`](Self::reset) or another command.
    fn force_open(&mut self, now: Instant) {
        let _ = now;
    }

    /// Goes by another config from now on, which has passed [`BreakerConfig::validate`], and keeps what it knows. A gate that goes
    /// by none of its numbers does nothing.
    fn set_config(&mut self, config: &BreakerConfig, now: Instant) {
        let _ = (config, now);
    }

    /// Takes the gate out: everything passes, nothing counts.
    fn disable(&mut self, now: Instant) {
        let _ = now;
    }

    /// Back to closed, with everything counted so far forgotten.
    fn reset(&mut self, now: Instant) {
        let _ = now;
    }

    /// Open now, for this long.
    fn open_for(&mut self, duration: Duration, now: Instant) {
        let _ = (duration, now);
    }

    /// How often the circuit has opened.
    fn opened_total(&self) -> u64 {
        0
    }

    /// Why it is open, or was before the present trials.
    fn reason(&self) -> Option<TripReason> {
        None
    }

    /// The end of the present open time.
    fn open_until(&self) -> Option<Instant> {
        None
    }
}

impl Gate for Breaker {
    fn acquire_until(&mut self, lease_end: Instant, now: Instant) -> Result<Permit, Rejected> {
        Self::acquire_until(self, lease_end, now)
    }

    fn report(&mut self, permit: Permit, report: Report, now: Instant) {
        Self::report(self, permit, report, now);
    }

    fn release(&mut self, permit: Permit) {
        Self::release(self, permit);
    }

    fn confirm(&mut self, permit: &mut Permit, now: Instant) {
        Self::confirm(self, permit, now);
    }

    fn state(&self, now: Instant) -> State {
        Self::state(self, now)
    }

    fn admits(&self, now: Instant) -> Result<(), Rejected> {
        Self::admits(self, now)
    }

    fn advance(&mut self, now: Instant) {
        Self::advance(self, now);
    }

    fn next_wakeup(&self) -> Option<Instant> {
        Self::next_wakeup(self)
    }

    fn poll_event(&mut self) -> Option<Event> {
        Self::poll_event(self)
    }

    fn force_open(&mut self, now: Instant) {
        Self::force_open(self, now);
    }

    fn set_config(&mut self, config: &BreakerConfig, now: Instant) {
        if Self::config(self) != config {
            // One that is refused changes nothing.
            Self::set_config(self, config.clone(), now).unwrap_or_default();
        }
    }

    fn disable(&mut self, now: Instant) {
        Self::disable(self, now);
    }

    fn reset(&mut self, now: Instant) {
        Self::reset(self, now);
    }

    fn open_for(&mut self, duration: Duration, now: Instant) {
        Self::open_for(self, duration, now);
    }

    fn opened_total(&self) -> u64 {
        Self::opened_total(self)
    }

    fn reason(&self) -> Option<TripReason> {
        Self::reason(self)
    }

    fn open_until(&self) -> Option<Instant> {
        Self::open_until(self)
    }
}
