//! The log, as a machine reads it: one line a request, whatever became of it, and nothing in it that is secret.

use serde_json::Value;
use sim::{Fault, When};
use tokio::{io::AsyncBufReadExt, io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream};

use crate::keys::Made;
use crate::support::{Gateway, Reply, exchange, post, question, soon};

const CHAT: &str = "/v1/chat/completions";
pub(crate) const JSON: &[(&str, &str)] = &[("OUTRIGGER_LOG_FORMAT", "json"), ("OUTRIGGER_LOG", "info")];

/// The lines of the access log, once there are as many; the marker request that ends them is left out.
///
/// A request that comes after is told after, on a connection of its own: so what has no line by then has none.
pub(crate) async fn access(gateway: &Gateway) -> Vec<Value> {
    gateway.get("/v1/models/marker").await;
    let lines = soon(async {
        loop {
            let lines = all(gateway);
            if lines.iter().any(|line| line["path"] == "/v1/models/marker") {
                return lines;
            }
            tokio::task::yield_now().await;
        }
    });
    let is_request = |line: &Value| line["target"] == "access" && line["path"] != "/v1/models/marker";
    lines.await.into_iter().filter(is_request).collect()
}

/// All whole lines of the log.
fn all(gateway: &Gateway) -> Vec<Value> {
    let parsed = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    gateway.log().lines().map(parsed).collect()
}

pub(crate) fn text<'a>(line: &'a Value, name: &str) -> &'a str {
    line[name].as_str().unwrap_or_else(|| panic!("no {name} in {line:#}"))
}

pub(crate) fn everywhere(gateway: &Gateway, fault: &Fault) {
    for region in ["us-east", "eu-west"] {
        gateway.world().inject(region, fault.clone(), When::always()).unwrap();
    }
}

/// **Every line is a document**, from the first one on: a doubt about the file, the addresses, the reason of the end. Only addresses on ports that the
/// system chose are bare lines too, for whoever started it. Fails if another line is a sentence, or if one of these is missing.
#[tokio::test]
async fn in_a_log_of_documents_every_line_is_one() {
    let write = |name: &str, text: &str| {
        let path = crate::support::folder().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let text = "[providers.a]\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:9/v1\"\n[models.chat]\ntargets = [{ provider = \"a\", model = \"x\" }]\n";
    for (file, text, is_served) in
        [("doubtful", format!("[keys]\n{text}"), true), ("wrong", format!("nope = 1\n{text}"), false)]
    {
        let mut program = crate::support::outrigger();
        program.env("OUTRIGGER_LOG_FORMAT", "json").env("OUTRIGGER_LOG", "off").kill_on_drop(true);
        program.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"]);
        program.arg(write(file, &text)).stderr(std::process::Stdio::piped());
        let mut child = program.spawn().unwrap();
        let mut lines = tokio::io::BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut told, mut bare) = (Vec::new(), Vec::new());
        while let Some(line) = soon(lines.next_line()).await.unwrap() {
            if line.starts_with("listening http://") || line.starts_with("admin http://") {
                bare.push(line);
                continue;
            }
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            told.push((text_of(&line, "level"), text_of(&line, "message")));
            if told.last().is_some_and(|(_, message)| message.starts_with("admin http://")) {
                break;
            }
        }
        let expected: &[(&str, &str)] = if is_served {
            &[("WARN", "keys"), ("INFO", "listening http://"), ("INFO", "admin http://")]
        } else {
            &[("ERROR", "nope")]
        };
        let announced: Vec<_> = bare.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(announced, if is_served { &["listening", "admin"][..] } else { &[] });
        for (level, part) in expected {
            assert!(told.iter().any(|(is, message)| is == level && message.contains(part)), "{told:?}");
        }
    }
}

fn text_of(line: &Value, name: &str) -> String {
    text(line, name).to_owned()
}

