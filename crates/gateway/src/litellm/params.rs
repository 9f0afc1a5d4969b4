//! The parameters of an entry: those that are read, why others are not, and those that a credential says for it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    notes::Notes,
    yaml::{entries, list, text},
};

/// Numbers that are read.
pub(super) const NUMBERS: [&str; 12] = [
    "rpm",
    "tpm",
    "weight",
    "order",
    "timeout",
    "request_timeout",
    "stream_timeout",
    "max_parallel_requests",
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "max_input_tokens",
];

/// Other keys that are read; each that is in neither list is noted.
const READ: [&str; 11] = [
    "litellm_credential_name",
    "model",
    "api_base",
    "base_url",
    "api_key",
    "api_version",
    "organization",
    "region_name",
    "custom_llm_provider",
    "extra_headers",
    "headers",
];

/// Whether a parameter is looked at.
pub(super) fn is_read(key: &str) -> bool {
    READ.contains(&key) || NUMBERS.contains(&key)
}

/// Values by the name of the credential that has them.
pub(super) type Credentials<'v> = BTreeMap<String, &'v Value>;

/// `credential_list`: the values that entries share by naming them.
pub(super) fn credentials<'v>(tree: &'v Value, notes: &mut Notes) -> Credentials<'v> {
    let mut credentials = Credentials::new();
    for credential in list(tree, "credential_list") {
        let name = credential.get("credential_name").and_then(text);
        let (Some(name), Some(values)) = (name, credential.get("credential_values")) else {
            notes.add("credential_list", "an entry without its name or its values; it was left out");
            continue;
        };
        for (key, _) in entries(credential, "credential_values").filter(|(key, _)| !is_read(key)) {
            notes.add(format!("credential_list `{name}`, {key}"), of_params(key));
        }
        credentials.insert(name, values);
    }
    credentials
}

/// Why a parameter has no counterpart, and what to do instead.
pub(super) fn of_params(key: &str) -> &'static str {
    match key {
        "temperature"
        | "max_tokens"
        | "top_p"
        | "stop"
        | "seed"
        | "presence_penalty"
        | "frequency_penalty"
        | "response_format"
        | "reasoning_effort"
        | "max_completion_tokens"
        | "thinking" => "requests pass as callers write them; let callers say it",
        "max_retries" | "num_retries" => "retries are counted for the whole request: `retry.max_attempts`",
        "max_budget" | "budget_duration" => "budgets are of callers' keys: `budget_usd`",
        "tags" => "there is no routing by tags; give those models names of their own",
        "cooldown_time" | "allowed_fails" => "`[models.NAME.breaker]` has it for one model",
        key if key.starts_with("aws_") || key.starts_with("vertex_") => "its signatures are not written here",
        _ => "it has no counterpart",
    }
}
