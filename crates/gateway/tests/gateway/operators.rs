//! What operators see: health, state, metrics, explanations; and what they can do.

use sim::{Fault, When};

use crate::support::{Gateway, Reply, question};

#[tokio::test]
async fn the_process_is_alive_and_ready() {
    let gateway = Gateway::start("").await;
    assert_eq!(gateway.operate("GET", "/healthz", "").await.status, 200);
    let ready = gateway.operate("GET", "/readyz", "").await;
    assert_eq!((ready.status, ready.json()["ready"].as_bool()), (200, Some(true)));
    assert_eq!(gateway.operate("GET", "/nowhere", "").await.code(), "unknown_url");
    assert_eq!(gateway.operate("POST", "/chaos", "{}").await.status, 404, "there is no simulated world");
}

#[tokio::test]
async fn the_status_has_every_key_of_its_contract() {
    let gateway = Gateway::start("").await;
    gateway.ask("").await;
    let status = gateway.operate("GET", "/status", "").await.json();
    for key in ["version", "uptime_s", "draining", "retry_budget", "deployments"] {
        assert!(status.get(key).is_some(), "{key} in {status}");
    }
    assert_eq!(status["retry_budget"]["capacity"], 500);
    assert_eq!(status["retry_budget"]["balance"], 500);
    let deployment = &status["deployments"][0];
    let keys = [
        "provider",
        "region",
        "model",
        "breaker",
        "reason",
        "level",
        "health",
        "consecutive_failures",
        "failover_advised",
        "last_success_ms",
        "ttft_ms",
        "answer_ms",
        "in_flight",
        "requests_per_minute",
        "requests_elsewhere",
        "cooldown_ms",
        "cordoned",
        "attempts",
        "failures",
        "cost_usd",
        "estimated_usd",
    ];
    for key in keys {
        assert!(deployment.get(key).is_some(), "{key} in {deployment}");
    }
    assert_eq!(
        (deployment["region"].as_str(), deployment["breaker"].as_str()),
        (Some("us-east"), Some("closed"))
    );
    assert_eq!(deployment["attempts"], 1);
}

#[tokio::test]
async fn the_metrics_have_their_names_and_labels_from_first_use() {
    let gateway = Gateway::start("[breaker]\nfailure_threshold = 1\n").await;
    assert!(!gateway.metrics().await.contains("outrigger_attempts_total"), "no series before its first use");
    gateway.world().inject("us-east", Fault::Reset, When::always().first(1)).unwrap();
    gateway.ask("").await;
    let streamed = gateway.post("/v1/chat/completions", "", &question(true)).await;
    assert!(streamed.whole);
    gateway.post("/v1/chat/completions", "", "{\"model\":\"made-up\"}").await;
    let page = gateway.metrics().await;
    let expected = [
        "outrigger_requests_total{model=\"chat\",outcome=\"ok\"} 2\n",
        "outrigger_requests_total{model=\"_unknown\",outcome=\"refused\"} 1\n",
        "outrigger_attempts_total{provider=\"holysheep\",region=\"us-east\",model=\"gpt-4.1\",class=\"reset\"} 1\n",
        "outrigger_attempts_total{provider=\"holysheep\",region=\"eu-west\",model=\"gpt-4.1\",class=\"success\"} 2\n",
        "outrigger_failovers_total{from=\"holysheep/us-east\",to=\"holysheep/eu-west\",class=\"reset\"} 1\n",
        "outrigger_breaker_transitions_total{provider=\"holysheep\",region=\"us-east\",model=\"gpt-4.1\",to=\"open\"} 1\n",
        "outrigger_breaker_state{provider=\"holysheep\",region=\"us-east\",model=\"gpt-4.1\"} 2\n",
        "outrigger_health_score{provider=\"holysheep\",region=\"us-east\",model=\"gpt-4.1\"} ",
        "outrigger_in_flight{provider=\"holysheep\",region=\"eu-west\",model=\"gpt-4.1\"} 0\n",
        "outrigger_retry_budget_tokens{model=\"chat\"} 500\n",
        "outrigger_overhead_seconds_count 2\n",
        "outrigger_time_to_first_token_seconds_count{provider=\"holysheep\",region=\"eu-west\",model=\"gpt-4.1\"} ",
        "outrigger_tokens_total{model=\"chat\",kind=\"output\"} ",
        "outrigger_cost_usd_total{provider=\"holysheep\",model=\"chat\"} ",
        "gen_ai_client_operation_duration_seconds_bucket{gen_ai_operation_name=\"chat\",",
        "gen_ai_client_token_usage_count{gen_ai_operation_name=\"chat\",",
        "# TYPE outrigger_overhead_seconds histogram\n",
        "# TYPE outrigger_breaker_state gauge\n",
        "# TYPE outrigger_requests_total counter\n",
    ];
    for line in expected {
        assert!(page.contains(line), "{line}in\n{page}");
    }
    assert!(!page.contains("made-up") && !page.contains("sk-secret"), "{page}");
}

