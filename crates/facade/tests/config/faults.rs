//! Bad files: each with the place, the way, the message and the help.

use outrigger::config::{Fault, MOST_BYTES};

use super::{SOUND, read};

/// Reads a file in which `¶` stands before the place of its only fault, and compares the fault's line without
/// the place.
#[track_caller]
pub(super) fn check(marked: &str, expected: &str) {
    let (before, after) = marked.split_once('¶').expect("a mark");
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let faults = read(&format!("{before}{after}")).map(|_| ()).unwrap_err();
    assert_eq!(faults.to_string(), format!("outrigger.toml:{line}:{column}: {expected}"));
}

/// The same below a sound provider and model.
#[track_caller]
fn check_in(marked: &str, expected: &str) {
    check(&format!("{SOUND}{marked}"), expected);
}

/// The same with a model `m` of these keys.
#[track_caller]
fn check_model(marked: &str, expected: &str) {
    check_in(&format!("[models.m]\n{marked}"), expected);
}

#[test]
fn broken_syntax_is_placed() {
    check("[timeouts]\nidle = ¶", "string values must be quoted, expected literal string");
    check("a = 1\n¶a = 2", "duplicate key");
}

#[test]
fn an_unknown_key_names_the_nearest() {
    check_in("[timeouts]\n¶idel = \"5s\"", "timeouts.idel: unknown key; did you mean `idle`?");
    check_in("[retry]\n ¶tries = 5", "retry.tries: unknown key; known: `max_attempts`, `budget`");
    check_in("[hedge]\n¶enable = true", "hedge.enable: unknown key; did you mean `enabled`?");
    check_in(
        "[breaker]\n¶failure_treshold = 3",
        "breaker.failure_treshold: unknown key; did you mean `failure_threshold`?",
    );
    check_in(
        "[routing]\n¶prefered_region = \"us-east\"",
        "routing.prefered_region: unknown key; did you mean `preferred_region`?",
    );
    check("# é\n[ ¶timeout]\n", "timeout: unknown table; did you mean `timeouts`?");
}

#[test]
fn an_unknown_key_inside_is_found() {
    check_in(
        "[models.chat.timeouts]\n¶totl = \"5s\"",
        "models.chat.timeouts.totl: unknown key; did you mean `total`?",
    );
    check_model(
        "targets = [{ provider = \"openai\", ¶modell = \"x\", model = \"gpt-4.1\" }]",
        "models.m.targets[0].modell: unknown key; did you mean `model`?",
    );
    check(
        "[providers.p]\ndialect = \"openai\"\n[providers.p.regions.us]\n¶base_ulr = \"http://a\"\nbase_url = \"http://a\"",
        "providers.p.regions.us.base_ulr: unknown key; did you mean `base_url`?",
    );
    check(
        "[providers.p]\ndialect = \"openai\"\n¶forward_header = []\nbase_url = \"http://a\"",
        "providers.p.forward_header: unknown key; did you mean `forward_headers`?",
    );
    check(
        "[providers.\"a b\".regions.us]\nbase_url = \"http://a\"\nlimits = { ¶rpm = 1 }\n[providers.\"a b\"]\ndialect = \"openai\"",
        "providers.\"a b\".regions.us.limits.rpm: unknown key; known: `requests_per_minute`, `tokens_per_minute`, `concurrent`",
    );
}

#[test]
fn a_value_of_another_kind_is_named() {
    let duration = "a duration such as \"500ms\", \"30s\" or \"5m\"";
    check_in(
        "[timeouts]\nidle = ¶\"5 parsecs\"",
        &format!("timeouts.idle: expected {duration}, found string \"5 parsecs\""),
    );
    check_in("[timeouts]\nidle = ¶5", &format!("timeouts.idle: expected {duration}, found integer `5`"));
    check_in(
        "[timeouts]\nanswer = ¶\"soon\"",
        &format!("timeouts.answer: expected \"auto\" or {duration}, found string \"soon\""),
    );
    check_in(
        "[retry]\nmax_attempts = ¶300",
        "retry.max_attempts: expected a whole number from 0 to 255, found integer `300`",
    );
    check_in(
        "[retry]\nbudget = ¶-1",
        "retry.budget: expected a whole number of at least 0, found integer `-1`",
    );
    check_in("[retry]\nbudget = ¶99999999999999999999", "retry.budget: the number is too large");
    check(
        "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://a/v1\"\nhealth_check = ¶\"sk-1\"",
        "providers.p.health_check: expected a table, found a string",
    );
    check_in("[hedge]\nenabled = ¶\"yes\"", "hedge.enabled: expected true or false, found string \"yes\"");
    check("retry = ¶5", "retry: expected a table, found integer `5`");
    check("near = ¶5", "near: expected a table, found integer");
    check_in(
        "[routing]\nstrategy = ¶\"composit\"",
        "routing.strategy: unknown value `composit`; did you mean `composite`?",
    );
    check_in(
        "[breaker]\nfailure_rate = { at_least = ¶1.5, min_calls = 10, within = \"60s\" }",
        &format!("breaker.failure_rate.at_least: {}", breaker::Ratio::new(1.5).unwrap_err()),
    );
}

