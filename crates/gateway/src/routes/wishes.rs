//! What a caller may ask for in headers: a place, a residency, a price, a deadline, a session; and what an SDK says of itself.

use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use outrigger::Request;

use super::error::ApiError;

/// Of the SDK's own patience, the part in which we must have answered: an answer that comes at its last moment comes too late.
const OF_READ_TIMEOUT: f64 = 0.95;
/// No deadline is further away; it keeps sums of times in range.
const FURTHEST: f64 = 7.0 * 24.0 * 3600.0;

/// Adds to `request` what the headers wish, and the headers themselves: the client passes on those that may go to a provider.
///
/// # Errors
/// 400 for a header of ours that makes no sense. What an SDK says of itself is used where it makes sense, and else ignored.
pub(crate) fn apply(mut request: Request, headers: HeaderMap, now: Instant) -> Result<Request, ApiError> {
    if let Some(region) = text(&headers, "x-outrigger-region")? {
        request = request.region(region);
    }
    if let Some(residency) = text(&headers, "x-outrigger-residency")? {
        let regions: Vec<&str> =
            residency.split(',').map(str::trim).filter(|region| !region.is_empty()).collect();
        if regions.is_empty() {
            return Err(invalid("x-outrigger-residency", "names no region"));
        }
        request = request.residency(regions);
    }
    if let Some(session) = text(&headers, "x-outrigger-session")? {
        request = request.session(session);
    }
    if let Some(patience) = patience(&headers)? {
        request = request.deadline(now + patience);
    }
    if let Some(text) = text(&headers, "x-outrigger-max-cost")? {
        request = match text.parse::<f64>() {
            Ok(usd) if usd.is_finite() && usd > 0.0 => request.max_cost(usd),
            _ => return Err(invalid("x-outrigger-max-cost", "must be USD, above 0")),
        };
    }
    if number(&headers, "x-stainless-retry-count").is_some_and(|count| count >= 1.0) {
        request = request.caller_retries();
    }
    Ok(request.headers(headers))
}

/// How long the caller waits: its wish, and what its SDK waits for a first byte, whichever is shorter.
fn patience(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    let wish = match text(headers, "x-outrigger-timeout")? {
        None => None,
        Some(text) => match text.parse::<f64>() {
            Ok(seconds) if seconds > 0.0 => Some(seconds),
            _ => return Err(invalid("x-outrigger-timeout", "must be seconds, above 0")),
        },
    };
    let sdk = number(headers, "x-stainless-read-timeout")
        .filter(|&seconds| seconds > 0.0)
        .map(|s| s * OF_READ_TIMEOUT);
    let shorter = match (wish, sdk) {
        (Some(wish), Some(sdk)) => Some(wish.min(sdk)),
        (wish, sdk) => wish.or(sdk),
    };
    Ok(shorter.map(|seconds| Duration::from_secs_f64(seconds.min(FURTHEST))))
}

fn number(headers: &HeaderMap, name: &str) -> Option<f64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match value.to_str().map(str::trim) {
        Ok(text) if !text.is_empty() => Ok(Some(text)),
        _ => Err(invalid(name, "must be visible ascii")),
    }
}

fn invalid(name: &'static str, what: &str) -> ApiError {
    ApiError::caller(StatusCode::BAD_REQUEST, "invalid_header", format!("the header {name} {what}")).at(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(pairs: &[(&'static str, &'static str)]) -> Result<Option<Duration>, ApiError> {
        let pairs = pairs.iter().map(|&(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
        });
        patience(&pairs.collect())
    }

    #[test]
    fn an_sdks_own_patience_is_cut_by_a_twentieth() {
        let wait = waits(&[("x-stainless-read-timeout", "600")]).unwrap();
        assert_eq!(wait, Some(Duration::from_secs(570)));
    }

    #[test]
    fn the_shorter_patience_counts() {
        let wait = waits(&[("x-stainless-read-timeout", "600"), ("x-outrigger-timeout", "1.5")]).unwrap();
        assert_eq!(wait, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_timeout_that_is_no_time_is_refused() {
        for bad in ["0", "-1", "nan", "soon", ""] {
            assert!(waits(&[("x-outrigger-timeout", bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_an_sdk_says_in_error_is_ignored_and_what_is_huge_is_bounded() {
        assert_eq!(waits(&[("x-stainless-read-timeout", "not given")]).unwrap(), None);
        assert_eq!(waits(&[("x-outrigger-timeout", "inf")]).unwrap(), Some(Duration::from_secs(604_800)));
    }
}
