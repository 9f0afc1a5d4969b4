//! What came of one request, from its account: where it was tried, how long that took, how it ended and what it cost.
//!
//! It is pieced together from the client's notices, which tell of ends only: an attempt began as long before its notice as it took.

use std::{
    fmt,
    time::{Duration, Instant},
};

use http::StatusCode;
use outrigger::{
    Notice, Outcome, RescueResult, Route, SpanId,
    wire::{Class, Usage},
};

/// One request, once it is over.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) outcome: Outcome,
    /// What its caller got; none when it went away before there was anything.
    pub(crate) status: Option<StatusCode>,
    /// The code of the error that its caller got.
    pub(crate) code: Option<String>,
    /// Where its answer came from; where it was waited for, when its caller went away.
    pub(crate) route: Option<Route>,
    /// In the order of their ends.
    pub(crate) tried: Vec<Tried>,
    /// Why it went on at another place, each time that it did.
    pub(crate) failovers: Vec<Class>,
    /// From its beginning to the first content, or to the whole answer.
    pub(crate) first_token: Option<Duration>,
    pub(crate) usage: Option<Usage>,
    /// USD of all attempts, where prices are known; 0 is a cost.
    pub(crate) cost_usd: Option<f64>,
    /// The part of it that no provider counted.
    pub(crate) estimated_usd: f64,
    pub(crate) ended: Instant,
    /// What came of the search for the rest, where its answer broke off.
    rescue: Option<RescueResult>,
}

/// One attempt.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    pub(crate) route: Route,
    /// Its name in a trace, as its provider was told.
    #[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "only spans have names"))]
    pub(crate) span: Option<SpanId>,
    /// How it failed; none when it did not.
    pub(crate) class: Option<Class>,
    /// The provider's status, where a failure had one.
    pub(crate) status: Option<u16>,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

/// The place and what came of it: `holysheep/us-east overloaded 503`.
impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = self.class.map_or("success", Class::as_str);
        write!(f, "{}/{} {class}", self.route.provider, self.route.region)?;
        self.status.map_or(Ok(()), |status| write!(f, " {status}"))
    }
}

impl Story {
    /// A request of which nothing is known yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            outcome: Outcome::Cancelled,
            status: None,
            code: None,
            route: None,
            tried: Vec::new(),
            failovers: Vec::new(),
            first_token: None,
            usage: None,
            cost_usd: None,
            estimated_usd: 0.0,
            ended: now,
            rescue: None,
        }
    }

    /// Takes a notice down; `now` is when it came.
    pub(crate) fn note(&mut self, notice: &Notice, now: Instant) {
        self.ended = now;
        match notice {
            Notice::AttemptEnded { route, span, class, status, took, .. } => {
                let began = now.checked_sub(*took).unwrap_or(now);
                self.tried.push(Tried {
                    route: route.clone(),
                    span: *span,
                    class: *class,
                    status: *status,
                    began,
                    ended: now,
                });
            }
            Notice::Failover { class, .. } => self.failovers.push(*class),
            Notice::Rescue { result, .. } => self.rescue = Some(*result),
            Notice::CallEnded { outcome, route, first_token, usage, bill, .. } => {
                self.outcome = *outcome;
                self.route.clone_from(route);
                (self.first_token, self.usage) = (*first_token, *usage);
                let bill = bill.unwrap_or_default();
                (self.cost_usd, self.estimated_usd) = (bill.cost_usd, bill.estimated_usd);
                // After the first content the status has left, whatever came of the rest.
                self.status = first_token.map(|_| StatusCode::OK);
                // Nobody failed where the last attempt was let go: then it was the gateway that had no more time. Not so where the
                // answer had broken off before, and that attempt was to give the rest.
                let is_broken = self.rescue == Some(RescueResult::Failed);
                let is_let_go = self.tried.last().is_some_and(|tried| tried.class == Some(Class::Cancelled));
                let is_ours = is_let_go && !is_broken;
                let code = if is_ours { "draining" } else { "answer_truncated" };
                self.code = (*outcome == Outcome::Truncated).then(|| code.to_owned());
            }
            _ => {}
        }
    }

    /// The request got an error.
    pub(crate) fn fail(&mut self, status: StatusCode, code: &str, now: Instant) {
        (self.status, self.code, self.ended) = (Some(status), Some(code.to_owned()), now);
        self.outcome = if self.tried.is_empty() { Outcome::Refused } else { Outcome::Error };
    }

    /// What went wrong, in a word of ours: the last failure's class where there was one, else how it ended. None of an answer.
    pub(crate) fn error_type(&self) -> Option<&'static str> {
        let class = self.tried.iter().rev().find_map(|tried| tried.class);
        match self.outcome {
            Outcome::Ok => None,
            Outcome::Error | Outcome::Truncated => Some(class.map_or(self.outcome.as_str(), Class::as_str)),
            _ => Some(self.outcome.as_str()),
        }
    }

    /// Of the time since `began`, the part in which no attempt ran: the gateway's own, and its waits.
    pub(crate) fn own_time(&self, began: Instant) -> Duration {
        let mut spans: Vec<(Instant, Instant)> =
            self.tried.iter().map(|tried| (tried.began, tried.ended)).collect();
        spans.sort_unstable();
        let (mut own, mut until) = (Duration::ZERO, began);
        for (start, end) in spans {
            own += start.saturating_duration_since(until);
            until = until.max(end);
        }
        own + self.ended.saturating_duration_since(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// **Attempts side by side are one time.** Fails if the time of a hedge is taken off twice.
    #[test]
    fn own_time_is_what_no_attempt_took() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut story = Story::new(at(100));
        let route = Route::new("a", "here", "m");
        for (from, to) in [(50, 90), (10, 60)] {
            let tried = Tried {
                route: route.clone(),
                span: None,
                class: None,
                status: None,
                began: at(from),
                ended: at(to),
            };
            story.tried.push(tried);
        }
        assert_eq!(story.own_time(began), Duration::from_millis(10 + 10));
        story.tried.clear();
        assert_eq!(story.own_time(began), Duration::from_millis(100));
    }

    #[test]
    fn what_went_wrong_is_the_last_failure() {
        let now = Instant::now();
        let mut story = Story::new(now);
        for class in [Class::Reset, Class::Overloaded] {
            let route = Route::new("a", "here", "m");
            story.tried.push(Tried {
                route,
                span: None,
                class: Some(class),
                status: None,
                began: now,
                ended: now,
            });
        }
        assert_eq!(story.error_type(), Some("cancelled"));
        story.fail(StatusCode::BAD_GATEWAY, "upstream_exhausted", now);
        assert_eq!(story.error_type(), Some("overloaded"));
        story.outcome = Outcome::Ok;
        assert_eq!(story.error_type(), None);
    }

    #[test]
    fn an_error_without_an_attempt_is_a_refusal() {
        let now = Instant::now();
        let mut story = Story::new(now);
        story.fail(StatusCode::UNAUTHORIZED, "invalid_api_key", now);
        assert_eq!((story.outcome, story.status), (Outcome::Refused, Some(StatusCode::UNAUTHORIZED)));
    }
}