/// **One HELP and one TYPE before the samples of a name, no name and no sample twice, and buckets that only grow.** What
/// `promtool check metrics` and a scrape look at first.
#[tokio::test]
async fn the_metrics_page_is_well_formed() {
    let gateway = Gateway::start("").await;
    gateway.ask("").await;
    let page = gateway.operate("GET", "/metrics", "").await;
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = page.text();
    let mut current = "";
    let mut seen = Vec::new();
    let mut samples = std::collections::HashSet::new();
    let mut bucket = (String::new(), 0.0);
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            current = help.split(' ').next().unwrap();
            assert!(!seen.contains(&current), "{current} twice");
            seen.push(current);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert!(kind.starts_with(current), "{line}");
        } else {
            assert!(line.starts_with(current), "{line} under {current}");
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let value: f64 = value.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(samples.insert(sample), "{sample} twice");
            if let Some((series, _)) = sample.split_once("le=\"") {
                assert!(bucket.0 != series || bucket.1 <= value, "{line} after {}", bucket.1);
                bucket = (series.to_owned(), value);
            } else if let Some(name) = sample.split('{').next().unwrap().strip_suffix("_count") {
                assert!(bucket.0.starts_with(name), "{line} after {}", bucket.0);
                assert_eq!(bucket.1.to_bits(), value.to_bits(), "{line}: the last bucket holds all");
            }
        }
    }
}

