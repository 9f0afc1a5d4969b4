//! A secret appears in no message, in no `Debug`, and in no JSON.

use outrigger::config::{Config, Document, read_file};

use super::read;

/// **Secrets stay secret.** Wherever a credential stands and however malformed it is, neither the
/// configuration's `Debug` nor a fault nor a warning holds a part of it. Fails if an error of serde or of the
/// URL parser is passed on with the value it quotes.
#[test]
fn no_message_holds_a_secret() {
    let provider = |keys: &str| format!("[providers.p]\ndialect = \"openai\"\n{keys}\n");
    let files = [
        provider("api_key = \"hunter2-sekret\"\nbase_url = \"http://a\""),
        provider("api_key = \"hunter2\\nsekret\"\nbase_url = \"http://a\""),
        provider("api_key = [\"hunter2-sekret\"]\nbase_url = \"http://a\""),
        provider("api_key = { hunter = \"sekret\" }\nbase_url = \"http://a\""),
        provider("api_key = 2718281828\nbase_url = \"http://a\""),
        provider("base_url = \"http://user:hunter2@a.example/v1\""),
        provider("base_url = \"http://user:hunter2@a:port/v1\""),
        provider("base_url = \"http://a/v1?key=hunter2\""),
        provider("base_url = \"http://a\"\nproxy = \"http://user:hunter2@proxy.example\""),
        provider("base_url = \"http://a\"\nproxy = \"user:hunter2@proxy.example\""),
        provider("base_url = \"http://a\"\nheaders = { x-key = \"hunter2\" }"),
        provider("base_url = \"http://a\"\nheaders = { x-key = \"hunter2\\n\" }"),
        provider("base_url = \"http://a\"\nheaders = { x-key = 2718281828 }"),
        provider("base_url = \"http://a\"\nhealth_check = \"hunter2\""),
        provider("base_url = \"http://a\"\nheaders = \"hunter2\"\nlimits = \"hunter2\""),
        provider("api_key = \"hunter2\nbase_url = \"http://a\""),
        provider("api_key = hunter2\nbase_url = \"http://a\""),
    ];
    for file in files {
        let told = match read(&file) {
            Ok((config, warnings)) => format!("{config:?} {config:#?} {warnings:?}"),
            Err(faults) => format!("{faults} {faults:?} {}", serde_json::to_string(&faults).unwrap()),
        };
        for part in ["hunter", "sekret", "2718281828"] {
            let is_the_key = part == "hunter" && file.contains("{ hunter");
            assert!(is_the_key || !told.contains(part), "{file}\n{told}");
        }
    }
}

/// **What comes from the environment is named by its variable.** Put into any place of a file, right or
/// wrong, the value of a variable is in no message. Fails if a message quotes the resolved value.
#[test]
fn a_variables_value_is_not_shown_wherever_it_stands() {
    let files = [
        "[timeouts]\nidle = \"${OPENAI_API_KEY}\"",
        "[timeouts]\nanswer = \"${OPENAI_API_KEY}\"",
        "[retry]\nbudget = \"${OPENAI_API_KEY}\"",
        "[routing]\nstrategy = \"${OPENAI_API_KEY}\"",
        "[routing]\npreferred_region = \"${OPENAI_API_KEY}\"",
        "[breaker]\nrecovery_timeout = \"${OPENAI_API_KEY}\"",
        "[near]\nx = [\"${OPENAI_API_KEY}\"]",
        "[models.m]\nresidency = [\"${OPENAI_API_KEY}\"]\ntargets = [{ provider = \"${OPENAI_API_KEY}\", model = \"m\" }]",
        "[providers.p]\ndialect = \"${OPENAI_API_KEY}\"\nbase_url = \"${OPENAI_API_KEY}\"",
        "[providers.p]\ndialect = \"openai\"\nbase_url = \"ftp://${OPENAI_API_KEY}/\"",
        "[providers.p]\ndialect = \"openai\"\nbase_url = \"${OPENAI_API_KEY}:x\"",
        "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://a\"\nforward_headers = [\"${TWO_LINES}\"]",
        "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://a\"\napi_key = \"${TWO_LINES}\"",
        "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://a\"\n[models.m]\n\
         targets = [{ provider = \"p\", model = \"${OPENAI_API_KEY}\" }]",
    ];
    for file in files {
        let told = match read(file) {
            Ok((_, warnings)) => format!("{warnings:?}"),
            Err(faults) => format!("{faults:?}"),
        };
        assert!(told.len() > 2, "{file} passed in silence");
        assert!(!told.contains("sk-f") && !told.contains("sk-s"), "{file}\n{told}");
    }
    let faults = read(files[0]).map(|_| ()).unwrap_err();
    assert_eq!(
        faults.to_string(),
        "outrigger.toml:2:8: timeouts.idle: expected a duration such as \"500ms\", \"30s\" or \"5m\", \
         found the value of `${OPENAI_API_KEY}`, which is something else"
    );
}