/// **Whom the end cuts off has not gone away.** Fails if a stream that the drain broke off counts as its caller's doing.
#[tokio::test]
async fn a_stream_that_the_end_cuts_off_is_truncated() {
    let mut gateway = Gateway::in_environment(JSON, "[server]\ndrain = \"50ms\"").await;
    everywhere(&gateway, &Fault::Stall { after: 3 });
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(post(CHAT, "", &question(true)).as_bytes()).await.unwrap();
    let mut bytes = vec![0; 1];
    soon(stream.read_exact(&mut bytes)).await.unwrap();
    gateway.terminate();
    drop(soon(stream.read_to_end(&mut bytes)).await);
    assert!(String::from_utf8_lossy(&bytes).contains("\"code\":\"draining\""));
    assert_eq!(soon(gateway.child.wait()).await.unwrap().code(), Some(0));
    let line = last_of(&gateway, true).await;
    assert_eq!((text(&line, "outcome"), text(&line, "code")), ("truncated", "draining"), "{line:#}");
    assert_eq!(line["status"], 200);
}

/// The same of one that has no answer yet: it got an error. Fails if its line says that nobody was told anything.
#[tokio::test]
async fn a_plain_request_that_the_end_cuts_off_is_an_error() {
    let mut gateway = Gateway::in_environment(JSON, "[server]\ndrain = \"50ms\"").await;
    everywhere(&gateway, &Fault::Silent);
    let mut caller = TcpStream::connect(gateway.listen).await.unwrap();
    caller.write_all(post(CHAT, "", &question(false)).as_bytes()).await.unwrap();
    soon(async {
        while gateway.world().count("us-east").unwrap() == 0 {
            gateway.get("/v1/models").await;
        }
    })
    .await;
    gateway.terminate();
    let mut bytes = Vec::new();
    drop(soon(caller.read_to_end(&mut bytes)).await);
    let reply = Reply::of(&bytes);
    assert_eq!((reply.status, reply.header("x-outrigger-attempts")), (503, Some("1")));
    assert_eq!(reply.json()["error"]["attempts"][0]["class"], "cancelled", "{}", reply.text());
    assert_eq!(soon(gateway.child.wait()).await.unwrap().code(), Some(0));
    let line = last_of(&gateway, false).await;
    assert_eq!((text(&line, "outcome"), text(&line, "code")), ("error", "draining"), "{line:#}");
    assert_eq!((text(&line, "tried"), &line["status"]), ("holysheep/us-east cancelled", &503.into()));
}

