//! The name of a request: the caller's own where it is sane, else one that nobody else has.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use http::{HeaderMap, HeaderName, HeaderValue};

/// Where a request's name stands, in both directions.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What Anthropic's SDKs call it.
pub(crate) const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// A longer name is no name; UUIDs have 36, trace ids 32.
const LONGEST: usize = 128;

/// The name of a request, kept with it.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) HeaderValue);

/// Names requests.
#[derive(Debug)]
pub(crate) struct RequestIds {
    /// Two independent hashes of one counter make 128 bits: names of two processes do not meet.
    keys: (RandomState, RandomState),
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        Self { keys: (RandomState::new(), RandomState::new()), count: AtomicU64::new(0) }
    }

    /// The request's own name, or a new one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(REQUEST_ID) {
            Some(value) if is_sane(value.as_bytes()) => value.clone(),
            _ => self.fresh(),
        }
    }

    fn fresh(&self) -> HeaderValue {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!("req_{:016x}{:016x}", self.keys.0.hash_one(count), self.keys.1.hash_one(count));
        // Letters, digits and an underscore are always a header value.
        HeaderValue::try_from(name).unwrap_or_else(|_| HeaderValue::from_static("req_"))
    }
}

/// Names go into logs and dashboards, so only what cannot be mistaken there is taken over.
fn is_sane(name: &[u8]) -> bool {
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=LONGEST).contains(&name.len()) && name.iter().all(sane)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_str(name).unwrap());
        RequestIds::new().of(&headers).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_sane_name_is_kept() {
        for name in ["a", "3f1c9a2e-0b1d-4a53-9d0a-0e7c2a1b9f11", "Root=1-67891233:abcdef/x+y_z."] {
            assert_eq!(named(name), name);
        }
    }

    #[test]
    fn a_name_that_could_forge_a_log_line_is_replaced() {
        for name in ["", "a b", "a\"b", "a;b", "<script>", &"x".repeat(LONGEST + 1)] {
            assert!(named(name).starts_with("req_"), "{name}");
        }
    }

    #[test]
    fn no_two_requests_share_a_name() {
        let ids = RequestIds::new();
        assert_ne!(ids.fresh(), ids.fresh());
        assert_ne!(ids.fresh(), RequestIds::new().fresh());
    }
}
