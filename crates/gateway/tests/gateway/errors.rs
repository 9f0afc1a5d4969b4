//! Errors as they are counted: by code, and by whose doing they are. Alerts go by that.

use std::time::Duration;

use sim::{Fault, Region, When, World};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    keys::Made,
    support::{Gateway, post, question, soon},
};

const CHAT: &str = "/v1/chat/completions";

/// A series of errors, with its value.
fn counted(model: &str, [outcome, code, due_to]: [&str; 3], count: u64) -> String {
    format!(
        "outrigger_errors_total{{model=\"{model}\",outcome=\"{outcome}\",code=\"{code}\",due_to=\"{due_to}\"}} {count}\n"
    )
}

/// What all series of a counter that bear this label come to.
fn sum(page: &str, name: &str, label: &str) -> u64 {
    let lines = page.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

/// **Callers' own faults are told apart from those of others**, although a provider's finding has the outcome of a provider's failure, and a key's
/// limit the code of a provider's. Fails if one counts as the other, or an error is counted once by outcome and not by code.
#[tokio::test]
async fn an_error_is_counted_by_its_code_and_by_whose_doing_it_is() {
    let made = Made::new("few", "requests_per_minute = 5").await;
    let gateway = Gateway::start(&made.entry).await;
    let key = made.bearer();
    let near = key.clone() + "x-outrigger-region: nowhere\r\n";
    let found_by_provider = gateway.post(CHAT, &key, r#"{"model":"chat","messages":[]}"#).await;
    assert_eq!(found_by_provider.status, 400, "{}", found_by_provider.text());
    assert_eq!(gateway.ask(&near).await.code(), "unknown_region");
    let follows = r#"{"model":"chat","input":"ahoy","previous_response_id":"resp_unknown"}"#;
    assert_eq!(gateway.post("/v1/responses", &key, follows).await.code(), "stateful_request");
    for region in ["us-east", "eu-west"] {
        let limit = Fault::RateLimit { retry_after: Some(Duration::from_secs(60)) };
        gateway.world().inject(region, limit, When::always()).unwrap();
    }
    for attempts in ["2", "0"] {
        let limited = gateway.ask(&key).await;
        assert_eq!((limited.code().as_str(), limited.status), ("rate_limit_exceeded", 429));
        assert_eq!(limited.header("x-outrigger-attempts"), Some(attempts));
    }
    assert_eq!(gateway.ask(&key).await.code(), "rate_limit_exceeded", "of the key");
    assert_eq!(gateway.ask("").await.code(), "invalid_api_key");
    let hurried = Gateway::start("").await;
    assert_eq!(hurried.ask("x-outrigger-timeout: 0.000000001\r\n").await.code(), "deadline_exceeded");
    let page = hurried.metrics().await;
    assert!(page.contains(&counted("chat", ["refused", "deadline_exceeded", "caller"], 1)), "{page}");
    let page = gateway.metrics().await;
    for (model, what) in [
        ("chat", ["error", "rejected_by_provider", "caller"]),
        ("chat", ["refused", "unknown_region", "caller"]),
        ("chat", ["refused", "stateful_request", "caller"]),
        ("chat", ["error", "rate_limit_exceeded", "provider"]),
        ("chat", ["refused", "rate_limit_exceeded", "provider"]),
        ("chat", ["refused", "rate_limit_exceeded", "caller"]),
        ("_unknown", ["refused", "invalid_api_key", "caller"]),
    ] {
        assert!(page.contains(&counted(model, what, 1)), "{what:?} in\n{page}");
    }
    for outcome in ["outcome=\"error\"", "outcome=\"refused\""] {
        let of = |name| sum(&page, name, outcome);
        assert_eq!(of("outrigger_errors_total"), of("outrigger_requests_total"), "{outcome} in\n{page}");
    }
    assert_eq!(gateway.operate("GET", "/status", "").await.json()["rejected"], 1);
}

/// **The first failures are seen to come.** A series that is born with a count has not grown, for whoever looks at it. Fails if what alerts go by is not
/// there, as nothing, from the first look.
#[tokio::test]
async fn what_alerts_go_by_is_there_before_it_happens() {
    let page = Gateway::start("").await.metrics().await;
    for outcome in ["ok", "error", "truncated", "refused"] {
        let line = format!("outrigger_requests_total{{model=\"chat\",outcome=\"{outcome}\"}} 0\n");
        assert!(page.contains(&line), "{line}in\n{page}");
    }
    for (model, what) in [
        ("chat", ["error", "upstream_exhausted", "provider"]),
        ("chat", ["error", "deadline_exceeded", "provider"]),
        ("chat", ["truncated", "answer_truncated", "provider"]),
        ("chat", ["truncated", "draining", "gateway"]),
        ("chat", ["error", "draining", "gateway"]),
        ("chat", ["refused", "no_deployment_available", "provider"]),
        ("_unknown", ["refused", "overloaded", "gateway"]),
    ] {
        assert!(page.contains(&counted(model, what, 0)), "{what:?} in\n{page}");
    }
}

/// **A restart that says something else is no end of the gateway's.** The attempt is let go as one of a gateway that has no more time is; what failed is the
/// answer that it was to mend. Fails if it is told by that attempt's class alone.
#[tokio::test]
async fn an_answer_that_nobody_could_mend_is_its_providers_doing() {
    let varying = |name| Region::new(name).latency(Duration::from_millis(2)).varies_after(3);
    let world =
        World::builder().seed(7).region(varying("us-east")).region(varying("eu-west")).build().unwrap();
    let gateway = Gateway::before(world, "").await;
    for region in ["us-east", "eu-west"] {
        gateway.world().inject(region, Fault::Cut { after: 5 }, When::always()).unwrap();
    }
    assert!(!gateway.post(CHAT, "", &question(true)).await.whole);
    let page = gateway.metrics().await;
    assert!(page.contains("outrigger_rescues_total{result=\"failed\"} 1\n"), "{page}");
    assert!(page.contains("class=\"cancelled\"} 1\n"), "{page}");
    assert!(page.contains(&counted("chat", ["truncated", "answer_truncated", "provider"], 1)), "{page}");
}

/// **Who is turned away for want of a place is the gateway's doing**, and an answer that breaks off is not. Fails if an overloaded gateway looks like callers who
/// ask for what is not there.
#[tokio::test]
async fn an_overloaded_gateway_is_told_by_its_code() {
    let gateway = Gateway::start("[server]\nmax_concurrent = 1").await;
    gateway.world().inject("us-east", Fault::Cut { after: 3 }, When::always()).unwrap();
    gateway.world().inject("eu-west", Fault::Cut { after: 3 }, When::always()).unwrap();
    assert!(!gateway.post(CHAT, "", &question(true)).await.whole);
    gateway.world().clear_all();
    gateway.world().inject("us-east", Fault::Silent, When::always()).unwrap();
    gateway.world().inject("eu-west", Fault::Silent, When::always()).unwrap();
    let asked = || ["us-east", "eu-west"].map(|region| gateway.world().count(region).unwrap());
    let before = asked();
    let mut hanging = TcpStream::connect(gateway.listen).await.unwrap();
    hanging.write_all(post(CHAT, "", &question(false)).as_bytes()).await.unwrap();
    soon(async {
        while asked() == before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(gateway.ask("").await.code(), "overloaded");
    let page = gateway.metrics().await;
    assert!(page.contains(&counted("_unknown", ["refused", "overloaded", "gateway"], 1)), "{page}");
    assert!(page.contains(&counted("chat", ["truncated", "answer_truncated", "provider"], 1)), "{page}");
}
