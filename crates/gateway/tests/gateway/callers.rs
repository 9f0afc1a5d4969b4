//! What callers get: answers with where they came from, models, and what their headers ask for.

use http::{HeaderMap, StatusCode};
use sim::{Fault, LAST_WORD, Step, When};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{Gateway, post, question, send, soon};

#[tokio::test]
async fn an_answer_says_where_it_came_from() {
    let gateway = Gateway::start("").await;
    let reply = gateway.ask("").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-outrigger-provider"), Some("holysheep"));
    assert_eq!(reply.header("x-outrigger-region"), Some("us-east"));
    assert_eq!(reply.header("x-outrigger-model"), Some("gpt-4.1"));
    assert_eq!(reply.header("x-outrigger-attempts"), Some("1"));
    assert!(reply.header("x-request-id").unwrap().starts_with("req_"));
    let timing = reply.header("server-timing").unwrap();
    assert!(timing.starts_with("gateway;dur=") && timing.contains(", upstream;dur="), "{timing}");
    let text = reply.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert!(text.ends_with(LAST_WORD), "{text}");
}

#[tokio::test]
async fn every_path_is_there_with_and_without_its_version() {
    let gateway = Gateway::start("").await;
    for path in ["/v1/chat/completions", "/chat/completions"] {
        assert_eq!(gateway.post(path, "", &question(false)).await.status, 200, "{path}");
    }
    for path in ["completions", "embeddings", "responses"] {
        for version in ["", "/v1"] {
            let reply = gateway.post(&format!("{version}/{path}"), "", "{}").await;
            assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_value"), "{path}");
            assert_eq!(reply.json()["error"]["param"], "model");
        }
    }
    let streamed = gateway.post("/v1/embeddings", "", "{\"model\":\"chat\",\"stream\":true}").await;
    assert_eq!((streamed.status, streamed.json()["error"]["param"].as_str()), (400, Some("stream")));
}

#[tokio::test]
async fn what_is_stored_at_a_provider_is_not_served_and_that_is_said() {
    let gateway = Gateway::start("").await;
    for path in ["/v1/responses/resp_7", "/responses/resp_7/input_items", "/v1/messages/count_tokens"] {
        let reply = gateway.get(path).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "unsupported_endpoint"), "{path}");
    }
}

/// **Whoever calls the messages API reads Anthropic's errors**, whoever found the fault: the route, the reader of bodies, the
/// client, or the doorkeeper.
#[tokio::test]
async fn errors_of_messages_are_anthropics() {
    let gateway = Gateway::start("").await;
    let id = "x-request-id: my-7\r\n";
    let asked = "{\"model\":\"gone\",\"max_tokens\":9,\"messages\":[]}";
    let foreign = post("/messages", id, asked).replace("host: localhost", "host: evil.example");
    let form = post("/v1/messages", id, asked).replace("application/json", "text/plain");
    for (reply, status, kind) in [
        (gateway.post("/v1/messages", id, "{}").await, 400, "invalid_request_error"),
        (gateway.post("/v1/messages", id, asked).await, 404, "not_found_error"),
        (
            gateway.post("/v1/messages", id, &asked.replace("gone", "chat")).await,
            400,
            "invalid_request_error",
        ),
        (gateway.get("/messages").await, 405, "invalid_request_error"),
        (send(gateway.listen, &foreign).await, 403, "permission_error"),
        (send(gateway.listen, &form).await, 415, "invalid_request_error"),
    ] {
        assert_eq!(reply.status, status, "{}", reply.text());
        let body = reply.json();
        assert_eq!((body["type"].as_str(), body["error"]["type"].as_str()), (Some("error"), Some(kind)));
        assert!(body["error"]["message"].is_string() && body["error"]["attempts"].is_array(), "{body}");
        assert_eq!(body["request_id"].as_str(), reply.header("x-request-id"));
        assert_eq!(reply.header("request-id"), reply.header("x-request-id"));
        assert_eq!(reply.header("x-should-retry"), Some("false"));
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
}

/// **Nothing crosses that is not named.** Fails if a caller's credential or cookie reaches a provider, or a provider's a caller.
#[tokio::test]
async fn only_the_named_headers_cross() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let gateway = Gateway::start("").await;
    let head = "HTTP/1.1 200 OK\nset-cookie: a=b\nx-internal: 1\nx-ratelimit-remaining-requests: 7\nx-request-id: theirs\n\
                content-type: application/json";
    let pairs = head.lines().skip(1).map(|line| line.split_once(": ").unwrap());
    let headers =
        pairs.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>();
    let body = "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"aye\"},\"finish_reason\":\"stop\"}]}";
    let steps = vec![Step::Head { status: StatusCode::OK, headers }, Step::Chunk(body.into()), Step::End];
    gateway.world().answer_next("us-east", steps).unwrap();
    let caller = format!(
        "authorization: Bearer sk-callers\r\napi-key: sk-callers\r\nx-api-key: sk-callers\r\ncookie: c=d\r\n\
                  x-other: 1\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n"
    );
    let reply = gateway.ask(&caller).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, body));
    for name in ["set-cookie", "x-internal"] {
        assert_eq!(reply.header(name), None, "{name}");
    }
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some("7"));
    assert_eq!(reply.header("x-outrigger-upstream-request-id"), Some("theirs"));
    assert_ne!(reply.header("x-request-id"), Some("theirs"));
    let received = &gateway.world().received("us-east").unwrap()[0].headers;
    assert_eq!(received["authorization"], "Bearer sk-secret");
    let parent = received["traceparent"].to_str().unwrap();
    assert!(parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-01"), "{parent}");
    assert!(!parent.contains("00f067aa0ba902b7"), "the attempt is a span of its own");
    for name in ["cookie", "api-key", "x-api-key", "x-other"] {
        assert_eq!(received.get(name), None, "{name}");
    }
}

