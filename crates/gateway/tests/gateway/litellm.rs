//! A LiteLLM configuration becomes ours, with a word on each thing that does not.

use serde_json::Value;
use tokio::process::Command;

use crate::{
    commands::{Run, run},
    schema,
    support::{file, soon},
};

const WHOLE: &str = include_str!("litellm/whole.yaml");

async fn import(yaml: &str) -> Run {
    run(&["import-litellm", &file(yaml).display().to_string()]).await
}

/// What `check` says of a configuration, with every variable set that it names.
async fn checked(text: &str) -> String {
    let path = file(text);
    let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
    for name in text.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name) {
        let value = if name.contains("BASE") { "https://harbour.example/openai/v1" } else { "sk-1" };
        command.env(name, value);
    }
    let output = soon(command.args(["check", "--json"]).arg(path).output()).await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The result as a tree, which is sound and within the schema.
async fn imported(yaml: &str) -> (Value, String) {
    let run = import(yaml).await;
    assert_eq!(run.code, Some(0), "{}\n{}", run.err, run.out);
    let verdict: Value = serde_json::from_str(&checked(&run.out).await).unwrap();
    assert_eq!(verdict["faults"], serde_json::json!([]), "{}", run.out);
    assert_eq!(schema::faults(&run.out), "", "{}", run.out);
    (toml::from_str(&run.out).unwrap(), run.out)
}

/// A model's targets, briefly: provider, its name of the model, regions, tier.
fn targets(tree: &Value, model: &str) -> Vec<(String, String, Vec<String>, u64)> {
    let list = tree["models"][model]["targets"].as_array().unwrap_or_else(|| panic!("no model {model}"));
    list.iter()
        .map(|target| {
            let text = |key: &str| target[key].as_str().unwrap_or_default().to_owned();
            let regions = target.get("regions").and_then(Value::as_array).into_iter().flatten();
            let regions = regions.map(|region| region.as_str().unwrap().to_owned()).collect();
            (
                text("provider"),
                text("model"),
                regions,
                target.get("tier").and_then(Value::as_u64).unwrap_or(0),
            )
        })
        .collect()
}

fn target(provider: &str, model: &str, regions: &[&str], tier: u64) -> (String, String, Vec<String>, u64) {
    (provider.into(), model.into(), regions.iter().map(|region| (*region).to_owned()).collect(), tier)
}

#[tokio::test]
async fn one_name_several_times_is_one_model_with_targets() {
    let (tree, text) = imported(WHOLE).await;
    let expected = [
        target("azure", "gpt-41-eu", &["harbour-eu"], 0),
        target("azure", "gpt-41-us", &["us"], 0),
        target("openai", "gpt-4.1", &["global"], 1),
        target("groq", "llama-3.3-70b", &[], 2),
    ];
    assert_eq!(targets(&tree, "gpt-4.1"), expected, "{text}");
    let azure = &tree["providers"]["azure"];
    assert_eq!(azure["dialect"], "azure");
    let eu = &azure["regions"]["harbour-eu"];
    assert_eq!(
        (&eu["base_url"], &eu["api_version"]),
        (&"https://harbour-eu.openai.azure.com".into(), &"2024-10-21".into())
    );
    assert_eq!(eu["limits"], serde_json::json!({ "requests_per_minute": 600, "tokens_per_minute": 80000 }));
    assert_eq!(azure["regions"]["us"]["base_url"], "${AZURE_API_BASE_US}");
    let last = &tree["models"]["gpt-4.1"]["targets"][2];
    assert_eq!(last["price"], serde_json::json!({ "input": 2.0, "output": 8.0 }));
    assert_eq!(
        (&last["context"], &tree["models"]["gpt-4.1"]["timeouts"]["answer"]),
        (&1_000_000.into(), &"2m".into())
    );
}

