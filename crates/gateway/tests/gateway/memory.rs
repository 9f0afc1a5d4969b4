//! The memory bounds under load: thousands of bad callers at once, and what the process took for them at its highest.
//!
//! The bound is the formula of docs/operations.md, section 'Sizing'. Linux alone tells what a process took.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use sim::{Step, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::{Gateway, Reply, find, post, question, soon};

const CHAT: &str = "/v1/chat/completions";
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const MAX_BODY: u64 = MIB;
const MAX_BUFFERED: u64 = 16 * MIB;
const MAX_CONCURRENT: u64 = 64;
const MAX_CONNECTIONS: u64 = 400;
const SETTINGS: &str = "[server]\nmax_body = \"1MiB\"\nmax_held_answer = \"4MiB\"\nmax_buffered = \"16MiB\"\n\
                        max_concurrent = 64\nmax_connections = 400\n[timeouts]\nidle = \"10m\"\nfirst_token = \"10m\"\n\
                        answer = \"10m\"\n[hedge]\nenabled = false\n";

/// The formula: twice what is buffered, since a body that grows is copied; what each request has on its way in both
/// directions; what each connection has.
const BOUND: u64 = 2 * MAX_BUFFERED + MAX_CONCURRENT * 5 * MIB / 4 + MAX_CONNECTIONS * 64 * KIB;

/// The most memory that a process has had, in bytes.
fn most(gateway: &Gateway) -> u64 {
    let path = format!("/proc/{}/status", gateway.child.id().unwrap());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * KIB
}

/// What came back on a connection so far, if that is an answer.
async fn answer(stream: &mut TcpStream) -> Option<Reply> {
    let mut bytes = Vec::new();
    while !find(&bytes, b"\r\n\r\n")
        .is_some_and(|head| Reply::of(&bytes[..head + 4]).status == 200 || Reply::of(&bytes).whole)
    {
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return None;
        }
    }
    Some(Reply::of(&bytes))
}

/// Callers that send all of a body but its last byte, each of a megabyte, until they are told why not. Those that are not told
/// anything hold what there is to hold.
async fn big_bodies(gateway: &Gateway, count: usize) -> (Vec<TcpStream>, Vec<String>) {
    let body = format!(
        "{{\"model\":\"chat\",\"messages\":[],\"user\":\"{}\"}}",
        "x".repeat(usize::try_from(MAX_BODY).unwrap() - 4096)
    );
    let request = Bytes::from(post(CHAT, "", &body));
    let callers = (0..count).map(|_| {
        let request = request.slice(..request.len() - 1);
        async move {
            let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
            let told = async {
                // Who is refused may be reset before all is sent.
                drop(stream.write_all(&request).await);
                answer(&mut stream).await
            };
            let told = tokio::time::timeout(Duration::from_secs(2), told).await.ok().flatten();
            (stream, told.map(|reply| format!("{} {}", reply.status, reply.code())))
        }
    });
    let (streams, told): (Vec<_>, Vec<_>) = join_all(callers).await.into_iter().unzip();
    (streams, told.into_iter().flatten().collect())
}

/// Has both regions answer their next requests so.
fn answers(world: &World, count: usize, steps: &[Step]) {
    for region in ["us-east", "eu-west"] {
        for _ in 0..count {
            world.answer_next(region, steps.to_vec()).unwrap();
        }
    }
}

fn head(kind: &'static str) -> Step {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
    Step::Head { status: StatusCode::OK, headers }
}

/// Callers that ask and read nothing.
async fn deaf(gateway: &Gateway, count: usize, stream: bool) -> Vec<TcpStream> {
    let request = post(CHAT, "", &question(stream));
    let callers = (0..count).map(|_| async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(gateway.listen).await.unwrap();
        drop(stream.write_all(request.as_bytes()).await);
        stream
    });
    join_all(callers).await
}

/// Connections that say nothing, or half a head.
async fn silent(gateway: &Gateway, count: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for n in 0..count {
        let Ok(mut stream) = TcpStream::connect(gateway.listen).await else { continue };
        if n % 2 == 0 {
            drop(
                stream
                    .write_all(format!("POST {CHAT} HTTP/1.1\r\nx: {}", "x".repeat(16 << 10)).as_bytes())
                    .await,
            );
        }
        held.push(stream);
    }
    held
}

/// Waits until the process takes no more of what it is given, or for long enough.
async fn settled(gateway: &Gateway) {
    let mut before = 0;
    for _ in 0..20 {
        let now = most(gateway);
        if now == before {
            return;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// **Memory has a bound, whoever calls.** Fails if anything that a caller or a provider sends is held without being counted:
/// then the wave that sends it takes more than the formula allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_bad_callers_take_no_more_than_the_formula() {
    let gateway = Gateway::start(SETTINGS).await;
    assert_eq!(gateway.ask("").await.status, 200);
    let before = most(&gateway);

    // Bodies beyond the bound of one are refused unread; together they are refused when they hold too much.
    let large = post(CHAT, "", "{}").replace("content-length: 2", "content-length: 2000000");
    let told = crate::support::send(gateway.listen, &large).await;
    assert_eq!((told.status, told.code().as_str()), (413, "request_too_large"));
    let (held, told) = big_bodies(&gateway, 200).await;
    assert!(told.len() >= 100, "{} of 200 were told", told.len());
    assert!(told.iter().all(|told| told == "503 overloaded"), "{told:?}");
    let bodies = most(&gateway) - before;
    drop(held);
    soon(async { while gateway.ask("").await.status != 200 {} }).await;

    // Plain answers that do not end, of callers that do not read: what cannot be held flows, and stands still.
    let chunk = Bytes::from(vec![b' '; 3 << 20]);
    answers(gateway.world(), 64, &[head("application/json"), Step::Chunk(chunk), Step::Hold]);
    let held = deaf(&gateway, 200, false).await;
    settled(&gateway).await;
    let answers_held = most(&gateway) - before;
    drop(held);
    gateway.world().forget_answers();
    soon(async { while gateway.ask("").await.status != 200 {} }).await;

    // Streams without end, of callers that do not read.
    let frame = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
        "x".repeat(60_000)
    );
    answers(
        gateway.world(),
        64,
        &[head("text/event-stream"), Step::Repeat { every: Duration::ZERO, bytes: frame.into() }],
    );
    let held = deaf(&gateway, 200, true).await;
    settled(&gateway).await;
    let streams = most(&gateway) - before;
    drop(held);
    gateway.world().forget_answers();
    soon(async { while gateway.ask("").await.status != 200 {} }).await;

    // Connections that say nothing, or half a head.
    let held = silent(&gateway, 3000).await;
    settled(&gateway).await;
    let connections = most(&gateway) - before;
    assert_eq!(gateway.operate("GET", "/readyz", "").await.status, 200);
    drop(held);

    let report = format!(
        "MiB above the {} of the start: bodies {}, answers {}, streams {}, connections {}; bound {}",
        before / MIB,
        bodies / MIB,
        answers_held / MIB,
        streams / MIB,
        connections / MIB,
        BOUND / MIB,
    );
    println!("{report}");
    assert!(connections <= BOUND, "{report}");
    soon(async { while gateway.ask("").await.status != 200 {} }).await;
}
