//! Last night's incident: recorded while it goes on, and run again on a desk.

use std::time::Duration;

use serde_json::Value;
use sim::{Fault, Region, Server, When, World};

use crate::{
    commands::run,
    support::{Gateway, file, folder, outrigger, question, soon},
};

/// The breaker trips after three in a row and comes back soon.
const BREAKER: &str = "[breaker]\nfailure_threshold = 3\nfailure_rate = { at_least = 1.0, min_calls = 1000, within = \"60s\" }\n\
                       recovery_timeout = \"300ms\"\nsuccess_threshold = 1\n";

/// A configuration of the same places, whoever listens there.
const SAME_PLACES: &str = "[providers.holysheep]\ndialect = \"openai\"\n\
    [providers.holysheep.regions.us-east]\nbase_url = \"http://127.0.0.1:1/v1\"\n\
    [providers.holysheep.regions.eu-west]\nbase_url = \"http://127.0.0.1:2/v1\"\n\
    [models.chat]\ntargets = [{ provider = \"holysheep\", model = \"gpt-4.1\" }]\n\
    routing = { preferred_region = \"us-east\" }\n";

/// What a replay's lines tell of circuits: where, from, to.
fn transitions(told: &Value) -> Vec<String> {
    let lines = told["lines"].as_array().unwrap();
    let all = lines.iter().flat_map(|line| line["transitions"].as_array().into_iter().flatten());
    all.map(|one| format!("{} {} {}", one["place"], one["from"], one["to"]).replace('"', "")).collect()
}

/// The same of the events of a gateway.
fn events(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
    let all = whole.split("\n\n").filter_map(|frame| frame.split_once("event: transition\ndata: "));
    all.map(|(_, data)| serde_json::from_str::<Value>(data).unwrap())
        .map(|one| {
            let place = ["provider", "region", "model"].map(|name| one[name].as_str().unwrap()).join("/");
            format!("{place} {} {}", one["from"], one["to"]).replace('"', "")
        })
        .collect()
}