/// **A hang-up is heard.** Fails if a plain request outlives its caller, upstream or in its place here.
#[tokio::test]
async fn a_caller_that_hangs_up_on_a_plain_request_cancels_it_and_frees_its_place() {
    let gateway = Gateway::start("[server]\nmax_concurrent = 1\n[timeouts]\nanswer = \"5m\"\n").await;
    gateway.world().inject("us-east", Fault::Silent, When::always()).unwrap();
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(post("/v1/chat/completions", "", &question(false)).as_bytes()).await.unwrap();
    soon(async {
        while gateway.world().in_flight("us-east").unwrap() == 0 {
            gateway.get("/v1/models").await;
        }
    })
    .await;
    assert_eq!(gateway.ask("").await.code(), "overloaded");
    drop(stream);
    gateway.lets_go_of("us-east").await;
    assert!(gateway.world().received("us-east").unwrap()[0].cancelled_by_caller);
    gateway.world().clear("us-east").unwrap();
    soon(async { while gateway.ask("").await.status != 200 {} }).await;
}

#[tokio::test]
async fn the_configured_models_are_listed() {
    let gateway = Gateway::start("").await;
    let list = gateway.get("/v1/models").await.json();
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"][0]["id"], "chat");
    assert_eq!(list["data"][0]["object"], "model");
    assert_eq!(gateway.get("/models/chat").await.json()["id"], "chat");
    let unknown = gateway.get("/v1/models/meta/llama").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "model_not_found"));
    let no_text = gateway.get("/v1/models/%ff").await;
    assert_eq!((no_text.status, no_text.code().as_str()), (404, "model_not_found"));
    assert_eq!(no_text.header("x-outrigger-attempts"), Some("0"));
    assert!(no_text.header("server-timing").unwrap().starts_with("gateway;dur="));
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_another_one_replaced() {
    let gateway = Gateway::start("").await;
    assert_eq!(gateway.ask("x-request-id: my-7\r\n").await.header("x-request-id"), Some("my-7"));
    assert!(gateway.ask("x-request-id: my 7\r\n").await.header("x-request-id").unwrap().starts_with("req_"));
    assert!(gateway.get("/nowhere").await.header("x-request-id").is_some(), "errors have one too");
}

#[tokio::test]
async fn a_dying_region_is_left_before_the_caller_notices() {
    let gateway = Gateway::start("").await;
    gateway.world().inject("us-east", Fault::Reset, When::always()).unwrap();
    let reply = gateway.ask("").await;
    assert_eq!((reply.status, reply.header("x-outrigger-region")), (200, Some("eu-west")));
    assert_eq!(reply.header("x-outrigger-attempts"), Some("2"));
}