#[tokio::test]
async fn a_choice_is_explained() {
    let gateway = Gateway::start("").await;
    let explained = gateway.operate("GET", "/explain?model=chat&region=eu-west", "").await.json();
    let candidates = explained["tiers"][0]["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 2, "{explained}");
    let chosen: Vec<_> = candidates.iter().filter(|candidate| candidate["chosen"] == true).collect();
    assert_eq!(chosen.len(), 1, "{explained}");
    assert!(chosen[0]["terms"]["latency_ms"].is_number(), "{explained}");
    assert_eq!(gateway.operate("GET", "/explain?model=nope", "").await.status, 404);
    assert_eq!(gateway.operate("GET", "/explain", "").await.status, 400);
}

fn cordoned(status: &Reply) -> Vec<String> {
    let status = status.json();
    let deployments = status["deployments"].as_array().unwrap();
    let out = deployments.iter().filter(|deployment| deployment["cordoned"] == true);
    out.map(|deployment| deployment["region"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_place_is_taken_out_and_put_back() {
    let gateway = Gateway::start("").await;
    let order = "{\"provider\":\"holysheep\",\"region\":\"us-east\"}";
    let done = gateway.operate("POST", "/cordon", order).await;
    assert_eq!((done.status, done.json()["deployments"].as_u64()), (200, Some(1)), "{}", done.text());
    assert_eq!(cordoned(&gateway.operate("GET", "/status", "").await), ["us-east"]);
    assert_eq!(gateway.ask("").await.header("x-outrigger-region"), Some("eu-west"));
    gateway.operate("DELETE", "/cordon?region=eu-west", "").await;
    assert_eq!(cordoned(&gateway.operate("GET", "/status", "").await), ["us-east"], "another place");
    gateway.operate("DELETE", "/cordon?region=us-east", "").await;
    assert!(cordoned(&gateway.operate("GET", "/status", "").await).is_empty());
    let nowhere = gateway.operate("POST", "/cordon", "{\"provider\":\"x\",\"region\":\"y\"}").await;
    assert_eq!(nowhere.status, 404);
    assert_eq!(gateway.operate("POST", "/cordon", "{").await.status, 400);
}

#[tokio::test]
async fn a_cordon_for_a_while_ends_by_itself() {
    let gateway = Gateway::start("").await;
    let order = "{\"provider\":\"holysheep\",\"region\":\"us-east\",\"for\":\"2s\"}";
    assert_eq!(gateway.operate("POST", "/cordon", order).await.status, 200);
    assert_eq!(cordoned(&gateway.operate("GET", "/status", "").await), ["us-east"]);
    crate::support::soon(async {
        while !cordoned(&gateway.operate("GET", "/status", "").await).is_empty() {}
    })
    .await;
}

/// **The last word counts.** Fails if the end of a cordon over a region outlives a later one over a model there.
#[tokio::test]
async fn a_cordon_without_an_end_takes_the_end_of_the_one_before_away() {
    let gateway = Gateway::start("").await;
    let cordon = async |order: &str| assert_eq!(gateway.operate("POST", "/cordon", order).await.status, 200);
    cordon("{\"provider\":\"holysheep\",\"region\":\"us-east\",\"for\":\"300ms\"}").await;
    cordon("{\"provider\":\"holysheep\",\"region\":\"us-east\",\"model\":\"gpt-4.1\"}").await;
    cordon("{\"provider\":\"holysheep\",\"region\":\"eu-west\",\"for\":\"600ms\"}").await;
    crate::support::soon(async {
        while cordoned(&gateway.operate("GET", "/status", "").await).contains(&"eu-west".to_owned()) {}
    })
    .await;
    assert_eq!(cordoned(&gateway.operate("GET", "/status", "").await), ["us-east"]);
}

#[tokio::test]
async fn a_misspelt_cordon_takes_nothing_out() {
    let gateway = Gateway::start("").await;
    let order = "{\"provider\":\"holysheep\",\"region\":\"us-east\",\"modle\":\"gpt-4.1\"}";
    let refused = gateway.operate("POST", "/cordon", order).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("modle"), "{}", refused.text());
    assert!(cordoned(&gateway.operate("GET", "/status", "").await).is_empty());
    // Nor does one that is misspelt, or has lost its value, put everything back.
    assert_eq!(gateway.operate("POST", "/cordon", &order.replace("modle", "model")).await.status, 200);
    for query in ["regoin=eu-west", "region=", "region"] {
        let refused = gateway.operate("DELETE", &format!("/cordon?{query}"), "").await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid_value"), "{query}");
        assert_eq!(cordoned(&gateway.operate("GET", "/status", "").await), ["us-east"], "{query}");
    }
}

#[tokio::test]
async fn what_is_refused_before_its_model_is_known_is_counted_as_unknown() {
    let gateway = Gateway::start("[server]\nmax_body = \"1KiB\"").await;
    let large = " ".repeat(2048);
    for (headers, body) in [("", "{"), ("", &*large), ("x-outrigger-timeout: soon\r\n", &*question(false))] {
        let reply = gateway.post("/v1/chat/completions", headers, body).await;
        assert!((400..500).contains(&reply.status), "{}", reply.text());
        assert_eq!(reply.header("x-outrigger-attempts"), Some("0"));
    }
    let page = gateway.metrics().await;
    let expected = "outrigger_requests_total{model=\"_unknown\",outcome=\"refused\"} 3\n";
    assert!(page.contains(expected), "{page}");
}

#[tokio::test]
async fn events_tell_what_changes_as_it_changes() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let gateway = Gateway::start("[breaker]\nfailure_threshold = 1\n").await;
    let mut stream = tokio::net::TcpStream::connect(gateway.admin).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    let mut until = async |what: &str| {
        while crate::support::find(&bytes, what.as_bytes()).is_none() {
            assert_ne!(crate::support::soon(stream.read_buf(&mut bytes)).await.unwrap(), 0);
        }
    };
    until(": listening").await;
    gateway.world().inject("us-east", Fault::Reset, When::always()).unwrap();
    gateway.ask("").await;
    until("event: transition\ndata: {").await;
    until("event: failover\ndata: {").await;
}

/// **What an operator should hear of is told**: that a place had better be asked later, and that another is out until somebody acts. Fails if one of
/// them is told to nobody, or without its place.
#[tokio::test]
async fn events_tell_of_advice_and_of_a_place_that_is_out() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let gateway = Gateway::start("").await;
    let mut stream = tokio::net::TcpStream::connect(gateway.admin).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    let mut next = async |name: &str| {
        let begin = format!("event: {name}\ndata: ");
        loop {
            let text = String::from_utf8_lossy(&bytes);
            let data = text.split_once(&begin).and_then(|(_, rest)| Some(rest.split_once("\n\n")?.0));
            if let Some(data) = data {
                return serde_json::from_str::<serde_json::Value>(data).unwrap();
            }
            assert_ne!(crate::support::soon(stream.read_buf(&mut bytes)).await.unwrap(), 0);
        }
    };
    // With another place at hand a call would leave this one at the first failure.
    gateway.operate("POST", "/cordon", "{\"provider\":\"holysheep\",\"region\":\"eu-west\"}").await;
    gateway.world().inject("us-east", Fault::Reset, When::always()).unwrap();
    for _ in 0..3 {
        assert_eq!(gateway.ask("").await.status, 502);
    }
    let advice = next("failover_advised").await;
    gateway.operate("DELETE", "/cordon", "").await;
    gateway.world().inject("eu-west", Fault::BadKey, When::always()).unwrap();
    assert_ne!(gateway.ask("x-outrigger-region: eu-west\r\n").await.status, 200);
    let out = next("taken_out").await;
    assert_eq!((&out["class"], &out["back_in_s"]), (&"credential".into(), &serde_json::Value::Null));
    for (told, region) in [(&advice, "us-east"), (&out, "eu-west")] {
        let place = [&told["provider"], &told["region"], &told["model"]];
        assert_eq!(place, ["holysheep", region, "gpt-4.1"], "{told:#}");
    }
}

/// **Who comes after the failover sees it**, with its reason, its time and its number, and hears what follows. Fails if events are told
/// to those alone who listen while they happen.
#[tokio::test]
async fn events_tell_what_has_changed_before_too() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let gateway = Gateway::start("[breaker]\nfailure_threshold = 1\n").await;
    gateway.world().inject("us-east", Fault::Reset, When::always()).unwrap();
    assert_eq!(gateway.ask("").await.status, 200);
    let order = "{\"provider\":\"holysheep\",\"region\":\"us-east\"}";
    for _ in 0..2 {
        gateway.operate("POST", "/cordon", order).await;
    }
    let mut stream = tokio::net::TcpStream::connect(gateway.admin).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    let mut told = async |name: &str, is_past: bool| {
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let frames =
                text.split("\n\n").filter_map(|frame| frame.split_once(&format!("event: {name}\ndata: ")));
            let data = frames.filter_map(|(_, data)| serde_json::from_str::<serde_json::Value>(data).ok());
            if let Some(found) = data.into_iter().find(|data| data.get("past").is_some() == is_past) {
                return found;
            }
            assert_ne!(crate::support::soon(stream.read_buf(&mut bytes)).await.unwrap(), 0);
        }
    };
    let failover = told("failover", true).await;
    let text = |name: &str| failover[name].as_str().unwrap().to_owned();
    assert_eq!(
        (text("from"), text("to"), text("class")),
        ("holysheep/us-east/gpt-4.1".into(), "holysheep/eu-west/gpt-4.1".into(), "reset".into())
    );
    let number = |name: &str| failover[name].as_u64().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert!(number("since_ms") <= number("at_ms") && u128::from(number("at_ms")) <= now, "{failover}");
    assert!(u128::from(number("since_ms")) + 60_000 > now, "{failover}");
    assert_eq!(told("transition", true).await["to"], "open");
    let cordons = told("cordon", true).await;
    assert_eq!(cordons["times"], 2, "alike ones are one line: {cordons}");
    gateway.operate("DELETE", "/cordon", "").await;
    let now = told("cordon", false).await;
    assert_eq!((&now["cordoned"], &now["times"]), (&false.into(), &1.into()));
    assert!(now["line"].as_u64() > cordons["line"].as_u64(), "{now} after {cordons}");
}
