//! Callers' keys: who comes in, what it may ask, and what it is told when it may not.

use std::process::Stdio;

use http::StatusCode;
use serde_json::Value;
use tokio::process::Command;

use crate::support::{Gateway, Reply, file, post, question, send, soon};

/// A caller's key and its entry for the file.
pub(crate) struct Made {
    pub(crate) key: String,
    pub(crate) entry: String,
}

impl Made {
    /// A new key, with more lines in its entry.
    pub(crate) async fn new(name: &str, more: &str) -> Self {
        let made: Value = serde_json::from_str(&run(&["keys", "new", name, "--json"]).await.1).unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Self { key: text("key"), entry: format!("{}{more}\n", text("entry")) }
    }

    /// As OpenAI's SDKs show it.
    pub(crate) fn bearer(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.key)
    }
}

async fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_outrigger")).args(args).stdin(Stdio::null()).output();
    let output = soon(output).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

async fn get(gateway: &Gateway, path: &str, headers: &str) -> Reply {
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    send(gateway.listen, &head).await
}

#[tokio::test]
async fn a_new_key_is_printed_once_with_an_entry_that_knows_its_hash_alone() {
    let (code, out, _) = run(&["keys", "new", "team-a"]).await;
    assert_eq!(code, Some(0));
    let (key, entry) = out.split_once("\n\n").unwrap();
    assert!(key.starts_with("or-") && key.len() == 46, "{key}");
    assert!(entry.starts_with("[keys.team-a]\nhash = \"sha256:") && !entry.contains(key), "{entry}");
    assert_ne!(run(&["keys", "new", "team-a"]).await.1, out);
    let quoted = Made::new("ops@sea.example", "").await;
    assert!(quoted.entry.starts_with("[keys.\"ops@sea.example\"]\n"), "{}", quoted.entry);
    for bad in ["a b", "", "a\nb", "a\"]"] {
        assert_eq!(run(&["keys", "new", bad]).await.0, Some(2), "{bad:?}");
    }
}

/// **Whoever has no key gets nothing**, in the words of the SDK it uses. Fails if one of the routes forgets to ask for it, or if a
/// key is looked for elsewhere than in the three headers.
#[tokio::test]
async fn a_caller_without_a_known_key_is_turned_away_before_its_body_is_read() {
    let made = Made::new("team-a", "").await;
    let gateway = Gateway::start(&made.entry).await;
    let bearer = format!("authorization: bearer {}\r\n", made.key);
    let (anthropic, azure) = (format!("x-api-key: {}\r\n", made.key), format!("api-key: {}\r\n", made.key));
    let stubbed = format!("authorization: Bearer stub\r\nx-api-key: {}\r\n", made.key);
    for known in [&made.bearer(), &bearer, &anthropic, &azure, &stubbed] {
        assert_eq!(gateway.ask(known).await.status, 200, "{known}");
        assert_eq!(get(&gateway, "/v1/models", known).await.status, 200, "{known}");
    }
    let (cut, basic) = (made.bearer().replace("or-", "or"), made.bearer().replace("Bearer", "Basic"));
    for stranger in ["", &cut, &basic, &format!("cookie: {}\r\n", made.key)] {
        for path in ["chat/completions", "completions", "embeddings", "responses"] {
            let reply = gateway.post(&format!("/v1/{path}"), stranger, "this is no JSON").await;
            assert_eq!((reply.status, reply.code().as_str()), (401, "invalid_api_key"), "{path} {stranger}");
            assert_eq!(reply.json()["error"]["type"], "authentication_error");
            assert_eq!(reply.header("x-should-retry"), Some("false"));
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
            assert!(!reply.text().contains(&made.key[4..]), "{}", reply.text());
        }
        let reply = gateway.post("/v1/messages", stranger, "{}").await;
        let body = reply.json();
        assert_eq!((reply.status, body["type"].as_str()), (401, Some("error")), "{body}");
        assert_eq!(body["error"]["type"], "authentication_error");
        for path in ["/v1/models", "/models", "/v1/models/chat", "/v1/models/none"] {
            assert_eq!(get(&gateway, path, stranger).await.status, 401, "{path}");
        }
    }
    let asked = ["us-east", "eu-west"].map(|region| gateway.world().received(region).unwrap().len());
    assert_eq!(asked.iter().sum::<usize>(), 5, "a stranger's request reaches nobody");
    for path in ["chat/completions", "completions", "embeddings", "responses", "messages"] {
        let head =
            post(&format!("/v1/{path}"), "", "").replace("content-length: 0", "content-length: 100000");
        assert_eq!(send(gateway.listen, &head).await.status, 401, "{path}: of the body nothing comes");
    }
    assert_eq!(gateway.operate("GET", "/status", "").await.status, 200, "operators need no key");
    assert!(!gateway.log().contains(&made.key[3..]), "{}", gateway.log());
}

