//! Where a request goes below a provider's base URL.
//!
//! OpenAI and Anthropic append the path to the root of their API. Azure has had two ways. The present one is OpenAI's: the base
//! ends in `/openai/v1`, the body names the deployment, and no version is asked for. The classic one names the deployment in the
//! path and the version in the query, `/openai/deployments/NAME/chat/completions?api-version=...`; there only the requests that
//! belong to a deployment bear its name, the rest (`models`, `responses`) stand below `/openai`.
//!
//! Sources: Microsoft's page on the life cycle of Azure OpenAI's API versions (learn.microsoft.com); `lib/azure.py` of OpenAI's
//! Python SDK 3.57, for which paths belong to a deployment and where the others go.

use std::fmt::Write as _;

use super::Dialect;

/// Path and query of a request's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The path, percent-encoded, with its leading slash.
    pub path: String,
    /// The query, percent-encoded, without its question mark.
    pub query: Option<String>,
}

/// The paths that stand below a deployment in Azure's classic way, of those that callers may ask for.
const OF_DEPLOYMENTS: [&str; 3] = ["chat/completions", "completions", "embeddings"];

impl Dialect {
    /// Where a request goes: `path` (of an [`Api`](crate::Api), or `models`) below a base URL's path, for the provider's `model`.
    ///
    /// `base` is percent-encoded already, with or without a slash at its end. An Azure base may be the resource's host alone,
    /// its `/openai`, its `/openai/v1` or one deployment's `/openai/deployments/NAME`; `model` is then the deployment's name, and
    /// matters only where the base names none and `api_version` says that the classic way is meant.
    #[must_use]
    pub fn place(self, base: &str, path: &str, model: &str, api_version: Option<&str>) -> Place {
        let base = base.trim_end_matches('/');
        let path = match self {
            Self::OpenAi | Self::Anthropic => format!("{base}/{path}"),
            Self::Azure => azure_path(base, path, model, api_version.is_some()),
        };
        let query = api_version.map(|version| {
            let mut query = "api-version=".to_owned();
            push_encoded(&mut query, version);
            query
        });
        Place { path, query }
    }
}

fn azure_path(base: &str, path: &str, model: &str, versioned: bool) -> String {
    let base = match (base, versioned) {
        ("", true) => "/openai",
        ("", false) => "/openai/v1",
        (base, _) => base,
    };
    let of_deployment = OF_DEPLOYMENTS.contains(&path);
    if let Some((root, _)) = base.split_once("/deployments/") {
        let base = if of_deployment { base } else { root };
        return format!("{base}/{path}");
    }
    if !versioned || !of_deployment || base.ends_with("/v1") {
        return format!("{base}/{path}");
    }
    let mut joined = format!("{base}/deployments/");
    push_encoded(&mut joined, model);
    joined.push('/');
    joined.push_str(path);
    joined
}

/// Appends a text with every byte but the unreserved ones (RFC 3986, 2.3) percent-encoded.
fn push_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _written = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dialect: Dialect, base: &str, path: &str, version: Option<&str>, expected: &str) {
        let place = dialect.place(base, path, "gpt 4/1", version);
        let shown = match place.query {
            None => place.path,
            Some(query) => format!("{}?{query}", place.path),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_path_is_appended_whether_or_not_the_base_ends_in_a_slash() {
        for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
            check(dialect, "/v1", "messages", None, "/v1/messages");
            check(dialect, "/v1/", "models", None, "/v1/models");
            check(dialect, "/", "models", None, "/models");
            check(dialect, "", "models", None, "/models");
        }
    }

    #[test]
    fn azures_present_way_is_openais() {
        check(Dialect::Azure, "/openai/v1/", "chat/completions", None, "/openai/v1/chat/completions");
        check(Dialect::Azure, "", "responses", None, "/openai/v1/responses");
        let preview = "/openai/v1/embeddings?api-version=preview";
        check(Dialect::Azure, "/openai/v1", "embeddings", Some("preview"), preview);
    }

    #[test]
    fn azures_classic_way_names_the_deployment_in_the_path() {
        let version = Some("2024-10-21");
        for base in ["", "/", "/openai", "/openai/"] {
            for path in OF_DEPLOYMENTS {
                let expected = format!("/openai/deployments/gpt%204%2F1/{path}?api-version=2024-10-21");
                check(Dialect::Azure, base, path, version, &expected);
            }
            check(Dialect::Azure, base, "models", version, "/openai/models?api-version=2024-10-21");
            check(Dialect::Azure, base, "responses", version, "/openai/responses?api-version=2024-10-21");
        }
    }

    #[test]
    fn a_base_that_names_its_deployment_keeps_it() {
        let base = "/openai/deployments/mine/";
        let version = Some("2024-10-21");
        let chat = "/openai/deployments/mine/chat/completions?api-version=2024-10-21";
        check(Dialect::Azure, base, "chat/completions", version, chat);
        check(Dialect::Azure, base, "models", version, "/openai/models?api-version=2024-10-21");
        let unversioned = "/openai/deployments/mine/embeddings";
        check(Dialect::Azure, base, "embeddings", None, unversioned);
    }

    #[test]
    fn a_version_cannot_break_out_of_its_query() {
        check(Dialect::OpenAi, "/v1", "models", Some("1&x=ü"), "/v1/models?api-version=1%26x%3D%C3%BC");
    }
}
