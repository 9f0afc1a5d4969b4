//! The codes of all errors that the gateway gives. Programs lean on them, and docs/troubleshooting.md has an entry for each.

/// Every code, in the order of the alphabet.
const CODES: [&str; 31] = [
    "answer_truncated",
    "budget_exceeded",
    "deadline_exceeded",
    "draining",
    "foreign_host",
    "headers_too_large",
    "internal",
    "invalid_api_key",
    "invalid_body",
    "invalid_config",
    "invalid_header",
    "invalid_json",
    "invalid_value",
    "method_not_allowed",
    "model_not_allowed",
    "model_not_found",
    "no_deployment_available",
    "not_found",
    "overloaded",
    "rate_limit_exceeded",
    "rejected_by_provider",
    "request_timeout",
    "request_too_large",
    "residency_unsatisfiable",
    "stateful_request",
    "unknown_region",
    "unknown_url",
    "unsupported_endpoint",
    "unsupported_http_version",
    "unsupported_media_type",
    "upstream_exhausted",
];

/// Whether it is one of them.
pub(super) fn is_known(code: &str) -> bool {
    CODES.contains(&code)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use outrigger::wire::{Class, Level};

    use super::*;

    const PAGE: &str = include_str!("../../../../docs/troubleshooting.md");
    const CALL_ERROR: &str = include_str!("../../../facade/src/error.rs");
    const TRIP_REASON: &str = include_str!("../../../breaker/src/state.rs");

    /// The entries below a heading of the page, each with its text.
    fn entries(heading: &str) -> Vec<(&'static str, &'static str)> {
        let section =
            PAGE.split("\n## ").find(|section| section.starts_with(heading)).expect("the heading is there");
        let entries = section.split("\n### ").skip(1);
        entries
            .map(|entry| entry.strip_prefix('`').and_then(|rest| rest.split_once("`\n")).expect("a name"))
            .collect()
    }

    fn names(heading: &str) -> BTreeSet<&'static str> {
        let entries = entries(heading);
        let names: BTreeSet<_> = entries.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), entries.len(), "an entry is there twice");
        names
    }

    /// What stands in quotes between a line and the end of what it begins.
    fn quoted(text: &'static str, from: &str, to: &str) -> BTreeSet<&'static str> {
        let (_, rest) = text.split_once(from).expect("it is there");
        let (body, _) = rest.split_once(to).expect("it ends");
        body.split('"').skip(1).step_by(2).collect()
    }

    /// All of the gateway's sources but this file.
    fn sources(folder: &Path, all: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, all);
            } else if !path.ends_with("codes.rs") {
                all.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn the_page_has_an_entry_for_each_code_and_no_other() {
        assert_eq!(names("Errors that callers get"), BTreeSet::from(CODES));
    }

    /// That each code which is given is listed, [`ApiError`](crate::routes::error::ApiError) asserts wherever one is made.
    #[test]
    fn each_code_is_given_somewhere_and_each_of_the_clients_is_listed() {
        let calls = quoted(CALL_ERROR, "pub fn code(", "\n    }\n");
        assert!(calls.len() > 10 && calls.iter().all(|code| is_known(code)), "{calls:?}");
        let mut all = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
        for code in CODES {
            assert!(calls.contains(code) || all.contains(&format!("\"{code}\"")), "{code} is given nowhere");
        }
    }

    #[test]
    fn the_page_has_an_entry_for_each_reason_of_a_trip_and_no_other() {
        let (_, reasons) = TRIP_REASON.split_once("impl TripReason").unwrap();
        assert_eq!(names("Why a circuit trips"), quoted(reasons, "fn as_str(self)", "\n    }\n"));
    }

    #[test]
    fn the_page_has_an_entry_for_each_class_that_takes_a_place_out_and_no_other() {
        let takes_out = |class: &Class| class.level() == Level::Credential || *class == Class::ModelMissing;
        let classes = Class::ALL.into_iter().filter(takes_out).map(Class::as_str).collect();
        assert_eq!(names("Why a place is taken out"), classes);
    }

    #[test]
    fn each_entry_says_what_is_seen_and_why_and_what_to_do() {
        for heading in
            ["Errors that callers get", "Why a circuit trips", "Why a place is taken out", "Cordoned"]
        {
            let all = if heading == "Cordoned" {
                let (_, text) = PAGE.split_once("\n## Cordoned\n").unwrap();
                vec![(heading, text)]
            } else {
                entries(heading)
            };
            for (name, text) in all {
                for part in ["- **You see** ", "- **Why** ", "- **Do** "] {
                    assert_eq!(text.matches(part).count(), 1, "{name} says {part} once");
                }
            }
        }
    }
}
