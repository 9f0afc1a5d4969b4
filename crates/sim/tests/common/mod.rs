//! Two callers that ask the same: one of the in-memory transport, one of a socket, byte by byte.
#![expect(dead_code, reason = "each test binary uses a part of it")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use outrigger_sim::{Outcome, Received, Region, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use transport::{ErrorKind, Pool, Request, Transport};

/// The region of every test that needs only one.
pub(crate) const REGION: &str = "us-east";

/// A world of one healthy region.
pub(crate) fn world() -> World {
    World::builder().seed(7).region(Region::new(REGION)).build().unwrap()
}

/// A POST to one of the provider's paths.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) path: &'static str,
    pub(crate) body: String,
}

pub(crate) fn chat(stream: bool) -> Post {
    let body =
        format!(r#"{{"model":"gpt-4.1","stream":{stream},"messages":[{{"role":"user","content":"ahoy"}}]}}"#);
    Post { path: "/chat/completions", body }
}

pub(crate) fn message(stream: bool) -> Post {
    let body = format!(
        r#"{{"model":"claude-sonnet-4-5","max_tokens":100,"stream":{stream},"messages":[{{"role":"user","content":"ahoy"}}]}}"#
    );
    Post { path: "/messages", body }
}

pub(crate) fn response(stream: bool) -> Post {
    let body = format!(r#"{{"model":"gpt-4.1","stream":{stream},"input":"ahoy"}}"#);
    Post { path: "/responses", body }
}

pub(crate) fn completion(stream: bool) -> Post {
    Post { path: "/completions", body: format!(r#"{{"model":"m","stream":{stream},"prompt":"ahoy"}}"#) }
}

/// A chat by Azure's classic path.
pub(crate) fn azure(stream: bool) -> Post {
    Post { path: "/openai/deployments/own-name/chat/completions?api-version=2024-10-21", ..chat(stream) }
}

/// The same conversation, ended by an assistant's message that is to be continued.
pub(crate) fn prefilled(post: Post) -> Post {
    let body = post.body.replace("\"ahoy\"}", "\"ahoy\"},{\"role\":\"assistant\",\"content\":\"\"}");
    Post { body, ..post }
}

/// How an exchange ended for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    Cut,
    Reset,
    Refused,
    /// The caller left, having waited in vain.
    Held,
}

/// What a caller saw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) end: End,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    fn nothing(end: End) -> Self {
        Self { end, status: 0, headers: HeaderMap::new(), body: Vec::new() }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// The path and query of a post: Azure's as they are, the others below `/v1`.
fn target(post: &Post) -> String {
    let root = if post.path.starts_with("/openai/") { "" } else { "/v1" };
    format!("{root}{}", post.path)
}

pub(crate) fn request(world: &World, region: &str, post: &Post) -> Request {
    let mut url = world.base_url(region).unwrap();
    url = url.join(&target(post)).unwrap();
    let mut request = Request::new(Method::POST, url, Arc::new(Pool::new(region)));
    request.headers.insert("content-type", HeaderValue::from_static("application/json"));
    request.body = post.body.clone().into_bytes().into();
    request.timeouts.head = Some(Duration::from_secs(60));
    request.timeouts.idle = Some(Duration::from_secs(60));
    request
}

/// Asks in memory; leaves after a minute of silence, or with this many bytes of a body.
pub(crate) async fn in_memory(world: &World, post: &Post, enough: usize) -> Seen {
    let response = match world.transport().send(request(world, REGION, post)).await {
        Ok(response) => response,
        Err(error) => {
            return Seen::nothing(match error.kind() {
                ErrorKind::Refused => End::Refused,
                ErrorKind::Reset => End::Reset,
                ErrorKind::Timeout(_) => End::Held,
                other => panic!("{other}"),
            });
        }
    };
    let mut seen =
        Seen { status: response.status.as_u16(), headers: response.headers, ..Seen::nothing(End::Whole) };
    let mut body = response.body;
    while seen.body.len() < enough {
        match body.chunk().await {
            Some(Ok(bytes)) => seen.body.extend_from_slice(&bytes),
            Some(Err(error)) if error.kind() == ErrorKind::Cut => return Seen { end: End::Cut, ..seen },
            Some(Err(_)) => return Seen { end: End::Held, ..seen },
            None => return seen,
        }
    }
    Seen { end: End::Held, ..seen }
}

/// Asks on a socket. `hold` is the length of the body after which nothing more is to come.
pub(crate) async fn on_socket(world: &World, addr: SocketAddr, post: &Post, hold: Option<usize>) -> Seen {
    let Ok(mut stream) = TcpStream::connect(addr).await else { return Seen::nothing(End::Refused) };
    let head = format!("POST {} HTTP/1.1\r\nhost: sim\r\ncontent-type: application/json\r\n", target(post));
    let request = format!("{head}content-length: {}\r\n\r\n{}", post.body.len(), post.body);
    stream.write_all(request.as_bytes()).await.unwrap();
    if hold.is_some() {
        until(world, |line| line.outcome == Outcome::Held).await;
    }
    let mut raw = Vec::new();
    loop {
        if let Some(mut seen) = parse(&raw) {
            if seen.end == End::Whole {
                return seen;
            }
            if hold.is_some_and(|enough| seen.body.len() >= enough) {
                drop(stream);
                until(world, |line| line.cancelled_by_caller).await;
                seen.end = End::Held;
                return seen;
            }
        } else if hold == Some(0) {
            drop(stream);
            until(world, |line| line.cancelled_by_caller).await;
            return Seen::nothing(End::Held);
        }
        match stream.read_buf(&mut raw).await {
            Ok(0) => return parse(&raw).expect("closed before a head"), // still marked as cut
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Seen::nothing(End::Reset),
            Err(error) => panic!("{error}"),
        }
    }
}

/// What has come so far, `Cut` unless it is whole; `None` before the head is there.
fn parse(raw: &[u8]) -> Option<Seen> {
    let split = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&raw[..split]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.insert(name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
    }
    let rest = &raw[split + 4..];
    let (body, whole) = if headers.remove("transfer-encoding").is_some() {
        dechunk(rest)
    } else {
        let length =
            headers.get("content-length").map_or(0, |length| length.to_str().unwrap().parse().unwrap());
        (rest.to_vec(), rest.len() == length)
    };
    Some(Seen { end: if whole { End::Whole } else { End::Cut }, status, headers, body })
}

fn dechunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        let Some(chunk) = rest.get(line + 2..line + 2 + length) else { break };
        body.extend_from_slice(chunk);
        if length == 0 {
            return (body, true);
        }
        let Some(next) = rest.get(line + 2 + length + 2..) else { break };
        rest = next;
    }
    (body, false)
}

/// Waits, in virtual time, until the newest line of the log is so.
pub(crate) async fn until(world: &World, holds: impl Fn(&Received) -> bool) {
    for _ in 0..100_000 {
        if world.received(REGION).unwrap().last().is_some_and(&holds) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never so: {:?}", world.received(REGION).unwrap().last());
}

/// The texts of a stream's content deltas, put together.
pub(crate) fn deltas(stream: &str) -> String {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let frames = data.filter_map(|data| serde_json::from_str::<serde_json::Value>(data).ok());
    frames
        .filter_map(|frame| {
            let openai = frame["choices"][0]["delta"]["content"].as_str();
            let response = frame["delta"].as_str().or_else(|| frame["choices"][0]["text"].as_str());
            openai.or_else(|| frame["delta"]["text"].as_str()).or(response).map(str::to_owned)
        })
        .collect()
}
