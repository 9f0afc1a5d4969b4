//! Streams: bytes as they come, and an honest end, seen on a raw socket.

use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use sim::{Fault, LAST_WORD, Step, When};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Gateway, Reply, exchange, find, post, question, soon};

const CHAT: &str = "/v1/chat/completions";

/// Nothing ends by a timeout of the gateway's while a test looks on.
const PATIENT: &str = "[timeouts]\nidle = \"10m\"\n";

/// The text that a stream's frames carry.
fn content(reply: &Reply) -> String {
    let text = reply.text();
    let frames = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    frames
        .filter_map(|data| serde_json::from_str::<serde_json::Value>(data).ok())
        .filter_map(|frame| frame["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn a_stream_passes_whole_and_ends_properly() {
    let gateway = Gateway::start("").await;
    let reply = gateway.post(CHAT, "", &question(true)).await;
    assert_eq!(reply.status, 200);
    assert!(reply.header("content-type").unwrap().starts_with("text/event-stream"));
    assert_eq!(reply.header("x-outrigger-attempts"), Some("1"));
    assert!(reply.whole);
    assert!(content(&reply).ends_with(LAST_WORD), "{}", reply.text());
    assert!(reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
}

#[tokio::test]
async fn a_stream_that_fails_before_its_content_is_had_elsewhere() {
    let gateway = Gateway::start("").await;
    gateway.world().inject("us-east", Fault::Cut { after: 0 }, When::always()).unwrap();
    let reply = gateway.post(CHAT, "", &question(true)).await;
    assert_eq!(reply.header("x-outrigger-region"), Some("eu-west"), "{}", reply.text());
    assert!(reply.whole && content(&reply).ends_with(LAST_WORD));
}

/// **No clean end without a whole answer.** Fails if the body ends instead of failing, or fails before its last frame left.
#[tokio::test]
async fn a_cut_stream_gives_an_error_frame_and_then_no_final_chunk() {
    let gateway = Gateway::start("[routing]\nrescue_streams = false").await;
    gateway.world().inject("us-east", Fault::Cut { after: 5 }, When::always()).unwrap();
    let bytes = exchange(gateway.listen, &post(CHAT, "", &question(true))).await;
    let reply = Reply::of(&bytes);
    assert_eq!(reply.status, 200);
    let text = reply.text();
    let frame = text.trim_end().rsplit("\n\n").next().unwrap().strip_prefix("data: ").unwrap();
    let error: serde_json::Value = serde_json::from_str(frame).unwrap();
    assert_eq!(error["error"]["code"], "answer_truncated");
    assert_eq!(error["error"]["attempts"][0]["class"], "cut", "{error}");
    assert!(text.ends_with("\n\n"), "the frame is whole");
    assert!(!content(&reply).is_empty() && !text.contains("[DONE]"));
    assert_eq!(find(&bytes, b"\r\n0\r\n\r\n"), None, "the connection is aborted, not ended");
    assert!(!reply.whole);
}

/// **A cut upstream is not the caller's affair.** The whole text, one identity, one proper end; and the chunk where another region
/// took over says so. Fails if the join can be seen, or cannot be known.
#[tokio::test]
async fn a_cut_stream_is_read_whole_and_says_that_it_was_rescued() {
    let gateway = Gateway::start("").await;
    gateway.world().inject("us-east", Fault::Cut { after: 5 }, When::always().first(1)).unwrap();
    let reply = gateway.post(CHAT, "", &question(true)).await;
    assert_eq!((reply.status, reply.header("x-outrigger-region")), (200, Some("us-east")));
    assert!(reply.whole && reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
    let undisturbed = gateway.post(CHAT, "", &question(true)).await;
    assert_eq!(content(&reply), content(&undisturbed));
    assert_eq!(reply.text().matches("\"rescued\":true").count(), 1, "{}", reply.text());
    let text = reply.text();
    let ids = text.split("\"id\":\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    assert_eq!(ids.collect::<std::collections::BTreeSet<_>>().len(), 1, "{text}");
}

#[tokio::test]
async fn a_caller_that_hangs_up_cancels_its_upstream() {
    let gateway = Gateway::start(PATIENT).await;
    gateway.world().inject("us-east", Fault::Stall { after: 3 }, When::always()).unwrap();
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(post(CHAT, "", &question(true)).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while find(&bytes, b"\"content\"").is_none() {
        assert_ne!(soon(stream.read_buf(&mut bytes)).await.unwrap(), 0);
    }
    assert_eq!(gateway.world().in_flight("us-east").unwrap(), 1);
    drop(stream);
    gateway.lets_go_of("us-east").await;
    assert!(gateway.world().received("us-east").unwrap()[0].cancelled_by_caller);
}

#[tokio::test]
async fn frames_are_not_held_back_for_company() {
    let gateway = Gateway::start(PATIENT).await;
    gateway.world().inject("us-east", Fault::Stall { after: 1 }, When::always()).unwrap();
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(post(CHAT, "", &question(true)).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // The region goes silent after its first token: only that token can arrive, and it does.
    while find(&bytes, b"\"content\"").is_none() {
        assert_ne!(soon(stream.read_buf(&mut bytes)).await.unwrap(), 0);
    }
}

/// **No frame amid JSON.** Fails if a long plain answer that is cut gets an event stream's last frame, or a proper end.
#[tokio::test]
async fn a_long_plain_answer_that_is_cut_is_aborted_and_nothing_else() {
    let gateway = Gateway::start("[server]\nmax_held_answer = \"1KiB\"").await;
    let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let begun = format!("{{\"choices\":[{{\"message\":{{\"content\":\"{}", "long ".repeat(1000));
    let steps = vec![
        Step::Head { status: StatusCode::OK, headers: HeaderMap::from_iter([json]) },
        Step::Chunk(begun.clone().into()),
        Step::Cut,
    ];
    gateway.world().answer_next("us-east", steps).unwrap();
    let reply = gateway.ask("").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(!reply.whole && begun.starts_with(&reply.text()), "{}", reply.text());
}

#[tokio::test]
async fn a_stream_over_http_1_0_is_refused_and_a_plain_answer_is_not() {
    let gateway = Gateway::start("").await;
    let old = |stream| post(CHAT, "", &question(stream)).replacen("HTTP/1.1", "HTTP/1.0", 1);
    let refused = Reply::of(&exchange(gateway.listen, &old(true)).await);
    assert_eq!((refused.status, refused.code().as_str()), (400, "unsupported_http_version"));
    assert!(refused.text().contains("HTTP/1.1"), "{}", refused.text());
    assert_eq!(Reply::of(&exchange(gateway.listen, &old(false)).await).status, 200);
}
