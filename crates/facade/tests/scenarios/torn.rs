//! Streams torn and mended: an answer spoilt from a frame on, and what is read of one.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use outrigger::{
    AnswerBody, AnswerStream, CallError, Config, Notice, Outcome, Request, RescueResult, config::Target,
    wire::Usage,
};
use serde_json::Value;
use sim::{Step, World};

use crate::support::*;

pub(crate) const ERROR: &str = "data: {\"error\":{\"message\":\"gone\",\"type\":\"server_error\"}}\n\n";
pub(crate) const BROKEN: &str = "data: {\"choices\":[{\"ind\n\n";

/// Three regions alike, asked in their order; each of its targets goes on from an assistant's message, or none does.
pub(crate) fn harbour_that(continues: bool) -> Harbour {
    let target = Target::new("holysheep", "gpt-4.1").continues(continues);
    harbour_with(alike(), |world| config_with(world, [target]), |builder| builder)
}

pub(crate) fn changed(change: impl FnOnce(&mut Config)) -> Harbour {
    let config = |world: &World| {
        let mut config = config(world);
        change(&mut config);
        config
    };
    harbour_with(alike(), config, |builder| builder)
}

/// What the first region says when nothing goes wrong, frame by frame.
pub(crate) async fn undisturbed() -> Vec<String> {
    let (given, error) = harbour_that(false).read_stream().await;
    assert!(error.is_none());
    let text = String::from_utf8(given.to_vec()).unwrap();
    text.split_inclusive("\n\n").map(str::to_owned).collect()
}

/// The chunks of a stream, `[DONE]` aside.
pub(crate) fn chunks(given: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(given).unwrap();
    let data = text.split_terminator("\n\n").map(|frame| frame.strip_prefix("data: ").unwrap());
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

pub(crate) fn text(given: &[u8]) -> String {
    let content = |chunk: &Value| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned);
    chunks(given).iter().filter_map(content).collect()
}

/// An answer that begins as the undisturbed one and goes on otherwise.
pub(crate) fn spoilt(frames: &[String], end: &[Step]) -> Vec<Step> {
    let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, "text/event-stream".parse().unwrap())]);
    let head = Step::Head { status: StatusCode::OK, headers };
    let frames = frames.iter().map(|frame| Step::Chunk(frame.clone().into()));
    std::iter::once(head).chain(frames).chain(end.iter().cloned()).collect()
}

/// What the caller of a rescued stream must have: the answer as if nothing had gone wrong, under one name, and told once.
pub(crate) fn assert_mended(given: &[u8], whole: &[String], before: usize, rescues: usize) {
    let whole = whole.concat();
    assert!(given.starts_with(whole.split_inclusive("\n\n").take(before).collect::<String>().as_bytes()));
    assert_eq!(text(given), text(whole.as_bytes()), "the text is that of an unbroken stream");
    assert!(given.ends_with(b"data: [DONE]\n\n"));
    let chunks = chunks(given);
    let first = chunks.first().unwrap();
    for chunk in &chunks {
        for name in ["id", "created", "model"] {
            assert_eq!(chunk[name], first[name], "{chunk}");
        }
    }
    assert_eq!(chunks.iter().filter(|chunk| chunk["rescued"] == true).count(), rescues);
    assert_eq!(chunks.iter().filter(|chunk| chunk["choices"][0]["delta"]["role"].is_string()).count(), 1);
}

pub(crate) fn rescues(harbour: &Harbour) -> Vec<RescueResult> {
    let result = |notice| if let Notice::Rescue { result, .. } = notice { Some(result) } else { None };
    harbour.notices().into_iter().filter_map(result).collect()
}

/// How the harbour's only call ended, and what it used.
pub(crate) fn ended(harbour: &Harbour) -> (Outcome, Option<Usage>) {
    let end = |notice| {
        if let Notice::CallEnded { outcome, usage, .. } = notice { Some((outcome, usage)) } else { None }
    };
    let ends: Vec<_> = harbour.notices().into_iter().filter_map(end).collect();
    assert_eq!(ends.len(), 1, "a call ends once");
    ends[0]
}

pub(crate) async fn open(harbour: &Harbour, body: &Value) -> Box<AnswerStream> {
    let request = Request::chat(body.to_string()).unwrap();
    match harbour.client.send(request).await.unwrap().body {
        AnswerBody::Stream(stream) => stream,
        AnswerBody::Whole { .. } => panic!("not a stream"),
    }
}

pub(crate) async fn read(mut stream: Box<AnswerStream>) -> (Bytes, Option<CallError>) {
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => all.extend_from_slice(&chunk),
            Err(error) => return (all.into(), Some(error)),
        }
    }
    (all.into(), None)
}
