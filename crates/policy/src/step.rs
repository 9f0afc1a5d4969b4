//! The words between a call and its driver: the bounds, the steps, and what came of them.

use std::time::{Duration, Instant};

/// The driver's name for a deployment.
pub type Key = u32;

/// The bounds of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallPlan {
    /// How many tiers there are; tier 0 is asked first.
    pub tiers: u8,
    /// Most attempts in all, the first included; 0 acts as 1.
    pub max_attempts: u8,
    /// The instant by which the call is over, answered or not.
    pub deadline: Instant,
    /// The longest pause before the same deployment is asked again. Default 2 s: about what a failover to a worse tier
    /// costs in quality, and well below what a caller notices in an answer of some seconds.
    pub cheap_wait: Duration,
    /// Whether the shared retry budget may be drawn on; without it there is the first attempt and its free failover.
    pub budget: bool,
}

impl CallPlan {
    /// A plan with the default [`cheap_wait`](Self::cheap_wait), drawing on the budget.
    pub fn new(tiers: u8, max_attempts: u8, deadline: Instant) -> Self {
        Self { tiers, max_attempts, deadline, cheap_wait: Duration::from_secs(2), budget: true }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must do each of them")]
pub enum Step {
    /// Choose a deployment of this tier, none of [`Call::excluded`](crate::Call::excluded); report it with [`Call::on_pick`](crate::Call::on_pick).
    Pick {
        /// The tier, from 0.
        tier: u8,
        /// What it is wanted for. For [`Mode::Continue`] only one that goes on from an assistant's message will do.
        mode: Mode,
    },
    /// Start an attempt there, once its price is paid; report with [`Call::on_start`](crate::Call::on_start) or [`Call::on_unpaid`](crate::Call::on_unpaid).
    Start {
        /// The deployment.
        deployment: Key,
        /// What it costs.
        price: Price,
        /// Where in the answer it begins.
        mode: Mode,
    },
    /// Nothing until this instant, or until a deployment that was full has a place: then say
    /// [`Call::on_place`](crate::Call::on_place).
    Queue {
        /// The end of the wait.
        until: Instant,
    },
    /// Choose a sound deployment of this tier for an attempt beside one that is only slow, if there is one and it may be; report
    /// with [`Call::on_hedge`](crate::Call::on_hedge).
    Hedge {
        /// The tier, from 0.
        tier: u8,
    },
    /// Give this attempt up: it was to go on with a broken answer, and has not spoken within its patience. Report with
    /// [`Call::on_silent`](crate::Call::on_silent).
    GiveUp {
        /// The attempt's ordinal.
        attempt: u8,
    },
    /// Nothing until this instant, or until an attempt ends or speaks.
    Wait(Instant),
    /// The call is over.
    Finish(Finish),
}

/// Where in the answer an attempt begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must do each of them")]
pub enum Mode {
    /// At its beginning; nothing has been given.
    Fresh,
    /// Where the broken answer ended: the deployment goes on from an assistant's message.
    Continue,
    /// At its beginning again, held until it has repeated what was given.
    Restart,
}

/// What a start costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it is paid by the request or by the budget")]
pub enum Price {
    /// Paid by the request itself: its first attempt, and its first failover to a sound deployment.
    Free,
    /// So many tokens of the model's retry budget.
    Budget(u32),
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by nature: the caller's answer depends on each")]
pub enum Finish {
    /// An attempt gave the answer, or its first content: this one. All others are to be abandoned.
    Answered {
        /// The attempt's ordinal, from 0.
        attempt: u8,
    },
    /// The last failure is the caller's own; trying elsewhere would repeat it, or there is nobody left who might not.
    Rejected,
    /// What could be tried has failed.
    Exhausted,
    /// Every deployment is rate-limited, before or after being asked.
    Limited {
        /// When the soonest limit ends, where one is known.
        retry_at: Option<Instant>,
    },
    /// No deployment could be asked at all.
    Unavailable {
        /// When the soonest may admit again, where that is known.
        retry_at: Option<Instant>,
    },
    /// The deadline passed.
    Deadline,
    /// The answer broke off after content was given, and nobody went on with it.
    Truncated,
}

/// What came of a [`Step::Pick`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is one, there will be one, or there is none")]
pub enum Picked {
    /// A deployment was chosen.
    Found {
        /// Which.
        deployment: Key,
        /// Whether its circuits are closed and it is not cooling down: only such a failover is free.
        sound: bool,
    },
    /// Candidates are left, and each could be asked had it a place: as many attempts are in flight as it may have.
    Full,
    /// No candidate is left in the tier.
    Nothing {
        /// When the soonest may admit, where that is known.
        retry_at: Option<Instant>,
        /// Whether rate limits are the reason.
        limited: bool,
    },
}

/// A failed attempt, as far as the call's way on depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failed {
    /// Whether another deployment may do better. `false` for a fault of the caller's.
    pub elsewhere: bool,
    /// Whether the request itself was refused, so that the caller is to hear of it when nobody else will do.
    pub refused: bool,
    /// The pause after which the same deployment may be asked again; `None` for never (it was silent, it lacks the
    /// model, its key is dead).
    pub again: Option<Duration>,
    /// Whether the provider may have billed it.
    pub billed: bool,
    /// Whether it was a rate limit.
    pub limited: bool,
    /// When the limit ends, where the provider said so.
    pub limited_until: Option<Instant>,
}

impl Failed {
    /// A failure that another deployment may not share, possibly billed, after which this one is not asked again.
    pub fn elsewhere() -> Self {
        Self {
            elsewhere: true,
            refused: false,
            again: None,
            billed: true,
            limited: false,
            limited_until: None,
        }
    }
}

/// An answer that broke off after its first content, as far as the call's way on depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broken {
    /// How.
    pub failed: Failed,
    /// Until when the rest may be sought; `None` when it may not be.
    pub rescue_by: Option<Instant>,
    /// Whether the deployment that broke goes on from an assistant's message itself.
    pub continues: bool,
}

impl Broken {
    /// An answer that is not to be rescued.
    pub fn new(failed: Failed) -> Self {
        Self { failed, rescue_by: None, continues: false }
    }
}
