//! What reqwest's error means: found by walking its sources, since its own words are only `connect` and `request`.

use std::{error::Error, io};

use crate::{ErrorKind, Phase, Sent, TransportError};

/// The error of an exchange that got no head. The URL is taken out of the source: a query may hold a key.
pub(super) fn failure(error: reqwest::Error, is_https: bool) -> TransportError {
    let error = error.without_url();
    let (kind, sent) = if error.is_builder() {
        (ErrorKind::InvalidRequest, Sent::No)
    } else if error.is_connect() {
        (while_connecting(&error, is_https), Sent::No)
    } else {
        while_waiting(&error)
    };
    TransportError::new(kind).with_sent(sent).with_source(error)
}

fn while_connecting(error: &reqwest::Error, is_https: bool) -> ErrorKind {
    if error.is_timeout() {
        return ErrorKind::Timeout(Phase::Connect);
    }
    if error.is_dns() {
        return ErrorKind::Dns;
    }
    if find::<rustls::Error>(error).is_some() {
        return ErrorKind::Tls;
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        // TCP was up, so what broke was the handshake on it.
        Some(
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData,
        ) if is_https => ErrorKind::Tls,
        // Unreachable hosts, missing routes, a proxy that will not tunnel: nobody there to talk to.
        _ => ErrorKind::Refused,
    }
}

fn while_waiting(error: &reqwest::Error) -> (ErrorKind, Sent) {
    // RFC 9113 8.7: a refused stream was not processed, and the peer vouches for it.
    if let Some(error) = find::<h2::Error>(error)
        && error.is_remote()
        && error.is_reset()
        && error.reason() == Some(h2::Reason::REFUSED_STREAM)
    {
        return (ErrorKind::Reset, Sent::No);
    }
    match find::<hyper::Error>(error) {
        // hyper's word for a request that it never began to write.
        Some(error) if error.is_canceled() => (ErrorKind::Reset, Sent::No),
        Some(error) if error.is_parse() => (ErrorKind::Protocol, Sent::Maybe),
        _ => (ErrorKind::Reset, Sent::Maybe),
    }
}

/// The outermost `T` among `error`'s sources. An `io::Error` hides what it wraps from `source`, so it is opened.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
