//! The forms of the client's tables.

use breaker::BreakerConfig;
use serde_json::{Value, json};
use wire::Dialect;

use super::words::{
    defined, duration, each, flag, list, needs, one_of, or, table, text, whole, with, written,
};
use crate::config::{HealthCheck, MOST_ATTEMPTS, Preset, Retry, Routing, Timeouts};

const U32: u32 = u32::MAX;

pub(super) fn timeouts() -> Value {
    let Timeouts { connect, first_token_max, idle, total, stream_max, .. } = Timeouts::default();
    let limit = |about| or(defined(about, "limit"), "auto");
    table(
        "How long to wait for what.",
        [
            (
                "connect",
                or(duration("To make a connection, name look-up and TLS included."), written(connect)),
            ),
            ("first_token", limit("From the start of an attempt to a stream's first content.")),
            (
                "first_token_max",
                or(duration("Cap of the learned limit to the first token."), written(first_token_max)),
            ),
            ("answer", limit("From the start of an attempt to the whole plain answer.")),
            (
                "idle",
                or(duration("The longest silence between two content events of a stream."), written(idle)),
            ),
            (
                "total",
                or(
                    duration(
                        "To the whole plain answer, or to a stream's first content, all attempts together.",
                    ),
                    written(total),
                ),
            ),
            ("stream_max", or(duration("The longest that a stream may last."), written(stream_max))),
        ],
    )
}

pub(super) fn retry() -> Value {
    let Retry { max_attempts, budget } = Retry::default();
    table(
        "How many attempts a request may cost.",
        [
            (
                "max_attempts",
                or(
                    whole("Attempts of one request, the first included.", 1, MOST_ATTEMPTS.into()),
                    max_attempts,
                ),
            ),
            (
                "budget",
                or(whole("Capacity of the retry budget; 0 leaves first failovers only.", 0, U32), budget),
            ),
        ],
    )
}

pub(super) fn routing() -> Value {
    let Routing { composite_failover, affinity, rescue_streams, .. } = Routing::default();
    let strategies = ["adaptive", "composite", "cheapest", "weighted"];
    table(
        "Who is asked first, and whom a call stays with.",
        [
            ("strategy", or(one_of("How deployments are compared.", &strategies), "adaptive")),
            (
                "preferred_region",
                text("The region to prefer, or a name of `[near]`. Default: `server.region`."),
            ),
            (
                "composite_failover",
                or(
                    flag("Composite only: three failures in a row override the preference."),
                    composite_failover,
                ),
            ),
            (
                "affinity",
                or(
                    flag("Whether calls of one session keep their deployment, for its prompt cache."),
                    affinity,
                ),
            ),
            (
                "rescue_streams",
                or(
                    flag(
                        "Whether a stream that breaks after its first content is rescued where that is sound.",
                    ),
                    rescue_streams,
                ),
            ),
        ],
    )
}

fn share(about: &str) -> Value {
    json!({ "type": "number", "description": about, "minimum": 0, "maximum": 1 })
}

pub(super) fn breaker() -> Value {
    let default = BreakerConfig::default();
    let rate = [
        ("at_least", share("The share of failures.")),
        ("min_calls", whole("Below so many calls the rule is silent.", 0, U32)),
        ("within", duration("The time looked back on.")),
    ];
    let rate = needs(
        table("Failures' share of the last calls that opens the circuit.", rate),
        &["at_least", "min_calls", "within"],
    );
    let least = |about, default: u32| or(whole(about, 0, U32), default);
    let time = |about, default| or(duration(about), written(default));
    let factor = json!({ "type": "number", "description": "Growth of the open time.", "minimum": 1, "default": default.recovery_factor });
    table(
        "When a circuit opens and how it recovers.",
        [
            (
                "failure_threshold",
                least(
                    "Failures in a row that open the circuit; 0 turns the rule off.",
                    default.failure_threshold,
                ),
            ),
            ("failure_rate", rate),
            ("rules", list("Further rules, in order.", rule())),
            ("count_rate_limits", or(flag("Whether a 429 counts as a failure."), default.count_rate_limits)),
            (
                "recovery_timeout",
                time("How long the circuit stays open before trials.", default.recovery_timeout),
            ),
            (
                "recovery_timeout_max",
                duration("Cap of the open time, which then grows. Absent: it is constant."),
            ),
            ("recovery_factor", factor),
            ("recovery_list", list("Open times of the first openings.", duration("A duration."))),
            (
                "jitter",
                or(
                    share("The open time is lengthened by a random share up to this one."),
                    default.jitter.get(),
                ),
            ),
            (
                "retry_after_max",
                time("The longest wish of a provider that an open time heeds.", default.retry_after_max),
            ),
            (
                "half_open_max_calls",
                or(whole("Trials of one half-open stay.", 1, 1024), default.half_open_max_calls),
            ),
            (
                "success_threshold",
                or(whole("Successful trials that close the circuit.", 1, 1024), default.success_threshold),
            ),
            ("half_open_rate", defined("Judge the trials together instead.", "thresholds")),
            ("half_open_max_stay", duration("The longest half-open stay. Absent: any.")),
            (
                "rate_limited_fails",
                or(flag("Whether a rate-limited trial is a failed one."), default.rate_limited_fails),
            ),
            (
                "trial_lease",
                or(duration("How long a trial may hold its slot."), default.trial_lease.map(written)),
            ),
        ],
    )
}

