//! The command line: verbs, exit codes, where results and where logs go.

use std::process::Stdio;

use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::support::{file, folder, soon};

pub(crate) const SOUND: &str = "[providers.a]\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n\
                     [models.chat]\ntargets = [{ provider = \"a\", model = \"gpt-4.1\" }]\n";

pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) async fn run(args: &[&str]) -> Run {
    let output = soon(Command::new(env!("CARGO_BIN_EXE_outrigger")).args(args).stdin(Stdio::null()).output());
    let output = output.await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

pub(crate) async fn check(text: &str, more: &[&str]) -> Run {
    let path = file(text).display().to_string();
    run(&[&["check", &path], more].concat()).await
}

#[tokio::test]
async fn a_sound_file_is_said_to_be_sound() {
    let run = check(SOUND, &[]).await;
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert!(run.out.contains("sound, 0 faults"), "{}", run.out);
}

#[tokio::test]
async fn every_example_is_sound_and_without_a_warning() {
    for example in ["tiny", "composed", "real"] {
        let path = format!("{}/examples/{example}.toml", env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
        command.args(["check", &path]).envs([("OPENAI_API_KEY", "sk-1"), ("SPARE_API_KEY", "sk-2")]);
        let output = soon(command.output()).await.unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(out.contains("sound, 0 faults, 0 warnings"), "{example}: {out}");
    }
}

/// **What another program writes is checked as it comes**, and what has no end is given up.
#[tokio::test]
async fn standard_input_is_a_file_and_an_endless_one_is_none() {
    let piped = async |text: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
        command.args(["check", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
        let output = soon(child.wait_with_output()).await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, out) = piped(SOUND).await;
    assert!(code == Some(0) && out.contains("stdin: sound, 0 faults"), "{out}");
    let (code, out) = piped("[retry]\nbudgt = 5\n").await;
    assert!(code == Some(1) && out.starts_with("stdin:2:1: retry.budgt: "), "{out}");
    if cfg!(unix) {
        let endless = run(&["check", "/dev/zero"]).await;
        assert_eq!(endless.code, Some(1));
        assert!(endless.err.contains("/dev/zero: it is over 4 MiB"), "{}", endless.err);
    }
}

#[tokio::test]
async fn all_faults_are_told_at_once_with_their_places() {
    let text = format!("[server]\nmax_bdoy = \"1MiB\"\n[retry]\nbudgt = 5\n{SOUND}");
    let run = check(&text, &[]).await;
    assert_eq!(run.code, Some(1));
    let lines: Vec<_> = run.out.lines().collect();
    assert!(
        lines[0].contains(".toml:2:1: server.max_bdoy: ") && lines[0].contains("max_body"),
        "{}",
        run.out
    );
    assert!(lines[1].contains(".toml:4:1: retry.budgt: ") && lines[1].contains("budget"), "{}", run.out);
    let json: Value = serde_json::from_str(&check(&text, &["--json"]).await.out).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(
        (json["faults"][0]["line"].as_u64(), json["faults"][0]["column"].as_u64()),
        (Some(2), Some(1))
    );
    assert_eq!(json["warnings"], serde_json::json!([]));
}

#[tokio::test]
async fn a_value_out_of_range_names_its_key() {
    for (server, word) in [
        ("max_body = \"32\"", "MiB"),
        ("listen = \"nowhere\"", "an address and its port"),
        ("listen = \"localhost:8080\"", "\"127.0.0.1:8080\" is this machine's"),
        ("max_concurrent = 0", "at least 1"),
        ("drain = \"soon\"", "server.drain"),
        ("early_status = \"soon\"", "off"),
        ("early_status = \"5ms\"", "100ms"),
    ] {
        let run = check(&format!("[server]\n{server}\n{SOUND}"), &[]).await;
        assert_eq!(run.code, Some(1), "{server}");
        assert!(run.out.contains(".toml:2:") && run.out.contains(word), "{server}: {}", run.out);
    }
}

/// **A file that is torn, empty or in another encoding is not sound**, and says where it broke off.
#[tokio::test]
async fn a_torn_file_is_not_sound() {
    let files: [(&[u8], &str); 6] = [
        (b"", ":1:1: no model is configured"),
        (&SOUND.as_bytes()[..68], ":1:1: no model is configured"),
        (&SOUND.as_bytes()[..60], ":3:28: "),
        (b"[retry]\nbudget = \"\xff\"\n", ":2:11: not UTF-8"),
        (b"\xff\xfe[\0r\0", "UTF-16"),
        (b"[retry]\r\nbudgt = 5\r\n", ":2:1: retry.budgt: unknown key"),
    ];
    for (bytes, expected) in files {
        let path = file("");
        std::fs::write(&path, bytes).unwrap();
        let path = path.display().to_string();
        let told = run(&["check", &path]).await;
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(told.code, Some(1), "{shown}: {}", told.out);
        let all = format!("{}{}", told.out, told.err);
        assert!(all.contains(&format!("{path}{expected}")) || all.contains("UTF-16"), "{shown}: {all}");
        let json: Value = serde_json::from_str(&run(&["check", &path, "--json"]).await.out).unwrap();
        assert_eq!(
            (&json["ok"], json["faults"].as_array().unwrap().is_empty()),
            (&Value::Bool(false), false)
        );
    }
}

#[tokio::test]
async fn shared_base_urls_are_a_warning_only() {
    let text = "[providers.a]\ndialect = \"openai\"\n\
                [providers.a.regions.one]\nbase_url = \"http://127.0.0.1:1/v1\"\n\
                [providers.a.regions.two]\nbase_url = \"http://127.0.0.1:1/v1\"\n\
                [models.chat]\ntargets = [{ provider = \"a\", model = \"gpt-4.1\" }]\n";
    let run = check(text, &[]).await;
    assert_eq!(run.code, Some(0), "{}", run.out);
    assert!(run.out.contains("warning: ") && run.out.contains("takes both"), "{}", run.out);
}

#[tokio::test]
async fn nothing_listens_before_the_file_is_sound() {
    let path = file("[server]\nlisten = \"127.0.0.1:0\"\nnope = 1\n").display().to_string();
    let run = run(&["serve", "--config", &path]).await;
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains(".toml:3:1: server.nope") && !run.err.contains("listening"), "{}", run.err);
}

#[tokio::test]
async fn an_open_port_without_keys_is_refused_unless_meant() {
    let path = file(SOUND).display().to_string();
    let run = run(&["serve", "--config", &path, "--listen", "0.0.0.0:0"]).await;
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("allow_open"), "{}", run.err);
}

#[tokio::test]
async fn check_finds_what_serve_would_refuse() {
    let run = check(&format!("[server]\nlisten = \"0.0.0.0:0\"\n{SOUND}"), &[]).await;
    assert_eq!(run.code, Some(1), "{}", run.out);
    assert!(run.out.contains(".toml:2:10: server.listen: ") && run.out.contains("allow_open"), "{}", run.out);
    let meant = check(&format!("[server]\nlisten = \"0.0.0.0:0\"\nallow_open = true\n{SOUND}"), &[]).await;
    assert_eq!(meant.code, Some(0), "{}", meant.out);
}

#[tokio::test]
async fn check_finds_a_folder_for_spend_that_is_a_file() {
    let taken = file("").display().to_string();
    for state_dir in [taken.clone(), format!("{taken}/spend")] {
        let run = check(&format!("[server]\nstate_dir = \"{state_dir}\"\n{SOUND}"), &[]).await;
        assert_eq!(run.code, Some(1), "{}", run.out);
        let said = format!(".toml:2:13: server.state_dir: `{taken}` is no folder");
        assert!(run.out.contains(&said), "{}", run.out);
    }
    let to_come = folder().join("to/come").display().to_string();
    let run = check(&format!("[server]\nstate_dir = \"{to_come}\"\n{SOUND}"), &[]).await;
    assert_eq!(run.code, Some(0), "{}", run.out);
}

/// **What `serve` warns of, `check` does too**, in both forms.
#[tokio::test]
async fn check_tells_of_an_open_admin_port() {
    let text = format!("[server]\nadmin = \"0.0.0.0:0\"\n{SOUND}");
    let told = check(&text, &[]).await;
    assert_eq!(told.code, Some(0), "{}", told.out);
    assert!(
        told.out.contains(".toml:2:9: server.admin: the admin port") && told.out.contains("1 warning"),
        "{}",
        told.out
    );
    let json: Value = serde_json::from_str(&check(&text, &["--json"]).await.out).unwrap();
    assert_eq!(json["warnings"][0]["path"], "server.admin");
}

#[tokio::test]
async fn wrong_usage_is_status_two() {
    for args in [&["serve"][..], &["sail"], &["check"], &["serve", "--config", "x", "--listen", "y"], &[]] {
        assert_eq!(run(args).await.code, Some(2), "{args:?}");
    }
    assert_eq!(run(&["--version"]).await.code, Some(0));
    let missing = run(&["check", "/nowhere/at/all.toml"]).await;
    assert_eq!(missing.code, Some(1));
    assert!(missing.err.contains("/nowhere/at/all.toml"), "{}", missing.err);
}

/// The verbs that the help lists.
pub(crate) async fn verbs() -> Vec<String> {
    let help = run(&["--help"]).await.out;
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs: Vec<String> =
        listed.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect();
    assert!(verbs.iter().any(|verb| verb == "import-litellm"), "{help}");
    verbs
}

#[tokio::test]
async fn shells_complete_every_verb() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let completions = run(&["completions", shell]).await;
        assert_eq!(completions.code, Some(0), "{}", completions.err);
        for verb in verbs().await {
            assert!(completions.out.contains(&verb), "{shell} knows no {verb}");
        }
    }
    assert_eq!(run(&["completions", "csh"]).await.code, Some(2));
}

