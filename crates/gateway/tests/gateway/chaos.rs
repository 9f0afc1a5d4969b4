//! `outrigger sim`: simulated regions for anyone's tests, and `/chaos`, which disturbs them.

use std::{net::SocketAddr, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::support::{announced, operate, post, send, soon};

/// The program, its first region, and where it is disturbed.
struct Sim {
    child: Child,
    first: SocketAddr,
    admin: SocketAddr,
}

impl Sim {
    async fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_outrigger"))
            .args(["sim", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut regions = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let listen = announced(&mut log, "listening").await;
        let admin = announced(&mut log, "admin").await;
        let mut bases = Vec::new();
        for name in ["us-east", "eu-west", "ap-southeast"] {
            let line = soon(regions.next_line()).await.unwrap().unwrap();
            let url = line.strip_prefix(name).expect(&line).trim().to_owned();
            bases.push(url.strip_prefix("http://").unwrap().strip_suffix("/v1").unwrap().to_owned());
        }
        let first = bases[0].parse().unwrap();
        assert_eq!(listen, first);
        Self { child, first, admin }
    }

    /// Disturbs the first region.
    async fn wreak(&self, fault: &str) -> u16 {
        let body = format!("{{\"region\":\"us-east\",{fault}}}");
        operate(self.admin, "POST", "/chaos", &body).await.status
    }

    async fn calm(&self) {
        assert_eq!(operate(self.admin, "DELETE", "/chaos?region=us-east", "").await.status, 204);
    }
}

#[tokio::test]
async fn simulated_regions_answer_and_can_be_disturbed() {
    let mut sim = Sim::start().await;
    let models = "GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let listed = send(sim.first, models).await;
    assert_eq!(listed.status, 200);
    let listed = listed.json();
    let listed: Vec<_> = listed["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(listed, ["gpt-4.1", "claude-sonnet-4.5", "gemini-2.5-flash", "deepseek-v3.2"]);
    assert_eq!(sim.wreak("\"fault\":\"status\",\"status\":503").await, 200);
    assert_eq!(send(sim.first, models).await.status, 503);
    assert_eq!(operate(sim.admin, "DELETE", "/chaos?regoin=eu-west", "").await.status, 400);
    assert_eq!(send(sim.first, models).await.status, 503, "what is misspelt heals nothing");
    sim.calm().await;
    assert_eq!(send(sim.first, models).await.status, 200);
    let wrong = operate(sim.admin, "POST", "/chaos", "{\"region\":\"us-east\",\"fault\":\"explode\"}").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "invalid_value"));
    assert_eq!(operate(sim.admin, "DELETE", "/chaos?region=mars", "").await.status, 404);
    let id = sim.child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").arg(id).status().unwrap().success());
    assert_eq!(soon(sim.child.wait()).await.unwrap().code(), Some(0));
}

/// Every fault by its name, with every parameter it takes; and no parameter that it does not take.
#[tokio::test]
async fn chaos_takes_every_fault_with_its_parameters() {
    let sim = Sim::start().await;
    let parameters = |name: &str| match name {
        "status" => ",\"status\":502,\"retry_after\":1.5",
        "rate_limit" => ",\"retry_after\":2",
        "slow_first_token" | "slow_tokens" => ",\"delay\":\"20ms\"",
        "slow" => ",\"factor\":3.0",
        "cut" | "stall" | "malformed" => ",\"after\":7",
        _ => "",
    };
    for fault in sim::Fault::all() {
        let name = fault.name();
        let whole =
            format!("\"fault\":\"{name}\",\"for\":\"1s\",\"share\":0.5,\"first\":3{}", parameters(name));
        assert_eq!(sim.wreak(&whole).await, 200, "{whole}");
        let foreign = if name == "slow" { "\"after\":1" } else { "\"factor\":2.0" };
        assert_eq!(
            sim.wreak(&format!("\"fault\":\"{name}\",{foreign}")).await,
            400,
            "{name} takes {foreign}"
        );
        sim.calm().await;
    }
}

/// **Every kind of request can be disturbed.** Each is refused with the fault's status and answered again when it is over; what
/// is no generation has no context and no content to be refused.
#[tokio::test]
async fn every_kind_of_request_meets_the_faults() {
    let sim = Sim::start().await;
    let messages = "\"messages\":[{\"role\":\"user\",\"content\":\"ahoy\"}]";
    let kinds = [
        ("/v1/chat/completions", format!("{{\"model\":\"m\",{messages}}}")),
        ("/v1/completions", "{\"model\":\"m\",\"prompt\":\"ahoy\"}".to_owned()),
        ("/v1/responses", "{\"model\":\"m\",\"input\":\"ahoy\"}".to_owned()),
        ("/v1/messages", format!("{{\"model\":\"m\",\"max_tokens\":9,{messages}}}")),
        ("/v1/embeddings", "{\"model\":\"m\",\"input\":\"ahoy\"}".to_owned()),
    ];
    let faults = [
        ("rate_limit", 429),
        ("quota_spent", 429),
        ("overloaded", 529),
        ("bad_key", 401),
        ("status", 500),
        ("context_length", 400),
        ("content_filter", 400),
    ];
    for (fault, status) in faults {
        assert_eq!(sim.wreak(&format!("\"fault\":\"{fault}\",\"for\":\"1h\"")).await, 200);
        for (path, body) in &kinds {
            let generates = *path != "/v1/embeddings" || status != 400;
            let met = send(sim.first, &post(path, "", body)).await.status;
            assert_eq!(met, if generates { status } else { 200 }, "{fault} {path}");
        }
        sim.calm().await;
        for (path, body) in &kinds {
            assert_eq!(send(sim.first, &post(path, "", body)).await.status, 200, "{path} after {fault}");
        }
    }
}

#[tokio::test]
async fn the_simulator_has_the_page_too_and_says_what_is_wrong_where() {
    let sim = Sim::start().await;
    let page = operate(sim.admin, "GET", "/", "").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(sim.wreak("\"fault\":\"reset\",\"for\":\"1h\"").await, 200);
    let status = operate(sim.admin, "GET", "/status", "").await.json();
    let [east, west, _] = &status["chaos"].as_array().unwrap()[..] else { panic!("{status}") };
    assert_eq!((&east["region"], &east["faults"][0]["fault"]), (&"us-east".into(), &"reset".into()));
    assert!(
        east["faults"][0]["left_ms"].as_u64().is_some_and(|left| (1..=3_600_000).contains(&left)),
        "{status}"
    );
    assert_eq!((&west["region"], &west["faults"]), (&"eu-west".into(), &serde_json::json!([])));
    sim.calm().await;
    let status = operate(sim.admin, "GET", "/status", "").await.json();
    assert_eq!(status["chaos"][0]["faults"], serde_json::json!([]));
}
