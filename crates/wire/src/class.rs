//! The classes of failure: what went wrong, whose fault it is, and what may be done about it.
//!
//! A status alone does not say it: 429 is a full minute, a slow-down or an account without money; 400 may be a spend limit and
//! 403 a text that is too long. So everything that can go wrong with an attempt is folded into seventeen words, and whatever
//! decides (a breaker, a retry, a metric's label) looks at the word. [`classify`](crate::classify) finds the word for a
//! refusal by a provider; the words for what never reached one (`unreachable`, `reset`, `cut`, ...) are given by whoever did
//! the I/O.

use std::{fmt, str::FromStr, time::Duration};

/// What went wrong with one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Class {
    /// The provider failed for a moment: 500, 502, 409 and their like. Another try may well succeed.
    Transient,
    /// The provider was never reached: connection refused, no address, TLS failed, connecting took too long.
    Unreachable,
    /// The connection broke after the request had been sent and before an answer began. It may have been processed.
    Reset,
    /// Nothing came in time, or the provider said that it ran out of time itself (408, 504).
    Timeout,
    /// The answer broke off after it had begun.
    Cut,
    /// The answer began, and then nothing came for too long.
    Stalled,
    /// What came is not what the protocol says: no JSON, no event stream, a redirect.
    Malformed,
    /// A success that holds nothing.
    Empty,
    /// A quota for this minute (or this second) is used up; it comes back by itself.
    RateLimited,
    /// The provider has no capacity: 503, 529.
    Overloaded,
    /// The key is wrong, revoked, or not allowed to do this.
    Credential,
    /// The account has no money left or reached a spend limit. Waiting does not help.
    QuotaSpent,
    /// There is no such model here.
    ModelMissing,
    /// The request is longer than this model can read.
    ContextTooLong,
    /// The provider will not answer this content.
    ContentRefused,
    /// The request is wrong, and would be everywhere.
    CallerFault,
    /// The caller hung up.
    Cancelled,
}

/// Which state a failure is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete by nature: health lives at three levels or nowhere")]
pub enum Level {
    /// The endpoint, a provider's region: all its deployments are out of reach.
    Endpoint,
    /// The deployment: one model at one endpoint.
    Deployment,
    /// The credential: every deployment that uses this key.
    Credential,
    /// Nobody: it was the caller's doing.
    Nobody,
}

impl Class {
    /// Every class, in the order of their declaration.
    pub const ALL: [Self; 17] = [
        Self::Transient,
        Self::Unreachable,
        Self::Reset,
        Self::Timeout,
        Self::Cut,
        Self::Stalled,
        Self::Malformed,
        Self::Empty,
        Self::RateLimited,
        Self::Overloaded,
        Self::Credential,
        Self::QuotaSpent,
        Self::ModelMissing,
        Self::ContextTooLong,
        Self::ContentRefused,
        Self::CallerFault,
        Self::Cancelled,
    ];

