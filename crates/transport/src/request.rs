//! What goes out: a URL, headers, a body of a few shared slices, and the pool to send it through.

use std::{fmt, num::NonZeroU16, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method};
use url::Url;

/// One HTTP request. Cloning it copies no body bytes, so a retry replays it for free.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The whole URL, `http` or `https`.
    pub url: Url,
    /// The headers. `host` and `content-length` are the transport's to write.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Body,
    /// Limits by phase; none by default.
    pub timeouts: Timeouts,
    /// The connections to use. Requests of one pool share connections, requests of two pools never do.
    pub pool: Arc<Pool>,
}

impl Request {
    /// A request without headers, body or limits.
    pub fn new(method: Method, url: Url, pool: Arc<Pool>) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Body::default(),
            timeouts: Timeouts::default(),
            pool,
        }
    }
}

/// Limits by phase. What is `None` has no limit here; there is no total limit, since only the caller knows its deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From the last byte of the request to the head of the answer.
    pub head: Option<Duration>,
    /// The longest silence between two pieces of the answer's body.
    pub idle: Option<Duration>,
}

/// The connections to one endpoint, described. Two equal pools are one pool.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Pool {
    /// A name for logs and errors, and a part of the identity: `provider/region`.
    pub name: String,
    /// The longest that a connection may take to be made, name look-up and TLS included. Default 2 s.
    pub connect_timeout: Duration,
    /// How many HTTP/2 connections to spread over; an HTTP/1.1 pool grows as it must. Default 1.
    pub connections: NonZeroU16,
    /// PEM file of certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Which content of `ca_file` is meant. The file is read when the pool is made, so one that was written anew is another pool's, by
    /// another number here.
    pub ca_edition: u64,
    /// Proxy to go through. Absent: a direct connection, whatever the environment says.
    pub proxy: Option<Url>,
}

/// Without the proxy's user and password.
impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.name)
            .field("connect_timeout", &self.connect_timeout)
            .field("connections", &self.connections)
            .field("ca_file", &self.ca_file)
            .field("ca_edition", &self.ca_edition)
            .field("proxy", &self.proxy.as_ref().and_then(Url::host_str))
            .finish()
    }
}

impl Pool {
    /// A pool with the defaults above.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            connect_timeout: Duration::from_secs(2),
            connections: NonZeroU16::MIN,
            ca_file: None,
            ca_edition: 0,
            proxy: None,
        }
    }
}

/// A request body: a few shared slices, sent one after the other. Replacing one (the model's name) copies nothing.
#[derive(Clone, Debug, Default)]
pub struct Body {
    slices: Vec<Bytes>,
}

impl Body {
    /// A body of these slices, in this order.
    pub fn from_slices(slices: impl IntoIterator<Item = Bytes>) -> Self {
        Self { slices: slices.into_iter().filter(|slice| !slice.is_empty()).collect() }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.slices.iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// The slices.
    pub fn slices(&self) -> &[Bytes] {
        &self.slices
    }

    /// The slices, by value.
    pub fn into_slices(self) -> Vec<Bytes> {
        self.slices
    }

    /// One contiguous copy; free when there is a single slice.
    pub fn to_bytes(&self) -> Bytes {
        match self.slices.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => many.concat().into(),
        }
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::from_slices([bytes.into()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_password_is_not_shown() {
        let mut pool = Pool::new("holysheep/us-east");
        pool.proxy = Some("http://user:hunter2@proxy.example:3128".parse().unwrap());
        let shown = format!("{pool:?}");
        assert!(shown.contains("proxy.example") && !shown.contains("hunter2"), "{shown}");
    }
}
