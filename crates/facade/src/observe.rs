//! What the client tells whoever watches it: one notice per thing that happened, in order.

use std::{ops::AddAssign, sync::Arc, time::Duration};

use wire::{Class, Usage};

use crate::{news::News, trace::SpanId};

/// Watches a client. The gateway's metrics and event stream are observers.
///
/// Notices are handed over outside every lock, on the task that caused them, so an observer must be quick and must not
/// block.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn notice(&self, notice: &Notice);
}

impl<F: Fn(&Notice) + Send + Sync> Observer for F {
    fn notice(&self, notice: &Notice) {
        self(notice);
    }
}

/// A place that can serve: an endpoint (provider and region) and the provider's own name of the model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Route {
    /// The provider's name in the configuration.
    pub provider: Arc<str>,
    /// The region's name in the configuration.
    pub region: Arc<str>,
    /// The provider's name of the model.
    pub model: Arc<str>,
}

impl Route {
    /// A route.
    pub fn new(
        provider: impl Into<Arc<str>>,
        region: impl Into<Arc<str>>,
        model: impl Into<Arc<str>>,
    ) -> Self {
        Self { provider: provider.into(), region: region.into(), model: model.into() }
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.provider, self.region, self.model)
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// An attempt ended, in whatever way.
    #[non_exhaustive]
    AttemptEnded {
        /// The public model's name.
        model: Arc<str>,
        /// Where.
        route: Route,
        /// Its name in the trace of its caller, where there is one: the span that the provider was told.
        span: Option<SpanId>,
        /// How it failed; `None` when it succeeded.
        class: Option<Class>,
        /// Whether its place was judged by it. One that was let go, or that its caller's deadline stopped before its time was up, says
        /// nothing of its place.
        judged: bool,
        /// The provider's status, where a failure had one.
        status: Option<u16>,
        /// The wait that the provider asked for, where a failure named one.
        retry_after: Option<Duration>,
        /// From its start to its end.
        took: Duration,
        /// From its start to the first content, where there was any.
        first_token: Option<Duration>,
        /// What it used and what that costs; none when the provider surely did not work on it.
        bill: Option<Bill>,
    },
    /// A call went on at another deployment after an attempt failed, or grew silent.
    #[non_exhaustive]
    Failover {
        /// The public model's name.
        model: Arc<str>,
        /// Where the attempt failed.
        from: Route,
        /// Where the next one goes.
        to: Route,
        /// Why.
        class: Class,
    },
    /// An answer broke off after content was given, and the rest of it was sought where that was allowed.
    #[non_exhaustive]
    Rescue {
        /// The public model's name.
        model: Arc<str>,
        /// Where it broke.
        from: Route,
        /// Where the rest came from, if anywhere.
        to: Option<Route>,
        /// How it had broken.
        class: Class,
        /// What came of it.
        result: RescueResult,
    },
    /// A provider refuses the credential, says that its account is spent, or has no such model. Somebody has to act: the
    /// place is out until the configuration changes, or until the instant that the provider named. Told once.
    #[non_exhaustive]
    TakenOut {
        /// Where. What a credential lacks is lacking to every deployment of that endpoint.
        route: Route,
        /// Why: `credential`, `quota_spent` or `model_missing`.
        class: Class,
        /// When it comes back, where the provider said so.
        back_in: Option<Duration>,
    },
    /// An operator's word on what bears a name.
    #[non_exhaustive]
    Cordon {
        /// The provider's name in the configuration.
        provider: Arc<str>,
        /// The region's name in the configuration.
        region: Arc<str>,
        /// The provider's name of the model; none where all models there are meant.
        model: Option<Arc<str>>,
        /// What was said.
        word: CordonWord,
    },
    /// An attempt that was started beside a slow one ended.
    #[non_exhaustive]
    Hedge {
        /// The public model's name.
        model: Arc<str>,
        /// Where the slow one ran.
        beside: Route,
        /// Where the hedge went.
        to: Route,
        /// What came of it.
        result: HedgeResult,
    },
    /// A circuit changed its state.
    #[non_exhaustive]
    Transition {
        /// Where. For a circuit of a whole endpoint the model is `*`.
        route: Route,
        /// The state before.
        from: breaker::State,
        /// The state after.
        to: breaker::State,
        /// Why it tripped; `None` when it did not trip.
        reason: Option<breaker::TripReason>,
    },
    /// Three failures in a row: the registry advises to prefer another place.
    #[non_exhaustive]
    FailoverAdvised {
        /// Which deployment.
        route: Route,
    },
    /// Another client's news changed something here: a cooldown that was not known, a place that others had better be asked before.
    #[non_exhaustive]
    Hearsay {
        /// The news.
        news: News,
    },
    /// The application was asked to answer a call that ended without an answer, which [`CallEnded`](Self::CallEnded) has counted as an
    /// error.
    #[non_exhaustive]
    Fallback {
        /// The public model's name.
        model: Arc<str>,
        /// The error's code.
        code: &'static str,
        /// What came of it.
        result: FallbackResult,
    },
    /// A call ended. Told before the last byte of its answer is handed out, so that what is booked here is booked for whatever the
    /// caller has.
    #[non_exhaustive]
    CallEnded {
        /// The public model's name.
        model: Arc<str>,
        /// How.
        outcome: Outcome,
        /// Where its answer came from; where it was waited for, when the caller went away.
        route: Option<Route>,
        /// Attempts made.
        attempts: u32,
        /// From the request to the end of the answer.
        took: Duration,
        /// From the request to the first content or the whole answer.
        first_token: Option<Duration>,
        /// What the providers counted of all its attempts, where they said so.
        usage: Option<Usage>,
        /// The sum of its attempts' bills, where there were any.
        bill: Option<Bill>,
    },
}

