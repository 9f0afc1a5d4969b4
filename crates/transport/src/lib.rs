//! One async HTTP trait for clients that must not fail, and its reqwest implementation.
//!
//! A [`Transport`] sends one [`Request`] once and hands back one [`Response`] whose body is polled. It knows nothing of
//! AI, and it decides nothing: no retries of its own, no redirects, no total timeout, no decompression. Whoever holds a
//! deadline drops the future or the body, and the upstream connection is given up at once.
//!
//! An error says whether any byte of the request may have left ([`Sent`]), because that is what decides whether trying
//! elsewhere can be billed twice.
//!
//! ```
//! use std::sync::Arc;
//! use outrigger_transport::{Pool, Request, Sent, Transport, TransportError};
//!
//! /// Sends to the first host, and to the second when the first surely saw nothing.
//! async fn either(transport: &dyn Transport, urls: [url::Url; 2]) -> Result<u16, TransportError> {
//!     let [first, second] = urls;
//!     let mut request = Request::new(http::Method::POST, first, Arc::new(Pool::new("example")));
//!     request.body = r#"{"model":"m"}"#.into();
//!     match transport.send(request.clone()).await {
//!         Err(error) if error.sent() == Sent::No => {
//!             request.url = second;
//!             Ok(transport.send(request).await?.status.as_u16())
//!         }
//!         result => Ok(result?.status.as_u16()),
//!     }
//! }
//! ```
//!
//! # Grammar
//! Plain data goes in ([`Request`], [`Pool`], [`Timeouts`]: public fields, set after `new`) and comes out ([`Response`]).
//! Getters are nouns ([`kind`](TransportError::kind), [`sent`](TransportError::sent)), `with_*` returns the same with one
//! thing changed, [`send`](Transport::send) is the only command, and [`chunk`](ResponseBody::chunk) reads on.
//!
//! # What is left out
//! Cookies, uploads that are not known in full, trailers, upgrades: a client of JSON interfaces has no use for them.
//!
//! # Features
//! - `reqwest` (default): `ReqwestTransport`, over HTTP/1.1 and HTTP/2, with rustls.
//! - `testing`: `MemoryTransport`, a transport that is a function, and `conformance`, the suite that every implementation
//!   must pass.

#[cfg(feature = "testing")]
pub mod conformance;
mod error;
#[cfg(any(feature = "reqwest", feature = "testing"))]
mod limits;
#[cfg(feature = "testing")]
mod memory;
mod request;
#[cfg(feature = "reqwest")]
mod reqwest_transport;
mod response;
mod transport;

pub use error::{ErrorKind, Phase, Sent, TransportError};
#[cfg(feature = "testing")]
pub use memory::MemoryTransport;
pub use request::{Body, Pool, Request, Timeouts};
#[cfg(feature = "reqwest")]
pub use reqwest_transport::ReqwestTransport;
pub use response::{Response, ResponseBody};
pub use transport::Transport;

#[cfg(all(doctest, feature = "reqwest"))]
#[doc = include_str!("../README.md")]
struct Readme;