pub(super) fn thresholds() -> Value {
    table(
        "Shares of calls, any of which is enough.",
        [
            ("failure_rate", share("Failures: at least this share.")),
            ("success_rate_below", share("Successes: below this share.")),
            ("slow_rate", share("Slow calls: at least this share.")),
            ("slow_above", duration("Above which a call is slow.")),
        ],
    )
}

/// One way to trip, by its `kind`.
fn rule() -> Value {
    let kind = |name: &str| ("kind", json!({ "const": name }));
    let of = || ("thresholds", defined("What trips.", "thresholds"));
    let min_calls = || ("min_calls", whole("Below so many calls the rule is silent.", 0, U32));
    let in_a_row = [kind("consecutive"), ("failures", whole("How many.", 0, U32))];
    let count = [kind("count_window"), ("size", whole("How many calls.", 1, 1 << 20)), min_calls(), of()];
    let time = [
        kind("time_window"),
        ("length", duration("How long a while.")),
        ("buckets", whole("In how many steps it slides.", 1, 1024)),
        min_calls(),
        of(),
    ];
    json!({ "oneOf": [
        needs(table("So many failures in a row.", in_a_row), &["kind", "failures"]),
        needs(table("Shares of the last calls.", count), &["kind", "size", "min_calls", "thresholds"]),
        needs(table("Shares of the calls of the last while.", time), &["kind", "length", "buckets", "min_calls", "thresholds"]),
    ] })
}

/// What a region may say, and a provider for all of its regions.
fn of_regions() -> Vec<(&'static str, Value)> {
    let weight = json!({ "type": "number", "description": "Its share beside others.", "exclusiveMinimum": 0, "default": 1 });
    let limit = |about| whole(about, 1, U32);
    let limits = [
        ("requests_per_minute", limit("Requests a minute.")),
        ("tokens_per_minute", limit("Tokens a minute, read and written.")),
        ("concurrent", limit("Attempts in flight.")),
    ];
    vec![
        ("weight", weight),
        (
            "headers",
            each("Headers that go with each request.", defined("A value, which may be secret.", "secret")),
        ),
        ("api_version", text("Azure's `api-version`.")),
        ("ca_file", text("PEM file of certificate authorities to trust instead of the system's.")),
        ("proxy", text("Proxy to go through, a URL.")),
        ("connections", or(whole("How many HTTP/2 connections to spread over.", 1, 65535), 1)),
        ("limits", table("What the provider allows.", limits)),
    ]
}

fn base_url() -> (&'static str, Value) {
    ("base_url", text("The API's root with its version; `/chat/completions` and the like are appended."))
}

pub(super) fn region() -> Value {
    let own = [
        base_url(),
        ("preset", text("The preset's region, where its name is not this table's.")),
        ("api_key", defined("Its own key.", "secret")),
    ];
    table("A place where a provider is reached.", own.into_iter().chain(of_regions()))
}

pub(super) fn provider() -> Value {
    let all = Preset::all();
    let names: Vec<&str> = all.iter().map(Preset::name).collect();
    let named = one_of("The preset's name.", &names);
    let words = all.iter().flat_map(Preset::blanks).map(|word| (word, text("What stands in its URLs.")));
    let filled =
        needs(table("A preset with what its URLs need.", words.chain([("name", named.clone())])), &["name"]);
    let preset = json!({ "description": "Public hosts by name, in place of `dialect` and URLs: docs/presets.md.", "anyOf": [named, filled] });
    let every =
        or(duration("Time between two checks of an endpoint."), written(HealthCheck::default().every));
    let kind = or(one_of("`models` is free, `chat` one billed token.", &["models", "chat"]), "models");
    let dialects = Dialect::ALL.map(Dialect::as_str);
    let own = [
        ("dialect", one_of("The form of its API.", &dialects)),
        ("preset", preset),
        ("api_key", defined("Its key, for the regions that have none of their own.", "secret")),
        ("health_check", table("Active checks, real requests.", [("every", every), ("kind", kind)])),
        (
            "forward_headers",
            list("Callers' headers that may pass, beside those that always may.", text("A header.")),
        ),
        ("regions", each("Where it is reached, by region.", defined("A region.", "region"))),
        base_url(),
    ];
    let provider = table("A company and its dialect.", own.into_iter().chain(of_regions()));
    with(provider, "anyOf", json!([{ "required": ["dialect"] }, { "required": ["preset"] }]))
}