/// What an attempt used and what that costs; or all attempts of a call together.
///
/// What its provider counted stands as counted. What it did not (its caller hung up, it lost to another, it broke off, or its request
/// did not ask for usage) is estimated: the request as [`estimated_usage`](crate::Request::estimated_usage) has it, and as much of the
/// answer as was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Bill {
    /// Tokens: counted, and estimated where nobody counted.
    pub usage: Usage,
    /// USD, where a price is known.
    pub cost_usd: Option<f64>,
    /// The part of that which is an estimate, USD.
    pub estimated_usd: f64,
    /// Whether any of the tokens are an estimate.
    pub estimated: bool,
}

impl Bill {
    /// Input and output together.
    pub fn tokens(&self) -> u64 {
        self.usage.input.saturating_add(self.usage.output)
    }
}

impl AddAssign for Bill {
    fn add_assign(&mut self, other: Self) {
        self.usage += other.usage;
        if let Some(cost) = other.cost_usd {
            *self.cost_usd.get_or_insert(0.0) += cost;
        }
        self.estimated_usd += other.estimated_usd;
        self.estimated |= other.estimated;
    }
}

/// What an operator says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CordonWord {
    /// It is taken out ([`Client::cordon`](crate::Client::cordon)).
    Out,
    /// It is put back ([`Client::uncordon`](crate::Client::uncordon)).
    Back,
    /// Its cordon is over ([`Client::end_cordon`](crate::Client::end_cordon)).
    Over,
}

impl CordonWord {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Out, Self::Back, Self::Over];

    /// The label: `out`, `back` or `over`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Back => "back",
            Self::Over => "over",
        }
    }
}

/// What came of the search for the rest of an answer that broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RescueResult {
    /// A deployment went on from what the caller had.
    Continued,
    /// A deployment gave the answer anew, repeated what the caller had, and went on.
    Restarted,
    /// Nobody did: the answer ended with an error.
    Failed,
}

impl RescueResult {
    /// The label: `continued`, `restarted` or `failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continued => "continued",
            Self::Restarted => "restarted",
            Self::Failed => "failed",
        }
    }
}

/// What came of asking the application for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FallbackResult {
    /// The caller got it.
    Given,
    /// It had none.
    Declined,
    /// It gave what its caller could not have read: JSON for a stream, half a stream, a chat for something else.
    Unreadable,
    /// It took too long.
    Late,
}

impl FallbackResult {
    /// The label: `given`, `declined`, `unreadable` or `late`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Declined => "declined",
            Self::Unreadable => "unreadable",
            Self::Late => "late",
        }
    }
}

/// What came of a hedge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HedgeResult {
    /// It gave the answer.
    Won,
    /// It was dropped: another attempt gave the answer, or the call ended without one.
    Lost,
    /// It failed.
    Failed,
}

impl HedgeResult {
    /// The label: `won`, `lost` or `failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Failed => "failed",
        }
    }
}

/// How a call ended, as a metric says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The caller got a whole answer.
    Ok,
    /// The caller got an error before any content.
    Error,
    /// The answer broke off after content was given, and the caller was told so.
    Truncated,
    /// The caller went away.
    Cancelled,
    /// It was refused without an attempt.
    Refused,
}

impl Outcome {
    /// The label: `ok`, `error`, `truncated`, `cancelled` or `refused`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Truncated => "truncated",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }
}