#[tokio::test]
async fn a_key_asks_its_own_models_and_sees_no_others() {
    let few = Made::new("few", "models = [\"chat\"]").await;
    let all = Made::new("all", "").await;
    let gateway = Gateway::of_both_dialects(&(few.entry.clone() + &all.entry)).await;
    let listed = async |made: &Made| {
        let list = get(&gateway, "/v1/models", &made.bearer()).await.json();
        list["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&few).await, ["chat"]);
    assert_eq!(listed(&all).await, ["chat", "claude"]);
    let message =
        "{\"model\":\"claude\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
    assert_eq!(gateway.post("/v1/messages", &all.bearer(), message).await.status, 200);
    let refused = gateway.post("/v1/messages", &few.bearer(), message).await;
    assert_eq!((refused.status, refused.json()["error"]["type"].as_str()), (403, Some("permission_error")));
    let other = question(false).replace("\"chat\"", "\"claude\"");
    let refused = gateway.post("/v1/chat/completions", &few.bearer(), &other).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "model_not_allowed"));
    assert_eq!(refused.json()["error"]["param"], "model");
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("only chat"), "{}", refused.text());
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    assert_eq!(get(&gateway, "/v1/models/claude", &few.bearer()).await.code(), "model_not_allowed");
    assert_eq!(get(&gateway, "/v1/models/claude", &all.bearer()).await.status, StatusCode::OK.as_u16());
    assert_eq!(get(&gateway, "/v1/models/none", &all.bearer()).await.code(), "model_not_found");
}

/// **A caller's key stays here.** Fails if one of the three headers reaches a provider.
#[tokio::test]
async fn a_callers_key_never_goes_upstream() {
    let made = Made::new("team-a", "").await;
    let gateway = Gateway::start(&made.entry).await;
    let key = &made.key;
    for headers in [made.bearer(), format!("x-api-key: {key}\r\n"), format!("api-key: {key}\r\n")] {
        assert_eq!(gateway.ask(&headers).await.status, 200);
    }
    let received = ["us-east", "eu-west"].map(|region| gateway.world().received(region).unwrap()).concat();
    assert_eq!(received.len(), 3);
    for received in received {
        assert_eq!(received.headers["authorization"], "Bearer sk-secret");
        let seen = format!("{:?}{:?}", received.headers, received.body);
        assert!(!seen.contains(&key[3..]), "{seen}");
    }
}

#[tokio::test]
async fn a_port_that_asks_for_keys_may_be_reached_from_elsewhere() {
    let open = "[server]\nlisten = \"0.0.0.0:0\"\n[providers.a]\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n\
                [models.chat]\ntargets = [{ provider = \"a\", model = \"gpt-4.1\" }]\n";
    let made = Made::new("team-a", "").await;
    for (more, code) in [("", Some(1)), ("[keys]\n", Some(1)), (&made.entry, Some(0))] {
        let path = file(&format!("{open}{more}")).display().to_string();
        let (found, out, _) = run(&["check", &path]).await;
        assert_eq!(found, code, "{more}{out}");
    }
}
