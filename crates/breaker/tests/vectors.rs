//! Runs the language-neutral vectors of `tests/vectors`, or of the folder named by `OUTRIGGER_VECTORS`.

#![expect(clippy::expect_used, reason = "a helper that finds its input wrong fails the run")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use outrigger_breaker::{
    Breaker, BreakerConfig, Permit, Ratio, Report, State, Thresholds, TripRule, Verdict,
};
use serde_json::{Map, Value};

const FILES: [&str; 5] = [
    "breaker_consecutive.json",
    "breaker_count_window.json",
    "breaker_time_window.json",
    "breaker_half_open.json",
    "seed_breaker.json",
];

#[test]
fn every_vector_holds() {
    let folder = std::env::var_os("OUTRIGGER_VECTORS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), PathBuf::from);
    let origin = t0();
    let (mut cases, mut steps, mut wrong) = (0, 0, Vec::new());
    for name in FILES {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let file = object(&file, &["component", "format", "cases"]);
        assert_eq!(
            (&file["component"], &file["format"]),
            (&Value::from("breaker"), &Value::from(1)),
            "{name}"
        );
        let list = file["cases"].as_array().expect("`cases` is a list");
        assert!(!list.is_empty(), "{name} holds no case");
        for case in list {
            cases += 1;
            match run(case, origin) {
                Ok(count) => steps += count,
                Err(difference) => wrong.push(format!("{name} {}: {difference}", case["id"])),
            }
        }
    }
    println!("{cases} cases, {steps} steps");
    assert!(wrong.is_empty(), "{} of {cases} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[expect(clippy::disallowed_methods, reason = "an origin for made-up instants, read once")]
fn t0() -> Instant {
    Instant::now()
}

/// An object that holds no key beside these.
fn object<'a>(value: &'a Value, known: &[&str]) -> &'a Map<String, Value> {
    let map = value.as_object().unwrap_or_else(|| panic!("an object is expected: {value}"));
    for key in map.keys() {
        assert!(known.contains(&key.as_str()), "unknown key `{key}` in {value}");
    }
    map
}

fn uint(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a whole number is expected: {value}"))
}

fn small(value: &Value) -> u32 {
    uint(value).try_into().unwrap_or(u32::MAX)
}

fn ms(value: &Value) -> Duration {
    Duration::from_millis(uint(value))
}

fn case_config(value: &Value) -> BreakerConfig {
    let value = object(value, &["trip", "open", "half_open"]);
    let mut config = BreakerConfig::default();
    config.failure_threshold = 0;
    config.failure_rate = None;
    config.trial_lease = None;
    config.rules = value["trip"].as_array().expect("`trip` is a list").iter().map(trip_rule).collect();
    open_times(&mut config, &value["open"]);
    half_open(&mut config, &value["half_open"]);
    config
}

fn trip_rule(value: &Value) -> TripRule {
    const SHARES: [&str; 4] = ["failure_rate_ge", "success_rate_lt", "slow_rate_ge", "slow_ms_gt"];
    let known = |own: &[&'static str]| [own, &SHARES[..]].concat();
    let min_calls = || small(&value["min_calls"]);
    match value["kind"].as_str() {
        Some("consecutive") => {
            object(value, &["kind", "failures"]);
            TripRule::Consecutive { failures: small(&value["failures"]) }
        }
        Some("count_window") => {
            object(value, &known(&["kind", "size", "min_calls"]));
            let (size, thresholds) = (small(&value["size"]), thresholds(value));
            TripRule::CountWindow { size, min_calls: min_calls(), thresholds }
        }
        Some("time_window") => {
            object(value, &known(&["kind", "window_ms", "buckets", "min_calls"]));
            let (length, buckets) = (ms(&value["window_ms"]), small(&value["buckets"]));
            TripRule::TimeWindow { length, buckets, min_calls: min_calls(), thresholds: thresholds(value) }
        }
        kind => panic!("unknown rule {kind:?}"),
    }
}

fn thresholds(value: &Value) -> Thresholds {
    // A rate above 1 means never.
    let share = |key: &str| value.get(key).and_then(Value::as_f64).and_then(|share| Ratio::new(share).ok());
    let mut thresholds = Thresholds::default();
    thresholds.failure_rate = share("failure_rate_ge");
    thresholds.success_rate_below = share("success_rate_lt");
    thresholds.slow_rate = share("slow_rate_ge");
    thresholds.slow_above = value.get("slow_ms_gt").map(ms);
    thresholds
}

fn open_times(config: &mut BreakerConfig, value: &Value) {
    match value["backoff"].as_str() {
        Some("constant") => {
            object(value, &["backoff", "wait_ms", "expiry"]);
            config.recovery_timeout = ms(&value["wait_ms"]);
        }
        Some("exponential") => {
            object(value, &["backoff", "wait_ms", "factor", "max_ms", "expiry"]);
            let max = ms(&value["max_ms"]);
            config.recovery_timeout = ms(&value["wait_ms"]).min(max);
            config.recovery_factor = value["factor"].as_f64().expect("`factor` is a number");
            config.recovery_timeout_max = Some(max);
        }
        Some("list") => {
            object(value, &["backoff", "list_ms", "after_list_ms", "expiry"]);
            config.recovery_list = value["list_ms"].as_array().expect("a list").iter().map(ms).collect();
            config.recovery_timeout = ms(&value["after_list_ms"]);
        }
        kind => panic!("unknown open time {kind:?}"),
    }
    let more = past_the_end(value);
    config.recovery_timeout += more;
    config.recovery_list.iter_mut().for_each(|time| *time += more);
    config.recovery_timeout_max = config.recovery_timeout_max.map(|max| max + more);
}

/// What makes an open time's end exclusive: over when now > until. One more nanosecond says the same, and does not
/// show in milliseconds.
fn past_the_end(open: &Value) -> Duration {
    match open.get("expiry").map(|expiry| expiry.as_str()) {
        None | Some(Some("inclusive")) => Duration::ZERO,
        Some(Some("exclusive")) => Duration::from_nanos(1),
        Some(expiry) => panic!("unknown expiry {expiry:?}"),
    }
}

fn half_open(config: &mut BreakerConfig, value: &Value) {
    let half = object(value, &["permits", "close", "max_wait_ms", "rate_limited_fails"]);
    config.half_open_max_calls = small(&half["permits"]);
    config.half_open_max_stay = half.get("max_wait_ms").map(ms);
    if let Some(fails) = half.get("rate_limited_fails") {
        config.rate_limited_fails = fails.as_bool().expect("`rate_limited_fails` is a bool");
    }
    let close = &half["close"];
    match close["kind"].as_str() {
        Some("successes") => {
            object(close, &["kind", "n"]);
            config.success_threshold = small(&close["n"]);
        }
        Some("rate_after_permits") => {
            object(close, &["kind", "failure_rate_ge", "slow_rate_ge", "slow_ms_gt"]);
            config.half_open_rate = Some(thresholds(close));
        }
        kind => panic!("unknown closing rule {kind:?}"),
    }
}

fn report_of(step: &Value) -> Report {
    let report = Report::new(match step["result"].as_str() {
        Some("success") => Verdict::Success,
        Some("failure") => Verdict::Failure,
        Some("rate_limited") => Verdict::RateLimited,
        Some("ignored") => Verdict::Ignored,
        result => panic!("unknown result {result:?}"),
    });
    step.get("duration_ms").map_or(report, |duration| report.duration(ms(duration)))
}

/// One case: how many steps ran, or the first difference.
fn run(case: &Value, origin: Instant) -> Result<usize, String> {
    object(case, &["id", "semantics", "source", "origin", "config", "steps", "note"]);
    let settings = &case["config"];
    let mut breaker = Breaker::new_at(case_config(settings), origin).map_err(|error| error.to_string())?;
    let (more, mut permits) = (past_the_end(&settings["open"]), HashMap::new());
    let steps = case["steps"].as_array().expect("`steps` is a list");
    for (number, step) in steps.iter().enumerate() {
        let now = origin + ms(&step["at_ms"]);
        apply(&mut breaker, step, now, more, &mut permits)
            .and_then(|()| expectations(&breaker, step, now))
            .map_err(|difference| format!("step {number} {step}: {difference}"))?;
    }
    Ok(steps.len())
}

fn apply(
    breaker: &mut Breaker,
    step: &Value,
    now: Instant,
    more: Duration,
    permits: &mut HashMap<String, Permit>,
) -> Result<(), String> {
    const EXPECTATIONS: [&str; 6] =
        ["state", "reason", "open_for_ms", "retry_after_ms", "opened_total", "window"];
    let known = |own: &[&'static str]| {
        object(step, &[&["at_ms", "op"], own, &EXPECTATIONS[..]].concat());
    };
    let id = || step["id"].as_str().map(str::to_owned).ok_or("a step without `id`");
    match step["op"].as_str() {
        Some("acquire") => {
            known(&["expect", "id"]);
            if let (Some(permit), Some(_)) = (admitted(breaker, step, now)?, step.get("id")) {
                permits.insert(id()?, permit);
            }
        }
        Some("call") => {
            known(&["result", "duration_ms", "times", "expect"]);
            for _ in 0..step.get("times").map_or(1, uint) {
                if let Some(permit) = admitted(breaker, step, now)? {
                    breaker.report(permit, report_of(step), now);
                }
            }
        }
        Some("report") => {
            known(&["id", "result", "duration_ms"]);
            let permit = permits.remove(&id()?).ok_or("no such permit")?;
            breaker.report(permit, report_of(step), now);
        }
        Some("drop") => {
            known(&["id"]);
            breaker.advance(now); // A drop is told no time, and a step has one.
            breaker.release(permits.remove(&id()?).ok_or("no such permit")?);
        }
        Some("force_open") => {
            known(&[]);
            breaker.force_open(now);
        }
        Some("disable") => {
            known(&[]);
            breaker.disable(now);
        }
        Some("reset") => {
            known(&[]);
            breaker.reset(now);
        }
        Some("open_for") => {
            known(&["wait_ms"]);
            breaker.open_for(ms(&step["wait_ms"]) + more, now);
        }
        Some("check") => {
            known(&[]);
            breaker.advance(now);
        }
        op => panic!("unknown op {op:?}"),
    }
    Ok(())
}

fn admitted(breaker: &mut Breaker, step: &Value, now: Instant) -> Result<Option<Permit>, String> {
    let foreseen = breaker.admits(now);
    let answer = breaker.acquire(now);
    if foreseen.err() != answer.as_ref().err().copied() {
        return Err(format!("`admits` said {foreseen:?}, `acquire` {answer:?}"));
    }
    match (step.get("expect").map_or(Some("permit"), Value::as_str), answer) {
        (Some("permit"), Ok(permit)) => Ok(Some(permit)),
        (Some("reject"), Err(_)) => Ok(None),
        (Some("permit" | "reject"), answer) => Err(format!("the answer is {answer:?}")),
        (expect, _) => panic!("unknown expectation {expect:?}"),
    }
}

fn expectations(breaker: &Breaker, step: &Value, now: Instant) -> Result<(), String> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).ok();
    let state = breaker.state(now);
    let open = breaker.open_until().filter(|_| state == State::Open);
    let remaining = open.and_then(|until| millis(until.saturating_duration_since(now)));
    let lasted = open.zip(breaker.since()).and_then(|(until, since)| millis(until - since));
    let window = |key: &str| {
        let counts = breaker.window(0, now)?;
        match key {
            "total" => Some(counts.total),
            "failures" => Some(counts.failures),
            "slow" => Some(counts.slow),
            key => panic!("unknown key `{key}` in `window`"),
        }
    };
    let mut checks = vec![
        ("state", Value::from(state.as_str())),
        ("reason", breaker.reason().map(|reason| reason.as_str()).into()),
        ("open_for_ms", lasted.into()),
        ("retry_after_ms", remaining.into()),
        ("opened_total", breaker.opened_total().into()),
    ];
    checks.retain(|(key, _)| step.get(key).is_some());
    for (key, found) in checks {
        if step[key] != found {
            return Err(format!("`{key}` is {found}"));
        }
    }
    for (key, expected) in step.get("window").and_then(Value::as_object).into_iter().flatten() {
        if Some(small(expected)) != window(key) {
            return Err(format!("`window.{key}` is {:?}", window(key)));
        }
    }
    Ok(())
}
