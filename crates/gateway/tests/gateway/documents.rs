//! `--json`: one document from every verb that has a result, and one form for all failures.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::{
    commands::{Run, check, run, verbs},
    support::{file, soon},
};

/// Verbs without the flag: one that serves, and those whose results are texts for other programs.
const WITHOUT: [&str; 5] = ["serve", "schema", "completions", "man", "help"];

/// Something that goes wrong with each of the others: the arguments, the exit status, a word of the reason.
const FAILURES: [(&[&str], i32, &str); 13] = [
    (&["demo", "--scenario", "/nowhere/at/all.toml"], 1, "cannot read /nowhere/at/all.toml"),
    (&["init", "/nowhere/at/all.toml"], 1, "cannot write /nowhere/at/all.toml"),
    (&["check", "/nowhere/at/all.toml"], 1, "cannot read /nowhere/at/all.toml"),
    (&["keys", "new", "two words"], 2, "'two words'"),
    (&["sim", "--scenario", "/nowhere/at/all.toml"], 1, "cannot read /nowhere/at/all.toml"),
    (&["import-litellm", "/nowhere/at/all.yaml"], 1, "cannot read /nowhere/at/all.yaml"),
    (&["explain", "chat", "--config", "/nowhere/at/all.toml"], 1, "cannot read /nowhere/at/all.toml"),
    (&["explain", "chat"], 2, "explain needs --admin URL"),
    (&["replay", "/nowhere/at/all.jsonl"], 1, "cannot read /nowhere/at/all.jsonl"),
    (&["simulate", "/nowhere/at/all.toml"], 1, "cannot read /nowhere/at/all.toml"),
    (&["simulate", "--clients", "none"], 2, "'none'"),
    (&["cordon", "a/b", "--admin", "127.0.0.1:1"], 1, "cannot reach a gateway's admin port"),
    (&["uncordon", "a/b", "--admin", "127.0.0.1:1"], 1, "cannot reach a gateway's admin port"),
];

/// The document of a failure; there is nothing else on standard output.
fn error(told: &Run) -> Value {
    let document: Value =
        serde_json::from_str(&told.out).unwrap_or_else(|error| panic!("{error}: `{}`", told.out));
    assert_eq!(document.as_object().unwrap().keys().collect::<Vec<_>>(), ["error"], "{document}");
    document["error"].clone()
}

/// **Whoever reads documents gets one, also when it fails.** Fails if a verb with a result has no `--json`, or tells its failure in another
/// form, or in none.
#[tokio::test]
async fn every_verb_tells_its_failure_as_the_same_document() {
    for verb in verbs().await.iter().filter(|verb| !WITHOUT.contains(&verb.as_str())) {
        assert!(
            FAILURES.iter().any(|(args, ..)| args.first() == Some(&verb.as_str())),
            "no failure of {verb}"
        );
    }
    for (args, code, word) in FAILURES {
        let told = run(&[args, &["--json"]].concat()).await;
        assert_eq!(told.code, Some(code), "{args:?}: {}", told.err);
        let error = error(&told);
        assert!(error["message"].as_str().unwrap().contains(word), "{args:?}: {error}");
        assert_eq!(error.get("faults"), None, "{args:?}: {error}");
        assert!(told.err.contains(word), "people are told too: {}", told.err);
        let plain = run(args).await;
        assert_eq!((plain.code, plain.out.as_str()), (Some(code), ""), "{args:?}");
    }
}

/// **A file's faults look alike, whoever needs the file.**
#[tokio::test]
async fn a_file_that_is_not_sound_fails_a_verb_over_the_faults_that_check_finds() {
    let text = "[retry]\nbudgt = 5\n[models.chat]\ntargets = [{ provider = \"b\", model = \"x\" }]\n";
    let found: Value = serde_json::from_str(&check(text, &["--json"]).await.out).unwrap();
    let path = file(text).display().to_string();
    let trace = file("{\"at_ms\":1,\"pick\":\"chat\"}\n").display().to_string();
    for verb in [&["explain", "chat"][..], &["replay", &trace]] {
        let error = error(&run(&[verb, &["--config", &path, "--json"]].concat()).await);
        let without_name = |faults: &Value| {
            let mut faults = faults.clone();
            faults.as_array_mut().unwrap().iter_mut().for_each(|fault| fault["file"] = Value::Null);
            faults
        };
        assert_eq!(without_name(&error["faults"]), without_name(&found["faults"]), "{verb:?}");
        assert_eq!(error["faults"][0]["file"], path.as_str());
    }
    let scenario = file("seed = 1\n[[region]]\nnam = \"a\"\n").display().to_string();
    for verb in
        [&["sim", "--scenario", &scenario][..], &["demo", "--scenario", &scenario], &["simulate", &scenario]]
    {
        let error = error(&run(&[verb, &["--json"]].concat()).await);
        let fault = &error["faults"][0];
        assert_eq!((&fault["line"], &fault["column"]), (&Value::from(3), &Value::from(1)), "{error}");
    }
}

#[tokio::test]
async fn wrong_usage_is_a_document_where_the_environment_asks_for_it_and_help_is_none() {
    let command = |args: &[&str], json: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
        command.args(args).env("OUTRIGGER_JSON", json).stdin(Stdio::null());
        async move {
            let output = soon(command.output()).await.unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        }
    };
    let (code, out) = command(&["cordon", "nowhere"], "1").await;
    assert!(code == Some(2) && out.starts_with("{\"error\":{\"message\":\"invalid value"), "{out}");
    assert_eq!(command(&["cordon", "nowhere"], "0").await, (Some(2), String::new()));
    let (code, out) = command(&["check", "--help"], "1").await;
    assert!(code == Some(0) && !out.contains("\"error\""), "{out}");
}
