//! `outrigger demo`, the real program: what it promises to scripts, and that it keeps its word.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail as tests do; the configuration excuses only the tests themselves"
)]

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStderr, Command},
};

/// Longer than any demo here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes in time")
}

/// A demo that runs.
struct Demo {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    listen: SocketAddr,
    admin: SocketAddr,
}

impl Demo {
    /// On ports of its own, unless `arguments` say otherwise.
    async fn start(arguments: &[&str]) -> Self {
        let ports = ["--listen=127.0.0.1:0", "--admin=127.0.0.1:0"];
        let ports = ports.iter().filter(|port| {
            !arguments.iter().any(|given| given.starts_with(&port[..port.find('=').unwrap()]))
        });
        let mut child = Command::new(env!("CARGO_BIN_EXE_outrigger"))
            .args(["demo", "--json"])
            .args(ports)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let listen = announced(&mut log, "listening").await;
        let admin = announced(&mut log, "admin").await;
        Self { child, log, listen, admin }
    }

    /// Ctrl-C.
    fn interrupt(&self) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }

    /// Its report, when it ends by itself, its exit status, and what it said besides. Standard output holds nothing else.
    async fn end(mut self) -> (Value, ExitStatus, String) {
        let (mut text, mut rest) = (String::new(), String::new());
        let mut stdout = self.child.stdout.take().unwrap();
        let mut stderr = self.log.into_inner();
        let (status, read, told) = soon(async {
            tokio::join!(
                self.child.wait(),
                stdout.read_to_string(&mut text),
                stderr.read_to_string(&mut rest)
            )
        })
        .await;
        read.unwrap();
        told.unwrap();
        let report =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}, and {rest}"));
        (report, status.unwrap(), rest)
    }
}

async fn announced(log: &mut Lines<BufReader<ChildStderr>>, what: &str) -> SocketAddr {
    while let Some(line) = soon(log.next_line()).await.unwrap() {
        if let Some(url) = line.strip_prefix(&format!("{what} http://")) {
            return url.parse().unwrap();
        }
    }
    panic!("no line `{what}`");
}

