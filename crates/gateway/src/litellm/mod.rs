//! LiteLLM's configuration, read for what it means and written as ours.
//!
//! Entries of `model_list` that bear one name are targets of one model; a base URL with its key is a region of a provider;
//! `order` and fallbacks are tiers. What has no counterpart is named in a comment, each thing once, with what to do instead. No
//! credential that the file holds is written: a variable takes its place, and a comment says which.
//!
//! The YAML is read as a loose tree and not by a strict schema: LiteLLM takes numbers as texts and the other way round, the same
//! setting in three places, and grows new ones every week.

mod chains;
mod deployment;
mod notes;
mod params;
mod places;
mod settings;
mod vendors;
mod write;
mod yaml;

use notes::Notes;
use serde::Serialize;

/// What became of a file.
#[derive(Debug, Serialize)]
pub(crate) struct Imported {
    /// The configuration, comments and all.
    pub(crate) config: String,
    /// What has no counterpart, and what is to be done by hand; the same is in the comments.
    pub(crate) notes: Vec<String>,
}

/// Turns the text of a LiteLLM configuration into ours; `name` is what it is called in comments.
///
/// # Errors
/// The text is no YAML, or names no model that could be served.
pub(crate) fn import(text: &str, name: &str) -> Result<Imported, String> {
    let tree = yaml::parse(text).map_err(|fault| format!("{name}:{fault}"))?;
    let mut notes = Notes::default();
    let deployments = deployment::all(&tree, &mut notes);
    let places = places::Places::of(&deployments, &mut notes);
    let models = chains::models(&deployments, &places, &tree, &mut notes);
    if models.is_empty() {
        let why: String = notes.lines().iter().map(|line| format!("\n  {line}")).collect();
        return Err(format!("{name}: `model_list` names no model that can be served here{why}"));
    }
    let settings = settings::Settings::of(&tree, &models, &mut notes);
    let notes = notes.lines();
    let config = write::config(name, &settings, &places, &models, &notes);
    Ok(Imported { config, notes })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};
    use serde_json::{Value, json};

    use super::import;
    use crate::file::File;

    const NAMES: [&str; 9] = ["a", "b", "gpt-4.1", "a b", "x/y", "\u{fc}", "${x}", "a\"]\n[b", "#"];

    fn name() -> impl Strategy<Value = Value> {
        select(NAMES.to_vec()).prop_map(Value::from)
    }

    /// A value that a parameter may have, right and wrong.
    fn any_value() -> impl Strategy<Value = Value> {
        select(vec![
            json!(null),
            json!(0),
            json!(-1),
            json!(1),
            json!(2.5),
            json!("3"),
            json!("80_000"),
            json!(1e300),
            json!("x"),
            json!(true),
            json!([]),
            json!({}),
            json!("os.environ/A"),
            json!("os.environ/A B"),
            json!("${A"),
            json!("file:/x"),
            json!("\u{7f}\u{0}"),
        ])
    }

    fn model() -> impl Strategy<Value = Value> {
        let prefix = [
            "",
            "openai/",
            "azure/",
            "anthropic/",
            "groq/",
            "ollama/",
            "hosted_vllm/",
            "bedrock/",
            "who/",
            "gemini/",
        ];
        (select(prefix.to_vec()), name())
            .prop_map(|(prefix, name)| format!("{prefix}{}", name.as_str().unwrap()).into())
    }

    fn base() -> impl Strategy<Value = Value> {
        select(vec![
            json!(null),
            json!("http://127.0.0.1:8000/v1"),
            json!("https://eu.api.openai.com/v1/"),
            json!("os.environ/MY_BASE"),
            json!("https://harbour.openai.azure.com/"),
            json!("https://harbour.openai.azure.com/openai/v1/"),
            json!("http://h:1"),
        ])
    }

    fn entry() -> impl Strategy<Value = Value> {
        let key = select(vec![json!(null), json!("sk-literal"), json!("os.environ/KEY"), json!("none")]);
        let keys = [
            "rpm",
            "tpm",
            "order",
            "weight",
            "timeout",
            "stream_timeout",
            "max_parallel_requests",
            "temperature",
            "input_cost_per_token",
            "output_cost_per_token",
            "max_input_tokens",
        ];
        let more = vec((select(keys.to_vec()), any_value()), 0..4);
        (name(), model(), base(), key, more).prop_map(|(name, model, base, key, more)| {
            let mut entry = json!({ "model_name": name, "litellm_params": { "model": model, "api_base": base, "api_key": key } });
            for (key, value) in more {
                entry["litellm_params"][key] = value;
            }
            entry
        })
    }

    fn settings() -> impl Strategy<Value = Value> {
        let keys = [
            "num_retries",
            "timeout",
            "request_timeout",
            "allowed_fails",
            "cooldown_time",
            "routing_strategy",
            "stream_timeout",
            "fallbacks",
            "default_fallbacks",
            "context_window_fallbacks",
            "model_group_alias",
            "cache",
        ];
        let links = vec((name(), name()), 0..4).prop_map(|links| {
            let link = |(from, to): (Value, Value)| json!({ from.as_str().unwrap(): [to] });
            Value::from(links.into_iter().map(link).collect::<Vec<_>>())
        });
        let aliases = (name(), name()).prop_map(|(from, to)| json!({ from.as_str().unwrap(): to }));
        vec((select(keys.to_vec()), prop_oneof![any_value(), links, aliases]), 0..6).prop_map(|settings| {
            Value::Object(settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        })
    }

    proptest! {
        /// **What comes out is sound**, whatever comes in, or it is an error: no value of a LiteLLM file makes one of ours that
        /// `check` refuses. Fails if a name is not quoted, a number not held to its range, a target named twice.
        #[test]
        fn the_result_is_sound(entries in vec(entry(), 1..6), router in settings(), own in settings()) {
            let yaml = json!({ "model_list": entries, "router_settings": router, "litellm_settings": own }).to_string();
            if let Ok(imported) = import(&yaml, "config.yaml") {
                let env = |name: &str| Some(if name.contains("BASE") { "https://example.invalid" } else { "x" }.to_owned());
                let read = File::read(&imported.config, "x.toml", &env);
                prop_assert!(read.is_ok(), "{}\n{}", read.err().map(|faults| faults.to_string()).unwrap_or_default(), imported.config);
                prop_assert!(!imported.config.contains("sk-literal"));
            }
        }
    }
}