pub(super) fn target() -> Value {
    let usd = |about: &str| json!({ "type": "number", "description": about, "minimum": 0 });
    let price = [
        ("input", usd("Tokens read.")),
        ("output", usd("Tokens written.")),
        ("cached_input", usd("Tokens read from the prompt cache. Absent: as `input`.")),
    ];
    let price = needs(table("USD per million tokens, over the built-in table.", price), &["input", "output"]);
    let weight = json!({ "type": "number", "description": "Its share beside others of its tier.", "exclusiveMinimum": 0, "default": 1 });
    let keys = [
        ("provider", text("A provider, by its name in this file.")),
        ("model", text("The provider's own name of the model.")),
        ("regions", list("The provider's regions to use. Absent: all.", text("A region."))),
        ("tier", or(whole("A tier is asked when those below it have nobody left.", 0, 255), 0)),
        ("weight", weight),
        ("continues", or(flag("Whether the model goes on from an assistant message."), false)),
        ("context", whole("The longest context in tokens that it takes.", 1, U32)),
        ("price", price),
    ];
    needs(table("One provider's model that may serve a public name.", keys), &["provider", "model"])
}

pub(super) fn model() -> Value {
    let over = |name: &str| defined(&format!("Over the common `[{name}]`, key by key."), name);
    let targets = list("What may serve it.", defined("A target.", "target"));
    let residency = list("The regions that may serve it, a hard constraint. Absent: any.", text("A region."));
    let keys = [
        ("residency", with(residency, "minItems", 1)),
        ("targets", with(targets, "minItems", 1)),
        ("timeouts", over("timeouts")),
        ("retry", over("retry")),
        ("hedge", over("hedge")),
        ("breaker", over("breaker")),
        ("routing", over("routing")),
    ];
    needs(table("A model by the name that callers use.", keys), &["targets"])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use breaker::{RateRule, Thresholds};
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::config::{Hedge, Limits, Price, Target, file, provider_table, schema};

    #[track_caller]
    fn check<T: DeserializeOwned>(form: &Value, extra: &[&str]) {
        let known: BTreeSet<&str> =
            super::super::words::keys_of::<T>().iter().chain(extra).copied().collect();
        let written = form["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(known, written, "the reader's keys beside the schema's");
    }

    /// **Every key that the reader knows is in the schema, and no other.** Fails if a key is added to a type and
    /// forgotten here.
    #[test]
    fn the_schema_has_the_readers_keys() {
        check::<Timeouts>(&timeouts(), &[]);
        check::<Retry>(&retry(), &[]);
        check::<Routing>(&routing(), &[]);
        check::<BreakerConfig>(&breaker(), &[]);
        check::<RateRule>(&breaker()["properties"]["failure_rate"], &[]);
        check::<Thresholds>(&thresholds(), &[]);
        check::<provider_table::RegionTable>(&region(), &[]);
        check::<provider_table::ProviderTable>(&provider(), &[]);
        check::<HealthCheck>(&provider()["properties"]["health_check"], &[]);
        check::<Limits>(&region()["properties"]["limits"], &[]);
        check::<Target>(&target(), &[]);
        check::<Price>(&target()["properties"]["price"], &[]);
        check::<file::ModelTable>(&model(), &[]);
        let whole = schema::schema([]);
        check::<Hedge>(&whole["$defs"]["hedge"], &[]);
        let tables: BTreeSet<&str> = file::TABLES.iter().copied().collect();
        assert_eq!(tables, whole["properties"].as_object().unwrap().keys().map(String::as_str).collect());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn visit(value: &Value, whole: &Value) {
            if let Some(name) = value.get("$ref").and_then(Value::as_str) {
                assert!(whole.pointer(name.trim_start_matches('#')).is_some(), "{name}");
            }
            let inner: Vec<&Value> = match value {
                Value::Object(map) => map.values().collect(),
                Value::Array(list) => list.iter().collect(),
                _ => Vec::new(),
            };
            inner.into_iter().for_each(|value| visit(value, whole));
        }
        let whole = schema::schema([]);
        visit(&whole, &whole);
    }
}
