//! Why a call has no answer, or a client could not be built.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::answer::AttemptRecord;

/// Why a call has no answer.
///
/// [`code`](Self::code) and [`status`](Self::status) are what the gateway answers with; [`attempts`](Self::attempts) says
/// what was tried. No variant holds a key; of a request's text there is only what a provider
/// repeats in the body of its refusal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The configuration has no model of this name. Nothing was sent.
    #[error("no model `{model}` is configured")]
    #[non_exhaustive]
    ModelNotFound {
        /// The name asked for.
        model: String,
    },
    /// None of the model's targets can serve this kind of request. Nothing was sent.
    #[error("model `{model}` has no target that serves {api}")]
    #[non_exhaustive]
    UnsupportedEndpoint {
        /// The model.
        model: String,
        /// The kind of request.
        api: &'static str,
    },
    /// The model is served only by providers of another dialect, in which this request cannot be said. Nothing was sent.
    #[error("model `{model}` is served in another dialect only, and there {reason}")]
    #[non_exhaustive]
    Untranslatable {
        /// The model.
        model: String,
        /// Which field stands in the way, and why.
        reason: wire::Untranslatable,
    },
    /// The request leans on something that only one deployment could know, and which that is, is not known. Nothing was sent.
    #[error("`{field}` of a request to `{model}`: {why}")]
    #[non_exhaustive]
    Stateful {
        /// The model.
        model: String,
        /// The field that leans on it.
        field: &'static str,
        /// Why it cannot be served.
        why: &'static str,
    },
    /// The request names a region that no provider has. Nothing was sent.
    #[error("no region `{region}` is configured")]
    #[non_exhaustive]
    UnknownRegion {
        /// The name asked for.
        region: String,
    },
    /// No target of the model lies in the regions allowed. Nothing was sent.
    #[error("model `{model}` has no target in the allowed regions ({allowed})")]
    #[non_exhaustive]
    ResidencyUnsatisfiable {
        /// The model.
        model: String,
        /// The regions allowed, joined by commas.
        allowed: String,
    },
    /// Nobody who could serve it is thought to cost as little as the request allows. Nothing was sent.
    #[error("{}", too_dear(model, *least_usd, *max_usd))]
    #[non_exhaustive]
    TooDear {
        /// The model.
        model: String,
        /// What it may cost at the cheapest, in USD; `None` where no price is known.
        least_usd: Option<f64>,
        /// What it may cost at most, in USD.
        max_usd: f64,
    },
    /// Every deployment refused before an attempt: circuits open, cordoned, or full.
    #[error("no deployment of `{model}` is available")]
    #[non_exhaustive]
    NoDeployment {
        /// The model.
        model: String,
        /// When the soonest may admit again, from now.
        retry_in: Option<Duration>,
        /// What was tried.
        attempts: Vec<AttemptRecord>,
    },
    /// Every deployment is rate-limited.
    #[error("every deployment of `{model}` is rate-limited")]
    #[non_exhaustive]
    RateLimited {
        /// The model.
        model: String,
        /// The soonest wait, where one is known.
        retry_in: Option<Duration>,
        /// What was tried.
        attempts: Vec<AttemptRecord>,
    },
    /// All that was tried failed, or the retry budget is empty, or another attempt might have cost more than the call may.
    #[error("{}{}", exhausted(model, attempts), held_back(*max_usd))]
    #[non_exhaustive]
    Exhausted {
        /// The model.
        model: String,
        /// What the call may cost at most in USD, where that is why nobody else was asked.
        max_usd: Option<f64>,
        /// What was tried.
        attempts: Vec<AttemptRecord>,
    },
    /// The deadline passed first.
    #[error("the deadline of the call to `{model}` passed after {}{}", counted(attempts), held_back(*max_usd))]
    #[non_exhaustive]
    DeadlineExceeded {
        /// The model.
        model: String,
        /// What the call may cost at most in USD, where that is why nobody else was asked.
        max_usd: Option<f64>,
        /// What was tried.
        attempts: Vec<AttemptRecord>,
    },
    /// The provider found a fault with the request itself: its status and body, as they came.
    #[error("the provider refused the request with status {status}")]
    #[non_exhaustive]
    Rejected {
        /// The provider's status.
        status: StatusCode,
        /// The provider's headers that may pass. Boxed, so that the error stays small.
        headers: Box<HeaderMap>,
        /// The provider's body.
        body: Bytes,
        /// What was tried; the last one is the refusal.
        attempts: Vec<AttemptRecord>,
    },
    /// As many calls and streams are in progress as the client may have. Nothing was sent.
    #[error("too many requests at once")]
    Overloaded,
    /// The client is shutting down and takes no new calls.
    #[error("the client is shutting down")]
    ShuttingDown,
    /// Whoever runs the client had no more time for the call ([`Client::send_until`](crate::Client::send_until)).
    #[error("the call to `{model}` was cut off")]
    #[non_exhaustive]
    CutOff {
        /// The model.
        model: String,
        /// What was tried.
        attempts: Vec<AttemptRecord>,
    },
    /// The answer broke off after content was given.
    #[error("the answer of `{model}` broke off ({class})")]
    #[non_exhaustive]
    Truncated {
        /// The model.
        model: String,
        /// How: cut, stalled, malformed.
        class: wire::Class,
        /// What was tried.
        attempts: Vec<AttemptRecord>,
    },
}

