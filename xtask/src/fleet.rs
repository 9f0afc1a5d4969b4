//! Two gateways that share a real Redis: limits of keys and regions, budgets and cooldowns hold over both, and when it is killed no request fails.
//!
//! Redis is Debian's, installed by `apt-get` where it is missing and that is allowed. It listens on a loopback port of its own, keeps nothing
//! on the disk, and ends with the run, as all else does that is started here. What is to come is awaited with a deadline; the whole takes
//! about half a minute.
#![expect(clippy::indexing_slicing, reason = "a field of JSON that is not there reads as null")]

mod harbour;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::harbour::{Answer, Gateway, Harbour};
use crate::clients::build_program;
use crate::debian;
use crate::failure::{Failure, verdict};
use crate::workspace::Workspace;

/// What to do where Redis cannot be had.
const HELP: &str =
    "the fleet's proof needs redis-server; on Debian: apt-get install redis-server, or put one on the PATH";
/// Between two questions. What a fleet overshoots is what its others admit within two seconds: at this pace, ten calls at each.
const PACE: Duration = Duration::from_millis(200);
const OVERSHOOT: usize = 10;
/// What is to come has come by then.
const PATIENCE: Duration = Duration::from_secs(20);
/// Requests a minute of the key `limited` and of the region before `metered`, and what each of `budgeted`'s calls costs and it may spend, in USD.
const LIMIT: usize = 20;
const COST: f64 = 0.01;
const BUDGET: f64 = 0.2;

/// Builds the gateway, and proves it.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    run_against(workspace, &build_program(workspace)?)
}

/// Proves it of a program that is already built.
pub(crate) fn run_against(workspace: &Workspace, program: &Path) -> Result<(), Failure> {
    let redis = debian::provide(workspace, found, &["redis-server"], HELP)?;
    let folder = workspace.target.join("fleet");
    let start = Instant::now();
    let proved = prove(program, &redis, &folder);
    eprintln!("    {:.1} s: two gateways and a Redis", start.elapsed().as_secs_f64());
    match proved {
        Ok(looked_at) => verdict("fleet", &looked_at, Vec::new()),
        Err(fault) => verdict("fleet", &[], vec![fault]),
    }
}

/// The server of the machine: Redis, or Valkey.
fn found() -> Option<PathBuf> {
    ["redis-server", "valkey-server"].into_iter().find_map(debian::path_of)
}

/// All that is promised, one after the other; what was seen, or the first promise that was broken.
fn prove(program: &Path, redis: &Path, folder: &Path) -> Result<Vec<String>, String> {
    let mut harbour = Harbour::start(program, redis, folder)?;
    let gateways = [harbour.gateway()?, harbour.gateway()?];
    until("both gateways share", || Ok(gateways.iter().all(|gateway| shares(gateway, 2))))?;
    let looked_at = vec![
        limit(&gateways)?,
        limit_of_region(&gateways)?,
        budget(&gateways)?,
        cooldown(&harbour, &gateways)?,
        outage(&mut harbour, &gateways)?,
        trip(&harbour, &gateways)?,
        newcomer(&harbour)?,
    ];
    for gateway in &gateways {
        if gateway.log().contains(harbour::PASSWORD) {
            return Err("the password of Redis is in a log".to_owned());
        }
    }
    Ok(looked_at)
}

/// Asks both in turn until both refuse; how many were answered.
fn answered(gateways: &[Gateway; 2], model: &str, key: &str, code: &str) -> Result<usize, String> {
    let (mut answered, end) = (0, Instant::now() + PATIENCE);
    while Instant::now() < end {
        let mut refused = 0;
        for gateway in gateways {
            match gateway.ask_for(model, key, "")? {
                Answer { status: 200, .. } => answered += 1,
                Answer { status: 429, body } if body.pointer("/error/code") == Some(&code.into()) => {
                    refused += 1;
                }
                Answer { status, body } => return Err(format!("`{key}` got {status} of `{model}`: {body}")),
            }
        }
        if refused == gateways.len() {
            return Ok(answered);
        }
        sleep(PACE);
    }
    Err(format!("`{key}` is still let in to `{model}` after {answered} answers"))
}

