//! A YAML file as a tree, and the loose ways in which LiteLLM reads values from it.

use serde_json::Value;

/// Parses a document. The fault begins with line and column, from 1, and quotes nothing of the file: keys stand in it.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let said = error.to_string();
        let first = said.lines().next().unwrap_or_default();
        // `error: line 2 column 1: what is wrong`
        let what = first.splitn(3, ": ").nth(2).unwrap_or("this is no YAML");
        // What its own options would do about it is no help here.
        let what = what.split_once(", set ").map_or(what, |(what, _)| what);
        match error.location() {
            Some(at) => format!("{}:{}: {what}", at.line(), at.column()),
            None => format!("1:1: {what}"),
        }
    })
}

/// The entries of a mapping at `key`; none where it is absent or something else.
pub(super) fn entries<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = (&'v str, &'v Value)> {
    value.get(key).and_then(Value::as_object).into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// Whether a setting is there twice, and not the same.
pub(super) fn of_both(first: Option<&Value>, second: Option<&Value>) -> bool {
    matches!((first, second), (Some(first), Some(second)) if first != second)
}

/// The elements of a list at `key`.
pub(super) fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text; numbers and booleans are one too.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A number, which may be written as a text, with underscores.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().replace('_', "").parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.filter(|number| number.is_finite())
}

/// A whole number of at least 1 that fits.
pub(super) fn whole(value: &Value) -> Option<u32> {
    let number = number(value).filter(|number| *number >= 1.0)?;
    format!("{}", number.trunc()).parse().ok()
}

/// A value from the environment, as our files write it: `os.environ/KEY`, and what Docker users write, `${KEY}`.
pub(super) fn variable(text: &str) -> Option<String> {
    let name = text.strip_prefix("os.environ/")?;
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit());
    is_name.then(|| format!("${{{name}}}"))
}

/// A text of ours that means this one, whatever signs are in it.
pub(super) fn plain(text: &str) -> String {
    variable(text).unwrap_or_else(|| text.replace("${", "$${"))
}

/// A URL without its user, password, query and fragment, which may be secret; none where it has none of them.
pub(super) fn bared(url: &str) -> Option<String> {
    let from = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(from);
    let (place, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    let (host, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let bare = host.rsplit_once('@').map_or(host, |(_, host)| host);
    (bare != host || !query.is_empty()).then(|| format!("{scheme}{bare}{path}"))
}

/// Words that stand where a server wants no key.
pub(super) fn is_no_key(key: &str) -> bool {
    const WORDS: [&str; 12] = [
        "none",
        "null",
        "empty",
        "dummy",
        "fake",
        "fake-key",
        "anything",
        "not-needed",
        "no-key",
        "na",
        "ollama",
        "lm-studio",
    ];
    WORDS.iter().any(|word| key.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_as_they_come() {
        assert_eq!(number(&json!("80_000")), Some(80_000.0));
        assert_eq!(whole(&json!(6.9)), Some(6));
        assert_eq!((whole(&json!("0")), whole(&json!("many")), whole(&json!(null))), (None, None, None));
    }

    #[test]
    fn a_url_is_bared_of_what_may_be_secret() {
        for (url, bare) in [
            ("https://a:b@h.example/v1", Some("https://h.example/v1")),
            ("a:b@h.example/v1", Some("h.example/v1")),
            ("https://a@b@h:1?q", Some("https://h:1")),
            ("https://h?a@b/c", Some("https://h")),
            ("https://h/v1#f", Some("https://h/v1")),
            ("https://h/a@b", None),
            ("os.environ/BASE", None),
        ] {
            assert_eq!(bared(url).as_deref(), bare, "{url}");
        }
    }

    #[test]
    fn a_variable_is_ours_and_a_sign_means_itself() {
        assert_eq!(plain("os.environ/AZURE_KEY"), "${AZURE_KEY}");
        assert_eq!(plain("a ${x}"), "a $${x}");
        assert_eq!(variable("os.environ/"), None);
        assert_eq!(variable("os.environ/A B"), None);
    }

    #[test]
    fn a_fault_has_its_place_and_quotes_nothing() {
        let told = parse("model_list:\n  - api_key: sk-secret\n  api_key: [sk-secret\n").unwrap_err();
        assert!(told.starts_with("3:") && !told.contains("sk-secret"), "{told}");
        let twice = parse("a: sk-secret\na: sk-secret\n").unwrap_err();
        assert!(twice.starts_with("2:1: duplicate") && !twice.contains("sk-secret"), "{twice}");
    }
}
