//! Every kind of request has the guarantees of chat, seen on raw sockets: the same headers, the same ends, each caller's own words.

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use sim::{Fault, LAST_WORD, Step, When};

use crate::support::{Gateway, Reply, exchange, find, post, send};

/// A kind of request as its callers know it.
struct Kind {
    path: &'static str,
    /// What is asked, beside the model and the wish for a stream.
    asked: &'static str,
    model: &'static str,
    /// The beginning of a stream's last frame; nothing where nothing streams.
    end: &'static str,
}

const SAID: &str = r#""messages":[{"role":"user","content":"ahoy"}]"#;
const KINDS: [Kind; 6] = [
    Kind { path: "/v1/chat/completions", asked: SAID, model: "chat", end: "data: [DONE]" },
    // The same, translated.
    Kind { path: "/v1/chat/completions", asked: SAID, model: "claude", end: "data: [DONE]" },
    Kind { path: "/v1/completions", asked: r#""prompt":"ahoy""#, model: "chat", end: "data: [DONE]" },
    Kind {
        path: "/v1/responses",
        asked: r#""input":"ahoy""#,
        model: "chat",
        end: "event: response.completed",
    },
    Kind {
        path: "/v1/messages",
        asked: r#""max_tokens":512,"messages":[{"role":"user","content":"ahoy"}]"#,
        model: "claude",
        end: "event: message_stop",
    },
    Kind { path: "/v1/embeddings", asked: r#""input":"ahoy""#, model: "chat", end: "" },
];

impl Kind {
    fn body(&self, stream: bool) -> String {
        format!(r#"{{"model":"{}","stream":{stream},{}}}"#, self.model, self.asked)
    }

    fn streams(&self) -> bool {
        !self.end.is_empty()
    }

    fn is_anthropics(&self) -> bool {
        self.path == "/v1/messages"
    }

    /// Plain, and streamed where it streams.
    fn ways(&self) -> &[bool] {
        if self.streams() { &[false, true] } else { &[false] }
    }

    async fn ask(&self, gateway: &Gateway, headers: &str, stream: bool) -> Reply {
        gateway.post(self.path, headers, &self.body(stream)).await
    }

    #[track_caller]
    fn assert_whole(&self, stream: bool, reply: &Reply) {
        let text = reply.text();
        assert_eq!(reply.status, 200, "{}: {text}", self.path);
        let content = if self.streams() { LAST_WORD } else { "\"embedding\"" };
        assert!(reply.whole && text.contains(content), "{}: {text}", self.path);
        let kind = if stream { "text/event-stream" } else { "application/json" };
        assert!(reply.header("content-type").unwrap().starts_with(kind));
        assert!(!stream || text.contains(self.end), "{}: {text}", self.path);
    }
}

fn ill(gateway: &Gateway, regions: &[&str], fault: &Fault) {
    for region in regions {
        gateway.world().inject(region, fault.clone(), When::always()).unwrap();
    }
}

const BOTH: [&str; 2] = ["us-east", "eu-west"];

#[tokio::test]
async fn every_kind_is_answered_and_says_where_its_answer_came_from() {
    let gateway = Gateway::of_both_dialects("").await;
    for kind in &KINDS {
        for &stream in kind.ways() {
            let reply = kind.ask(&gateway, "x-request-id: my-7\r\n", stream).await;
            kind.assert_whole(stream, &reply);
            assert!(
                reply.header("x-outrigger-provider").is_some() && reply.header("x-outrigger-model").is_some()
            );
            assert!(reply.header("x-outrigger-region").is_some());
            assert_eq!(reply.header("x-outrigger-attempts"), Some("1"));
            assert_eq!(reply.header("x-request-id"), Some("my-7"));
            assert_eq!(reply.header("request-id"), kind.is_anthropics().then_some("my-7"));
            let timing = reply.header("server-timing").unwrap();
            assert!(timing.starts_with("gateway;dur=") && timing.contains(", upstream;dur="), "{timing}");
            // Without its version, the path is the same.
            let short = kind.path.strip_prefix("/v1").unwrap();
            kind.assert_whole(stream, &gateway.post(short, "", &kind.body(stream)).await);
        }
    }
}

#[tokio::test]
async fn what_fails_before_its_content_is_had_elsewhere() {
    for fault in [Fault::Reset, Fault::Cut { after: 0 }, Fault::Empty] {
        let gateway = Gateway::of_both_dialects("").await;
        ill(&gateway, &["us-east"], &fault);
        for kind in &KINDS {
            for &stream in kind.ways() {
                let reply = kind.ask(&gateway, "x-outrigger-region: us-east\r\n", stream).await;
                kind.assert_whole(stream, &reply);
                assert_eq!(reply.header("x-outrigger-region"), Some("eu-west"), "{fault:?} {}", kind.path);
            }
        }
    }
}

/// **No clean end without a whole answer.** Fails if a kind of stream ends politely, or without a frame that its SDK raises on.
#[tokio::test]
async fn a_stream_that_is_cut_gives_an_error_frame_and_then_no_final_chunk() {
    let gateway = Gateway::of_both_dialects("[routing]\nrescue_streams = false").await;
    ill(&gateway, &BOTH, &Fault::Cut { after: 5 });
    for kind in KINDS.iter().filter(|kind| kind.streams()) {
        let request = post(kind.path, "x-request-id: my-7\r\n", &kind.body(true));
        let bytes = exchange(gateway.listen, &request).await;
        let reply = Reply::of(&bytes);
        let text = reply.text();
        assert_eq!(reply.status, 200, "{text}");
        assert_eq!(
            find(&bytes, b"\r\n0\r\n\r\n"),
            None,
            "{}: the connection is aborted, not ended",
            kind.path
        );
        assert!(!reply.whole && text.ends_with("\n\n") && !text.contains(kind.end), "{text}");
        let frame = text.trim_end().rsplit("\n\n").next().unwrap();
        let named = matches!(kind.path, "/v1/messages" | "/v1/responses");
        assert_eq!(frame.starts_with("event: error\n"), named, "{frame}");
        let data = frame.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["error"]["code"], "answer_truncated", "{data}");
        assert_eq!(data["error"]["attempts"][0]["class"], "cut");
        match kind.path {
            "/v1/messages" => {
                assert_eq!((&data["type"], &data["error"]["type"]), (&"error".into(), &"api_error".into()));
                assert_eq!(data["request_id"], "my-7");
            }
            "/v1/responses" => {
                assert_eq!((&data["type"], &data["code"]), (&"error".into(), &"answer_truncated".into()));
                assert!(data["message"].is_string());
            }
            _ => assert_eq!(data["error"]["type"], "server_error"),
        }
    }
}

/// Status, code and headers of each refusal are one for all kinds; the body is in its caller's words.
#[tokio::test]
async fn what_could_not_be_saved_is_told_to_every_kind_with_the_same_headers() {
    let wait = |seconds| Fault::RateLimit { retry_after: Some(std::time::Duration::from_secs(seconds)) };
    let told: [(Fault, &str, u16, &str, Option<&str>); 4] = [
        (Fault::status(500), "", 502, "upstream_exhausted", Some("false")),
        (wait(40), "", 429, "rate_limit_exceeded", None),
        (wait(600), "", 429, "rate_limit_exceeded", Some("false")),
        (Fault::Silent, "x-outrigger-timeout: 0.1\r\n", 504, "deadline_exceeded", Some("false")),
    ];
    for (fault, headers, status, code, should_retry) in told {
        for kind in &KINDS {
            for &stream in kind.ways() {
                let gateway = Gateway::of_both_dialects("").await;
                ill(&gateway, &BOTH, &fault);
                let reply = kind.ask(&gateway, headers, stream).await;
                assert_eq!((reply.status, reply.code().as_str()), (status, code), "{fault:?} {}", kind.path);
                assert_eq!(reply.header("x-should-retry"), should_retry, "{fault:?} {}", kind.path);
                let after = reply.header("retry-after").map(|after| after.parse::<u64>().unwrap());
                match &fault {
                    Fault::RateLimit { retry_after: Some(wait) } if wait.as_secs() > 60 => {
                        assert_eq!(after, Some(60));
                    }
                    Fault::RateLimit { .. } => assert!(after.is_some_and(|after| (39..=40).contains(&after))),
                    _ => assert_eq!(after, None),
                }
                let body = reply.json();
                assert!(!body["error"]["attempts"].as_array().unwrap().is_empty(), "{body}");
                assert_eq!(body["type"] == "error", kind.is_anthropics(), "{body}");
                if !kind.is_anthropics() {
                    let keys: Vec<_> = body["error"].as_object().unwrap().keys().cloned().collect();
                    assert_eq!(keys, ["attempts", "code", "message", "param", "type"]);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_callers_fault_found_by_a_provider_comes_back_as_it_came() {
    let gateway = Gateway::of_both_dialects("").await;
    ill(&gateway, &BOTH, &Fault::ContentFilter);
    for kind in KINDS.iter().filter(|kind| kind.streams()) {
        let reply = kind.ask(&gateway, "", true).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert_eq!(reply.header("x-should-retry"), Some("false"));
        let body = reply.json();
        assert!(body["error"].get("attempts").is_none(), "the words are the provider's: {body}");
        assert_eq!(body["type"] == "error", kind.is_anthropics(), "{body}");
    }
}

/// What is wrong with a request is found before its kind matters, and told in its caller's words all the same.
#[tokio::test]
async fn a_request_that_is_wrong_is_refused_in_its_callers_words() {
    let gateway = Gateway::of_both_dialects("[server]\nmax_body = \"1KiB\"").await;
    for kind in &KINDS {
        let body = kind.body(false);
        let method = format!("DELETE {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", kind.path);
        let form = post(kind.path, "", &body).replace("application/json", "text/plain");
        let large = post(kind.path, "", &" ".repeat(1025));
        let broken = post(kind.path, "", "{\"model\"");
        let mut wrong = vec![
            (method, 405, "method_not_allowed"),
            (form, 415, "unsupported_media_type"),
            (large, 413, "request_too_large"),
            (broken, 400, "invalid_json"),
        ];
        if kind.streams() {
            let old = post(kind.path, "", &kind.body(true)).replacen("HTTP/1.1", "HTTP/1.0", 1);
            wrong.push((old, 400, "unsupported_http_version"));
        }
        for (request, status, code) in wrong {
            let reply = send(gateway.listen, &request).await;
            assert_eq!((reply.status, reply.code().as_str()), (status, code), "{}", kind.path);
            assert_eq!(reply.json()["type"] == "error", kind.is_anthropics());
            assert_eq!(reply.header("x-should-retry"), Some("false"));
            assert_eq!(reply.header("x-outrigger-attempts"), Some("0"));
            assert!(reply.header("x-request-id").is_some());
        }
    }
    assert_eq!(gateway.world().count("us-east").unwrap(), 0);
}

/// A conversation that its provider stores goes on where it began, or not at all.
#[tokio::test]
async fn a_stored_response_is_gone_on_from_at_its_own_place_or_not_at_all() {
    let gateway = Gateway::start("").await;
    let ask = async |more: &str, headers: &str| {
        let body = format!(r#"{{"model":"chat","input":"ahoy"{more}}}"#);
        gateway.post("/v1/responses", headers, &body).await
    };
    let first = ask("", "x-outrigger-region: eu-west\r\n").await;
    let id = first.json()["id"].as_str().unwrap().to_owned();
    let follows = format!(r#","previous_response_id":"{id}""#);
    let next = ask(&follows, "x-outrigger-region: us-east\r\n").await;
    assert_eq!(next.status, 200, "{}", next.text());
    assert_eq!(next.header("x-outrigger-region"), first.header("x-outrigger-region"));
    let unknown = ask(r#","previous_response_id":"resp_unknown""#, "").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (400, "stateful_request"));
    assert_eq!(unknown.json()["error"]["param"], "previous_response_id");
}

/// **Nothing crosses that is not named**, in Anthropic's form as in OpenAI's.
#[tokio::test]
async fn only_the_named_headers_cross_to_and_from_an_anthropic_deployment() {
    let gateway = Gateway::of_both_dialects("").await;
    let messages = KINDS.iter().find(|kind| kind.is_anthropics()).unwrap();
    let caller = "authorization: Bearer sk-callers\r\nx-api-key: sk-callers\r\ncookie: c=d\r\nx-other: 1\r\n\
                  anthropic-beta: tools-1\r\nanthropic-version: 2026-10-21\r\n";
    let head = [
        ("content-type", "application/json"),
        ("request-id", "theirs"),
        ("anthropic-ratelimit-requests-remaining", "7"),
        ("set-cookie", "a=b"),
        ("anthropic-organization-id", "org"),
    ];
    let headers: HeaderMap =
        head.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let body = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"aye"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;
    let steps = vec![Step::Head { status: StatusCode::OK, headers }, Step::Chunk(body.into()), Step::End];
    gateway.world().answer_next("us-east", steps).unwrap();
    let reply = messages.ask(&gateway, caller, false).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, body));
    assert_eq!(reply.header("x-outrigger-upstream-request-id"), Some("theirs"));
    assert_ne!(reply.header("request-id"), Some("theirs"));
    assert_eq!(reply.header("anthropic-ratelimit-requests-remaining"), Some("7"));
    for name in ["set-cookie", "anthropic-organization-id"] {
        assert_eq!(reply.header(name), None, "{name}");
    }
    let received = gateway.world().received("us-east").unwrap().remove(0).headers;
    assert_eq!(received["x-api-key"], "sk-secret");
    assert_eq!(
        (&received["anthropic-beta"], &received["anthropic-version"]),
        (&"tools-1".parse().unwrap(), &"2026-10-21".parse().unwrap())
    );
    for name in ["authorization", "cookie", "x-other"] {
        assert_eq!(received.get(name), None, "{name}");
    }
    // Who names no version gets one: Anthropic answers nobody without.
    messages.assert_whole(false, &messages.ask(&gateway, "x-outrigger-residency: us-east\r\n", false).await);
    assert_eq!(gateway.world().received("us-east").unwrap()[1].headers["anthropic-version"], "2023-06-01");
}
