//! `server.early_status`: streams whose status does not wait for their content, seen on a raw socket.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};
use sim::{Fault, LAST_WORD, Step, When};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Gateway, Reply, exchange, find, post, question, soon};

const CHAT: &str = "/v1/chat/completions";
const EARLY: &str = "[server]\nearly_status = \"100ms\"\n[timeouts]\nfirst_token = \"10m\"\n";

/// What an SDK reads of a stream: the data of its events. Comments are skipped, and an event without data is none.
fn data(text: &str) -> Vec<&str> {
    text.split("\n\n")
        .filter_map(|event| event.lines().find_map(|line| line.strip_prefix("data: ")))
        .collect()
}

/// What the last comment says.
fn source(text: &str) -> Value {
    let said =
        text.lines().filter_map(|line| line.strip_prefix(": ")).next_back().expect("there is a comment");
    serde_json::from_str(said.strip_prefix("outrigger ").expect("the last one is ours")).unwrap()
}

/// **The silence is broken, and nothing else is.** Fails if the status waits for the content, or if a reader of events sees
/// anything of it.
#[tokio::test]
async fn a_slow_streams_status_leaves_early_and_comments_keep_it_moving() {
    let gateway = Gateway::start(EARLY).await;
    let ordinary = gateway.post(CHAT, "", &question(true)).await;
    assert_eq!(ordinary.header("x-outrigger-region"), Some("us-east"), "one that is quick is as ever");
    assert!(!ordinary.text().contains(": keep-alive"));
    for region in ["us-east", "eu-west"] {
        let slow = Fault::SlowFirstToken { delay: Duration::from_millis(700) };
        gateway.world().inject(region, slow, When::always()).unwrap();
    }
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(post(CHAT, "x-request-id: mine\r\n", &question(true)).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while find(&bytes, b": keep-alive\n\n").is_none() {
        assert_ne!(soon(stream.read_buf(&mut bytes)).await.unwrap(), 0);
    }
    assert!(bytes.starts_with(b"HTTP/1.1 200 ") && find(&bytes, b"data:").is_none());
    soon(stream.read_to_end(&mut bytes)).await.unwrap();
    let reply = Reply::of(&bytes);
    let text = reply.text();
    assert!(reply.whole && text.matches(": keep-alive\n\n").count() >= 2, "{text}");
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!((reply.header("x-request-id"), reply.header("x-outrigger-attempts")), (Some("mine"), None));
    let (early, ever) = (data(&text), ordinary.text());
    assert_eq!(early.len(), data(&ever).len());
    assert_eq!(early.last(), Some(&"[DONE]"));
    assert!(text.contains(LAST_WORD) && text.trim_end().ends_with('}'), "its source comes last: {text}");
    let said = source(&text);
    assert_eq!((&said["provider"], &said["model"]), (&json!("holysheep"), &json!("gpt-4.1")));
    assert!(
        ["us-east", "eu-west"].contains(&said["region"].as_str().unwrap()) && said["attempts"] == 1,
        "{said}"
    );
}

#[tokio::test]
async fn a_failover_after_the_status_is_no_news_but_in_the_last_comment() {
    let gateway =
        Gateway::start("[server]\nearly_status = \"100ms\"\n[timeouts]\nfirst_token = \"300ms\"\n").await;
    gateway.world().inject("us-east", Fault::Silent, When::always()).unwrap();
    let reply = gateway.post(CHAT, "", &question(true)).await;
    let text = reply.text();
    assert!(reply.status == 200 && reply.whole && text.contains(LAST_WORD), "{text}");
    assert_eq!((&source(&text)["region"], &source(&text)["attempts"]), (&json!("eu-west"), &json!(2)));
}

/// **What fails then fails as ever after the first content**: a frame, flushed, and an abort. Fails if it ends politely.
#[tokio::test]
async fn a_failure_after_the_status_is_a_frame_and_an_abort() {
    let gateway = Gateway::start(EARLY).await;
    for region in ["us-east", "eu-west"] {
        gateway.world().inject(region, Fault::Silent, When::always()).unwrap();
    }
    for (path, body) in
        [(CHAT, question(true)), ("/v1/responses", question(true).replace("messages", "input"))]
    {
        let bytes = exchange(gateway.listen, &post(path, "x-outrigger-timeout: 0.4\r\n", &body)).await;
        let reply = Reply::of(&bytes);
        let text = reply.text();
        assert!(reply.status == 200 && !reply.whole, "{text}");
        let error: Value = serde_json::from_str(data(&text).last().unwrap()).unwrap();
        assert_eq!(error["error"]["code"], "deadline_exceeded", "{text}");
        assert!(!error["error"]["attempts"].as_array().unwrap().is_empty());
        assert_eq!(text.contains("event: error\n"), path != CHAT);
        assert_eq!(source(&text)["attempts"], json!(error["error"]["attempts"].as_array().unwrap().len()));
        assert_eq!(find(&bytes, b"\r\n0\r\n\r\n"), None);
    }
}

#[tokio::test]
async fn a_providers_late_refusal_comes_in_its_own_words() {
    let gateway = Gateway::start(EARLY).await;
    let said = "{\n \"error\": {\"message\": \"the prompt\\nis too long\", \"code\": \"context_length_exceeded\", \"type\": \"invalid_request_error\"}\n}";
    let json = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let steps = vec![
        Step::Wait(Duration::from_millis(300)),
        Step::Head { status: StatusCode::BAD_REQUEST, headers: json },
        Step::Chunk(said.into()),
    ];
    gateway.world().answer_next("us-east", steps).unwrap();
    let reply = gateway.post(CHAT, "", &question(true)).await;
    let text = reply.text();
    let error: Value = serde_json::from_str(data(&text).last().unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "context_length_exceeded", "{text}");
    assert!(reply.status == 200 && !reply.whole);
}

#[tokio::test]
async fn a_plain_answer_waits_for_its_status() {
    let gateway = Gateway::start(EARLY).await;
    for region in ["us-east", "eu-west"] {
        gateway.world().inject(region, Fault::Silent, When::always()).unwrap();
    }
    let reply = gateway.ask("x-outrigger-timeout: 0.4\r\n").await;
    assert_eq!((reply.status, reply.code().as_str()), (504, "deadline_exceeded"));
}

#[tokio::test]
async fn a_caller_that_goes_while_it_waits_takes_its_upstream_along() {
    let gateway = Gateway::start(EARLY).await;
    gateway.world().inject("us-east", Fault::Silent, When::always()).unwrap();
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(post(CHAT, "", &question(true)).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while find(&bytes, b": keep-alive\n\n").is_none() {
        assert_ne!(soon(stream.read_buf(&mut bytes)).await.unwrap(), 0);
    }
    assert_eq!(gateway.world().in_flight("us-east").unwrap(), 1);
    drop(stream);
    gateway.lets_go_of("us-east").await;
}
