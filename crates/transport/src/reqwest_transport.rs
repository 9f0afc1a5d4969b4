//! [`ReqwestTransport`]: the trait over reqwest, with everything that reqwest decides by itself turned off.
//!
//! **Why reqwest and not hyper alone?** Connection pools, proxies, ALPN and happy eyeballs are there and well worn. What
//! does not belong under a resilient client is switched off: retries (reqwest repeats HTTP/2 refusals twice by default),
//! redirects, decompression, proxies from the environment, total timeouts. No reqwest type is part of this crate's API.
//!
//! **One pool, one client.** A [`Pool`](crate::Pool) has its own connections, so that one endpoint's dead connection or
//! stream limit is not another's. All pools that trust the system's roots share one TLS configuration, which is loaded at
//! the first `https` request, not before: plain `http` works on a machine without any roots.
//!
//! **A connection that died while idle** is no failure. When the pool hands one out and it turns out to be closed before
//! the request was taken up, the request moves to another connection: that is hyper-util's own rule, it moves nothing of
//! which a byte was written, and so it is no retry. When the peer closes just as the request is written, nobody can know
//! what it saw; that is a [`Reset`](crate::ErrorKind::Reset) with [`Sent::Maybe`](crate::Sent::Maybe).
//!
//! **Limits.** Connections live on the tokio runtime that opened them; use one transport per runtime. Names are looked up
//! by the system's resolver, and an open connection does not notice that a name has moved. Trailers are dropped.

mod body;
mod failure;
mod pools;
mod tls;

use std::num::NonZeroUsize;

use async_trait::async_trait;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, PROXY_AUTHORIZATION, TRANSFER_ENCODING,
    },
};

use self::{
    body::{AnswerBody, SlicesBody, Taken},
    failure::failure,
    pools::Pools,
};
use crate::{
    ErrorKind, Request, Response, ResponseBody, Transport, TransportError,
    limits::{Limited, within_head},
};

/// How many pools are held by default: more than any fleet of endpoints has, and a bound all the same.
const MAX_POOLS: NonZeroUsize = NonZeroUsize::new(1024).expect("1024 is not zero");

/// Headers whose value must appear in no log, and in no HTTP/2 compression table.
const SENSITIVE: [HeaderName; 5] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-api-key"),
];

/// Sends requests by reqwest and rustls, over HTTP/1.1 or, where TLS negotiates it, HTTP/2.
///
/// # Cancel safety
/// As [`Transport`] asks: dropping the future or the body closes the HTTP/1.1 connection or resets the HTTP/2 stream.
///
/// # Drop
/// Idle connections are closed. Bodies being read go on.
#[derive(Debug)]
pub struct ReqwestTransport {
    pools: Pools,
}

impl ReqwestTransport {
    /// A transport without any connection yet. It reads no file, no environment and no clock.
    pub fn new() -> Self {
        Self::with_max_pools(MAX_POOLS)
    }

    /// The same, holding at most `max_pools` pools (default 1024). One more closes the idle connections of the pool that
    /// has been unused for the longest; what is in flight there goes on.
    pub fn with_max_pools(max_pools: NonZeroUsize) -> Self {
        Self { pools: Pools::new(max_pools) }
    }
}

impl Default for ReqwestTransport {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Transport for ReqwestTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let Request { method, url, mut headers, body, timeouts, pool } = request;
        let is_https = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(invalid(format!("scheme `{other}` is neither http nor https"))),
        };
        prepare(&mut headers, &method, body.is_empty());
        let client = self.pools.client(&pool, is_https).await?;

        let (body, taken) = SlicesBody::new(body, timeouts.head.is_some());
        let mut outgoing = reqwest::Request::new(method, url);
        *outgoing.headers_mut() = headers;
        *outgoing.body_mut() = Some(reqwest::Body::wrap(body));
        let exchange = client.execute(outgoing);
        let exchange = async move { exchange.await.map_err(|error| failure(error, is_https)) };
        let answer = match (timeouts.head, taken) {
            (Some(head), Some(taken)) => within_head(exchange, Taken::wait(taken), head).await?,
            _ => exchange.await?,
        };

        let (head, body) = http::Response::<reqwest::Body>::from(answer).into_parts();
        let body = ResponseBody::new(Limited::new(AnswerBody::new(body), timeouts.idle));
        Ok(Response::new(head.status, head.headers, body))
    }
}

/// Writes the headers that are the transport's, and marks those that are secret.
fn prepare(headers: &mut HeaderMap, method: &Method, is_empty: bool) {
    for ours in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(ours);
    }
    // RFC 9110 8.6: a method that expects content says 0 when there is none. hyper writes every other length.
    if is_empty && (method == Method::POST || method == Method::PUT || method == Method::PATCH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if !headers.contains_key(ACCEPT_ENCODING) {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    for (name, value) in headers.iter_mut() {
        if SENSITIVE.contains(name) {
            value.set_sensitive(true);
        }
    }
}

/// A request, or a pool, that cannot be used at all.
fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TransportError {
    TransportError::new(ErrorKind::InvalidRequest).with_source(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_marked_secret_and_other_headers_are_not() {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "api-key", "x-api-key", "content-type"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("value"));
        }
        prepare(&mut headers, &Method::POST, false);
        assert!(headers["authorization"].is_sensitive());
        assert!(headers["api-key"].is_sensitive());
        assert!(headers["x-api-key"].is_sensitive());
        assert!(!headers["content-type"].is_sensitive());
    }

    #[test]
    fn length_and_host_are_the_transports_to_write() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("elsewhere.example"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("99"));
        prepare(&mut headers, &Method::POST, true);
        assert!(!headers.contains_key(HOST));
        assert_eq!(headers[CONTENT_LENGTH], "0");
    }

    #[test]
    fn a_caller_may_ask_for_an_encoding() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        prepare(&mut headers, &Method::GET, true);
        assert_eq!(headers[ACCEPT_ENCODING], "gzip");
    }
}