#[tokio::test]
async fn a_caller_may_choose_a_region_and_a_residency() {
    let gateway = Gateway::start("").await;
    let near = gateway.ask("x-outrigger-region: eu-west\r\n").await;
    assert_eq!(near.header("x-outrigger-region"), Some("eu-west"));
    gateway.world().inject("eu-west", Fault::Reset, When::always()).unwrap();
    let bound = gateway.ask("x-outrigger-residency: eu-west\r\n").await;
    assert_eq!((bound.status, bound.code().as_str()), (502, "upstream_exhausted"));
    assert_eq!(bound.header("x-should-retry"), Some("false"));
    assert_eq!(gateway.world().count("us-east").unwrap(), 0, "a residency is never left");
}

#[tokio::test]
async fn an_exhausted_request_tells_what_was_tried() {
    let gateway = Gateway::start("").await;
    for region in ["us-east", "eu-west"] {
        gateway.world().inject(region, Fault::status(500), When::always()).unwrap();
    }
    let reply = gateway.ask("").await;
    let error = &reply.json()["error"];
    assert_eq!((reply.status, error["type"].as_str()), (502, Some("server_error")), "{error}");
    let keys: Vec<_> = error.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["attempts", "code", "message", "param", "type"]);
    let attempt = &error["attempts"][0];
    for key in ["provider", "region", "model", "class", "status", "took_ms"] {
        assert!(attempt.get(key).is_some(), "{key} in {attempt}");
    }
    assert_eq!(attempt["status"], 500);
    assert!(reply.header("x-outrigger-region").is_some());
}

#[tokio::test]
async fn limited_everywhere_is_a_429_with_the_soonest_wait() {
    let gateway = Gateway::start("").await;
    for (region, seconds) in [("us-east", 40), ("eu-west", 20)] {
        let wait = Some(std::time::Duration::from_secs(seconds));
        gateway.world().inject(region, Fault::RateLimit { retry_after: wait }, When::always()).unwrap();
    }
    let reply = gateway.ask("").await;
    assert_eq!((reply.status, reply.code().as_str()), (429, "rate_limit_exceeded"));
    let wait: u64 = reply.header("retry-after").expect("the wait is known").parse().unwrap();
    assert!((19..=20).contains(&wait), "{wait}");
    assert_eq!(reply.header("x-should-retry"), None);
}

#[tokio::test]
async fn a_wait_that_no_sdk_honours_is_said_to_be_hopeless() {
    let gateway = Gateway::start("").await;
    for region in ["us-east", "eu-west"] {
        let wait = Some(std::time::Duration::from_secs(600));
        gateway.world().inject(region, Fault::RateLimit { retry_after: wait }, When::always()).unwrap();
    }
    let reply = gateway.ask("").await;
    assert_eq!((reply.header("retry-after"), reply.header("x-should-retry")), (Some("60"), Some("false")));
}

#[tokio::test]
async fn a_callers_fault_found_by_a_provider_comes_back_as_it_came() {
    let gateway = Gateway::start("").await;
    gateway.world().inject("us-east", Fault::ContextLength, When::always()).unwrap();
    let reply = gateway.ask("").await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "context_length_exceeded"));
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert_eq!(reply.header("x-outrigger-region"), Some("us-east"));
    assert!(reply.json()["error"].get("attempts").is_none(), "the body is the provider's");
}

#[tokio::test]
async fn an_sdks_patience_is_a_deadline() {
    let gateway = Gateway::start("").await;
    for region in ["us-east", "eu-west"] {
        gateway.world().inject(region, Fault::Silent, When::always()).unwrap();
    }
    for header in ["x-outrigger-timeout: 0.2\r\n", "x-stainless-read-timeout: 0.2\r\n"] {
        let reply = gateway.ask(header).await;
        assert_eq!((reply.status, reply.code().as_str()), (504, "deadline_exceeded"), "{header}");
        assert_eq!(reply.header("x-should-retry"), Some("false"));
    }
}

#[tokio::test]
async fn headers_that_name_nothing_are_refused_before_any_attempt() {
    let gateway = Gateway::start("").await;
    let cases = [
        ("x-outrigger-region: mars\r\n", "unknown_region"),
        ("x-outrigger-residency: mars\r\n", "unknown_region"),
        ("x-outrigger-timeout: soon\r\n", "invalid_header"),
    ];
    for (header, code) in cases {
        let reply = gateway.ask(header).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{header}");
    }
    assert_eq!(gateway.world().count("us-east").unwrap(), 0);
}