#[test]
fn a_missing_key_is_placed_at_its_table() {
    check_model("targets = [\n  ¶{ provider = \"openai\" }]", "models.m.targets[0]: `model` is missing");
    check("[providers.¶p]\nbase_url = \"http://a\"", "providers.p: `dialect` is missing");
    check(
        "[providers.p]\ndialect = \"openai\"\n[providers.p.regions.¶us]\nweight = 2",
        "providers.p.regions.us: `base_url` is missing",
    );
    check(
        "[providers.p]\ndialect = ¶\"opnai\"\nbase_url = \"http://a\"",
        "providers.p.dialect: unknown value `opnai`; did you mean `openai`?",
    );
}

#[test]
fn a_missing_variable_is_named() {
    check(
        "[providers.p]\ndialect = \"openai\"\napi_key = ¶\"${NO_SUCH_KEY}\"\nbase_url = \"http://a\"",
        "providers.p.api_key: the variable `NO_SUCH_KEY` is not set; set it, or write `${NO_SUCH_KEY:-default}`",
    );
    check_model(
        "targets = [{ provider = ¶\"${NO_SUCH}\", model = \"gpt-4.1\" }]",
        "models.m.targets[0].provider: the variable `NO_SUCH` is not set; set it, or write `${NO_SUCH:-default}`",
    );
    check(
        "[providers.p]\ndialect = \"openai\"\napi_key = ¶\"${EMPTY}\"\nbase_url = \"http://a\"",
        "providers.p.api_key: the key is empty; leave it out for a provider that takes none",
    );
}

#[test]
fn a_target_leads_somewhere() {
    check_model(
        "targets = [{ provider = ¶\"opnai\", model = \"gpt-4.1\" }]",
        "models.m.targets[0].provider: there is no provider `opnai`; did you mean `openai`?",
    );
    check_model(
        "targets = [{ provider = \"openai\", model = \"gpt-4.1\", regions = [\"us-east\", ¶\"us-esat\"] }]",
        "models.m.targets[0].regions[1]: provider `openai` has no region `us-esat`; did you mean `us-east`?",
    );
    check_model(
        "targets = [{ provider = \"openai\", model = \"gpt-4.1\", regions = ¶[] }]",
        "models.m.targets[0].regions: the list names no region; leave it out for all regions of the provider",
    );
    check_in(
        "[models.¶m]",
        "models.m: the model has no targets; add `targets = [{ provider = \"...\", model = \"...\" }]`",
    );
    check_model(
        "[[models.m.targets]]\nprovider = \"openai\"\nmodel = \"gpt-4.1\"\n¶[[models.m.targets]]\nprovider = \"openai\"\n\
         model = \"gpt-4.1\"\nregions = [\"eu-west\"]",
        "models.m.targets[1]: `openai`, `eu-west`, `gpt-4.1` and tier 0 are named twice; \
         leave one out, or put it into another tier",
    );
}

#[test]
fn a_place_is_somewhere() {
    check_in(
        "[near]\nsg = [¶\"us-eats\"]",
        "near.sg[0]: no provider has a region `us-eats`; did you mean `us-east`?",
    );
    check_in("[near]\nsg = ¶[]", "near.sg: no region is named");
    let target = "targets = [{ provider = \"openai\", model = \"gpt-4.1\", regions = [\"us-east\"] }]";
    check_model(
        &format!("residency = [\"us-east\", ¶\"mars\"]\n{target}"),
        "models.m.residency[1]: no provider has a region `mars`; known: `eu-west`, `us-east`",
    );
    check_model(
        &format!("residency = ¶[\"eu-west\"]\n{target}"),
        "models.m.residency: none of the model's targets is in a region of this list",
    );
    check_model(
        &format!("residency = ¶[]\n{target}"),
        "models.m.residency: the list allows no region; leave it out to allow all",
    );
}