#[tokio::test]
async fn the_manual_has_a_page_for_the_program_and_one_for_every_verb() {
    let page = run(&["man"]).await;
    assert_eq!(page.code, Some(0), "{}", page.err);
    assert!(page.out.contains(".TH outrigger 1") && page.out.contains("EXIT STATUS"), "{}", page.out);
    for verb in verbs().await {
        assert!(page.out.contains(&format!("outrigger\\-{}", verb.replace('-', "\\-"))), "no word of {verb}");
        if verb != "help" {
            let of_verb = run(&["man", &verb]).await;
            let title = format!(".TH outrigger-{verb} 1  \"outrigger {}\"", env!("CARGO_PKG_VERSION"));
            assert!(of_verb.out.contains(&title), "{verb}: {}", of_verb.out);
        }
    }
    // What one page refers to, another one is.
    let keys = run(&["man", "keys"]).await.out;
    assert!(keys.contains("outrigger\\-keys\\-new(1)"), "{keys}");
    let new = run(&["man", "keys", "new"]).await.out;
    assert!(new.contains(".TH outrigger-keys-new 1") && new.contains("\\-\\-json"), "{new}");
    assert!(run(&["man", "keys", "sail"]).await.err.contains("there are new"));
    assert!(run(&["man", "check", "sail"]).await.err.contains("below outrigger-check"));
    let unknown = run(&["man", "sail"]).await;
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.err.contains("no verb `sail`") && unknown.err.contains("serve"), "{}", unknown.err);
}

