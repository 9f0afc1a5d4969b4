//! Requests that are wrong, or meant to do harm: each gets its 4xx with the JSON error, and the gateway goes on.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    bounds::resting,
    support::{Gateway, Reply, find, post, question, send, soon},
};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn broken_json_is_refused_with_its_position() {
    let gateway = Gateway::start("").await;
    let cases = [
        ("", "invalid_json"),
        ("{\"model\":\"chat\"", "invalid_json"),
        ("{\n \"model\": nope}", "invalid_json"),
        ("[]", "invalid_json"),
        ("{\"messages\":[]}", "invalid_value"),
        ("{\"model\":7}", "invalid_value"),
    ];
    for (body, code) in cases {
        let reply = gateway.post(CHAT, "", body).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{body}");
        assert_eq!(reply.header("x-should-retry"), Some("false"));
    }
    let reply = gateway.post(CHAT, "", "{\n \"model\": nope}").await;
    assert!(reply.text().contains("line 2"), "{}", reply.text());
}

#[tokio::test]
async fn what_is_not_there_is_said_in_json() {
    let gateway = Gateway::start("").await;
    let unknown = gateway.post(CHAT, "", "{\"model\":\"gpt-9\",\"messages\":[]}").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "model_not_found"));
    assert_eq!(unknown.json()["error"]["param"], "model");
    let path = gateway.get("/v2/chat").await;
    assert_eq!((path.status, path.code().as_str()), (404, "unknown_url"));
    let method = gateway.get(CHAT).await;
    assert_eq!((method.status, method.code().as_str()), (405, "method_not_allowed"));
    assert_eq!(method.header("allow"), Some("POST"));
}

#[tokio::test]
async fn a_form_of_a_web_page_is_not_taken() {
    let gateway = Gateway::start("").await;
    let body = question(false);
    let bare = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let reply = send(gateway.listen, &bare).await;
    assert_eq!((reply.status, reply.code().as_str()), (415, "unsupported_media_type"));
    let named = gateway.post(CHAT, "content-type: application/json; charset=utf-8\r\n", &body).await;
    assert_eq!(named.status, 200, "{}", named.text());
}

/// **What is packed is not taken for broken.** Fails if it is read as it is, and said to be no JSON.
#[tokio::test]
async fn a_body_in_a_coding_is_refused_by_its_name() {
    let gateway = Gateway::start("").await;
    for (coding, status) in [("gzip", 415), ("identity", 200), ("Identity", 200), ("identity, br", 415)] {
        let header = format!("content-encoding: {coding}\r\n");
        let reply = gateway.post(CHAT, &header, &question(false)).await;
        assert_eq!(reply.status, status, "{coding}: {}", reply.text());
        if status == 415 {
            assert_eq!(reply.code(), "unsupported_media_type");
            assert_eq!(reply.json()["error"]["param"], "content-encoding");
        }
    }
    let asked: u64 = ["us-east", "eu-west"].map(|region| gateway.world().count(region).unwrap()).iter().sum();
    assert_eq!(asked, 2, "nothing of it goes to a provider");
}

#[tokio::test]
async fn a_body_too_large_is_refused_before_it_is_sent() {
    let gateway = Gateway::start("[server]\nmax_body = \"1KiB\"").await;
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1025\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = vec![0; 4096];
    let read = soon(stream.read(&mut bytes)).await.unwrap();
    let reply = Reply::of(&bytes[..read]);
    assert_eq!((reply.status, reply.code().as_str()), (413, "request_too_large"));
    // One that does not say its length is refused when it has grown too large.
    let chunk = format!("400\r\n{}\r\n", " ".repeat(0x400));
    let chunked = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    assert_eq!(send(gateway.listen, &chunked).await.status, 413);
}

#[tokio::test]
async fn a_strangers_host_or_page_is_refused_on_both_ports() {
    let gateway = Gateway::start("").await;
    for address in [gateway.listen, gateway.admin] {
        for (host, origin) in [("evil.example", ""), ("localhost", "origin: http://evil.example\r\n")] {
            let request =
                format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n{origin}connection: close\r\n\r\n");
            let reply = send(address, &request).await;
            assert_eq!((reply.status, reply.code().as_str()), (403, "foreign_host"), "{host} {origin}");
        }
    }
    assert_eq!(gateway.world().count("us-east").unwrap(), 0);
}

#[tokio::test]
async fn a_connection_survives_the_errors_of_its_requests() {
    let gateway = Gateway::start("").await;
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    let bad = post(CHAT, "", "{").replace("connection: close\r\n", "");
    for _ in 0..3 {
        stream.write_all(bad.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        while find(&bytes, b"}}").is_none() {
            assert_ne!(soon(stream.read_buf(&mut bytes)).await.unwrap(), 0, "it stays open");
        }
        assert_eq!(Reply::of(&bytes).status, 400);
    }
    stream.write_all(post(CHAT, "", &question(false)).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    soon(stream.read_to_end(&mut bytes)).await.unwrap();
    assert_eq!(Reply::of(&bytes).status, 200);
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_let_go() {
    let gateway = Gateway::start("[server]\nheader_timeout = \"100ms\"").await;
    for beginning in ["", "P", "PRI * HT", "POST /v1/chat/completions HTTP/1.1\r\nhost: local"] {
        let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        drop(soon(stream.read_to_end(&mut bytes)).await);
        assert_eq!(find(&bytes, b" 200 "), None, "{beginning:?}");
    }
    assert_eq!(gateway.ask("").await.status, 200, "others are served");
}

/// **After a rest as well.** A further head has the same time, from its first byte. Fails if it has that of the rest on top, or none.
#[tokio::test]
async fn a_client_that_never_finishes_its_second_head_is_let_go_as_soon() {
    let gateway = Gateway::start("[server]\nheader_timeout = \"1s\"").await;
    let mut stream = resting(&gateway).await;
    stream.write_all(b"GET /v1/mod").await.unwrap();
    let mut bytes = Vec::new();
    drop(soon(stream.read_to_end(&mut bytes)).await);
    assert_eq!(find(&bytes, b" 200 "), None);
    assert_eq!(gateway.ask("").await.status, 200, "others are served");
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_forgotten() {
    let gateway = Gateway::start("").await;
    for garbage in ["\u{16}\u{3}\u{1}\u{2}", "GET\r\n\r\n", "\r\n\r\n\r\n", "POST / HTTP/9.9\r\n\r\n"] {
        let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
        stream.write_all(garbage.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut bytes = Vec::new();
        drop(soon(stream.read_to_end(&mut bytes)).await);
        assert_eq!(find(&bytes, b" 200 "), None);
    }
    assert_eq!(gateway.ask("").await.status, 200);
}

#[tokio::test]
async fn more_requests_than_are_taken_at_once_are_overload() {
    let gateway = Gateway::start("[server]\nmax_concurrent = 1").await;
    gateway.world().inject("us-east", sim::Fault::Silent, sim::When::always()).unwrap();
    let mut held = TcpStream::connect(gateway.listen).await.unwrap();
    held.write_all(post(CHAT, "", &question(false)).as_bytes()).await.unwrap();
    while gateway.world().count("us-east").unwrap() == 0 {
        gateway.get("/v1/models").await;
    }
    let reply = gateway.ask("").await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "overloaded"));
    assert_eq!(reply.header("retry-after"), Some("1"));
}
