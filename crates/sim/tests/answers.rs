//! What a healthy region answers, in each form, and what it refuses.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod common;

use common::{Post, REGION, Seen, chat, deltas, in_memory, message, prefilled, world};
use http::Method;
use outrigger_sim::{LAST_WORD, Quota, Region, World, answer_text};
use serde_json::{Value, json};
use std::time::Duration;
use transport::Transport;

async fn post(path: &'static str, body: Value) -> Seen {
    in_memory(&world(), &Post { path, body: body.to_string() }, usize::MAX).await
}

/// The `data:` documents of a stream, `[DONE]` aside.
fn frames(seen: &Seen) -> Vec<Value> {
    let text = seen.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn plain_and_streamed_chats_say_the_same() {
    let plain = in_memory(&world(), &chat(false), usize::MAX).await.json();
    let stream = in_memory(&world(), &chat(true), usize::MAX).await;
    let text = answer_text("ahoy", 20);
    assert_eq!(plain["choices"][0]["message"]["content"], json!(text));
    assert_eq!(plain["usage"]["completion_tokens"], json!(20));
    assert_eq!(deltas(&stream.text()), text);
    assert!(text.ends_with(LAST_WORD) && stream.text().ends_with("data: [DONE]\n\n"));
    assert_eq!(stream.headers["content-type"], "text/event-stream; charset=utf-8");
    let frames = frames(&stream);
    assert_eq!(frames[0]["choices"][0]["delta"]["role"], json!("assistant"));
    assert_eq!(frames.last().unwrap()["choices"][0]["finish_reason"], json!("stop"));
}

#[tokio::test(start_paused = true)]
async fn usage_comes_in_a_stream_for_who_asks() {
    let body = json!({"model": "m", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "ahoy there"}]});
    let frames = frames(&post("/chat/completions", body).await);
    let (last, others) = frames.split_last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(22)));
    assert!(others.iter().all(|frame| frame["usage"].is_null() && frame.get("usage").is_some()));
}

