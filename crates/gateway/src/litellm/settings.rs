//! `router_settings`, `litellm_settings`, `general_settings`: what has a counterpart, and what has none.

use std::time::Duration;

use serde_json::Value;

use super::{
    chains::Model,
    notes::{NO_NUMBER, Notes},
    yaml::{entries, number, of_both, text, whole},
};

/// The tables beside providers and models, as they are written.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) timeouts: Vec<Line>,
    pub(super) retry: Vec<Line>,
    pub(super) breaker: Vec<Line>,
    pub(super) routing: Vec<Line>,
    /// The longest that a whole request may take, in seconds.
    pub(super) total: f64,
}

/// A key, its value as TOML, and a word on it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) key: &'static str,
    pub(super) value: String,
    pub(super) comment: &'static str,
}

/// The longest that a whole request may take unless the configuration says otherwise, in seconds.
const TOTAL: f64 = 600.0;

impl Settings {
    pub(super) fn of(tree: &Value, models: &[Model], notes: &mut Notes) -> Self {
        let mut settings = Self::default();
        let answer = [("router_settings", "timeout"), ("litellm_settings", "request_timeout")];
        let answer = found(tree, answer, notes).and_then(number);
        let mut router = |key| found(tree, [("router_settings", key), ("litellm_settings", key)], notes);
        (settings.timeouts, settings.total) =
            timeouts((answer, router("stream_timeout").and_then(number)), TOTAL);
        if let Some(retries) = router("num_retries").and_then(number).filter(|retries| *retries >= 0.0) {
            let tiers =
                models.iter().flat_map(|model| &model.targets).map(|target| target.tier).max().unwrap_or(0);
            let attempts =
                (retries + 1.0).max(f64::from(tiers) + 1.0).min(f64::from(outrigger::config::MOST_ATTEMPTS));
            let comment = "of one request, the first and those elsewhere included; num_retries there";
            settings.retry.push(Line { key: "max_attempts", value: attempts.trunc().to_string(), comment });
        }
        if let Some(fails) = router("allowed_fails").and_then(number).filter(|fails| *fails >= 0.0) {
            let value = (fails.trunc() + 1.0).min(1e6).to_string();
            let comment = "failures in a row; allowed_fails counted those of a minute";
            settings.breaker.push(Line { key: "failure_threshold", value, comment });
        }
        if let Some(value) = router("cooldown_time").and_then(number).and_then(duration) {
            settings.breaker.push(Line { key: "recovery_timeout", value, comment: "cooldown_time there" });
        }
        if let Some(named) = router("routing_strategy").and_then(text) {
            settings.routing.extend(strategy(&named, notes));
        }
        remarks(tree, notes);
        settings
    }
}

/// A setting that two sections have: the first that says it holds, and of the other it is said.
fn found<'v>(tree: &'v Value, [first, second]: [(&str, &str); 2], notes: &mut Notes) -> Option<&'v Value> {
    let at = |(section, key): (&str, &str)| tree.get(section)?.get(key).filter(|value| !value.is_null());
    if of_both(at(first), at(second)) {
        let [first, second] = [first, second].map(|(section, key)| format!("{section}.{key}"));
        notes.add(second, format!("`{first}` goes before it"));
    }
    at(first).or_else(|| at(second))
}

/// Limits in seconds, for a whole answer and for a stream, as keys of `[timeouts]`; and what `total` then is, which was so many
/// seconds before.
pub(super) fn timeouts((answer, stream): (Option<f64>, Option<f64>), total: f64) -> (Vec<Line>, f64) {
    let [answer, stream] =
        [answer, stream].map(|seconds| seconds.and_then(|seconds| Some((seconds, duration(seconds)?))));
    let mut lines = Vec::new();
    let mut longest = total;
    for (seconds, value) in [&answer, &stream].into_iter().flatten() {
        if *seconds > longest {
            longest = *seconds;
            lines = vec![Line {
                key: "total",
                value: value.clone(),
                comment: "all attempts of a request together",
            }];
        }
    }
    if let Some((_, value)) = answer {
        lines.push(Line { key: "answer", value, comment: "one attempt; left out, it is learned" });
    }
    if let Some((_, value)) = stream {
        lines.push(Line { key: "first_token", value, comment: "one attempt; left out, it is learned" });
    }
    (lines, longest)
}

/// Seconds as a duration in TOML; none for what is no time, or longer than a year.
fn duration(seconds: f64) -> Option<String> {
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    let duration = Duration::from_millis(u64::try_from(duration.as_millis()).ok()?);
    let fits = !duration.is_zero() && duration <= outrigger::config::LONGEST;
    fits.then(|| format!("\"{}\"", humantime::format_duration(duration)))
}

fn strategy(named: &str, notes: &mut Notes) -> Option<Line> {
    let (value, comment) = match named {
        "simple-shuffle" => {
            ("weighted", "simple-shuffle there; `adaptive` also looks at latency, load and failures")
        }
        "latency-based-routing" | "least-busy" => ("adaptive", "by latency, load and failures"),
        "usage-based-routing" | "usage-based-routing-v2" => ("adaptive", "limits are kept by every strategy"),
        "cost-based-routing" => ("cheapest", "cost-based-routing there"),
        other => {
            notes.add(
                format!("routing_strategy `{other}`"),
                "there is no such strategy; `adaptive` is the default",
            );
            return None;
        }
    };
    Some(Line { key: "strategy", value: format!("\"{value}\""), comment })
}