#[test]
fn a_provider_can_be_reached() {
    let provider = |keys: &str| format!("[providers.p]\ndialect = \"openai\"\n{keys}");
    check(
        "[providers.¶p]\ndialect = \"openai\"",
        "providers.p: the provider has no region; give it a `base_url`, or a table `regions.NAME` with one",
    );
    check(
        &provider("base_url = ¶\"us.example\""),
        "providers.p.base_url: not a URL: relative URL without a base",
    );
    check(
        &provider("base_url = ¶\"ftp://us.example\""),
        "providers.p.regions.global.base_url: expected a URL that begins with `http://` or `https://`",
    );
    check(&provider("base_url = ¶\"http://\""), "providers.p.base_url: not a URL: empty host");
    check(
        &provider("base_url = ¶\"http://a/v1?version=2\""),
        "providers.p.regions.global.base_url: a base URL ends with its path; \
         leave out what follows `?` or `#`; Azure's version goes into `api_version`",
    );
    check(
        &provider("base_url = ¶\"http://a\"\n[providers.p.regions.us]\nbase_url = \"http://b\""),
        "providers.p.base_url: the provider has regions too; move it into a region of its own",
    );
    check(
        &provider("[providers.p.regions.¶\"us/east\"]\nbase_url = \"http://b\""),
        "providers.p.regions.\"us/east\": a name has letters, digits and signs of ASCII, no space and no `/`",
    );
}

#[test]
fn headers_are_what_http_can_carry() {
    let region = |headers: &str| {
        format!(
            "[providers.p]\ndialect = \"openai\"\nregions.us = {{ base_url = \"http://a\", headers = {headers} }}"
        )
    };
    check(
        &region("{ \"x y\" = ¶\"1\" }"),
        "providers.p.regions.us.headers.\"x y\": this is no name of a header",
    );
    check(
        &region("{ Host = ¶\"1\" }"),
        "providers.p.regions.us.headers.Host: this header belongs to the connection and cannot be set",
    );
    check(
        &region("{ x-a = \"1\", X-A = ¶\"2\" }"),
        "providers.p.regions.us.headers.X-A: the header is set twice",
    );
    let forward = |name: &str| {
        format!(
            "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://a\"\nforward_headers = [\"x-ok\", ¶\"{name}\"]"
        )
    };
    check(&forward("x y"), "providers.p.forward_headers[1]: `x y` is no name of a header");
    check(
        &forward("Connection"),
        "providers.p.forward_headers[1]: `connection` belongs to the connection and is not forwarded",
    );
    check(
        &forward("Authorization"),
        "providers.p.forward_headers[1]: `authorization` carries the caller's credentials and is not forwarded",
    );
}

#[test]
fn numbers_are_in_range_and_fit_together() {
    check_in(
        "[retry]\nmax_attempts = ¶0",
        "retry.max_attempts: expected a whole number from 1 to 16, found 0",
    );
    check_in(
        "[retry]\nmax_attempts = ¶17",
        "retry.max_attempts: expected a whole number from 1 to 16, found 17",
    );
    check_in("[timeouts]\nidle = ¶\"0s\"", "timeouts.idle: a duration of zero leaves no time");
    check_in(
        "[timeouts]\ntotal = ¶\"900000h\"",
        "timeouts.total: 102years 8months 23h 31m 12s is above the longest, 365 days",
    );
    check_in(
        "[timeouts]\nfirst_token_max = ¶\"500ms\"",
        "timeouts.first_token_max: 500ms is below the least limit that can be learned, 1s",
    );
    check_in("[timeouts]\nanswer = ¶\"11m\"", "timeouts.answer: answer (11m) is above total (10m)");
    check_in("[timeouts]\nidle = ¶\"2h\"", "timeouts.idle: idle (2h) is above stream_max (1h)");
    check_in(
        "[timeouts]\nanswer = ¶\"5m\"\n[models.chat.timeouts]\ntotal = \"1m\"",
        "models.chat.timeouts.answer: answer (5m) is above total (1m)",
    );
    let target = |more: &str| format!("targets = [{{ provider = \"openai\", model = \"gpt-4.1\", {more} }}]");
    check_model(&target("weight = ¶0"), "models.m.targets[0].weight: expected a number above 0, found 0");
    check_model(&target("weight = ¶nan"), "models.m.targets[0].weight: expected a number above 0, found NaN");
    check_model(
        &target("context = ¶0"),
        "models.m.targets[0].context: expected a whole number of at least 1, found 0",
    );
    check_model(
        &target("price = { input = ¶-1.0, output = 1 }"),
        "models.m.targets[0].price.input: expected a number of at least 0, found -1",
    );
    check(
        "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://a\"\nlimits.concurrent = ¶0",
        "providers.p.limits.concurrent: expected a whole number of at least 1, found integer `0`",
    );
    check(
        "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://a\"\nhealth_check = { every = ¶\"10ms\" }",
        "providers.p.health_check.every: 10ms is below the shortest, 1s",
    );
}

