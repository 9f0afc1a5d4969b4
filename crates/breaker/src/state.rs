//! The words of the machine: what goes in (verdicts, reports, permits), what comes out (states, refusals, events).

use std::fmt;
use std::time::{Duration, Instant};

/// Where the circuit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete by nature: three states and the operator's two")]
pub enum State {
    /// Every call is admitted and its result is counted.
    Closed,
    /// No call is admitted until an instant.
    Open,
    /// A bounded number of trials is admitted.
    HalfOpen,
    /// An operator keeps the circuit open; time does not end it.
    ForcedOpen,
    /// An operator took the breaker out: every call is admitted, none is counted.
    Disabled,
}

impl State {
    /// The name in metrics and files: `closed`, `open`, `half_open`, `forced_open`, `disabled`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The breaker's reading of a finished call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete by nature: a caller maps each of its outcomes to one")]
pub enum Verdict {
    /// It went well.
    Success,
    /// It went wrong, and the callee is to blame.
    Failure,
    /// The callee refused for want of quota. No failure to the consecutive rule, whose run it ends; a failure
    /// to rates; in half-open as [`rate_limited_fails`](crate::BreakerConfig::rate_limited_fails) says. With
    /// [`count_rate_limits`](crate::BreakerConfig::count_rate_limits) it is a plain failure everywhere.
    RateLimited,
    /// It says nothing about the callee (the caller's fault, a cancelled call): not counted, a trial's slot is
    /// given back.
    Ignored,
}

/// All that the breaker may want to know of a finished call. A bare [`Verdict`] is a report, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// How long it took, for the slow-call rate; none counts as not slow. For a stream, the time to its first
    /// content.
    pub duration: Option<Duration>,
    /// The callee's wish to be left alone (Retry-After): a floor under the open time, up to
    /// [`retry_after_max`](crate::BreakerConfig::retry_after_max).
    pub retry_after: Option<Duration>,
    /// Randomness for the open time's jitter, uniform over all of `u64`.
    pub draw: u64,
}

impl Report {
    /// A report of a verdict and nothing else.
    pub const fn new(verdict: Verdict) -> Self {
        Self { verdict, duration: None, retry_after: None, draw: 0 }
    }

    /// With the time the call took.
    pub const fn duration(mut self, duration: Duration) -> Self {
        self.duration = Some(duration);
        self
    }

    /// With the callee's wish to be left alone.
    pub const fn retry_after(mut self, wish: Duration) -> Self {
        self.retry_after = Some(wish);
        self
    }

    /// With the randomness of the open time's jitter.
    pub const fn draw(mut self, draw: u64) -> Self {
        self.draw = draw;
        self
    }
}

impl From<Verdict> for Report {
    fn from(verdict: Verdict) -> Self {
        Self::new(verdict)
    }
}

/// What a permit is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Counts nowhere.
    Untracked,
    /// Admitted while closed.
    Plain,
    /// One of the trials of a half-open stay, by its number in that stay.
    Trial(u64),
    /// A trial that has already counted its success; only its failure still counts.
    Confirmed,
}

/// Leave to make one call. Hand it back with `report` or `release`; it counts in the epoch (the stay in one
/// state) that issued it and changes nothing after that.
///
/// # Drop
/// A bare permit has no destructor. A trial that is forgotten holds its slot until its lease ends;
/// [`Guard`](crate::Guard) is the permit that looks after itself.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit is handed back by `report` or `release`"]
pub struct Permit {
    pub(crate) epoch: u64,
    pub(crate) kind: Kind,
}

impl Permit {
    /// A permit that counts nowhere, for gates that count nothing.
    pub const fn untracked() -> Self {
        Self { epoch: 0, kind: Kind::Untracked }
    }

    /// A permit of a gate of one's own: the epoch that issues it, and its number if it is a trial.
    pub const fn issue(epoch: u64, trial: Option<u64>) -> Self {
        let kind = match trial {
            Some(number) => Kind::Trial(number),
            None => Kind::Plain,
        };
        Self { epoch, kind }
    }

    /// Whether this call is a trial: it may decide whether the circuit closes.
    #[must_use]
    pub const fn is_trial(&self) -> bool {
        matches!(self.kind, Kind::Trial(_))
    }

    /// The trial's number, if this is one.
    #[must_use]
    pub const fn trial(&self) -> Option<u64> {
        match self.kind {
            Kind::Trial(number) => Some(number),
            Kind::Untracked | Kind::Plain | Kind::Confirmed => None,
        }
    }

    /// The epoch that issued it, or that `confirm` moved it to.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// The refusal of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// When asking again makes sense; none when that depends on others: an operator, or the trials in flight.
    pub retry_at: Option<Instant>,
}

impl Rejected {
    /// A refusal, with the instant from which on asking makes sense.
    #[must_use]
    pub const fn new(retry_at: Option<Instant>) -> Self {
        Self { retry_at }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the circuit admits no call now")
    }
}

impl std::error::Error for Rejected {}

/// Why a circuit opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TripReason {
    /// So many failures in a row.
    Consecutive,
    /// The share of failures (of a window, or of a half-open stay's trials).
    FailureRate,
    /// The share of slow calls (likewise).
    SlowRate,
    /// A trial failed.
    TrialFailed,
    /// The half-open stay was over before its trials had decided.
    HalfOpenTimeout,
    /// An operator said so.
    Manual,
}

impl TripReason {
    /// The name in metrics and files: `consecutive`, `failure_rate`, `slow_rate`, `trial_failed`,
    /// `half_open_timeout`, `manual`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive => "consecutive",
            Self::FailureRate => "failure_rate",
            Self::SlowRate => "slow_rate",
            Self::TrialFailed => "trial_failed",
            Self::HalfOpenTimeout => "half_open_timeout",
            Self::Manual => "manual",
        }
    }
}

impl fmt::Display for TripReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The state that ended.
    pub from: State,
    /// The state that began.
    pub to: State,
    /// Why the circuit opened; none for the other transitions.
    pub reason: Option<TripReason>,
    /// The epoch that began; the first epoch of a breaker is 0.
    pub epoch: u64,
    /// When.
    pub at: Instant,
    /// For [`State::Open`], the end of the open time; none if it lies beyond what the platform can say.
    pub open_until: Option<Instant>,
}
