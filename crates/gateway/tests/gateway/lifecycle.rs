//! From the start to the end: both protocols, draining, exit codes.

use std::{process::Stdio, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sim::{Fault, LAST_WORD, When};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Command,
};

use crate::{
    commands::{SOUND, run},
    support::{Gateway, Reply, announced, file, find, outrigger, post, question, soon, two_regions},
};

const CHAT: &str = "/v1/chat/completions";

/// **One variable says where operators come in and where to ask.** Fails if the URL that `explain` takes keeps `serve` from starting.
#[tokio::test]
async fn an_address_may_be_the_url_that_it_makes() {
    let config = file(SOUND);
    let mut child = outrigger()
        .args(["serve", "--listen", "http://127.0.0.1:0/", "--config"])
        .arg(config)
        .env("OUTRIGGER_ADMIN", "http://127.0.0.1:0")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    announced(&mut log, "listening").await;
    let admin = format!("http://{}", announced(&mut log, "admin").await);
    let explained = soon(outrigger().args(["explain", "chat"]).env("OUTRIGGER_ADMIN", admin).output()).await;
    assert!(explained.unwrap().status.success());
    soon(child.kill()).await.unwrap();
    for wrong in ["https://127.0.0.1:0", "http://127.0.0.1:0/path", "127.0.0.1"] {
        let told = run(&["sim", "--admin", wrong]).await;
        assert!(
            told.code == Some(2) && told.err.contains("no address with its port"),
            "{wrong}: {}",
            told.err
        );
    }
}

