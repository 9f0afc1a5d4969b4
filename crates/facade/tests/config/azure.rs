//! Azure's versions: only there, and there where its paths need one.

use super::faults::check;

#[test]
fn a_version_stands_where_it_belongs_and_where_it_is_needed() {
    check(
        "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://a/v1\"\napi_version = ¶\"2024-10-21\"",
        "providers.p.regions.global.api_version: only the azure dialect has versions; leave it out, or set \
         `dialect = \"azure\"`",
    );
    let azure = |keys: &str| format!("[providers.p]\ndialect = \"azure\"\n{keys}");
    check(
        &azure("base_url = \"http://a\"\napi_version = ¶\"2024&x\""),
        "providers.p.regions.global.api_version: a version has letters, digits, `-`, `.` and `_`",
    );
    for base in ["http://a/openai/", "http://a/openai/deployments/mine"] {
        check(
            &azure(&format!("base_url = ¶\"{base}\"")),
            "providers.p.regions.global.base_url: Azure's paths below deployments need a version; add `api_version`, or let \
             the URL end with its host or with `/openai/v1`",
        );
    }
}