/// Names all that is said and not read.
fn remarks(tree: &Value, notes: &mut Notes) {
    const NUMBERS: [&str; 6] =
        ["num_retries", "timeout", "request_timeout", "stream_timeout", "allowed_fails", "cooldown_time"];
    for section in ["router_settings", "litellm_settings", "general_settings"] {
        let numbers = entries(tree, section)
            .filter(|(key, value)| NUMBERS.contains(key) && is_read(section, key) && !value.is_null());
        for (key, _) in numbers.filter(|(_, value)| number(value).is_none()) {
            notes.add(format!("{section}.{key}"), NO_NUMBER);
        }
        for (key, value) in
            entries(tree, section).filter(|(key, value)| !is_read(section, key) && !value.is_null())
        {
            // `false` turns off what is not there.
            if *value != Value::Bool(false) {
                notes.add(format!("{section}.{key}"), reason(key));
            }
        }
    }
    let variables: Vec<&str> = entries(tree, "environment_variables").map(|(name, _)| name).collect();
    if !variables.is_empty() {
        let what = format!("environment_variables {}", variables.join(", "));
        notes.add(
            what,
            "set those that are still needed in the environment; their values are not written here",
        );
    }
    const SECTIONS: [&str; 6] = [
        "model_list",
        "credential_list",
        "router_settings",
        "litellm_settings",
        "general_settings",
        "environment_variables",
    ];
    let sections = tree.as_object().into_iter().flatten().map(|(section, _)| section);
    for section in sections.filter(|section| !SECTIONS.contains(&section.as_str())) {
        notes.add(section.clone(), reason(section));
    }
}

fn is_read(section: &str, key: &str) -> bool {
    const BOTH: [&str; 8] = [
        "num_retries",
        "stream_timeout",
        "allowed_fails",
        "cooldown_time",
        "routing_strategy",
        "fallbacks",
        "default_fallbacks",
        "context_window_fallbacks",
    ];
    const ONE: [(&str, &str); 3] = [
        ("router_settings", "model_group_alias"),
        ("router_settings", "timeout"),
        ("litellm_settings", "request_timeout"),
    ];
    section != "general_settings" && BOTH.contains(&key) || ONE.contains(&(section, key))
}

/// Why something has no counterpart, and what to do instead.
fn reason(key: &str) -> &'static str {
    match key {
        "master_key" => {
            "callers' keys are made by `outrigger keys new NAME`; this one is not written here, nor is its hash"
        }
        "database_url" | "store_model_in_db" | "database_connection_pool_limit" => {
            "there is no database: models and keys are in the file, spend is in `server.state_dir`"
        }
        "content_policy_fallbacks" => "a refusal of content is an answer, and is not asked for elsewhere",
        "retry_policy" | "model_group_retry_policy" | "retry_after" | "allowed_fails_policy" => {
            "what a failure is and how long to wait is read from each answer"
        }
        "enable_pre_call_checks" => {
            "it is always so: with `context` on a target, a request that is too long goes to another"
        }
        "cache" | "cache_params" | "cache_responses" | "caching_groups" => "answers are not cached here",
        "drop_params" | "modify_params" => "requests pass as they are written; a provider may refuse one",
        "callbacks" | "success_callback" | "failure_callback" | "service_callbacks" | "alerting"
        | "alerting_threshold" => "there are `/metrics`, `/events` and the log on the admin port's side",
        "set_verbose" | "json_logs" | "debug_level" | "turn_off_message_logging" => {
            "the log is told by `serve`: `--log-level`, `--log-format`, and what callers write only with `--log-prompts`"
        }
        "timeout" => "`router_settings.timeout` and `litellm_settings.request_timeout` are read",
        "request_timeout" => "`litellm_settings.request_timeout` is read",
        "max_budget" | "budget_duration" => "budgets are of callers' keys: `budget_usd`",
        "max_parallel_requests" | "global_max_parallel_requests" => {
            "`server.max_concurrent` bounds all requests"
        }
        "guardrails" | "mcp_servers" | "prompts" | "vector_store_registry" | "search_tools" => {
            "it is another program's work here"
        }
        "finetune_settings" | "files_settings" | "batch_settings" | "assistant_settings" => {
            "files, batches, assistants and fine-tuning are not served"
        }
        "include" => "import those files too, and join the results",
        key if key.starts_with("redis_") => "`[fleet]` names the Redis that replicas share",
        _ => "it has no counterpart",
    }
}

/// A number that a limit may be.
pub(super) fn written(limit: Option<u32>) -> Option<String> {
    limit.filter(|limit| whole(&Value::from(*limit)).is_some()).map(|limit| limit.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_durations_where_they_are_some() {
        assert_eq!(duration(30.0).as_deref(), Some("\"30s\""));
        assert_eq!(duration(0.25).as_deref(), Some("\"250ms\""));
        assert_eq!(duration(6000.0).as_deref(), Some("\"1h 40m\""));
        for none in [0.0, -1.0, f64::NAN, 1e12] {
            assert_eq!(duration(none), None);
        }
    }

    #[test]
    fn a_limit_above_the_whole_raises_the_whole() {
        let keys = |(lines, _): (Vec<Line>, f64)| {
            lines.into_iter().map(|line| (line.key, line.value)).collect::<Vec<_>>()
        };
        let expected = [("total", "\"15m\"".to_owned()), ("answer", "\"15m\"".to_owned())];
        assert_eq!(keys(timeouts((Some(900.0), None), TOTAL)), expected);
        assert_eq!(keys(timeouts((Some(900.0), Some(f64::MAX)), 1000.0)), [("answer", "\"15m\"".to_owned())]);
        assert_eq!(keys(timeouts((None, Some(5.0)), TOTAL)), [("first_token", "\"5s\"".to_owned())]);
    }
}