#[tokio::test]
async fn servers_of_ones_own_are_providers_of_their_own() {
    let (tree, text) = imported(WHOLE).await;
    let local = targets(&tree, "local");
    let expected = [target("127.0.0.1-8000", "qwen3", &[], 0), target("127.0.0.1-11434", "qwen3", &[], 0)];
    assert_eq!(local[..2], expected, "{text}");
    assert_eq!(tree["providers"]["127.0.0.1-8000"]["base_url"], "http://127.0.0.1:8000/v1");
    assert_eq!(
        tree["providers"]["127.0.0.1-11434"]["base_url"], "http://127.0.0.1:11434/v1",
        "ollama's own path"
    );
    assert_eq!(tree["providers"]["groq"]["headers"], serde_json::json!({ "x-team": "${TEAM}" }));
    assert_eq!(tree["providers"]["anthropic"]["preset"], "anthropic");
}

/// A region's name on a host that is everybody's would let residency be satisfied by a word.
#[tokio::test]
async fn a_label_makes_no_region_of_a_global_host() {
    let yaml = "model_list:\n  - model_name: m\n    litellm_params: {model: gpt-4.1, region_name: eu}\n";
    let (tree, text) = imported(yaml).await;
    assert_eq!((tree["providers"]["openai"].get("regions"), targets(&tree, "m").len()), (None, 1), "{text}");
    assert!(text.contains("# - region_name `eu` (m): its host is that of `global`"), "{text}");
}

#[tokio::test]
async fn fallbacks_are_higher_tiers_and_aliases_are_models() {
    let (tree, text) = imported(WHOLE).await;
    let tiers = |model| {
        let targets = targets(&tree, model);
        targets.into_iter().map(|(provider, _, _, tier)| (provider, tier)).collect::<Vec<_>>()
    };
    let of = |pairs: &[(&str, u64)]| {
        pairs.iter().map(|(name, tier)| ((*name).to_owned(), *tier)).collect::<Vec<_>>()
    };
    let mini = [
        ("openai", 0),
        ("openai", 0),
        ("anthropic", 1),
        ("127.0.0.1-8000", 2),
        ("127.0.0.1-11434", 2),
        ("groq", 3),
    ];
    assert_eq!(tiers("mini"), of(&mini), "{text}");
    assert_eq!(tiers("hidden"), of(&mini));
    assert_eq!(tiers("gpt-4"), tiers("gpt-4.1"));
    assert_eq!(tiers("quick"), of(&[("groq", 0)]), "nobody stands in for itself");
    let local: Vec<String> = tiers("local").into_iter().map(|(provider, _)| provider).collect();
    assert!(local.iter().any(|provider| provider == "azure"), "context_window_fallbacks: {text}");
    assert!(text.contains("context_window_fallbacks: they are tiers here"), "{text}");
}

#[tokio::test]
async fn settings_go_where_they_belong() {
    let (tree, _) = imported(WHOLE).await;
    assert_eq!(tree["timeouts"], serde_json::json!({ "answer": "30s" }));
    assert_eq!(tree["breaker"], serde_json::json!({ "failure_threshold": 4, "recovery_timeout": "1m" }));
    assert_eq!(tree["routing"]["strategy"], "adaptive");
    assert!(tree["retry"]["max_attempts"].as_u64().unwrap() >= 3);
    assert_eq!(tree["server"]["listen"], "127.0.0.1:4000");
}