/// **A flag goes before its variable, a variable before the default.** And pages do not depend on the environment.
#[tokio::test]
async fn every_flag_has_a_variable_that_it_overrules() {
    let path = file(SOUND).display().to_string();
    let command = |args: &[&str], set: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
        command.args(args).envs(set.iter().copied());
        async move {
            let output = soon(command.output()).await.unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
        }
    };
    let json = |out: &str| serde_json::from_str::<Value>(out).is_ok();
    assert!(json(&command(&["check", &path], &[("OUTRIGGER_JSON", "1")]).await.1));
    assert!(!json(&command(&["check", &path], &[("OUTRIGGER_JSON", "0")]).await.1));
    assert!(json(&command(&["check"], &[("OUTRIGGER_JSON", "true"), ("OUTRIGGER_CONFIG", &path)]).await.1));
    let other = file("[retry]\nbudgt = 1\n").display().to_string();
    assert_eq!(command(&["check", &path], &[("OUTRIGGER_CONFIG", &other)]).await.0, Some(0));
    assert_eq!(
        command(&["check", &path, "--timeout", "1s"], &[("OUTRIGGER_PROBE_TIMEOUT", "soon")]).await.0,
        Some(0)
    );
    assert_eq!(command(&["check", &path], &[("OUTRIGGER_PROBE_TIMEOUT", "soon")]).await.0, Some(2));
    let man = run(&["man", "serve"]).await.out;
    assert_eq!(command(&["man", "serve"], &[("OUTRIGGER_LISTEN", "1.2.3.4:5")]).await.1, man);
}

#[tokio::test]
async fn what_is_written_to_a_pipe_has_no_colour() {
    let told = check("[retry]\nbudgt = 5\n", &[]).await;
    assert!(!told.out.contains('\u{1b}') && !told.err.contains('\u{1b}'), "{}", told.out);
}