fn limit(gateways: &[Gateway; 2]) -> Result<String, String> {
    let answered = answered(gateways, "chat", "limited", "rate_limit_exceeded")?;
    let said = format!("{answered} requests were let in over both, of a key's limit of {LIMIT} a minute");
    if (LIMIT..=LIMIT + OVERSHOOT).contains(&answered) { Ok(said) } else { Err(said) }
}

/// A region's own limit, with a key that has none.
fn limit_of_region(gateways: &[Gateway; 2]) -> Result<String, String> {
    let answered = answered(gateways, "metered", "free", "rate_limit_exceeded")?;
    let said = format!("{answered} requests were sent by both, of a region's limit of {LIMIT} a minute");
    for gateway in gateways {
        let explained = gateway.operate("GET", "/explain?model=metered", "")?.body;
        let why = explained.pointer("/tiers/0/candidates/0/verdict").and_then(Value::as_str);
        if why != Some("no quota left by what others used") {
            return Err(format!("{said}; and one explains that by {explained}"));
        }
    }
    if (LIMIT..=LIMIT + OVERSHOOT).contains(&answered) { Ok(said) } else { Err(said) }
}

#[expect(clippy::cast_precision_loss, reason = "it is ten")]
fn budget(gateways: &[Gateway; 2]) -> Result<String, String> {
    answered(gateways, "chat", "budgeted", "budget_exceeded")?;
    let mut spent = 0.0;
    for gateway in gateways {
        let spend = gateway.operate("GET", "/spend", "")?.body;
        let keys = spend["keys"].as_array().cloned().unwrap_or_default();
        let of_key = keys.iter().find(|key| key["key"] == "budgeted");
        spent += of_key.and_then(|key| key["total_usd"].as_f64()).unwrap_or(0.0);
    }
    let said = format!("{spent:.3} USD were spent over both, of a budget of {BUDGET}");
    // What is on its way at one is held at the other, and told for a second after it is not.
    let most = BUDGET + COST * (OVERSHOOT + 2) as f64;
    if spent > BUDGET - 2.5 * COST && spent <= most { Ok(said) } else { Err(said) }
}

/// How a gateway sees a region.
fn place(gateway: &Gateway, region: &str) -> Result<Value, String> {
    let status = gateway.operate("GET", "/status", "")?.body;
    let places = status["deployments"].as_array().cloned().unwrap_or_default();
    let found = places.into_iter().find(|place| place["region"] == region);
    found.ok_or_else(|| format!("a gateway has no region {region}"))
}

/// A circuit trips at one, and the other sends its callers elsewhere though it has seen no failure.
fn trip(harbour: &Harbour, gateways: &[Gateway; 2]) -> Result<String, String> {
    let ([one, other], region) = (gateways, harbour.last_region());
    // A success of a moment ago would speak against the news.
    sleep(Duration::from_secs(2));
    harbour.break_region(region, "60s")?;
    until("a circuit trips", || {
        one.ask_for("chat", "free", &format!("x-outrigger-residency: {region}\r\n"))?;
        Ok(place(one, region)?["breaker"] == "open")
    })?;
    until("the other gateway hears of it", || Ok(other.log().contains("news=\"tripped\"")))?;
    let before = place(other, region)?;
    for _ in 0..10 {
        let answer = other.ask("free")?;
        if answer.status != 200 {
            return Err(format!("a request failed: {} {}", answer.status, answer.body));
        }
    }
    let after = place(other, region)?;
    if before["attempts"] != after["attempts"] || after["breaker"] != "closed" {
        return Err(format!("a circuit tripped at one gateway, and at the other: {before} {after}"));
    }
    harbour.well_again()?;
    Ok(format!(
        "a circuit of {region} tripped at one, and the other sends its callers elsewhere, its circuit closed"
    ))
}