#[tokio::test(start_paused = true)]
async fn messages_are_anthropics() {
    let plain = in_memory(&world(), &message(false), usize::MAX).await.json();
    assert_eq!(
        plain["content"],
        json!([{"type": "text", "text": answer_text("ahoy", 20), "citations": null}])
    );
    assert_eq!((&plain["stop_reason"], &plain["usage"]["output_tokens"]), (&json!("end_turn"), &json!(20)));
    let stream = in_memory(&world(), &message(true), usize::MAX).await;
    assert_eq!(deltas(&stream.text()), answer_text("ahoy", 20));
    let kinds: Vec<String> =
        frames(&stream).iter().map(|frame| frame["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds[..3], ["message_start", "content_block_start", "ping"]);
    assert_eq!(kinds[kinds.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
}

#[tokio::test(start_paused = true)]
async fn a_forced_tool_is_called_with_what_the_user_said() {
    for choice in [json!("required"), json!({"type": "function", "function": {"name": "log"}})] {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "ahoy"}], "tool_choice": choice,
            "tools": [{"type": "function", "function": {"name": "log"}}]});
        let plain = post("/chat/completions", body.clone()).await.json();
        let call = &plain["choices"][0]["message"]["tool_calls"][0]["function"];
        assert_eq!(call, &json!({"name": "log", "arguments": r#"{"echo":"ahoy"}"#}));
        let mut streamed = body;
        streamed["stream"] = json!(true);
        let frames = frames(&post("/chat/completions", streamed).await);
        let pieces = frames.iter().filter_map(|frame| {
            frame["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str().map(str::to_owned)
        });
        assert_eq!(pieces.collect::<String>(), r#"{"echo":"ahoy"}"#);
        assert_eq!(frames.last().unwrap()["choices"][0]["finish_reason"], json!("tool_calls"));
    }
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "ahoy"}],
        "tools": [{"name": "log"}], "tool_choice": {"type": "any"}});
    let block = &post("/messages", body).await.json()["content"][0];
    assert_eq!(
        (&block["type"], &block["name"], &block["input"]),
        (&json!("tool_use"), &json!("log"), &json!({"echo": "ahoy"}))
    );
}

#[tokio::test(start_paused = true)]
async fn a_limit_on_tokens_is_kept_and_told() {
    let body = json!({"model": "m", "max_tokens": 3, "messages": [{"role": "user", "content": "ahoy"}]});
    let choice = &post("/chat/completions", body).await.json()["choices"][0];
    assert_eq!(choice["finish_reason"], json!("length"));
    assert_eq!(choice["message"]["content"].as_str().unwrap().split(' ').count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_begun_answer_is_continued() {
    let begun = prefilled(chat(true));
    let begun = Post { body: begun.body.replace("\"content\":\"\"", r#""content":"the hull""#), ..begun };
    let unlike = deltas(&in_memory(&world(), &begun, usize::MAX).await.text());
    assert_eq!(unlike, answer_text("ahoy", 20), "what is not our own beginning is answered afresh");
    let whole = answer_text("ahoy", 20);
    let (first, rest) = whole.split_at(25);
    let own = Post { body: begun.body.replace("the hull", first), ..begun };
    assert_eq!(deltas(&in_memory(&world(), &own, usize::MAX).await.text()), rest);
}

#[tokio::test(start_paused = true)]
async fn completions_and_embeddings_are_served() {
    let text =
        &post("/completions", json!({"model": "m", "prompt": "ahoy"})).await.json()["choices"][0]["text"];
    assert_eq!(text, &json!(answer_text("ahoy", 20)));
    let streamed = post("/completions", json!({"model": "m", "prompt": "ahoy", "stream": true})).await;
    let texts: String =
        frames(&streamed).iter().map(|f| f["choices"][0]["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts, answer_text("ahoy", 20));

    let floats = post("/embeddings", json!({"model": "m", "input": ["one", "two"]})).await.json();
    assert_eq!(floats["data"].as_array().unwrap().len(), 2);
    assert_ne!(floats["data"][0]["embedding"], floats["data"][1]["embedding"]);
    let encoded =
        post("/embeddings", json!({"model": "m", "input": "one", "encoding_format": "base64"})).await.json();
    assert_eq!(encoded["data"][0]["embedding"].as_str().map(str::len), Some(44), "8 x 4 bytes");
}

/// Status and code of what `region` answers to this request.
async fn refused(region: Region, method: Method, path: &str, body: &str) -> (u16, Value) {
    let world = World::builder().region(region).build().unwrap();
    let mut request = common::request(&world, REGION, &chat(false));
    request.method = method;
    request.url.set_path(path);
    request.body = body.to_owned().into_bytes().into();
    let mut response = world.transport().send(request).await.unwrap();
    let body = response.body.chunk().await.unwrap().unwrap();
    let error = serde_json::from_slice::<Value>(&body).unwrap()["error"].clone();
    assert!(response.status.is_success() || error["message"].is_string());
    (response.status.as_u16(), error["code"].clone())
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_would_refuse_is_refused() {
    let (post, good) = (Method::POST, chat(false).body);
    let region = || Region::new(REGION);
    let chats = "/v1/chat/completions";
    let cases = [
        (region(), post.clone(), chats, "{", (400, Value::Null)),
        (region(), post.clone(), chats, "[]", (400, Value::Null)),
        (region(), post.clone(), chats, r#"{"messages":[{"role":"user"}]}"#, (400, Value::Null)),
        (region(), post.clone(), chats, r#"{"model":"m"}"#, (400, Value::Null)),
        (region(), post.clone(), chats, r#"{"model":"m","messages":[]}"#, (400, Value::Null)),
        (
            region(),
            post.clone(),
            chats,
            r#"{"model":"m","stream":"yes","messages":[{"role":"user"}]}"#,
            (400, Value::Null),
        ),
        (
            region(),
            post.clone(),
            chats,
            r#"{"model":"m","max_tokens":-1,"messages":[{"role":"user"}]}"#,
            (400, Value::Null),
        ),
        (
            region(),
            post.clone(),
            chats,
            r#"{"model":"m","n":99,"messages":[{"role":"user"}]}"#,
            (400, Value::Null),
        ),
        (region(), post.clone(), "/v1/embeddings", r#"{"model":"m"}"#, (400, Value::Null)),
        (region().models(["other"]), post.clone(), chats, &good, (404, json!("model_not_found"))),
        (region().models(["other"]), Method::GET, "/v1/models/gpt-4.1", "", (404, json!("model_not_found"))),
        (region().key("secret"), post.clone(), chats, &good, (401, json!("invalid_api_key"))),
        (region(), post.clone(), "/v1/nothing", &good, (404, json!("unknown_url"))),
        (region(), Method::GET, chats, "", (405, json!("method_not_supported"))),
        (region(), post.clone(), "/v1/models", "", (405, json!("method_not_supported"))),
        (region().models(["one"]), Method::GET, "/v1/models", "", (200, Value::Null)),
        (region(), Method::GET, "/v1/models/any", "", (200, Value::Null)),
        (region(), post, "/chat/completions", &good, (200, Value::Null)),
    ];
    for (region, method, path, body, expected) in cases {
        assert_eq!(refused(region, method.clone(), path, body).await, expected, "{method} {path} {body}");
    }
}

/// A key in a header that its family does not read is no key.
#[tokio::test(start_paused = true)]
async fn each_family_reads_the_key_from_its_own_header() {
    let world = World::builder().region(Region::new(REGION).key("k-1")).build().unwrap();
    let azure = Post { path: "/openai/v1/chat/completions", ..chat(false) };
    for (post, own) in [(chat(false), None), (azure, Some("api-key")), (message(false), Some("x-api-key"))] {
        for (name, value) in [("authorization", "Bearer k-1"), ("x-api-key", "k-1"), ("api-key", "k-1")] {
            let mut request = common::request(&world, REGION, &post);
            request.headers.insert(name, value.parse().unwrap());
            let expected = if name == "authorization" || own == Some(name) { 200 } else { 401 };
            assert_eq!(
                world.transport().send(request).await.unwrap().status,
                expected,
                "{name}, {}",
                post.path
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_spent_quota_is_a_429_that_names_the_wait() {
    let world = world();
    world.set_quota(REGION, Some(Quota::per_minute(2))).unwrap();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let seen = in_memory(&world, &chat(false), usize::MAX).await;
        statuses
            .push((seen.status, seen.headers["x-ratelimit-remaining-requests"].to_str().unwrap().to_owned()));
        if seen.status == 429 {
            let wait =
                Duration::from_millis(seen.headers["retry-after-ms"].to_str().unwrap().parse().unwrap());
            assert!(wait > Duration::from_secs(29) && wait < Duration::from_secs(30), "{wait:?}");
            tokio::time::sleep(wait).await;
        }
    }
    statuses.push((in_memory(&world, &chat(false), usize::MAX).await.status, String::new()));
    let expected =
        [(200, "1"), (200, "0"), (429, "0"), (200, "")].map(|(code, left)| (code, left.to_owned()));
    assert_eq!(statuses, expected);
}