fn too_dear(model: &str, least: Option<f64>, most: f64) -> String {
    match least {
        Some(least) => {
            format!("the call to `{model}` may cost {} USD, and {most} are allowed", significant(least))
        }
        None => {
            format!("no target of `{model}` has a known price, so its cost cannot be held to {most} USD")
        }
    }
}

fn held_back(max_usd: Option<f64>) -> String {
    max_usd.map_or_else(String::new, |most| {
        format!("; another might take its cost beyond the {} USD that it may have", significant(most))
    })
}

/// A sum of USD to six digits that say something: half a cent in a thousand is no zero.
fn significant(usd: f64) -> String {
    let size = usd.abs().log10().floor();
    let decimals = if size.is_finite() { (5.0 - size).clamp(0.0, 20.0) } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 20")]
    let text = format!("{usd:.0$}", decimals as usize);
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

fn exhausted(model: &str, attempts: &[AttemptRecord]) -> String {
    match attempts.len() {
        1 => format!("the one attempt at `{model}` failed"),
        count => format!("all {count} attempts at `{model}` failed"),
    }
}

fn counted(attempts: &[AttemptRecord]) -> String {
    match attempts.len() {
        1 => "1 attempt".to_owned(),
        count => format!("{count} attempts"),
    }
}

impl CallError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ModelNotFound { .. } => "model_not_found",
            Self::Stateful { .. } => "stateful_request",
            Self::UnsupportedEndpoint { .. } | Self::Untranslatable { .. } => "unsupported_endpoint",
            Self::UnknownRegion { .. } => "unknown_region",
            Self::ResidencyUnsatisfiable { .. } => "residency_unsatisfiable",
            Self::TooDear { .. } => "budget_exceeded",
            Self::NoDeployment { .. } => "no_deployment_available",
            Self::RateLimited { .. } => "rate_limit_exceeded",
            Self::Exhausted { .. } => "upstream_exhausted",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::Rejected { .. } => "rejected_by_provider",
            Self::Overloaded => "overloaded",
            Self::ShuttingDown | Self::CutOff { .. } => "draining",
            Self::Truncated { .. } => "answer_truncated",
        }
    }

    /// The HTTP status that says the same.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::ModelNotFound { .. } => StatusCode::NOT_FOUND,
            Self::UnsupportedEndpoint { .. }
            | Self::Untranslatable { .. }
            | Self::Stateful { .. }
            | Self::UnknownRegion { .. }
            | Self::ResidencyUnsatisfiable { .. } => StatusCode::BAD_REQUEST,
            Self::RateLimited { .. } | Self::TooDear { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NoDeployment { .. } | Self::Overloaded | Self::ShuttingDown | Self::CutOff { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Exhausted { .. } | Self::Truncated { .. } => StatusCode::BAD_GATEWAY,
            Self::DeadlineExceeded { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Rejected { status, .. } => *status,
        }
    }

    /// When trying again may help, from now; `None` where nothing is known.
    pub fn retry_in(&self) -> Option<Duration> {
        match self {
            Self::NoDeployment { retry_in, .. } | Self::RateLimited { retry_in, .. } => *retry_in,
            Self::ShuttingDown | Self::CutOff { .. } => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// What was tried, in order of the attempts' ends.
    pub fn attempts(&self) -> &[AttemptRecord] {
        match self {
            Self::NoDeployment { attempts, .. }
            | Self::RateLimited { attempts, .. }
            | Self::Exhausted { attempts, .. }
            | Self::DeadlineExceeded { attempts, .. }
            | Self::Rejected { attempts, .. }
            | Self::CutOff { attempts, .. }
            | Self::Truncated { attempts, .. } => attempts,
            _ => &[],
        }
    }
}

/// Why a request could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The body is not what its kind of request must be.
    #[error("{0}")]
    Body(#[from] wire::BadRequest),
    /// It asks for a stream, and this kind of request has none.
    #[error("{api} cannot be streamed")]
    #[non_exhaustive]
    NeverStreams {
        /// The kind of request.
        api: wire::Api,
    },
}

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The configuration has faults.
    #[error("{0}")]
    Config(#[from] crate::config::Faults),
    /// A machine refused its numbers.
    #[error("{path}: {message}")]
    #[non_exhaustive]
    Machine {
        /// Which table.
        path: String,
        /// What is wrong.
        message: String,
    },
}

/// Why a chat has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The request could not be made.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The answer is not a chat completion. It was billed all the same.
    #[error("the answer is not a chat completion: {0}")]
    Form(#[source] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Route;

    /// **A small sum is no nothing.** Fails if sums are told to a millionth, where a short call costs less.
    #[test]
    fn what_is_too_dear_is_told_in_digits_that_say_something() {
        for (least, most, told) in [
            (0.00004, 0.0000001, "may cost 0.00004 USD, and 0.0000001 are allowed"),
            (0.010_024_3, 0.01, "may cost 0.0100243 USD, and 0.01 are allowed"),
            (1.0 / 3.0, 0.25, "may cost 0.333333 USD, and 0.25 are allowed"),
            (12.5, 0.0, "may cost 12.5 USD, and 0 are allowed"),
            (1_234_567.0, 10.0, "may cost 1234567 USD, and 10 are allowed"),
        ] {
            assert_eq!(too_dear("m", Some(least), most), format!("the call to `m` {told}"));
        }
        assert!(too_dear("m", None, 0.00005).ends_with("held to 0.00005 USD"));
        assert_eq!([0.0, f64::NAN, f64::INFINITY].map(significant), ["0", "NaN", "inf"]);
    }

    #[test]
    fn one_attempt_is_not_told_as_several() {
        let attempts = |count| {
            let route = Route::new("a", "here", "m");
            vec![AttemptRecord { route, class: None, status: None, took: Duration::ZERO }; count]
        };
        let told = |count| {
            let (model, attempts) = ("chat".to_owned(), attempts(count));
            let late = CallError::DeadlineExceeded {
                model: model.clone(),
                max_usd: None,
                attempts: attempts.clone(),
            };
            (late.to_string(), CallError::Exhausted { model, max_usd: None, attempts }.to_string())
        };
        assert!(told(1).0.ends_with("passed after 1 attempt") && told(2).0.ends_with("after 2 attempts"));
        assert_eq!(told(1).1, "the one attempt at `chat` failed");
        assert_eq!(told(2).1, "all 2 attempts at `chat` failed");
    }
}