/// A provider names a wait to one, and the other keeps it without having asked.
fn cooldown(harbour: &Harbour, gateways: &[Gateway; 2]) -> Result<String, String> {
    let [one, other] = gateways;
    let place = |gateway: &Gateway| place(gateway, harbour.region());
    let before = place(other)?;
    harbour.limit_region("60s", 45)?;
    until("one gateway is told to wait", || {
        one.ask("free")?;
        Ok(place(one)?["cooldown_ms"].as_u64() > Some(0))
    })?;
    harbour.well_again()?;
    until("the other gateway hears of it", || Ok(place(other)?["cooldown_ms"].as_u64() > Some(30_000)))?;
    let after = place(other)?;
    if before["attempts"] != after["attempts"] {
        return Err("the other gateway asked by itself".to_owned());
    }
    Ok(format!("a wait of 45 s that {} named to one is kept by the other", harbour.region()))
}

/// Redis is killed while both are asked, and comes back empty.
fn outage(harbour: &mut Harbour, gateways: &[Gateway; 2]) -> Result<String, String> {
    let asked = |times: usize| {
        for _ in 0..times {
            for gateway in gateways {
                let answer = gateway.ask("free")?;
                if answer.status != 200 {
                    return Err(format!("a request failed: {} {}", answer.status, answer.body));
                }
            }
        }
        Ok(())
    };
    asked(5)?;
    harbour.kill_redis();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) || !gateways.iter().all(is_alone) {
        asked(5)?;
        if began.elapsed() > PATIENCE {
            return Err("a gateway does not notice that Redis is gone".to_owned());
        }
    }
    for gateway in gateways {
        let ready = gateway.operate("GET", "/readyz", "")?;
        if ready.status != 200 {
            return Err(format!("without Redis a gateway is not ready: {}", ready.body));
        }
        if answer_code(&gateway.ask("budgeted")?) != "budget_exceeded" {
            return Err("without Redis a spent budget is whole again".to_owned());
        }
        let warnings = gateway.log().matches("cannot share with other replicas").count();
        if warnings != 1 {
            return Err(format!("that Redis is gone was said {warnings} times:\n{}", gateway.log()));
        }
    }
    harbour.start_redis()?;
    until("both gateways share again", || {
        asked(1)?;
        Ok(gateways.iter().all(|gateway| shares(gateway, 2)))
    })?;
    for gateway in gateways {
        let log = gateway.log();
        let said = log.matches("shares with other replicas").count();
        if said != 2 || log.matches("cannot share with other replicas").count() != 1 {
            return Err(format!("that Redis is back was said {said} times:\n{log}"));
        }
    }
    Ok("Redis was killed and came back empty: no request failed, one warning each, and both share again"
        .to_owned())
}

/// Who is new hears from the others what was spent, though Redis had lost it.
fn newcomer(harbour: &Harbour) -> Result<String, String> {
    let third = harbour.gateway()?;
    until("a third gateway shares", || Ok(shares(&third, 3)))?;
    let answer = third.ask("budgeted")?;
    if answer_code(&answer) != "budget_exceeded" {
        return Err(format!("a new gateway knows nothing of a spent budget: {}", answer.body));
    }
    Ok("a third gateway knows what the two have spent, though Redis had forgotten it".to_owned())
}

fn answer_code(answer: &Answer) -> &str {
    answer.body.pointer("/error/code").and_then(Value::as_str).unwrap_or("")
}

fn standing(gateway: &Gateway) -> Option<(bool, u64)> {
    let status = gateway.operate("GET", "/status", "").ok()?.body;
    Some((status.pointer("/fleet/connected")?.as_bool()?, status.pointer("/fleet/replicas")?.as_u64()?))
}

fn shares(gateway: &Gateway, replicas: u64) -> bool {
    standing(gateway) == Some((true, replicas))
}

fn is_alone(gateway: &Gateway) -> bool {
    standing(gateway) == Some((false, 1))
}

/// Waits until it is so.
fn until(what: &str, is_so: impl Fn() -> Result<bool, String>) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > end {
            return Err(format!("in vain: {what}"));
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}
