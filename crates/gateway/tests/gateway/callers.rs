//! What callers get: answers with where they came from, models, and what their headers ask for.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use sim::{Fault, LAST_WORD, Region, Server, Step, When, World, WorldBuilder};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{Gateway, file, outrigger, post, question, send, soon, two_regions};

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
                openai-processing-ms: 12\ncontent-type: application/json";
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
    assert_eq!(reply.header("openai-processing-ms"), Some("12"));
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

/// **What the file names crosses too**, and nothing beside it. Fails if `forward_headers` is read and not obeyed.
#[tokio::test]
async fn a_header_that_the_provider_is_to_get_crosses() {
    let server = Server::start(two_regions()).await.unwrap();
    let named = "api_key = \"sk-secret\"\nforward_headers = [\"x-tenant\"]\n";
    let text = Gateway::text(&server).replace("api_key = \"sk-secret\"\n", named);
    let gateway = Gateway::reading(outrigger(), server, &file(&text)).await;
    assert_eq!(gateway.ask("x-tenant: blue\r\nx-other: 1\r\n").await.status, 200);
    let received = &gateway.world().received("us-east").unwrap()[0].headers;
    assert_eq!(received["x-tenant"], "blue");
    assert_eq!(received.get("x-other"), None);
}

/// **Who retries by itself is not retried for.** An SDK's second try gets one attempt and its free failover, its first all that there are. Fails if the header
/// is not heard, or its 0 is.
#[tokio::test]
async fn an_sdks_own_retry_gets_one_attempt_and_its_failover() {
    let quick = |name| Region::new(name).latency(Duration::from_millis(2));
    let regions = ["us-east", "eu-west", "ap-south"].map(quick);
    let world = regions.into_iter().fold(World::builder().seed(7), WorldBuilder::region).build().unwrap();
    let gateway = Gateway::before(world, "").await;
    for region in ["us-east", "eu-west", "ap-south"] {
        gateway.world().inject(region, Fault::Reset, When::always()).unwrap();
    }
    for (count, attempts) in [("1", "2"), ("0", "4"), ("2", "2")] {
        let reply = gateway.ask(&format!("x-stainless-retry-count: {count}\r\n")).await;
        assert_eq!((reply.status, reply.header("x-outrigger-attempts")), (502, Some(attempts)), "{count}");
    }
}

/// **A session stays where it is**, one here and another there, asked in turn. Fails if the header is not heard: then all go to the preferred region.
#[tokio::test]
async fn a_session_keeps_its_region() {
    let alike = |name| Region::new(name).latency(Duration::from_millis(20));
    let world = World::builder().seed(7).region(alike("us-east")).region(alike("eu-west")).build().unwrap();
    let gateway = Gateway::before(world, "").await;
    let place = async |session: usize| {
        let reply = gateway.ask(&format!("x-outrigger-session: {session}\r\n")).await;
        reply.header("x-outrigger-region").unwrap().to_owned()
    };
    soon(async {
        // A busy machine may make one of them look slow for a while: then sessions move.
        loop {
            let mut places = Vec::new();
            for session in 0..12 {
                places.push(place(session).await);
            }
            let at = |region: &str| places.iter().position(|place| place == region);
            let (Some(here), Some(there)) = (at("us-east"), at("eu-west")) else { continue };
            let mut stay = true;
            for _ in 0..4 {
                stay &= place(here).await == "us-east" && place(there).await == "eu-west";
            }
            if stay {
                return;
            }
        }
    })
    .await;
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
        let wait = Some(Duration::from_secs(seconds));
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
        let wait = Some(Duration::from_secs(600));
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
