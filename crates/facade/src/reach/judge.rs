//! What an answer says of an endpoint: decided here, without asking anybody.

use std::{
    error::Error as _,
    time::{Duration, SystemTime},
};

use humantime::format_duration;
use serde_json::Value;
use transport::{ErrorKind, Phase, TransportError};
use url::Url;
use wire::{Class, Dialect};

use super::{Credential, Finding, Heard, ModelFound};
use crate::engine::Endpoint;

/// Nothing known yet.
pub(super) fn begin<'m>(endpoint: &Endpoint, models: impl Iterator<Item = &'m str>) -> Finding {
    let models = models.map(|model| ModelFound { model: model.to_owned(), there: None });
    Finding {
        provider: endpoint.provider.to_string(),
        region: endpoint.region.to_string(),
        url: shown(&endpoint.models),
        ok: false,
        reachable: false,
        tls: None,
        status: None,
        credential: Credential::Unknown,
        models: models.collect(),
        took_ms: None,
        message: None,
    }
}

/// Scheme, host, port and path: nothing where a credential could hide.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// No answer came within `patience`.
pub(super) fn unreached(
    mut finding: Finding,
    endpoint: &Endpoint,
    error: &TransportError,
    patience: Duration,
) -> Finding {
    // Where there is a proxy, it is what a connection is made to.
    let proxy = endpoint.pool.proxy.as_ref();
    let (what, peer) = proxy.map_or(("host", &endpoint.models), |proxy| ("proxy", proxy));
    let told = match error.kind() {
        ErrorKind::Timeout(Phase::Connect) => {
            format!("no connection within {}", format_duration(endpoint.pool.connect_timeout))
        }
        ErrorKind::Timeout(_) => format!("no answer within {}", format_duration(patience)),
        _ => error.to_string(),
    };
    let advice = match error.kind() {
        ErrorKind::Refused if proxy.is_some() => {
            format!("does the proxy {} listen, and let this through?", origin(peer))
        }
        ErrorKind::Refused => format!("does a server listen on {}?", origin(peer)),
        ErrorKind::Dns => {
            format!("is `{}` the {what}'s right name?", peer.host_str().unwrap_or_default())
        }
        ErrorKind::Tls => {
            finding.tls = Some(false);
            let cause = deepest(error).map(|cause| format!("{cause}; ")).unwrap_or_default();
            format!("{cause}a certificate of a private authority needs `ca_file`")
        }
        ErrorKind::Timeout(Phase::Connect) if proxy.is_some() => {
            format!("does the proxy {} run? `timeouts.connect` is the limit", origin(peer))
        }
        ErrorKind::Timeout(Phase::Connect) => {
            "a firewall may swallow it, or a `proxy` be needed; `timeouts.connect` is the limit".to_owned()
        }
        ErrorKind::Timeout(_) => "`--timeout` waits longer".to_owned(),
        ErrorKind::InvalidRequest => "look at `ca_file`, `proxy` and `headers`".to_owned(),
        ErrorKind::Reset | ErrorKind::Cut | ErrorKind::Protocol => {
            "something there is no HTTP server, or speaks TLS where `http://` is written".to_owned()
        }
        _ => String::new(),
    };
    finding.reachable = error.answered();
    finding.message = Some(match advice.as_str() {
        "" => told,
        advice => format!("{told}; {advice}"),
    });
    finding
}