/// **No secret of the file is in the result**, on either stream; variables take their place.
#[tokio::test]
async fn no_secret_is_written() {
    let run = import(WHOLE).await;
    let all = format!("{}{}", run.out, run.err);
    assert!(!all.contains("secret\"") && !all.contains("-secret"), "{all}");
    let tree: Value = toml::from_str(&run.out).unwrap();
    let keys: Vec<&str> = tree["providers"]["openai"]["regions"]
        .as_object()
        .unwrap()
        .values()
        .map(|region| region["api_key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["${OPENAI_API_KEY}", "${OPENAI_API_KEY_2}", "${OPENAI_API_KEY_3}"]);
    assert!(run.out.contains("put its `api_key` into OPENAI_API_KEY_2 (mini)"), "{}", run.out);
}

/// **A URL's own credentials are secrets too**, also where they would become a name. Fails if an `api_base` is written as it came.
#[tokio::test]
async fn no_secret_of_a_url_is_written() {
    let azure = "model_list: [{model_name: m, litellm_params: {model: azure/m, api_base: 'https://h.openai.azure.com/?";
    let (_, text) = imported(&format!("{azure}api-version=2024-10-21'}}}}]\n")).await;
    assert!(!text.contains("query of"), "its version needs no word\n{text}");
    for (base, left) in [
        ("http://me:pw-secret@harbour.example/v1?key=q-secret", "http://harbour.example/v1"),
        ("https://harbour.example/v1#f-secret", "https://harbour.example/v1"),
        ("https://u-secret@harbour.example:8443/a@b/v1", "https://harbour.example:8443/a@b/v1"),
    ] {
        let yaml = format!(
            "model_list: [{{model_name: m, litellm_params: {{model: openai/m, api_base: '{base}'}}}}]\n"
        );
        let (tree, text) = imported(&yaml).await;
        let provider = tree["providers"].as_object().unwrap().values().next().unwrap();
        assert_eq!(provider["base_url"], left, "{text}");
        assert!(!text.contains("-secret") && text.contains("query of `api_base` (m): "), "{text}");
    }
}

/// **What is passed over is said.** Fails if an entry, a fallback or the second of two settings vanishes without a word.
#[tokio::test]
async fn what_is_passed_over_is_said() {
    let yaml = "model_list:\n  - {model_name: a, litellm_params: {model: openai/a, timeout: 5, request_timeout: 6}}\n\
                \x20 - {model_name: b, litellm_params: {model: openai/b}}\n  - {litellm_params: {model: openai/c}}\n  - gpt-4.1\n\
                router_settings: {num_retries: 2, timeout: 30, request_timeout: 31, allowed_fails: 3, fallbacks: [{a: [b]}, c]}\n\
                litellm_settings: {num_retries: 5, request_timeout: 60, timeout: 7, allowed_fails: 3, context_window_fallbacks: b,\
                \x20 set_verbose: true}\n";
    let (tree, text) = imported(yaml).await;
    assert_eq!(
        (&tree["retry"]["max_attempts"], &tree["timeouts"]["answer"]),
        (&3.into(), &"30s".into()),
        "{text}"
    );
    for said in [
        "entry 3 of model_list: it has no `model_name`; it was left out",
        "entry 4 of model_list: it has no `model_name`; it was left out",
        "litellm_params.request_timeout (a): `timeout` goes before it",
        "litellm_settings.num_retries: `router_settings.num_retries` goes before it",
        "litellm_settings.request_timeout: `router_settings.timeout` goes before it",
        "router_settings.request_timeout: `litellm_settings.request_timeout` is read",
        "litellm_settings.timeout: `router_settings.timeout` and",
        "router_settings.fallbacks: an entry that does not say for which model; it was left out",
        "litellm_settings.context_window_fallbacks: an entry that does not say for which model",
        "litellm_settings.set_verbose: the log is told by `serve`: ",
    ] {
        assert!(text.contains(&format!("# - {said}")), "no word on {said}\n{text}");
    }
    assert!(!text.contains("allowed_fails:"), "both say the same\n{text}");
}

/// **A credential that entries share is theirs**, where they say nothing else. Fails if their place or key is lost, or written.
#[tokio::test]
async fn a_credential_that_entries_share_is_theirs() {
    let yaml = "credential_list:\n  - credential_name: harbour\n    credential_values: {api_base: 'https://harbour.example/v1', api_key: \
                pw-secret, vertex_project: p,\n      extra_headers: {X-Quay: os.environ/QUAY}, headers: {X-Pier: pw-secret}}\n  - {credential_name: lost}\nmodel_list:\n\
                \x20 - {model_name: a, litellm_params: {model: openai/a, litellm_credential_name: harbour}}\n\
                \x20 - {model_name: b, litellm_params: {model: openai/b, litellm_credential_name: harbour, api_base: 'https://own.example/v1'}}\n\
                \x20 - {model_name: c, litellm_params: {model: openai/c, litellm_credential_name: nobody}}\n";
    let (tree, text) = imported(yaml).await;
    let harbour = &tree["providers"]["harbour.example"];
    assert_eq!(harbour["base_url"], "https://harbour.example/v1", "{text}");
    assert_eq!(harbour["api_key"], "${OPENAI_API_KEY_2}", "{text}");
    assert_eq!(harbour["headers"]["x-quay"], "${QUAY}", "{text}");
    assert_eq!(tree["providers"]["own.example"]["base_url"], "https://own.example/v1", "{text}");
    for said in [
        "credential_list `harbour`, vertex_project: ",
        "credential_list: an entry without its name or its values; it was left out",
        "litellm_credential_name `nobody` (c): ",
        "header `X-Pier` (a",
    ] {
        assert!(text.contains(&format!("# - {said}")), "no word on {said}\n{text}");
    }
    assert!(!text.contains("-secret") && !text.contains("credential_list: it has"), "{text}");
}

/// **A model's name from the environment stays one.** Fails if the name of the variable is asked for as a model.
#[tokio::test]
async fn a_models_name_from_the_environment_stays_there() {
    let (tree, text) = imported(
        "model_list: [{model_name: m, litellm_params: {model: os.environ/MODEL_NAME, api_base: 'http://h/v1'}}]\n",
    )
    .await;
    assert_eq!(tree["models"]["m"]["targets"][0]["model"], "${MODEL_NAME}", "{text}");
    assert!(text.contains("# - `os.environ/MODEL_NAME` (m): its value is the provider's own name"), "{text}");
    let (tree, text) =
        imported("model_list: [{model_name: m, litellm_params: {model: 'openai/${x}'}}]\n").await;
    assert_eq!(tree["models"]["m"]["targets"][0]["model"], "$${x}", "{text}");
}

/// **Who serves chat does not stand in for embeddings.** Fails if a default fallback is put behind every model.
#[tokio::test]
async fn chat_does_not_stand_in_for_embeddings() {
    let yaml = "model_list:\n  - {model_name: chat, litellm_params: {model: openai/a}}\n\
                \x20 - {model_name: claude, litellm_params: {model: claude-sonnet-4-5}}\n\
                \x20 - {model_name: vectors, litellm_params: {model: openai/text-embedding-3-small}}\n\
                \x20 - {model_name: others, litellm_params: {model: openai/bge}, model_info: {mode: embedding}}\n\
                litellm_settings: {default_fallbacks: [claude], fallbacks: [{vectors: [others]}]}\n";
    let (tree, text) = imported(yaml).await;
    let providers =
        |model| targets(&tree, model).into_iter().map(|(provider, ..)| provider).collect::<Vec<_>>();
    assert_eq!(providers("chat"), ["openai", "anthropic"], "{text}");
    assert_eq!(providers("vectors"), ["openai", "openai"], "{text}");
    assert_eq!(providers("others"), ["openai"], "{text}");
    assert!(
        text.contains("# - fallback `claude` (vectors, others): one of the two is for embeddings"),
        "{text}"
    );
}

/// **Nothing is left out in silence.** Fails if a number that comes from the environment, or is none, vanishes without a word.
#[tokio::test]
async fn what_is_no_number_is_said() {
    let (_, text) = imported(
        "model_list: [{model_name: m, litellm_params: {model: openai/m, rpm: os.environ/RPM, timeout: soon}}]\n\
         router_settings: {num_retries: os.environ/N, timeout: 5}\nlitellm_settings: {request_timeout: many}\n",
    )
    .await;
    let words = ["litellm_params.rpm (m)", "litellm_params.timeout (m)", "router_settings.num_retries"];
    for said in words.into_iter().chain(["litellm_settings.request_timeout"]) {
        assert!(text.contains(&format!("# - {said}: its value is no number")), "no word on {said}\n{text}");
    }
    assert!(!text.contains("router_settings.timeout:"), "{text}");
}

#[tokio::test]
async fn each_thing_without_a_counterpart_has_a_comment() {
    let run = import(WHOLE).await;
    for said in [
        "general_settings.master_key: callers' keys are made by `outrigger keys new NAME`",
        "general_settings.database_url: ",
        "litellm_settings.drop_params: ",
        "litellm_settings.success_callback: ",
        "litellm_settings.content_policy_fallbacks: ",
        "router_settings.redis_host: ",
        "litellm_params.temperature (claude): ",
        "litellm_params.max_tokens (claude): ",
        "model_info.id (gpt-4.1): ",
        "header `X-Secret` (quick): ",
        "a name with `*` (anthropic/*): ",
        "`bedrock` (titan): ",
        "mode `image_generation` (painter): ",
        "model_group_alias `nobody`: ",
        "environment_variables LANGFUSE_SECRET_KEY: ",
        "guardrails: ",
    ] {
        assert!(run.out.contains(&format!("# - {said}")), "no word on {said}\n{}", run.out);
    }
    let json: Value = serde_json::from_str(
        &crate::commands::run(&["import-litellm", "--json", &file(WHOLE).display().to_string()]).await.out,
    )
    .unwrap();
    assert!(
        json["notes"].as_array().unwrap().len() >= 16
            && json["config"].as_str().unwrap().contains("[models.")
    );
}

/// Forms that are seen in the wild, each alone.
#[tokio::test]
async fn small_files_become_small_files() {
    for yaml in [
        "model_list:\n  - model_name: gpt-3.5-turbo\n    litellm_params:\n      model: gpt-3.5-turbo\n",
        "model_list:\n- model_name: m\n  litellm_params: {model: openai/m, api_base: 'http://h/v1/chat/completions', api_key: none}\n",
        "model_list: [{model_name: \"a b/c\", litellm_params: {model: deepseek/deepseek-chat}}]\nrouter_settings: null\n",
        "model_list:\n  - {model_name: a, litellm_params: {model: azure/a}}\n  - {model_name: a, litellm_params: {model: azure/a}}\n",
        "model_list:\n  - {model_name: a, litellm_params: {model: openai/a, api_base: 'https://eu.api.openai.com/v1'}}\n",
        "model_list:\n  - {model_name: a, litellm_params: {model: x/y, api_base: os.environ/MY_BASE_URL}}\n",
        "model_list:\n  - {model_name: a, litellm_params: {model: openai/a, rpm: os.environ/RPM, weight: 0, timeout: -1}}\n\
         litellm_settings:\n  fallbacks:\n    a: [b]\n  num_retries: 99\n",
        "model_list:\n  - {model_name: \"a\\\"]${x}\\n\", litellm_params: {model: \"openai/${x}\"}}\n",
    ] {
        imported(yaml).await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_said_with_its_place() {
    for (yaml, said) in [
        ("model_list:\n  - a: [sk-secret\n  b: 2\n", ":3:"),
        ("model_list: []\n", "names no model that can be served"),
        ("", "names no model that can be served here\n"),
        ("a: 1\na: 2\n", ":2:1: duplicate mapping key: a\n"),
        ("[1, 2]\n", "names no model that can be served"),
        ("model_list:\n  - {model_name: t, litellm_params: {model: bedrock/t}}\n", "`bedrock` (t)"),
    ] {
        let run = import(yaml).await;
        assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{yaml}");
        assert!(run.err.contains(said) && !run.err.contains("sk-secret"), "{yaml}: {}", run.err);
    }
}
