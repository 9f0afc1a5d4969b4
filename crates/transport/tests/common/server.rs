//! An upstream on a loopback socket that writes its own bytes, so that it can do what no HTTP server would.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use outrigger_transport::conformance::{Answer, Ending, Next, Received, Upstream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use url::Url;

use crate::common::Log;

static CHUNK: [u8; 64 << 10] = [b'x'; 64 << 10];
/// A writer that waits this long for room has a reader that does not read.
const BLOCKED: Duration = Duration::from_millis(100);

/// The other end of a transport that uses sockets.
pub(crate) struct Loopback {
    log: Arc<Log>,
    url: Url,
    refusing: Url,
}

impl Loopback {
    /// Listens on a free port until the runtime ends.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = url_of(&listener);
        let log = Arc::new(Log::default());
        tokio::spawn(accept(listener, Arc::clone(&log)));
        Self { log, url, refusing: refusing_url().await }
    }
}

#[async_trait]
impl Upstream for Loopback {
    fn url(&self) -> Url {
        self.url.clone()
    }

    fn refusing_url(&self) -> Url {
        self.refusing.clone()
    }

    fn prepare(&self, next: Next) {
        self.log.prepare(next);
    }

    async fn received(&self) -> Received {
        self.log.received().await
    }

    fn waiting(&self) -> usize {
        self.log.waiting()
    }

    async fn hung_up(&self) {
        self.log.hung_up().await;
    }

    async fn held_back(&self, limit: u64) -> u64 {
        while self.log.written() < limit {
            if timeout(BLOCKED, self.log.more.notified()).await.is_err() {
                break;
            }
        }
        self.log.written()
    }
}

/// The address of a listener.
pub(crate) fn url_of(listener: &TcpListener) -> Url {
    Url::parse(&format!("http://{}/", listener.local_addr().expect("bound"))).expect("a url")
}

/// A port that was free a moment ago.
pub(crate) async fn refusing_url() -> Url {
    url_of(&TcpListener::bind("127.0.0.1:0").await.expect("loopback"))
}

async fn accept(listener: TcpListener, log: Arc<Log>) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(serve(socket, Arc::clone(&log)));
    }
}

async fn serve(mut socket: TcpStream, log: Arc<Log>) {
    let mut buffer = BytesMut::new();
    while let Some(request) = read_request(&mut socket, &mut buffer).await {
        log.receive(request);
        match log.next() {
            Next::Answer(answer) => {
                if !reply(&mut socket, answer, &log).await {
                    return;
                }
            }
            Next::Reset => {
                // Closing with no lingering turns the close into a RST.
                socket.set_zero_linger().expect("a fresh socket");
                return;
            }
            Next::Nonsense => {
                let _sent = socket.write_all(b"220 mail.test ESMTP ready\r\n").await;
                return;
            }
            _ => return until_hang_up(&mut socket, &log).await,
        }
    }
}

/// Writes an answer; tells whether the connection can go on.
async fn reply(socket: &mut TcpStream, answer: Answer, log: &Log) -> bool {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status.as_u16());
    for (name, value) in &answer.headers {
        head += &format!("{name}: {}\r\n", value.to_str().expect("plain text"));
    }
    head += "transfer-encoding: chunked\r\n\r\n";
    let mut bytes = head.into_bytes();
    for chunk in &answer.chunks {
        push_chunk(&mut bytes, chunk);
    }
    if answer.ending == Ending::Whole {
        bytes.extend_from_slice(b"0\r\n\r\n");
    }
    if socket.write_all(&bytes).await.is_err() {
        return false;
    }
    match answer.ending {
        Ending::Whole => return true,
        Ending::Stall => until_hang_up(socket, log).await,
        Ending::Endless => pour(socket, log).await,
        _ => {}
    }
    false
}

fn push_chunk(bytes: &mut Vec<u8>, chunk: &[u8]) {
    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
    bytes.extend_from_slice(chunk);
    bytes.extend_from_slice(b"\r\n");
}

/// Writes until the peer is gone.
async fn pour(socket: &mut TcpStream, log: &Log) {
    let mut bytes = Vec::new();
    push_chunk(&mut bytes, &CHUNK);
    while socket.write_all(&bytes).await.is_ok() {
        log.wrote(CHUNK.len() as u64);
    }
    log.hang_up();
}

async fn until_hang_up(socket: &mut TcpStream, log: &Log) {
    while let Ok(1..) = socket.read(&mut [0; 1024]).await {}
    log.hang_up();
}

/// The next request on a connection, or none when the peer is done with it.
pub(crate) async fn read_request(socket: &mut TcpStream, buffer: &mut BytesMut) -> Option<Received> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer.split_to(end).to_vec()).expect("a head in ASCII");
    buffer.advance(4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().expect("a request line").split(' ');
    let method: Method = first.next().expect("a method").parse().expect("a method");
    let target = first.next().expect("a target").to_owned();
    let headers: HeaderMap = lines
        .map(|line| line.split_once(": ").expect("a header"))
        .map(|(name, value)| (name.parse::<HeaderName>().expect("a name"), value))
        .map(|(name, value)| (name, HeaderValue::from_str(value).expect("a value")))
        .collect();
    assert!(!headers.contains_key("transfer-encoding"), "a body of known length is sent with its length");
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.to_str().expect("digits").parse::<usize>().expect("a number"));
    while buffer.len() < length {
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body: Bytes = buffer.split_to(length).freeze();
    Some(Received::new(method, target, headers, body))
}