#[tokio::test]
async fn http_2_without_tls_is_spoken_too() {
    let gateway = Gateway::start("").await;
    let stream = TcpStream::connect(gateway.listen).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for stream in [false, true] {
        let request = http::Request::post(format!("http://localhost{CHAT}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(question(stream))))
            .unwrap();
        let response = soon(sender.send_request(request)).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.headers().contains_key("x-outrigger-region"));
        let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
        assert!(find(&body, LAST_WORD.as_bytes()).is_some());
    }
}

/// **HTTP/2: the frame, then a reset of that stream alone.** Fails if the reset overtakes the frame before it, if the end looks clean, or if
/// the connection goes with it.
#[tokio::test]
async fn a_cut_stream_over_http_2_gives_its_error_frame_and_a_reset() {
    let gateway = Gateway::start("[routing]\nrescue_streams = false").await;
    gateway.world().inject("us-east", Fault::Cut { after: 5 }, When::always().first(1)).unwrap();
    let stream = TcpStream::connect(gateway.listen).await.unwrap();
    let (sender, connection) = soon(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut sender = soon(sender.ready()).await.unwrap();
    for is_cut in [true, false] {
        let request = http::Request::post(format!("http://localhost{CHAT}"))
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        let (response, mut body) = sender.send_request(request, false).unwrap();
        body.send_data(question(true).into(), true).unwrap();
        let mut body = soon(response).await.unwrap().into_body();
        let mut bytes = Vec::new();
        let ended = loop {
            match soon(body.data()).await {
                Some(Ok(data)) => bytes.extend_from_slice(&data),
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        assert_eq!(find(&bytes, b"answer_truncated").is_some(), is_cut);
        match ended {
            Some(error) => assert!(is_cut && error.is_reset() && error.is_remote(), "{error:?}"),
            None => assert!(!is_cut, "the stream is reset, not ended"),
        }
        sender = soon(sender.ready()).await.expect("the connection lives");
    }
}

/// Begins a stream and reads until its first content.
async fn begin_stream(gateway: &Gateway) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(post(CHAT, "", &question(true)).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while find(&bytes, b"\"content\"").is_none() {
        assert_ne!(soon(stream.read_buf(&mut bytes)).await.unwrap(), 0);
    }
    (stream, bytes)
}

#[tokio::test]
async fn a_draining_gateway_lets_streams_finish_and_ends_well() {
    let slow = Fault::SlowTokens { delay: Duration::from_millis(30) };
    let mut gateway = Gateway::before(two_regions(), "").await;
    gateway.world().inject("us-east", slow, When::always()).unwrap();
    let (mut stream, mut bytes) = begin_stream(&gateway).await;
    gateway.terminate();
    soon(async { while gateway.operate("GET", "/readyz", "").await.status != 503 {} }).await;
    assert_eq!(gateway.operate("GET", "/status", "").await.json()["draining"], true);
    soon(async { while TcpStream::connect(gateway.listen).await.is_ok() {} }).await;
    soon(stream.read_to_end(&mut bytes)).await.unwrap();
    let reply = Reply::of(&bytes);
    assert!(reply.whole && reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
    assert_eq!(soon(gateway.child.wait()).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_told_and_broken_off() {
    let mut gateway = Gateway::start("[server]\ndrain = \"50ms\"").await;
    gateway.world().inject("us-east", Fault::Stall { after: 3 }, When::always()).unwrap();
    let (mut stream, mut bytes) = begin_stream(&gateway).await;
    gateway.world().inject("us-east", Fault::Silent, When::always()).unwrap();
    gateway.terminate();
    drop(soon(stream.read_to_end(&mut bytes)).await);
    let reply = Reply::of(&bytes);
    assert!(!reply.whole && reply.text().contains("\"code\":\"draining\""), "{}", reply.text());
    assert_eq!(soon(gateway.child.wait()).await.unwrap().code(), Some(0));
}

/// **Nothing new is taken on, by no way.** Fails if a connection that is there already brings its requests in, or is left to
/// find out by itself that nobody answers.
#[tokio::test]
async fn a_draining_gateway_ends_resting_connections_and_refuses_what_is_still_coming_in() {
    let mut gateway = Gateway::start("").await;
    gateway.world().inject("us-east", Fault::Stall { after: 3 }, When::always()).unwrap();
    // The stream that is waited for.
    let (stream, _) = begin_stream(&gateway).await;
    let mut resting = TcpStream::connect(gateway.listen).await.unwrap();
    resting.write_all(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    while find(&bytes, b"]}").is_none() {
        assert_ne!(soon(resting.read_buf(&mut bytes)).await.unwrap(), 0);
    }
    let mut coming = TcpStream::connect(gateway.listen).await.unwrap();
    let request = post(CHAT, "", &question(false)).replace("connection: close\r\n", "");
    coming.write_all(&request.as_bytes()[..request.len() - 1]).await.unwrap();
    // It is being read when another connection has been served after it.
    gateway.get("/v1/models").await;
    gateway.terminate();
    assert_eq!(soon(resting.read(&mut [0; 64])).await.unwrap(), 0, "it is closed");
    bytes.clear();
    soon(coming.read_to_end(&mut bytes)).await.unwrap();
    let reply = Reply::of(&bytes);
    assert_eq!((reply.status, reply.code().as_str()), (503, "draining"));
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!((reply.header("x-should-retry"), reply.header("retry-after")), (Some("true"), Some("1")));
    assert_eq!(gateway.operate("GET", "/healthz", "").await.status, 200, "the process lives on");
    drop(stream);
    assert_eq!(soon(gateway.child.wait()).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_plain_request_that_cannot_finish_is_sent_elsewhere() {
    let mut gateway = Gateway::start("[server]\ndrain = \"50ms\"").await;
    gateway.world().inject("us-east", Fault::Silent, When::always()).unwrap();
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(post(CHAT, "", &question(false)).as_bytes()).await.unwrap();
    soon(async {
        while gateway.world().count("us-east").unwrap() == 0 {
            gateway.get("/v1/models").await;
        }
    })
    .await;
    gateway.terminate();
    let mut bytes = Vec::new();
    drop(soon(stream.read_to_end(&mut bytes)).await);
    let reply = Reply::of(&bytes);
    assert_eq!((reply.status, reply.code().as_str()), (503, "draining"));
    assert_eq!((reply.header("x-should-retry"), reply.header("retry-after")), (Some("true"), Some("1")));
    assert_eq!(soon(gateway.child.wait()).await.unwrap().code(), Some(0));
}

/// **Who asks nothing holds up nothing.** Fails if the end waits, for all of the time to drain, for half a head or for a peer of HTTP/2 that
/// takes no leave.
#[tokio::test]
async fn a_draining_gateway_does_not_wait_for_who_asks_nothing() {
    let mut gateway = Gateway::start("[server]\ndrain = \"1h\"\nheader_timeout = \"1h\"").await;
    let half = b"GET /v1/mod";
    let mut fresh = TcpStream::connect(gateway.listen).await.unwrap();
    fresh.write_all(half).await.unwrap();
    let mut rested = crate::bounds::resting(&gateway).await;
    rested.write_all(half).await.unwrap();
    let mut silent = TcpStream::connect(gateway.listen).await.unwrap();
    // A peer's first words on HTTP/2, with empty settings, and its last.
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    soon(silent.read_exact(&mut [0; 9])).await.unwrap();
    gateway.terminate();
    assert_eq!(soon(gateway.child.wait()).await.unwrap().code(), Some(0));
    drop((fresh, rested, silent));
}

/// **Ctrl-C is as good as SIGTERM**, and the second of either ends it.
#[tokio::test]
async fn ctrl_c_drains_and_the_second_one_ends_it_at_once() {
    let mut idle = Gateway::start("").await;
    idle.signal("INT");
    assert_eq!(soon(idle.child.wait()).await.unwrap().code(), Some(0));
    let mut busy = Gateway::start("").await;
    busy.world().inject("us-east", Fault::Stall { after: 3 }, When::always()).unwrap();
    let (_stream, _) = begin_stream(&busy).await;
    busy.signal("INT");
    soon(async { while busy.operate("GET", "/readyz", "").await.status != 503 {} }).await;
    busy.signal("INT");
    assert_eq!(soon(busy.child.wait()).await.unwrap().code(), Some(1));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut gateway = Gateway::start("").await;
    gateway.world().inject("us-east", Fault::Stall { after: 3 }, When::always()).unwrap();
    let (_stream, _) = begin_stream(&gateway).await;
    gateway.terminate();
    soon(async { while gateway.operate("GET", "/readyz", "").await.status != 503 {} }).await;
    gateway.terminate();
    assert_eq!(soon(gateway.child.wait()).await.unwrap().code(), Some(1));
}

#[tokio::test]
async fn an_address_that_is_taken_is_a_failure_with_its_name() {
    let gateway = Gateway::start("").await;
    let taken = gateway.listen.to_string();
    let config = file(SOUND);
    let output = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(["serve", "--listen", &taken, "--admin", "127.0.0.1:0", "--config"])
        .arg(config)
        .stderr(Stdio::piped())
        .output();
    let output = soon(output).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&taken));
}
