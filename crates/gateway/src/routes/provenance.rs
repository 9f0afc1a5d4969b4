//! Where an answer came from is part of the answer: the headers that say it, on answers and errors alike.

use std::time::{Duration, Instant};

use axum::response::Response;
use http::{HeaderName, HeaderValue};
use outrigger::{AttemptRecord, Route};

const PROVIDER: HeaderName = HeaderName::from_static("x-outrigger-provider");
const REGION: HeaderName = HeaderName::from_static("x-outrigger-region");
const MODEL: HeaderName = HeaderName::from_static("x-outrigger-model");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-outrigger-attempts");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What the headers say of one request, at the moment its head leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provenance<'a> {
    /// The deployment that gave the answer, or the last that was tried.
    pub(crate) route: Option<&'a Route>,
    /// Attempts made.
    pub(crate) attempts: usize,
    /// Time in this process.
    pub(crate) gateway: Duration,
    /// Time of the attempt that gave the answer.
    pub(crate) upstream: Duration,
}

impl<'a> Provenance<'a> {
    /// What is known of a request that took so long and has no answer.
    pub(crate) fn of_failure(attempts: &'a [AttemptRecord], took: Duration) -> Self {
        let upstream = attempts.last().map_or(Duration::ZERO, |record| record.took);
        Self {
            route: attempts.last().map(|record| &record.route),
            attempts: attempts.len(),
            gateway: own_time(took, attempts),
            upstream,
        }
    }

    /// Writes the headers.
    pub(crate) fn stamp(&self, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(ATTEMPTS, HeaderValue::from(self.attempts));
        if let Some(route) = self.route {
            for (name, text) in [(PROVIDER, &route.provider), (REGION, &route.region), (MODEL, &route.model)]
            {
                // Names beyond ASCII go as their UTF-8; only control characters have no place in a header.
                if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
                    headers.insert(name, value);
                }
            }
        }
        let timing = format!("gateway;dur={:.3}, upstream;dur={:.3}", ms(self.gateway), ms(self.upstream));
        if let Ok(value) = HeaderValue::try_from(timing) {
            headers.insert(SERVER_TIMING, value);
        }
    }
}

/// Where an answer has a name at its provider.
pub(crate) const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-outrigger-upstream-request-id");

/// Marks an answer that tells in its body what headers would have told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToldInBand;

/// Writes the headers of an answer that no attempt was made for, unless they are written already.
pub(crate) fn stamp_untried(response: &mut Response, began: Instant) {
    let is_told = response.extensions_mut().remove::<ToldInBand>().is_some();
    if !is_told && !response.headers().contains_key(ATTEMPTS) {
        Provenance::of_failure(&[], began.elapsed()).stamp(response);
    }
}

/// Of the time a request took, the part that was spent on no attempt: the gateway's own. Attempts that ran side by side count
/// twice, so that what is left is a lower bound then.
pub(crate) fn own_time(took: Duration, attempts: &[AttemptRecord]) -> Duration {
    let away: Duration = attempts.iter().map(|record| record.took).sum();
    took.saturating_sub(away)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
