//! What callers say to models: nowhere, unless the operator asks for it, and then in the access log alone.

use std::path::Path;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    keys::Made,
    support::{Gateway, folder, outrigger, question, soon},
};

const CHAT: &str = "/v1/chat/completions";
const SECRET: &str = "xyzzy-of-the-prompt";
/// All that can be heard, of every library that a request passes through.
const LOUDEST: &str = "trace,hyper=trace,hyper_util=trace,h2=trace,axum=trace,tower=trace,reqwest=trace,rustls=trace,fjall=trace,outrigger=trace";

/// A gateway that is as talkative as it can be, and records.
async fn talkative(record: &Path, flags: &[(&str, &str)], more: &str) -> Gateway {
    let mut program = outrigger();
    program.env("OUTRIGGER_LOG", LOUDEST).env("OUTRIGGER_LOG_FORMAT", "json").env("OUTRIGGER_RECORD", record);
    program.envs(flags.iter().copied());
    Gateway::started_by(program, more).await
}

/// Asks with the secret in each form of request, and of a model that is not there.
async fn ask(gateway: &Gateway, headers: &str) {
    let chat = question(false).replace("ahoy", SECRET);
    let stream = question(true).replace("ahoy", SECRET);
    let unknown = chat.replace("\"chat\"", "\"nope\"");
    let embeddings = format!("{{\"model\":\"chat\",\"input\":[\"{SECRET}\"]}}");
    let torn = chat.replace('}', "");
    for (path, body) in
        [(CHAT, &chat), (CHAT, &stream), (CHAT, &unknown), ("/v1/embeddings", &embeddings), (CHAT, &torn)]
    {
        gateway.post(path, headers, body).await;
    }
}

/// The lines of the access log, once there are so many.
async fn lines(gateway: &Gateway, count: usize) -> Vec<Value> {
    soon(async {
        loop {
            let log = gateway.log();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let found: Vec<Value> = lines.filter(|line| line["target"] == "access").collect();
            if found.len() >= count {
                return found;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// All that operators can read, the beginning of the events included.
async fn read(gateway: &Gateway) -> String {
    let mut all = String::new();
    for path in ["/status", "/spend", "/metrics", "/readyz", "/explain?model=chat"] {
        all += &gateway.operate("GET", path, "").await.text();
    }
    let mut stream = tokio::net::TcpStream::connect(gateway.admin).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    // The last of what is remembered, so that all before has come.
    let order = "{\"provider\":\"holysheep\",\"region\":\"us-east\"}";
    gateway.operate("POST", "/cordon", order).await;
    let mut bytes = Vec::new();
    soon(async {
        while crate::support::find(&bytes, b"event: cordon").is_none() {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
        }
    })
    .await;
    all + &String::from_utf8_lossy(&bytes)
}

/// **Nobody asked, nobody is told.** Fails if a byte of a prompt is in the log at its loudest, in a record, in an event or in anything that
/// operators can read.
#[tokio::test]
async fn without_the_switch_no_byte_of_a_prompt_is_anywhere() {
    let record = folder().join("record.jsonl");
    let mut gateway = talkative(&record, &[], "").await;
    gateway.world().inject("us-east", sim::Fault::Reset, sim::When::always()).unwrap();
    ask(&gateway, "").await;
    lines(&gateway, 5).await;
    let seen = read(&gateway).await;
    assert!(seen.contains("event: failover"), "{seen}");
    assert!(!seen.contains(SECRET), "{seen}");
    gateway.terminate();
    assert!(soon(gateway.child.wait()).await.unwrap().success());
    let recorded = std::fs::read_to_string(&record).unwrap();
    assert!(recorded.contains("\"class\":\"reset\"") && !recorded.contains(SECRET), "{recorded}");
    assert!(!gateway.log().contains(SECRET), "{}", gateway.log());
}

/// **Who asks is told, in the access log alone.** Fails if a request's words are not there, if a key is, or if they are anywhere else.
#[tokio::test]
async fn with_the_switch_the_access_log_has_prompts_and_nothing_else_has() {
    let made = Made::new("team-a", "").await;
    let record = folder().join("record.jsonl");
    let mut gateway = talkative(&record, &[("OUTRIGGER_LOG_PROMPTS", "1")], &made.entry).await;
    ask(&gateway, &made.bearer()).await;
    let long = question(false).replace("ahoy", &"long ".repeat(20_000));
    gateway.post(CHAT, &made.bearer(), &long).await;
    let lines = lines(&gateway, 6).await;
    let prompt = |place: usize| lines[place]["prompt"].as_str().unwrap_or_default();
    for place in 0..2 {
        assert_eq!(prompt(place), format!("messages=[{{\"role\":\"user\",\"content\":\"{SECRET}\"}}]"));
    }
    assert_eq!(prompt(3), format!("input=[\"{SECRET}\"]"));
    assert_eq!(lines[4]["prompt"], Value::Null, "what is no request says nothing");
    assert!(prompt(5).ends_with("bytes]") && prompt(5).len() < 17 << 10, "{}", prompt(5).len());
    let seen = read(&gateway).await;
    assert!(!seen.contains(SECRET), "{seen}");
    gateway.terminate();
    assert!(soon(gateway.child.wait()).await.unwrap().success());
    let recorded = std::fs::read_to_string(&record).unwrap();
    assert!(!recorded.is_empty() && !recorded.contains(SECRET), "{recorded}");
    let log = gateway.log();
    for hidden in [made.key.as_str(), "sk-secret"] {
        assert!(!log.contains(hidden), "{hidden} is in\n{log}");
    }
    let elsewhere: Vec<&str> =
        log.lines().filter(|line| line.contains(SECRET) && !line.contains("\"target\":\"access\"")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}

/// **It is loud at the start.** Fails if a gateway that writes prompts down does not say so first, or one that does not says so.
#[tokio::test]
async fn the_switch_is_told_of_at_the_start() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let path = crate::support::file(crate::commands::SOUND);
    for asked in [false, true] {
        let mut program = outrigger();
        program.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"]).arg(&path);
        program.args(asked.then_some("--log-prompts"));
        let mut child = program.stderr(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut before = String::new();
        while let Some(line) = soon(lines.next_line()).await.unwrap() {
            if line.starts_with("listening ") {
                break;
            }
            before += &line;
        }
        assert_eq!(before.contains("--log-prompts"), asked, "{before}");
    }
}
