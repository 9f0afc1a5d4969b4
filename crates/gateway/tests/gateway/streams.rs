//! Streams: bytes as they come, and an honest end, seen on a raw socket.

use sim::{Fault, LAST_WORD, When};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Gateway, Reply, exchange, find, post, question, soon};

const CHAT: &str = "/v1/chat/completions";

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
    let gateway = Gateway::start("").await;
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

#[tokio::test]
async fn a_caller_that_hangs_up_cancels_its_upstream() {
    let gateway = Gateway::start("").await;
    gateway.world().inject("us-east", Fault::Stall { after: 3 }, When::always()).unwrap();
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(post(CHAT, "", &question(true)).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while find(&bytes, b"\"content\"").is_none() {
        assert_ne!(soon(stream.read_buf(&mut bytes)).await.unwrap(), 0);
    }
    assert_eq!(gateway.world().in_flight("us-east").unwrap(), 1);
    drop(stream);
    soon(async {
        while gateway.world().in_flight("us-east").unwrap() > 0 {
            gateway.get("/v1/models").await;
        }
    })
    .await;
    assert!(gateway.world().received("us-east").unwrap()[0].cancelled_by_caller);
}

#[tokio::test]
async fn frames_are_not_held_back_for_company() {
    let gateway = Gateway::start("").await;
    gateway.world().inject("us-east", Fault::Stall { after: 1 }, When::always()).unwrap();
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(post(CHAT, "", &question(true)).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // The region goes silent after its first token: only that token can arrive, and it does.
    while find(&bytes, b"\"content\"").is_none() {
        assert_ne!(soon(stream.read_buf(&mut bytes)).await.unwrap(), 0);
    }
}