    /// The class's name in metrics, logs and traces.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Cut => "cut",
            Self::Stalled => "stalled",
            Self::Malformed => "malformed",
            Self::Empty => "empty",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Credential => "credential",
            Self::QuotaSpent => "quota_spent",
            Self::ModelMissing => "model_missing",
            Self::ContextTooLong => "context_too_long",
            Self::ContentRefused => "content_refused",
            Self::CallerFault => "caller_fault",
            Self::Cancelled => "cancelled",
        }
    }

    /// The level that the failure is charged to: as a circuit's failure where
    /// [`is_endpoints_fault`](Self::is_endpoints_fault) or [`is_deployments_fault`](Self::is_deployments_fault) says so,
    /// and otherwise as a cooldown (`rate_limited`), as a model that is not there (`model_missing`), or as a credential
    /// that cannot be used (`credential`, `quota_spent`).
    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::Unreachable => Level::Endpoint,
            Self::Transient
            | Self::Reset
            | Self::Timeout
            | Self::Cut
            | Self::Stalled
            | Self::Malformed
            | Self::Empty
            | Self::RateLimited
            | Self::Overloaded
            | Self::ModelMissing => Level::Deployment,
            Self::Credential | Self::QuotaSpent => Level::Credential,
            Self::ContextTooLong | Self::ContentRefused | Self::CallerFault | Self::Cancelled => {
                Level::Nobody
            }
        }
    }

    /// Whether the endpoint could not be reached, so that its own circuit hears of it and its deployments' do not.
    #[must_use]
    pub const fn is_endpoints_fault(self) -> bool {
        matches!(self, Self::Unreachable)
    }

    /// Whether the deployment is ill, so that its circuit counts a failure. A quota that is used up is not an illness.
    #[must_use]
    pub const fn is_deployments_fault(self) -> bool {
        matches!(
            self,
            Self::Transient
                | Self::Reset
                | Self::Timeout
                | Self::Cut
                | Self::Stalled
                | Self::Malformed
                | Self::Empty
                | Self::Overloaded
        )
    }

    /// Whether the same request may be tried at another deployment.
    ///
    /// Not after the caller's own faults. A request that is too long is one of them: a deployment that is known to read
    /// more may still serve it, and only the configuration knows such a one.
    #[must_use]
    pub const fn may_try_elsewhere(self) -> bool {
        !matches!(self.level(), Level::Nobody)
    }

    /// Whether the provider has surely not worked on the request, and so not billed it: it was never reached, or it
    /// refused. A repeat then costs nobody anything. Everything else may have been billed.
    #[must_use]
    pub const fn surely_not_processed(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::RateLimited
                | Self::Overloaded
                | Self::Credential
                | Self::QuotaSpent
                | Self::ModelMissing
                | Self::ContextTooLong
                | Self::CallerFault
        )
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// No class bears this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownClass;

impl fmt::Display for UnknownClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no class of failure bears this name")
    }
}

impl std::error::Error for UnknownClass {}

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(name: &str) -> Result<Self, UnknownClass> {
        Self::ALL.into_iter().find(|class| class.as_str() == name).ok_or(UnknownClass)
    }
}

/// A failed attempt: its class, and what the provider said beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// What went wrong.
    pub class: Class,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// How long the provider asks to stay away, at most [`MAX_RETRY_AFTER`](crate::MAX_RETRY_AFTER); of a spent quota, the time
    /// to the reset that it names, at most [`MAX_RESET`](crate::MAX_RESET).
    pub retry_after: Option<Duration>,
    /// The provider's own word for it (`insufficient_quota`), for logs. It holds letters, digits, `_`, `-` and `.` alone
    /// and at most 64 of them; the provider's message is never kept, because providers repeat prompts in it.
    pub code: Option<Box<str>>,
}

impl Failure {
    /// A failure of which nothing but its class is known.
    #[must_use]
    pub const fn new(class: Class) -> Self {
        Self { class, status: None, retry_after: None, code: None }
    }
}

impl From<Class> for Failure {
    fn from(class: Class) -> Self {
        Self::new(class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_found_by_its_name() {
        for class in Class::ALL {
            assert_eq!(class.as_str().parse(), Ok(class));
            assert_eq!(class.to_string(), class.as_str());
        }
        assert_eq!("Transient".parse::<Class>(), Err(UnknownClass));
    }

    #[test]
    fn a_fault_is_charged_to_one_level_only() {
        for class in Class::ALL {
            assert!(!class.is_deployments_fault() || class.level() == Level::Deployment, "{class}");
            assert_eq!(class.is_endpoints_fault(), class.level() == Level::Endpoint, "{class}");
        }
    }

    #[test]
    fn a_quota_is_not_an_illness() {
        assert!(!Class::RateLimited.is_deployments_fault());
        assert!(Class::RateLimited.may_try_elsewhere());
        assert!(Class::RateLimited.surely_not_processed());
    }

    #[test]
    fn what_the_caller_did_is_charged_to_nobody_and_not_repeated() {
        for class in [Class::CallerFault, Class::ContentRefused, Class::ContextTooLong, Class::Cancelled] {
            assert_eq!(class.level(), Level::Nobody);
            assert!(!class.may_try_elsewhere());
        }
    }

    #[test]
    fn what_broke_on_the_way_may_have_been_billed() {
        for class in [Class::Reset, Class::Timeout, Class::Cut, Class::Stalled, Class::Transient] {
            assert!(!class.surely_not_processed(), "{class}");
        }
    }
}