/// **The last word is that it has stopped**, and how many requests that cut off. Fails if the log ends with the drain's beginning, or counts
/// those that were done in time, or before.
#[tokio::test]
async fn the_end_of_the_log_says_what_was_cut_off() {
    for (kept, signals) in [(0, 1), (2, 1), (2, 2)] {
        let drain = if kept > 0 && signals == 1 { "50ms" } else { "1h" };
        let mut gateway = Gateway::in_environment(JSON, &format!("[server]\ndrain = \"{drain}\"")).await;
        assert_eq!(gateway.ask("").await.status, 200);
        everywhere(&gateway, &Fault::Stall { after: 3 });
        let mut callers = Vec::new();
        for _ in 0..kept {
            let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
            stream.write_all(post(CHAT, "", &question(true)).as_bytes()).await.unwrap();
            soon(stream.read_exact(&mut [0; 1])).await.unwrap();
            callers.push(stream);
        }
        gateway.terminate();
        if signals == 2 {
            soon(async { while gateway.operate("GET", "/readyz", "").await.status != 503 {} }).await;
            gateway.terminate();
        }
        assert_eq!(soon(gateway.child.wait()).await.unwrap().success(), signals == 1);
        for stream in &mut callers {
            let mut told = String::new();
            drop(soon(stream.read_to_string(&mut told)).await);
            assert!(told.contains("\"draining\""), "{told}");
        }
        let line = soon(async {
            loop {
                let log = gateway.log();
                let last = log.lines().last().map(|line| serde_json::from_str::<Value>(line).unwrap());
                if let Some(line) = last.filter(|line| line["message"] == "stopped") {
                    break line;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(line["cut_off"], kept, "{line:#}");
        let is_cut_off = |line: &&Value| line["code"] == "draining" && line["outcome"] == "truncated";
        assert_eq!(all(&gateway).iter().filter(is_cut_off).count(), kept);
    }
}

/// The line of the only request for a stream, or for a plain answer, once it is there.
async fn last_of(gateway: &Gateway, stream: bool) -> Value {
    soon(async {
        loop {
            if let Some(line) = all(gateway).into_iter().find(|line| line["stream"] == stream) {
                return line;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// **Who, what, where, how long, how dear.** Fails if a field that operators filter by has another name, or none.
#[tokio::test]
async fn an_answer_has_one_line_that_says_all_of_it() {
    let gateway = Gateway::in_environment(JSON, "").await;
    gateway.world().inject("us-east", Fault::Reset, When::always().first(1)).unwrap();
    let reply = gateway.ask("x-request-id: ask-7\r\n").await;
    assert_eq!(reply.status, 200);
    let lines = access(&gateway).await;
    let [line] = lines.as_slice() else { panic!("{lines:#?}") };
    let expected = [
        ("id", "ask-7"),
        ("api", "chat/completions"),
        ("model", "chat"),
        ("provider", "holysheep"),
        ("region", "eu-west"),
        ("upstream_model", "gpt-4.1"),
        ("tried", "holysheep/us-east reset, holysheep/eu-west success"),
        ("failovers", "reset"),
        ("outcome", "ok"),
        ("level", "INFO"),
    ];
    for (name, value) in expected {
        assert_eq!(line[name], value, "{name} of {line:#}");
    }
    assert_eq!((line["attempts"].as_u64(), line["status"].as_u64()), (Some(2), Some(200)));
    assert_eq!(line["stream"], false);
    let usage = &reply.json()["usage"];
    assert_eq!(line["tokens_in"], usage["prompt_tokens"]);
    assert_eq!(line["tokens_out"], usage["completion_tokens"]);
    let number = |name: &str| line[name].as_f64().unwrap_or_else(|| panic!("no {name} in {line:#}"));
    assert!(number("cost_usd") > 0.0 && number("first_token_ms") > 0.0);
    assert!(number("total_ms") >= number("overhead_ms") && number("overhead_ms") > 0.0, "{line:#}");
}

/// **Every request, once.** Fails if a way out of the routes forgets its line, or has two.
#[tokio::test]
async fn what_is_refused_or_fails_has_one_line_as_well() {
    let gateway = Gateway::in_environment(JSON, "[server]\nmax_body = \"1KiB\"").await;
    let large = "x".repeat(2048);
    gateway.post(CHAT, "", &large).await;
    gateway.post(CHAT, "", "{").await;
    gateway.post(CHAT, "", &question(false).replace("\"chat\"", "\"nope\"")).await;
    gateway.get("/v1/nothing?api-key=sk-hidden").await;
    gateway.get(CHAT).await;
    let foreign = "POST /v1/chat/completions HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    exchange(gateway.listen, foreign).await;
    everywhere(&gateway, &Fault::BadKey);
    gateway.ask("").await;
    let lines = access(&gateway).await;
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["status"].as_u64().unwrap(),
                line["code"].as_str().unwrap(),
                line["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        (413, "request_too_large", "refused"),
        (400, "invalid_json", "refused"),
        (404, "model_not_found", "refused"),
        (404, "unknown_url", "refused"),
        (405, "method_not_allowed", "refused"),
        (403, "foreign_host", "refused"),
        (502, "upstream_exhausted", "error"),
    ];
    assert_eq!(seen, expected, "{lines:#?}");
    assert_eq!(lines[2]["model"], "nope");
    assert_eq!(lines[3]["path"], "/v1/nothing");
}

#[tokio::test]
async fn who_asked_is_named_and_its_key_is_not_told() {
    let made = Made::new("team-a", "").await;
    let gateway = Gateway::in_environment(JSON, &made.entry).await;
    gateway.ask(&made.bearer()).await;
    gateway.ask("authorization: Bearer or-of-a-stranger\r\n").await;
    let lines = access(&gateway).await;
    let [known, stranger] = lines.as_slice() else { panic!("{lines:#?}") };
    assert_eq!((text(known, "caller"), known["status"].as_u64()), ("team-a", Some(200)));
    assert_eq!((text(stranger, "code"), stranger["status"].as_u64()), ("invalid_api_key", Some(401)));
    assert_eq!(stranger["caller"], Value::Null);
    assert!(!gateway.log().contains(&made.key) && !gateway.log().contains("stranger"));
}

#[tokio::test]
async fn a_stream_that_breaks_off_says_so() {
    let gateway = Gateway::in_environment(JSON, "[routing]\nrescue_streams = false").await;
    gateway.world().inject("us-east", Fault::Cut { after: 5 }, When::always()).unwrap();
    gateway.post(CHAT, "", &question(true)).await;
    let lines = access(&gateway).await;
    let [line] = lines.as_slice() else { panic!("{lines:#?}") };
    assert_eq!(
        (text(line, "outcome"), text(line, "code"), line["stream"].as_bool()),
        ("truncated", "answer_truncated", Some(true))
    );
}

/// **Who hangs up is not forgotten.** Before the body is whole, before there is an answer, and amid a stream.
#[tokio::test]
async fn who_hangs_up_has_a_line() {
    let gateway = Gateway::in_environment(JSON, "[timeouts]\nidle = \"10m\"\nfirst_token = \"10m\"").await;
    let ask = async |request: String, until: Option<&str>| {
        let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        while until.is_some_and(|until| crate::support::find(&bytes, until.as_bytes()).is_none()) {
            assert_ne!(soon(stream.read_buf(&mut bytes)).await.unwrap(), 0);
        }
        stream
    };
    let lines = async |count: usize| {
        soon(async {
            while all(&gateway).iter().filter(|line| line["target"] == "access").count() < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    let whole = post(CHAT, "expect: 100-continue\r\n", &question(true));
    let half = whole[..whole.len() - 5].to_owned();
    drop(ask(half, Some("100 Continue")).await);
    lines(1).await;
    everywhere(&gateway, &Fault::Silent);
    let silent = ask(post(CHAT, "", &question(true)), None).await;
    soon(async {
        while gateway.world().count("us-east").unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(silent);
    lines(2).await;
    gateway.world().clear_all();
    everywhere(&gateway, &Fault::Stall { after: 3 });
    drop(ask(post(CHAT, "", &question(true)), Some("data: ")).await);
    lines(3).await;
    let lines = access(&gateway).await;
    let [in_body, in_silence, in_stream] = lines.as_slice() else { panic!("{lines:#?}") };
    assert_eq!((text(in_body, "code"), in_body["attempts"].as_u64()), ("invalid_body", Some(0)));
    assert_eq!((text(in_silence, "outcome"), &in_silence["status"]), ("cancelled", &Value::Null));
    assert_eq!(
        (text(in_silence, "tried"), text(in_silence, "region")),
        ("holysheep/us-east cancelled", "us-east")
    );
    assert_eq!((text(in_stream, "outcome"), in_stream["status"].as_u64()), ("cancelled", Some(200)));
}

/// **The log is no leak.** Fails if a prompt, an answer or a key comes into it, at its most talkative.
#[tokio::test]
async fn no_prompt_no_answer_and_no_key_is_in_it() {
    let environment = [("OUTRIGGER_LOG_FORMAT", "human"), ("OUTRIGGER_LOG", "trace")];
    let gateway = Gateway::in_environment(&environment, "").await;
    let secret = "xyzzy-of-the-prompt";
    let body = question(false).replace("ahoy", secret);
    let reply = gateway.post(CHAT, "authorization: Bearer sk-of-the-caller\r\n", &body).await;
    let answer = reply.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    everywhere(&gateway, &Fault::ContentFilter);
    gateway.post(CHAT, "", &body).await;
    soon(async {
        while gateway.log().matches("access: request").count() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let log = gateway.log();
    for hidden in [secret, "sk-of-the-caller", "sk-secret", &answer] {
        assert!(!log.contains(hidden), "{hidden:?} is in\n{log}");
    }
}

#[tokio::test]
async fn what_became_of_places_is_told_with_its_facts() {
    let gateway = Gateway::in_environment(JSON, "[breaker]\nfailure_threshold = 1\n").await;
    gateway.world().inject("us-east", Fault::BadKey, When::always()).unwrap();
    gateway.world().inject("eu-west", Fault::Reset, When::always()).unwrap();
    gateway.ask("").await;
    access(&gateway).await;
    let lines = all(&gateway);
    let find = |message: &str| {
        lines
            .iter()
            .find(|line| line["message"] == message)
            .unwrap_or_else(|| panic!("no {message} in {lines:#?}"))
    };
    let out = find("taken_out");
    assert_eq!(
        (text(out, "level"), text(out, "region"), text(out, "class")),
        ("ERROR", "us-east", "credential")
    );
    let opens = find("transition");
    assert_eq!((text(opens, "level"), text(opens, "region"), text(opens, "to")), ("WARN", "eu-west", "open"));
}
