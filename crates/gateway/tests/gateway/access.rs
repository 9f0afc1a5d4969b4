//! The access log's facts that are in no answer: who asked, how long its body took, and what its attempts came to.

use std::time::Instant;

use serde_json::Value;
use sim::Fault;
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream};

use crate::{
    logs::{JSON, access, everywhere, text},
    support::{Gateway, Reply, folder, post, question, soon},
};

const CHAT: &str = "/v1/chat/completions";

/// Asks on a connection of its own, and says from which address.
async fn ask(gateway: &Gateway, request: &str) -> (String, Reply) {
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    let peer = stream.local_addr().unwrap().to_string();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    drop(soon(stream.read_to_end(&mut bytes)).await);
    (peer, Reply::of(&bytes))
}

/// The lines of the log, by the code of what was answered.
fn of_code<'a>(lines: &'a [Value], code: &str) -> &'a Value {
    lines.iter().find(|line| line["code"] == code).unwrap_or_else(|| panic!("no {code} in {lines:#?}"))
}

/// **Every line has who asked**, also where nobody has a key, or none is known yet. Fails if one of the kinds of lines is without its peer.
#[tokio::test]
async fn every_line_has_the_other_end_of_its_connection() {
    let gateway = Gateway::in_environment(JSON, "[server]\nmax_connections = 1").await;
    let (answered, reply) = ask(&gateway, &post(CHAT, "", &question(false))).await;
    assert_eq!(reply.status, 200);
    let (lost, reply) = ask(&gateway, &post("/nowhere", "", "{}")).await;
    assert_eq!(reply.status, 404);
    everywhere(&gateway, &Fault::Silent);
    let mut held = TcpStream::connect(gateway.listen).await.unwrap();
    held.write_all(post(CHAT, "", &question(true)).as_bytes()).await.unwrap();
    soon(async {
        while gateway.world().in_flight("us-east").unwrap() + gateway.world().in_flight("eu-west").unwrap()
            == 0
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (turned_away, reply) = ask(&gateway, &post(CHAT, "", &question(false))).await;
    assert_eq!(reply.code(), "overloaded");
    drop(held);
    let lines = access(&gateway).await;
    let ok = lines.iter().find(|line| line["outcome"] == "ok").unwrap();
    for (line, peer) in
        [(ok, answered), (of_code(&lines, "unknown_url"), lost), (of_code(&lines, "overloaded"), turned_away)]
    {
        assert_eq!(text(line, "peer"), peer, "{line:#}");
    }
}

/// **A slow body is seen as one.** Fails if the time that it took is nowhere, or what was not read has no length.
#[tokio::test]
async fn a_body_that_is_refused_has_its_time_and_its_length() {
    let settings = "[server]\nbody_timeout = \"1s\"\nmax_body = \"64KiB\"";
    let gateway = Gateway::in_environment(JSON, settings).await;
    let request = post(CHAT, "", &question(false));
    let (peer, reply) = ask(&gateway, &request[..request.len() - 5]).await;
    assert_eq!(reply.status, 408);
    assert_eq!(ask(&gateway, &post(CHAT, "", &" ".repeat(100_000))).await.1.status, 413);
    // A body that is waited for, from its head on: for as long as another request takes.
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(format!("{head}\r\nexpect: 100-continue\r\n\r\n").as_bytes()).await.unwrap();
    let mut told = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    soon(stream.read_exact(&mut told)).await.unwrap();
    let awaited = Instant::now();
    assert_eq!(gateway.get("/v1/models").await.status, 200);
    let awaited = awaited.elapsed();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    soon(stream.read_to_end(&mut bytes)).await.unwrap();
    assert_eq!(Reply::of(&bytes).status, 200);
    let lines = access(&gateway).await;
    let late = of_code(&lines, "request_timeout");
    assert_eq!((text(late, "peer"), late["bytes"].as_u64()), (&*peer, Some(question(false).len() as u64)));
    assert!(late["body_ms"].as_f64().unwrap() >= 1000.0, "{late:#}");
    assert_eq!(of_code(&lines, "request_too_large")["bytes"], 100_000);
    let ok = lines.iter().find(|line| line["outcome"] == "ok" && line["model"] == "chat").unwrap();
    assert_eq!(ok["bytes"].as_u64(), Some(question(false).len() as u64));
    assert!(ok["body_ms"].as_f64().unwrap() >= awaited.as_secs_f64() * 1e3 - 0.1, "{awaited:?} {ok:#}");
}

/// **One attempt has one class**, whoever is asked. What the caller's deadline stops is a timeout in its error, in the log and in the metrics; in a record
/// it is one that was let go, since a replay judges by the class. Fails if one of them says otherwise.
#[tokio::test]
async fn what_a_deadline_stops_is_a_timeout_to_whoever_looks() {
    let record = folder().join("night.jsonl");
    let environment = [JSON, &[("OUTRIGGER_RECORD", record.to_str().unwrap())]].concat();
    let mut gateway = Gateway::in_environment(&environment, "").await;
    everywhere(&gateway, &Fault::Silent);
    let reply = gateway.ask("x-outrigger-timeout: 0.5\r\n").await;
    assert_eq!((reply.status, reply.code().as_str()), (504, "deadline_exceeded"));
    let attempts = reply.json()["error"]["attempts"].as_array().unwrap().clone();
    let tried = attempts.iter().map(|attempt| {
        assert_eq!(text(attempt, "class"), "timeout", "{attempt:#}");
        format!("holysheep/{} timeout", text(attempt, "region"))
    });
    let tried = tried.collect::<Vec<_>>();
    let lines = access(&gateway).await;
    assert_eq!(text(of_code(&lines, "deadline_exceeded"), "tried"), tried.join(", "));
    let page = gateway.metrics().await;
    assert!(!page.contains("class=\"cancelled\"") && page.contains("class=\"timeout\"} 1\n"), "{page}");
    gateway.terminate();
    assert!(soon(gateway.child.wait()).await.unwrap().success());
    let written = std::fs::read_to_string(record).unwrap();
    assert_eq!(written.matches("\"class\":\"cancelled\"").count(), tried.len(), "{written}");
}
