//! What is probably not meant: a warning, with its place.

use super::{SOUND, read};

/// Reads a file in which `¶` stands before the place of its only warning, and compares the warning's line without the place.
#[track_caller]
fn check_warning(marked: &str, expected: &str) {
    let (before, after) = marked.split_once('¶').expect("a mark");
    let (line, column) =
        (before.matches('\n').count() + 1, before.chars().rev().take_while(|c| *c != '\n').count() + 1);
    let (_, warnings) = read(&format!("{before}{after}")).unwrap();
    let lines: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(lines, [format!("outrigger.toml:{line}:{column}: {expected}")]);
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    check_warning(
        &format!("{SOUND}[models.m]\ntargets = [¶{{ provider = \"openai\", model = \"home-made\" }}]"),
        "models.m.targets[0]: no price is known for `home-made`: its cost is null, and it is last in `cheapest`; \
         add `price = { input = ..., output = ... }`, USD per million tokens",
    );
    // A price that is one host's own is not known of another.
    check_warning(
        &format!(
            "{SOUND}[models.m]\ntargets = [¶{{ provider = \"openai\", model = \"openai/gpt-oss-20b\" }}]"
        ),
        "models.m.targets[0]: no price is known for `openai/gpt-oss-20b`: its cost is null, and it is last in `cheapest`; \
         add `price = { input = ..., output = ... }`, USD per million tokens",
    );
    check_warning(
        &format!("{SOUND}[routing]\npreferred_region = ¶\"us-eats\""),
        "routing.preferred_region: no provider has a region `us-eats`, so nothing is preferred; did you mean `us-east`?",
    );
    check_warning(
        &format!("{SOUND}[near]\nsg = [¶\"ap-southeast\", \"us-east\"]"),
        "near.sg[0]: no provider has a region `ap-southeast`; known: `eu-west`, `us-east`",
    );
    check_warning(
        "[providers.p]\ndialect = \"openai\"\nregions.a.base_url = ¶\"http://x/v1\"\nregions.b.base_url = \"http://x/v1/\"",
        "providers.p.regions.a.base_url: `p/a`, `p/b` share one base URL: a failure of it takes both",
    );
}

/// **What other programs write for a place of a key is no key**, wherever it comes from. Fails if it is sent in silence.
#[test]
fn a_key_that_is_the_name_of_one_is_a_warning() {
    let provider = "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://x/v1\"\napi_key = ¶";
    let warning = "the key is sent as it is, and looks like the name of where one is; \
                   a variable is written `${NAME}`, a file `file:/path`";
    for key in ["$OPENAI_API_KEY", "os.environ/OPENAI_API_KEY", "${NAMES_A_FILE}"] {
        check_warning(&format!("{provider}\"{key}\""), &format!("providers.p.api_key: {warning}"));
    }
    let regions = "[providers.p]\ndialect = \"openai\"\nregions.a = { base_url = \"http://x/v1\", api_key = ¶\"$KEY_2\" }";
    check_warning(regions, &format!("providers.p.regions.a.api_key: {warning}"));
    for key in ["$", "$ecret", "$KEY-2", "sk-$KEY"] {
        let text = format!("{provider}\"{key}\"").replace('¶', "");
        assert_eq!(read(&text).unwrap().1, [], "{key}");
    }
}

#[test]
fn a_url_with_too_much_or_too_little_is_a_warning() {
    let check = |dialect: &str, url: &str, expected: &str| {
        let text = format!("[providers.p]\ndialect = \"{dialect}\"\nbase_url = ¶\"{url}\"");
        match expected {
            "" => assert_eq!(read(&text.replace('¶', "")).unwrap().1, [], "{url}"),
            expected => check_warning(&text, &format!("providers.p.regions.global.base_url: {expected}")),
        }
    };
    let bare = "the URL has no path, where most APIs have their version: `/v1`";
    check("openai", "https://api.example.com", bare);
    check("anthropic", "https://api.example.com/", bare);
    check("openai", "https://api.deepseek.com", "");
    check("azure", "https://x.openai.azure.com", "");
    check("openai", "https://api.example.com/inference", "");
    for path in ["/chat/completions", "/responses", "/embeddings/"] {
        let told = path.trim_end_matches('/');
        let expected = format!("the URL ends with `{told}`, which is appended to it once more");
        check("openai", &format!("https://api.example.com/v1{path}"), &expected);
    }
    let twice = "the URL ends with `/messages`, which is appended to it once more";
    check("anthropic", "https://api.example.com/v1/messages", twice);
}