#[test]
fn the_breakers_own_faults_bear_the_models_path() {
    check_in(
        "[models.chat.¶breaker]\nrecovery_timeout = \"9s\"\nrecovery_timeout_max = \"5s\"",
        "models.chat.breaker: recovery_timeout (9s) is above recovery_timeout_max (5s)",
    );
    check_in(
        "[¶breaker]\nrecovery_timeout = \"9s\"\nrecovery_timeout_max = \"5s\"",
        "breaker: recovery_timeout (9s) is above recovery_timeout_max (5s)",
    );
}

/// **One run tells all.** Faults of every kind in one file are told together, in the order of the file, each
/// once, and a fault told does not bring others along. Fails if reading stops at the first, or if a model
/// repeats a fault of a table it inherits.
#[test]
fn all_faults_of_a_file_are_told_at_once() {
    let text = "\
[timeouts]
idle = \"never\"
totla = 5
[providers.p]
dialect = \"openai\"
api_key = \"${NO_SUCH_KEY}\"
weight = \"much\"
[providers.p.regions.a]
base_url = \"a\"
[providers.p.regions.b]
base_url = \"http://b\"
connections = 0
[models.one]
targets = [{ provider = \"p\" }, { provider = \"p\", model = 5 }, { model = \"m\", provider = \"p\", tier = 256 }]
[models.two]
targets = []
[modls]
";
    let faults = read(text).map(|_| ()).unwrap_err();
    assert_eq!(
        faults.as_slice().iter().map(Fault::to_string).collect::<Vec<_>>(),
        [
            "outrigger.toml:2:8: timeouts.idle: expected a duration such as \"500ms\", \"30s\" or \"5m\", found string \"never\"",
            "outrigger.toml:3:1: timeouts.totla: unknown key; did you mean `total`?",
            "outrigger.toml:6:11: providers.p.api_key: the variable `NO_SUCH_KEY` is not set; \
             set it, or write `${NO_SUCH_KEY:-default}`",
            "outrigger.toml:7:10: providers.p.weight: expected a number, found string \"much\"",
            "outrigger.toml:9:12: providers.p.regions.a.base_url: not a URL: relative URL without a base",
            "outrigger.toml:12:15: providers.p.regions.b.connections: expected a whole number from 1 to 65535, found integer `0`",
            "outrigger.toml:14:12: models.one.targets[0]: `model` is missing",
            "outrigger.toml:14:58: models.one.targets[1].model: expected a string, found integer `5`",
            "outrigger.toml:14:101: models.one.targets[2].tier: expected a whole number from 0 to 255, found integer `256`",
            "outrigger.toml:17:2: modls: unknown table; did you mean `models`?",
        ]
    );
}

#[test]
fn names_are_checked_although_a_number_is_faulty() {
    let faults =
        read(&format!("{SOUND}[near]\nsg = [\"mars\"]\n[timeouts]\nidle = 5")).map(|_| ()).unwrap_err();
    let paths: Vec<String> = faults.as_slice().iter().map(|fault| fault.path.to_string()).collect();
    assert_eq!(paths, ["near.sg[0]", "timeouts.idle"]);
}

#[test]
fn a_file_of_nothing_but_faults_ends() {
    let text = (0..5000).fold("[timeouts]\n".to_owned(), |text, n| format!("{text}k{n} = 1\n"));
    assert_eq!(read(&text).map(|_| ()).unwrap_err().as_slice().len(), 100);
}

#[test]
fn a_file_over_four_mebibytes_is_refused() {
    assert!(read(&" ".repeat(MOST_BYTES)).is_ok());
    let faults = read(&" ".repeat(MOST_BYTES + 1)).map(|_| ()).unwrap_err();
    assert_eq!(faults.to_string(), "outrigger.toml:1:1: the file has 4194305 bytes, the most is 4194304");
}

#[test]
fn a_fault_is_one_flat_object_in_json() {
    let faults = read("[timeouts]\nidel = 1").map(|_| ()).unwrap_err();
    assert_eq!(
        serde_json::to_value(&faults).unwrap(),
        serde_json::json!([{
            "file": "outrigger.toml", "line": 2, "column": 1, "path": "timeouts.idel",
            "message": "unknown key", "help": "did you mean `idle`?"
        }])
    );
}