/// **The desk sees what the gateway saw.** A region breaks, its circuit trips, tries, and recovers; the replay of what was
/// recorded changes the same circuits in the same order, at the third failure.
#[tokio::test]
async fn a_recorded_incident_replays_as_it_went() {
    use tokio::io::AsyncReadExt;
    let trace = folder().join("night.jsonl");
    let trace = trace.to_str().unwrap();
    let mut gateway = Gateway::in_environment(&[("OUTRIGGER_RECORD", trace)], BREAKER).await;
    let mut stream = tokio::net::TcpStream::connect(gateway.admin).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        gateway.ask("x-outrigger-region: us-east\r\n").await;
    }
    // With another place at hand a call would leave this one at the first failure.
    gateway.operate("POST", "/cordon", "{\"provider\":\"holysheep\",\"region\":\"eu-west\"}").await;
    gateway.world().inject("us-east", Fault::Reset, When::always()).unwrap();
    while !events(&seen).iter().any(|event| event.contains("us-east/gpt-4.1 closed open")) {
        gateway.ask("").await;
        drop(tokio::time::timeout(Duration::from_millis(20), stream.read_buf(&mut seen)).await);
    }
    gateway.world().clear("us-east").unwrap();
    while !events(&seen).iter().any(|event| event.contains("us-east/gpt-4.1 half_open closed")) {
        gateway.post("/v1/chat/completions", "", &question(true)).await;
        drop(tokio::time::timeout(Duration::from_millis(20), stream.read_buf(&mut seen)).await);
    }
    gateway.terminate();
    drop(stream);
    assert!(soon(gateway.child.wait()).await.unwrap().success());

    let config = file(&format!("{BREAKER}{SAME_PLACES}")).display().to_string();
    let told = run(&["replay", trace, "--config", &config, "--json"]).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    let replayed: Value =
        serde_json::from_str(&told.out).unwrap_or_else(|error| panic!("{error}: {}", told.out));
    let live = ["closed open", "open half_open", "half_open closed"]
        .map(|change| format!("holysheep/us-east/gpt-4.1 {change}"));
    assert_eq!(transitions(&replayed), live, "{}", told.out);
    let of_the_deployment: Vec<_> =
        events(&seen).into_iter().filter(|event| !event.contains("/* ")).collect();
    assert_eq!(of_the_deployment, live);

    let lines = replayed["lines"].as_array().unwrap();
    // Whom an operator took out is nobody's candidate from then on, as it was.
    let cordoned = lines.iter().position(|line| line["cordon"] == "out").unwrap();
    assert_eq!(lines[cordoned]["place"], "holysheep/eu-west", "{}", told.out);
    let is_out = |line: &Value| {
        let reasons = line["choices"][0]["reasons"].as_array().unwrap().iter();
        reasons.filter(|reason| reason["verdict"] == "cordoned").count() == 1
    };
    let (before, after) = lines.split_at(cordoned);
    assert!(before.iter().filter(|line| line["pick"].is_string()).all(|line| !is_out(line)), "{}", told.out);
    assert!(after.iter().filter(|line| line["pick"].is_string()).all(is_out), "{}", told.out);
    let tripped = lines.iter().position(|line| line["transitions"][0]["to"] == "open").unwrap();
    let failed = lines[..=tripped].iter().filter(|line| line["class"] == "reset").count();
    assert_eq!(
        (failed, &lines[tripped]["state"]["consecutive_failures"]),
        (3, &Value::from(3)),
        "{}",
        told.out
    );
    assert_eq!(replayed["summary"]["not_learned"], 0, "{}", told.out);

    let text = std::fs::read_to_string(trace).unwrap();
    assert!(!text.contains("ahoy") && !text.contains("sk-secret"), "{text}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(trace).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

/// **A cordon ends with its process**, on the desk as well: a second gateway goes on with the file of the first, and has nothing out. Fails if
/// what the first was told is held against the picks of the second.
#[tokio::test]
async fn a_gateway_that_goes_on_with_a_trace_has_nothing_out() {
    let trace = folder().join("nights.jsonl");
    let trace = trace.to_str().unwrap();
    for order in ["{\"provider\":\"holysheep\",\"region\":\"eu-west\",\"for\":\"1h\"}", ""] {
        let mut gateway = Gateway::in_environment(&[("OUTRIGGER_RECORD", trace)], "").await;
        gateway.operate("POST", "/cordon", order).await;
        assert_eq!(gateway.ask("").await.status, 200);
        gateway.terminate();
        assert!(soon(gateway.child.wait()).await.unwrap().success());
    }
    let config = file(SAME_PLACES).display().to_string();
    let told = run(&["replay", trace, "--config", &config, "--json"]).await.out;
    let told: Value = serde_json::from_str(&told).unwrap();
    let lines = told["lines"].as_array().unwrap().iter();
    let said: Vec<String> = lines
        .filter_map(|line| match (&line["cordon"], &line["pick"]) {
            (Value::String(word), _) => Some(word.clone()),
            (_, Value::String(_)) => {
                Some(format!("pick {}", line.to_string().matches("\"cordoned\"").count()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(said, ["out", "pick 1", "none", "pick 0"], "{told}");
}

/// **Who does not come to serve says nothing.** The trace may be another one's, whose cordons hold. Fails if a start on a port that is taken puts
/// back what is out.
#[tokio::test]
async fn a_gateway_that_cannot_start_leaves_the_trace_as_it_was() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (config, trace) =
        (file(SAME_PLACES).display().to_string(), file("{\"at_ms\":1,\"pick\":\"chat\"}\n"));
    let listen = taken.local_addr().unwrap().to_string();
    let serve = ["serve", "--listen", &listen, "--admin", "127.0.0.1:0", "--config", &config];
    let told = run(&[&serve[..], &["--record", trace.to_str().unwrap()]].concat()).await;
    assert_eq!(told.code, Some(1), "{}", told.err);
    assert_eq!(std::fs::read_to_string(trace).unwrap(), "{\"at_ms\":1,\"pick\":\"chat\"}\n", "{}", told.err);
}

/// **A gateway that is killed leaves its incident behind.** Calls come faster than a second apart, so nothing is ever quiet. Fails if
/// a line waits for a pause, or until there are many.
#[tokio::test]
async fn the_trace_of_a_gateway_that_is_killed_is_there_but_for_its_last_second() {
    let trace = folder().join("killed.jsonl");
    let mut program = outrigger();
    program.env("OUTRIGGER_RECORD", &trace);
    let region = Region::new("us-east").latency(Duration::from_millis(100));
    let server = Server::start(World::builder().seed(7).region(region).build().unwrap()).await.unwrap();
    let config = file(&Gateway::text(&server));
    let mut gateway = Gateway::reading(program, server, &config).await;
    let written = || std::fs::metadata(&trace).unwrap().len();
    soon(async {
        while written() == 0 {
            assert_eq!(gateway.ask("").await.status, 200);
        }
    })
    .await;
    soon(gateway.child.kill()).await.unwrap();
    assert!(written() < 16 << 10, "{} bytes: it waited for many lines", written());
    let told = run(&["replay", trace.to_str().unwrap(), "--json"]).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
}

#[tokio::test]
async fn a_trace_that_cannot_be_written_is_told_at_the_start() {
    let config = file(SAME_PLACES).display().to_string();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", &config];
    let told = run(&[&serve[..], &["--record", "/nowhere/at/all.jsonl"]].concat()).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("cannot record to /nowhere/at/all.jsonl"), "{}", told.err);
}

fn checked_in(name: &str) -> String {
    format!("{}/tests/traces/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// **A replay is the same everywhere, every time.** Fails if a clock, a hash map's order or an unseeded draw gets into it, or if an
/// estimate, a verdict or a name changes: then look at the difference, and put it here if it is meant.
#[tokio::test]
async fn the_same_trace_and_seed_give_the_same_bytes() {
    let trace = checked_in("incident.jsonl");
    let told = run(&["replay", &trace, "--strategy", "composite", "--json"]).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    let out = told.out.replace(&trace, "incident.jsonl");
    let expected = std::fs::read_to_string(checked_in("incident.expected.json")).unwrap();
    for (number, (line, expected)) in out.lines().zip(expected.lines()).enumerate() {
        assert_eq!(line, expected, "line {}", number + 1);
    }
    assert_eq!(out, expected);
}

#[tokio::test]
async fn another_strategy_is_held_against_what_the_trace_knows() {
    let told = run(&["replay", &checked_in("incident.jsonl"), "--strategy", "composite"]).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    for word in ["the strategies differ on ", "\nadaptive: ", "\ncomposite: ", "closed to open, consecutive"]
    {
        assert!(told.out.contains(word), "{word} in {}", told.out);
    }
    let sick = |strategy: &str| {
        let line = told.out.lines().find_map(|line| line.strip_prefix(&format!("{strategy}: "))).unwrap();
        line.split(' ').next().unwrap().parse::<u32>().unwrap()
    };
    // The article's gate lets a region that fails most of its calls be preferred.
    assert!(sick("adaptive") < sick("composite"), "{}", told.out);
}

#[tokio::test]
async fn a_malformed_line_is_named_with_its_place() {
    let path = file(
        "{\"at_ms\":1,\"pick\":\"chat\"}\n{\"at_ms\":2,\"provider\":\"a\",\"region\":\"b\",\"model\":\"c\",\"class\":\"tired\"}\n",
    );
    let path = path.display().to_string();
    let told = run(&["replay", &path]).await;
    assert_eq!((told.code, told.out.as_str()), (Some(1), ""));
    assert!(told.err.contains(&format!("{path}:2: `class` is `tired`")), "{}", told.err);
    let missing = run(&["replay", "/nowhere/at/all.jsonl"]).await;
    assert!(
        missing.code == Some(1) && missing.err.contains("cannot read /nowhere/at/all.jsonl"),
        "{}",
        missing.err
    );
}

#[tokio::test]
async fn a_trace_of_nothing_is_said_to_be_one() {
    for (text, word) in
        [("\n", "nothing in it"), ("{\"at_ms\":1,\"pick\":\"chat\"}\n", "tells of no attempt")]
    {
        let told = run(&["replay", file(text).to_str().unwrap()]).await;
        assert_eq!(told.code, Some(1), "{}", told.out);
        assert!(told.err.contains(word), "{}", told.err);
    }
}
