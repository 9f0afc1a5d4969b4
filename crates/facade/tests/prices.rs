//! What an answer costs, by where it was given.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use outrigger::{
    Config,
    config::{Model, Price, Provider, Target},
    engine::{Engine, Plan},
    wire::Usage,
};

/// A million tokens in and none out, of a target at a base URL.
#[track_caller]
fn check(base_url: &str, target: Target, expected: Option<f64>) {
    let provider = Provider::openai().region("home", base_url).unwrap();
    let config = Config::new().provider("p", provider).model("chat", Model::new([target]));
    let (t0, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_694_400));
    let engine = Engine::new(Arc::new(Plan::new(&config)), (t0, wall)).unwrap();
    assert_eq!(engine.cost(0, &Usage::new(1_000_000, 0), t0), expected, "at {base_url}");
}

#[test]
fn an_answer_costs_what_its_host_asks() {
    let target = || Target::new("p", "gpt-5.4-mini");
    check("https://api.openai.com/v1", target(), Some(0.75));
    check("https://eu.api.openai.com/v1", target(), Some(0.825));
    check("https://EU.api.openai.com./v1", target(), Some(0.825));
    check("http://127.0.0.1:8080/v1", target(), Some(0.75));
    check("https://api.groq.com/openai/v1", Target::new("p", "openai/gpt-oss-20b"), Some(0.075));
    check("http://127.0.0.1:8080/v1", Target::new("p", "openai/gpt-oss-20b"), None);
}

#[test]
fn a_price_of_ones_own_has_no_surcharge() {
    let target = Target::new("p", "gpt-5.4-mini").price(Price::new(0.5, 1.0));
    check("https://eu.api.openai.com/v1", target, Some(0.5));
}