fn origin(url: &Url) -> String {
    let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

/// The innermost cause: of a TLS error, what is wrong with the certificate.
fn deepest(error: &TransportError) -> Option<String> {
    let mut cause = error.source()?;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Some(cause.to_string())
}

/// Whether an endpoint seems to have no list of models, or a wrong path.
pub(super) const fn has_no_list(status: u16) -> bool {
    matches!(status, 404 | 405 | 501)
}

/// What is sent along; none is no fault until it is asked for.
fn has_credential(endpoint: &Endpoint) -> bool {
    endpoint.headers.contains_key(endpoint.dialect.credential_header().0)
}

fn taken(endpoint: &Endpoint) -> Credential {
    if has_credential(endpoint) { Credential::Accepted } else { Credential::None }
}

/// The endpoint has no list; `refused` is its answer to a chat without a word.
pub(super) fn without_list(
    mut finding: Finding,
    endpoint: &Endpoint,
    list: &Heard,
    refused: Option<&Heard>,
) -> Finding {
    finding.reachable = true;
    finding.status = Some(refused.unwrap_or(list).status);
    match refused {
        Some(heard) if matches!(heard.status, 400 | 413 | 415 | 422) => {
            finding.ok = true;
            finding.credential = taken(endpoint);
            finding.message = Some("it lists no models, so whether it has them is not known".to_owned());
            finding
        }
        Some(heard) if !has_no_list(heard.status) && !(200..300).contains(&heard.status) => {
            refusal(finding, endpoint, heard)
        }
        Some(heard) if (200..300).contains(&heard.status) => {
            finding.ok = true;
            finding.message = Some("it lists no models and answers whatever is asked".to_owned());
            finding
        }
        Some(_) => {
            let advice =
                "is there anything of the API at `base_url`? it ends with the API's version, mostly `/v1`";
            finding.message = Some(format!("not found (404); {advice}"));
            finding
        }
        None => {
            finding.ok = true;
            finding.message = Some("it lists no models and no target asks it for one".to_owned());
            finding
        }
    }
}

/// The answer to the question for the list.
pub(super) fn with_list(mut finding: Finding, endpoint: &Endpoint, heard: &Heard) -> Finding {
    finding.reachable = true;
    finding.status = Some(heard.status);
    if !(200..300).contains(&heard.status) {
        return refusal(finding, endpoint, heard);
    }
    let Some(listed) = listed(&heard.body) else {
        let advice = "`base_url` may lead to a page for people instead of the API";
        finding.message = Some(format!("the answer is no list of models; {advice}"));
        return finding;
    };
    finding.ok = true;
    finding.credential = taken(endpoint);
    // Azure lists what could be deployed; a target names a deployment.
    if endpoint.dialect != Dialect::Azure {
        for model in &mut finding.models {
            model.there = Some(listed.iter().any(|id| is(id, &model.model)));
        }
    }
    finding
}

/// What the list's entries are called: `{"data": [{"id"}]}`, or the bare list.
fn listed(body: &[u8]) -> Option<Vec<String>> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let list = answer.get("data").unwrap_or(&answer).as_array()?;
    let names = list.iter().filter_map(|model| model.get("id").and_then(Value::as_str));
    Some(names.map(str::to_owned).collect())
}

/// Whether a listed name is the model: some lists put a folder before it, some a tag after.
fn is(listed: &str, model: &str) -> bool {
    let plain = |name: &str| name.strip_prefix("models/").unwrap_or(name).to_owned();
    let (listed, model) = (plain(listed), plain(model));
    listed == model || listed.strip_prefix(&*model) == Some(":latest")
}

/// Another status than a success.
fn refusal(mut finding: Finding, endpoint: &Endpoint, heard: &Heard) -> Finding {
    let status = heard.status;
    let header = |name: &str| heard.headers.get(name).and_then(|value| value.to_str().ok());
    if (300..400).contains(&status) {
        finding.message =
            Some(format!("it redirects ({status}), which is not followed; write where to as `base_url`"));
        return finding;
    }
    let failure = wire::classify(status, header, &heard.body, SystemTime::now());
    finding.message = Some(match failure.class {
        Class::Credential => {
            finding.credential = Credential::Refused;
            if has_credential(endpoint) {
                format!("the key is refused ({status}); it may be another region's or account's")
            } else {
                format!("a key is needed ({status}); set `api_key`")
            }
        }
        Class::QuotaSpent => {
            finding.credential = taken(endpoint);
            format!("the account's quota is spent ({status})")
        }
        Class::RateLimited => {
            finding.ok = true;
            finding.credential = taken(endpoint);
            format!("it is limiting requests now ({status}), so its models were not listed")
        }
        _ if status >= 500 => format!("it is ill ({status}); try again later"),
        class => format!("it refuses to list its models: {class} ({status})"),
    });
    finding
}

/// All has been asked.
pub(super) fn end(mut finding: Finding) -> Finding {
    let missing: Vec<String> = finding
        .models
        .iter()
        .filter(|model| model.there == Some(false))
        .map(|model| format!("`{}`", model.model))
        .collect();
    if !missing.is_empty() {
        finding.ok = false;
        finding.message = Some(format!(
            "it has no model {}; `regions` of a target may leave this one out",
            missing.join(", ")
        ));
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_models_come_in_two_forms() {
        let names = Some(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(listed(br#"{"object":"list","data":[{"id":"a"},{"id":"b"}]}"#), names);
        assert_eq!(listed(br#"[{"id":"a"},{"id":"b"},{}]"#), names);
        assert_eq!(listed(b"<html>"), None);
        assert_eq!(listed(br#"{"error":"no"}"#), None);
    }

    #[test]
    fn a_model_is_found_under_its_lists_name_for_it() {
        assert!(is("gpt-4.1", "gpt-4.1") && is("models/gemini-2.5-pro", "gemini-2.5-pro"));
        assert!(is("llama3:latest", "llama3"));
        assert!(!is("gpt-4.1-mini", "gpt-4.1") && !is("llama3:8b", "llama3"));
    }
}