async fn send(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
    format!("{head}connection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// A scenario of one act of a second, with these lines more.
fn short_scenario(name: &str, more: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}.toml", std::process::id()));
    let text = format!("seed = 3\n[[act]]\nname = \"short\"\nfor = \"1s\"\nsick = [\"us-east\"]\n{more}");
    std::fs::write(&path, text).unwrap();
    path.into_os_string().into_string().unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// That `value` has these keys; it may have others beside them.
fn assert_keys(value: &Value, expected: &[&str]) {
    for key in expected {
        assert!(keys(value).contains(key), "{key} is missing in {:?}", keys(value));
    }
}

#[tokio::test]
async fn no_request_fails_in_the_eight_acts() {
    let (report, status, log) = Demo::start(&["--seconds", "8", "--seed", "7"]).await.end().await;
    assert_eq!(status.code(), Some(0), "{report:#}\n{log}");
    assert_eq!((&report["failed"], &report["truncated"]), (&0.into(), &0.into()));
    assert_eq!((&report["seed"], &report["seconds"]), (&7.into(), &8.into()));
    assert!(report["requests"].as_u64().unwrap() > 300);
    let more_than_one = report["attempts_per_request"].as_f64().unwrap();
    assert!((1.0..1.5).contains(&more_than_one), "{more_than_one}");
    assert!(report["cost_usd"].as_f64().unwrap() > 0.0);
    assert!(report["p99_ms"].as_f64().unwrap() >= report["p50_ms"].as_f64().unwrap());

    let document = [
        "seed",
        "seconds",
        "requests",
        "failed",
        "truncated",
        "p50_ms",
        "p99_ms",
        "attempts_per_request",
        "cost_usd",
        "regions",
        "acts",
        "naive",
    ];
    assert_keys(&report, &document);
    let regions = report["regions"].as_array().unwrap();
    let names: Vec<_> = regions.iter().map(|region| region["region"].as_str().unwrap()).collect();
    assert_eq!(names, ["us-east", "eu-west", "ap-southeast"]);
    regions.iter().for_each(|region| assert_keys(region, &["region", "served", "attempts"]));
    let served: u64 = regions.iter().map(|region| region["served"].as_u64().unwrap()).sum();
    assert_eq!(served, report["requests"].as_u64().unwrap());

    let acts = report["acts"].as_array().unwrap();
    let names: Vec<_> = acts.iter().map(|act| act["name"].as_str().unwrap()).collect();
    let eight = [
        "a region degrades",
        "limits drop at peak",
        "latency swings",
        "impatient callers retry",
        "a region goes silent",
        "answers break off",
        "a provider is overloaded",
        "a quota is spent",
    ];
    assert_eq!(names, eight);
    for act in acts {
        assert_keys(act, &["name", "requests", "failed", "p99_ms", "calls_to_sick"]);
        assert!(act["requests"].as_u64().unwrap() > 0, "{act}");
    }

    let naive = &report["naive"];
    assert_keys(naive, &["requests", "failed", "p50_ms", "p99_ms", "calls_to_sick"]);
    assert_eq!(naive["requests"], report["requests"], "both are asked the same");
    assert!(naive["failed"].as_u64().unwrap() > 0, "a client without failover does fail");
    let sick: u64 = acts.iter().map(|act| act["calls_to_sick"].as_u64().unwrap()).sum();
    assert!(sick < naive["calls_to_sick"].as_u64().unwrap());
}

#[tokio::test]
async fn an_interrupted_demo_reports_what_it_has() {
    let demo = Demo::start(&["--seconds", "600"]).await;
    let page = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answered = "outcome=\"ok\"} ";
    let count = |page: &str| -> u64 {
        let lines = page.lines().filter(|line| line.starts_with("outrigger_requests_total"));
        lines.filter_map(|line| line.split_once(answered)?.1.parse::<u64>().ok()).sum()
    };
    soon(async {
        while count(&send(demo.admin, page).await) < 20 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    demo.interrupt();
    let (report, status, log) = demo.end().await;
    assert_eq!(status.code(), Some(0), "{report:#}\n{log}");
    assert!(report["requests"].as_u64().unwrap() > 10);
    assert!(report["seconds"].as_u64().unwrap() < 60);
    assert_eq!(
        report["acts"].as_array().unwrap().len(),
        8,
        "those that did not come to play are told as well"
    );
}

#[tokio::test]
async fn a_demo_that_keeps_on_serves_until_it_is_interrupted() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let scenario = short_scenario("keep", "");
    let mut demo = Demo::start(&["--keep", "--scenario", &scenario, &format!("--listen={address}")]).await;
    assert_ne!(demo.listen, address, "a port that is taken is replaced");
    let mut told = String::new();
    let stdout = BufReader::new(demo.child.stdout.take().unwrap());
    let line = soon(stdout.lines().next_line()).await.unwrap().expect("a report");
    let report: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&report["seed"], &report["acts"][0]["name"]), (&3.into(), &"short".into()));

    let chaos = post("/chaos", r#"{"region":"ap-southeast","fault":"reset","for":"1h"}"#);
    let answer = send(demo.admin, &chaos).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let ahoy = r#"{"model":"gpt-4.1","messages":[{"role":"user","content":"ahoy"}]}"#;
    let answer = send(demo.listen, &post("/v1/chat/completions", ahoy)).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(sim::LAST_WORD), "{answer}");

    demo.interrupt();
    let mut stderr = demo.log.into_inner();
    let (status, read) =
        soon(async { tokio::join!(demo.child.wait(), stderr.read_to_string(&mut told)) }).await;
    read.unwrap();
    assert_eq!(status.unwrap().code(), Some(0), "{told}");
}

#[tokio::test]
async fn a_demo_in_which_callers_are_failed_says_so() {
    let cut = |region| format!("[[fault]]\nregion = \"{region}\"\nfault = \"cut\"\n");
    let everywhere = ["us-east", "eu-west", "ap-southeast"].map(cut).concat();
    let scenario = short_scenario("cut", &everywhere);
    let demo = Demo::start(&["--seconds", "8", "--scenario", &scenario]).await;
    let (report, status, log) = demo.end().await;
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("a caller got no whole answer: "), "{log}");
    assert!(report["failed"].as_u64().unwrap() > 0, "plain answers");
    assert!(report["truncated"].as_u64().unwrap() > 0, "streams");
}

#[tokio::test]
async fn a_demo_too_short_to_show_anything_is_wrong_usage() {
    let wrong = Command::new(env!("CARGO_BIN_EXE_outrigger")).args(["demo", "--seconds", "7"]).output();
    assert_eq!(soon(wrong).await.unwrap().status.code(), Some(2));
}
