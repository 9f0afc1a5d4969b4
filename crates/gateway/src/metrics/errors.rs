//! Errors that callers got, by code and by whose doing they are: nobody is to be woken for what callers do to themselves.
//!
//! A provider that finds a fault with a request fails it as surely as one that is down, and a key's own limit has the code of a
//! provider's. Neither the outcome nor the code tells them apart, so this is told where the error is made.

use outrigger::{CallError, Outcome};

use super::family::{Family, Label, Sum};

/// Whose doing an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DueTo {
    /// What it asked, a limit of its key's own, or too little time for anybody to be asked.
    Caller,
    /// There is more than is taken here, or it shuts down.
    Gateway,
    /// Whoever could have answered: failed, limited, or out.
    Provider,
}

impl DueTo {
    fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Gateway => "gateway",
            Self::Provider => "provider",
        }
    }

    /// Of an error that was given before the client was asked.
    fn of_refusal(code: &str) -> Self {
        match code {
            "overloaded" | "draining" | "internal" => Self::Gateway,
            _ => Self::Caller,
        }
    }

    /// Of an error of the client's.
    fn of_call(error: &CallError) -> Self {
        match error {
            CallError::DeadlineExceeded { attempts, .. } if attempts.is_empty() => Self::Caller,
            CallError::NoDeployment { .. }
            | CallError::RateLimited { .. }
            | CallError::Exhausted { .. }
            | CallError::DeadlineExceeded { .. }
            | CallError::Truncated { .. } => Self::Provider,
            CallError::Overloaded | CallError::ShuttingDown | CallError::CutOff { .. } => Self::Gateway,
            _ => Self::Caller,
        }
    }
}

/// What alerts of no caller's doing go by, of each model: from nothing, so that the first ones are seen to come.
const EXPECTED: [(Outcome, &str, DueTo); 9] = [
    (Outcome::Error, "upstream_exhausted", DueTo::Provider),
    (Outcome::Error, "deadline_exceeded", DueTo::Provider),
    (Outcome::Error, "rate_limit_exceeded", DueTo::Provider),
    (Outcome::Error, "no_deployment_available", DueTo::Provider),
    (Outcome::Error, "draining", DueTo::Gateway),
    (Outcome::Refused, "rate_limit_exceeded", DueTo::Provider),
    (Outcome::Refused, "no_deployment_available", DueTo::Provider),
    (Outcome::Truncated, "answer_truncated", DueTo::Provider),
    (Outcome::Truncated, "draining", DueTo::Gateway),
];

/// Errors, counted.
#[derive(Debug)]
pub(super) struct Errors(pub(super) Family<4, Sum>);

impl Errors {
    pub(super) fn new() -> Self {
        Self(Family::counter(
            "outrigger_errors_total",
            ["model", "outcome", "code", "due_to"],
            "Errors that callers got, by their code; due to the caller, the gateway, or a provider.",
        ))
    }

    /// So many errors of a model so far are none.
    pub(super) fn expect(&self, model: &Label) {
        for (outcome, code, due_to) in EXPECTED {
            self.add(model.clone(), outcome, code.into(), due_to, 0.0);
        }
    }

    /// The same of what is refused before a model is known.
    pub(super) fn expect_overload(&self, unknown: Label) {
        self.add(unknown, Outcome::Refused, "overloaded".into(), DueTo::Gateway, 0.0);
    }

    /// One that was given before the client was asked.
    pub(super) fn refused(&self, model: Label, code: &'static str) {
        self.add(model, Outcome::Refused, code.into(), DueTo::of_refusal(code), 1.0);
    }

    /// One of the client's.
    pub(super) fn failed(&self, model: Label, error: &CallError) {
        let outcome = if error.attempts().is_empty() { Outcome::Refused } else { Outcome::Error };
        self.add(model, outcome, error.code().into(), DueTo::of_call(error), 1.0);
    }

    /// An answer that broke off.
    pub(super) fn truncated(&self, model: Label, code: &str) {
        let due_to = if code == "draining" { DueTo::Gateway } else { DueTo::Provider };
        self.add(model, Outcome::Truncated, code.to_owned().into(), due_to, 1.0);
    }

    /// Requests that a provider found fault with.
    pub(super) fn rejected(&self) -> u64 {
        self.0.counts_by(2).get("rejected_by_provider").copied().unwrap_or_default()
    }

    fn add(&self, model: Label, outcome: Outcome, code: Label, due_to: DueTo, amount: f64) {
        self.0.add([model, outcome.as_str().into(), code, due_to.as_str().into()], amount);
    }
}
