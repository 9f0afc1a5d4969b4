//! A collector of OpenTelemetry, small enough to be read: OTLP over HTTP/1.1, in protobuf.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{find, soon};

pub(super) const SERVER: u64 = 2;
pub(super) const CLIENT: u64 = 3;

/// A span, as far as the tests look at it. Ids are written in hex.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) trace: String,
    pub(super) span: String,
    pub(super) parent: String,
    pub(super) name: String,
    pub(super) kind: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    attributes: BTreeMap<String, String>,
    pub(super) is_error: bool,
}

impl Span {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// Spans, what the exporter says of itself, and all bytes as they came.
type Seen = Arc<Mutex<(Vec<Span>, BTreeMap<String, String>, Vec<u8>)>>;

/// Takes what it is sent.
pub(super) struct Collector {
    pub(super) address: SocketAddr,
    seen: Seen,
}

impl Collector {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Seen::default());
        let book = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&book)));
            }
        });
        Self { address, seen }
    }

    /// An address where nobody is.
    pub(super) async fn gone() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { address: listener.local_addr().unwrap(), seen: Seen::default() }
    }

    /// All spans so far, once there are as many.
    pub(super) async fn spans(&self, count: usize) -> Vec<Span> {
        soon(async {
            loop {
                let spans = self.seen.lock().unwrap().0.clone();
                if spans.len() >= count {
                    return spans;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// Whether it was sent this, wherever.
    pub(super) fn has_seen(&self, what: &str) -> bool {
        find(&self.seen.lock().unwrap().2, what.as_bytes()).is_some()
    }

    /// What the exporter says of itself.
    pub(super) fn resource(&self, name: &str) -> Option<String> {
        self.seen.lock().unwrap().1.get(name).cloned()
    }
}

/// One connection: request after request.
async fn serve(mut stream: TcpStream, seen: Seen) {
    let mut bytes = Vec::new();
    loop {
        let Some(split) = find(&bytes, b"\r\n\r\n") else {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..split]).to_lowercase();
        assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let end = split + 4 + length.trim().parse::<usize>().unwrap();
        while bytes.len() < end {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "a whole body comes");
        }
        take(&bytes[split + 4..end], &seen);
        bytes.drain(..end);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    }
}

/// Reads an `ExportTraceServiceRequest`.
fn take(body: &[u8], seen: &Seen) {
    let mut seen = seen.lock().unwrap();
    seen.2.extend_from_slice(body);
    for resource_spans in fields(body, 1) {
        for resource in fields(resource_spans.bytes(), 1) {
            seen.1.extend(attributes(resource.bytes(), 1));
        }
        for scope_spans in fields(resource_spans.bytes(), 2) {
            seen.0.extend(fields(scope_spans.bytes(), 2).into_iter().map(|span| span_of(span.bytes())));
        }
    }
}

fn span_of(bytes: &[u8]) -> Span {
    let one = |number| fields(bytes, number).pop();
    let hex = |number| {
        let bytes = one(number).map_or(&[][..], |field| field.bytes());
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let number = |field| one(field).map_or(0, |field| field.number());
    let status = one(15).and_then(|status| fields(status.bytes(), 3).pop()).map_or(0, |code| code.number());
    Span {
        trace: hex(1),
        span: hex(2),
        parent: hex(4),
        name: one(5).unwrap().text(),
        kind: number(6),
        start: number(7),
        end: number(8),
        attributes: attributes(bytes, 9),
        is_error: status == 2,
    }
}

/// The attributes of a message, their values as text.
fn attributes(bytes: &[u8], number: u64) -> BTreeMap<String, String> {
    let pair = |pair: Field<'_>| {
        let key = fields(pair.bytes(), 1).pop().unwrap().text();
        let value = fields(pair.bytes(), 2).pop().unwrap();
        let text = match (1..=4).find_map(|kind| Some((kind, fields(value.bytes(), kind).pop()?))) {
            Some((1, text)) => text.text(),
            Some((4, double)) => f64::from_bits(double.number()).to_string(),
            Some((_, number)) => number.number().to_string(),
            None => String::new(),
        };
        (key, text)
    };
    fields(bytes, number).into_iter().map(pair).collect()
}

/// A field of a protobuf message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(&self) -> &'a [u8] {
        let Self::Bytes(bytes) = self else { panic!("a number where bytes are due") };
        bytes
    }

    fn number(&self) -> u64 {
        let Self::Number(number) = self else { panic!("bytes where a number is due") };
        *number
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }
}

/// All fields of that number.
fn fields(mut bytes: &[u8], wanted: u64) -> Vec<Field<'_>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(take_bytes(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).unwrap();
                Field::Bytes(take_bytes(&mut bytes, length))
            }
            5 => Field::Number(u64::from(u32::from_le_bytes(take_bytes(&mut bytes, 4).try_into().unwrap()))),
            other => panic!("no such wire type: {other}"),
        };
        if tag >> 3 == wanted {
            found.push(field);
        }
    }
    found
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_bytes(bytes, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

fn take_bytes<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}