#[test]
fn a_key_is_read_from_a_file() {
    let key = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("outrigger-config-test-key");
    std::fs::write(&key, "sk-in-a-file\n").unwrap();
    let text = format!(
        "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://a\"\napi_key = \"file:{}\"",
        key.display()
    );
    let (config, _) = read(&text).unwrap();
    assert_eq!(config.providers[0].1.api_key.as_ref().unwrap().expose(), "sk-in-a-file");
    std::fs::remove_file(&key).unwrap();
    let told = read(&text).map(|_| ()).unwrap_err().to_string();
    assert!(told.starts_with("outrigger.toml:4:11: providers.p.api_key: cannot read the file"), "{told}");
}

/// **A secret may stand in a file wherever one may stand in the configuration.** It comes without the line
/// break that every editor puts at its end.
#[test]
fn keys_and_headers_are_read_from_files() {
    let files = |path: &std::path::Path| match path.to_str() {
        Some("/run/secrets/key") => Ok("sk-in-a-file\n".to_owned()),
        Some("/run/secrets/team") => Ok("team-in-a-file\r\n".to_owned()),
        other => panic!("nobody named {other:?}"),
    };
    let text = "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://a\"\n\
                api_key = \"file:/run/secrets/key\"\nheaders = { x-team = \"file:/run/secrets/team\" }\n";
    let document = Document::parse_with(text, "outrigger.toml", &|_| None, &files).unwrap();
    let (config, _) = Config::from_document(&document, &[]).unwrap();
    let provider = &config.providers[0].1;
    assert_eq!(provider.api_key.as_ref().unwrap().expose(), "sk-in-a-file");
    assert_eq!(provider.regions[0].1.headers[0].1.expose(), "team-in-a-file");
    assert!(!format!("{document:?}{config:?}").contains("in-a-file"));
}

#[test]
fn a_secret_that_cannot_be_read_is_a_fault_with_its_place() {
    let files = |path: &std::path::Path| match path.to_str() {
        Some("/run/secrets/empty") => Ok("\n".to_owned()),
        Some("/run/secrets/closed") => Err(std::io::ErrorKind::PermissionDenied.into()),
        _ => Ok("sk-first-line\nsk-second-line\n".to_owned()),
    };
    let cases = [
        ("empty", "providers.p.api_key: the file `/run/secrets/empty` is empty"),
        ("closed", "providers.p.api_key: cannot read the file `/run/secrets/closed`: permission denied"),
        ("lines", "providers.p.api_key: the value holds a line break"),
    ];
    for (name, expected) in cases {
        let text = format!(
            "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://a\"\napi_key = \"file:/run/secrets/{name}\""
        );
        let document = Document::parse_with(&text, "outrigger.toml", &|_| None, &files).unwrap();
        let told = Config::from_document(&document, &[]).map(|_| ()).unwrap_err().to_string();
        assert!(told.starts_with(&format!("outrigger.toml:4:11: {expected}")), "{told}");
        assert!(!told.contains("sk-"), "{told}");
    }
}

/// **A misspelt file is not sent as the key.** Fails if whatever does not begin with `file:/` is taken for a value.
#[test]
fn a_file_that_is_no_path_from_the_root_is_a_fault() {
    for written in ["file:secrets/openai.key", "file: /run/secrets/key", "File:/run/secrets/key"] {
        let text = format!(
            "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://a/v1\"\napi_key = \"{written}\""
        );
        let told = read(&text).map(|_| ()).unwrap_err().to_string();
        assert_eq!(
            told,
            "outrigger.toml:4:11: providers.p.api_key: a file is written `file:` and its path from the root, \
             such as `file:/run/secrets/key`"
        );
    }
}

/// A pipe is waited for until somebody writes, and so would be the whole program.
#[test]
fn only_regular_files_are_read() {
    let told = read_file(std::path::Path::new("/dev/null")).unwrap_err().to_string();
    assert!(told.contains("no regular file"), "{told}");
}
