//! One async HTTP trait for clients that must not fail, and its reqwest implementation.
//!
//! A [`Transport`] sends one [`Request`] once and hands back one [`Response`] whose body is polled. It knows nothing of
//! AI, and it decides nothing: no retries of its own, no redirects, no total timeout, no decompression. Whoever holds a
//! deadline drops the future or the body, and the upstream connection is given up at once.
//!
//! An error says whether any byte of the request may have left ([`Sent`]), because that is what decides whether trying
//! elsewhere can be billed twice.

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
