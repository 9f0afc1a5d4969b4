//! One async HTTP trait for clients that must not fail, and its reqwest implementation.
//!
//! A [`Transport`] sends one [`Request`] once and hands back one [`Response`] whose body is polled. It knows nothing of
//! AI, and it decides nothing: no retries of its own, no redirects, no total timeout, no decompression. Whoever holds a
//! deadline drops the future or the body, and the upstream connection is given up at once.
//!
//! An error says whether any byte of the request may have left ([`Sent`]), because that is what decides whether trying
//! elsewhere can be billed twice.

mod error;
mod request;
mod response;
mod transport;

pub use error::{ErrorKind, Phase, Sent, TransportError};
pub use request::{Body, Pool, Request, Timeouts};
pub use response::{Response, ResponseBody};
pub use transport::Transport;
