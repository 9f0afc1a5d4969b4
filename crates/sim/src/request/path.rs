//! Which door a request knocks at: the provider's family and what is asked, both read from the path.
//!
//! A family is how a provider carries its key, names its limits and words its refusals. Azure's classic paths name the
//! deployment and need an `api-version`; its newer ones are OpenAI's below `/openai/v1`.

use std::borrow::Cow;

/// How a provider speaks, answers aside: those of Azure are OpenAI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    OpenAi,
    Azure,
    Anthropic,
}

/// A path, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Door<'a> {
    pub(crate) family: Family,
    /// What is asked, without the API's root: `/chat/completions`.
    pub(crate) path: &'a str,
    /// The deployment that a classic path of Azure's names.
    pub(crate) deployment: Option<Cow<'a, str>>,
    /// Whether the `api-version` is missing that this path needs.
    pub(crate) lacks_version: bool,
}

impl<'a> Door<'a> {
    /// The door of this path and query.
    pub(crate) fn of(target: &'a str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let Some(below) = path.strip_prefix("/openai/") else {
            let path = path.strip_prefix("/v1").unwrap_or(path);
            let family = if path == "/messages" { Family::Anthropic } else { Family::OpenAi };
            return Self { family, path, deployment: None, lacks_version: false };
        };
        let azure = |path, deployment: Option<&'a str>, lacks_version| Self {
            family: Family::Azure,
            path,
            deployment: deployment.map(plain),
            lacks_version,
        };
        if let Some(rest) = below.strip_prefix("v1/") {
            let before = below.len() - rest.len() - 1; // with its slash
            return azure(below.get(before..).unwrap_or_default(), None, false);
        }
        let versioned =
            query.split('&').any(|pair| pair.strip_prefix("api-version=").is_some_and(|v| !v.is_empty()));
        let root = "/openai".len();
        match below.strip_prefix("deployments/").and_then(|rest| rest.split_once('/')) {
            Some((deployment, rest)) => {
                let at = path.len() - rest.len() - 1;
                azure(path.get(at..).unwrap_or_default(), Some(deployment), !versioned)
            }
            None => azure(path.get(root..).unwrap_or_default(), None, !versioned),
        }
    }
}

/// A segment of a path without its percent signs; one that is wrongly written stays as it is.
fn plain(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(segment), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, family: Family, path: &str, deployment: Option<&str>, lacks_version: bool) {
        let deployment = deployment.map(Cow::Borrowed);
        assert_eq!(Door::of(target), Door { family, path, deployment, lacks_version }, "{target}");
    }

    #[test]
    fn every_style_of_path_is_known() {
        check("/v1/chat/completions", Family::OpenAi, "/chat/completions", None, false);
        check("/chat/completions?x=1", Family::OpenAi, "/chat/completions", None, false);
        check("/v1/messages", Family::Anthropic, "/messages", None, false);
        check("/openai/v1/responses", Family::Azure, "/responses", None, false);
        let classic = "/openai/deployments/gpt-4.1/chat/completions";
        check(classic, Family::Azure, "/chat/completions", Some("gpt-4.1"), true);
        let versioned = "/openai/deployments/my%20own/embeddings?a=b&api-version=2024-10-21";
        check(versioned, Family::Azure, "/embeddings", Some("my own"), false);
        check("/openai/responses?api-version=", Family::Azure, "/responses", None, true);
        check("/openai/deployments/alone?api-version=1", Family::Azure, "/deployments/alone", None, false);
    }

    #[test]
    fn a_segment_wrongly_written_stays_as_it_is() {
        for segment in ["%", "%4", "%zz", "%ff", "a%"] {
            assert_eq!(plain(segment), segment);
        }
    }
}
