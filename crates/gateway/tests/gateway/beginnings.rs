//! The first ten minutes: a file to begin with, and what is said of it.

use serde_json::Value;
use sim::{Fault, Region, Server, When, World};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    commands::{check, run},
    schema,
    support::{folder, soon},
};

#[tokio::test]
async fn init_writes_a_file_that_check_takes() {
    let file = folder().join("outrigger.toml").display().to_string();
    let written = run(&["init", &file]).await;
    assert_eq!((written.code, written.out.as_str()), (Some(0), ""), "{}", written.err);
    assert!(
        written.err.contains("outrigger serve --config") && written.err.contains("--probe"),
        "{}",
        written.err
    );
    let checked = run(&["check", &file]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.out);
    assert!(checked.out.contains("sound, 0 faults, 0 warnings"), "{}", checked.out);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(schema::faults(&text), "");
    assert_eq!(run(&["init", "-"]).await.out, text);
}

#[tokio::test]
async fn init_says_as_a_document_what_it_wrote_and_where() {
    let file = folder().join("outrigger.toml").display().to_string();
    let told = run(&["init", &file, "--json"]).await;
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""));
    let written: Value = serde_json::from_str(&told.out).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(written, serde_json::json!({ "file": file, "config": text }));
    let shown: Value = serde_json::from_str(&run(&["init", "-", "--json"]).await.out).unwrap();
    assert_eq!(shown, serde_json::json!({ "file": null, "config": text }));
}

#[tokio::test]
async fn init_never_writes_over_a_file_unless_told_to() {
    let file = folder().join("outrigger.toml");
    std::fs::write(&file, "mine").unwrap();
    let name = file.display().to_string();
    let refused = run(&["init", &name]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains(&name) && refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(run(&["init", &name, "--force"]).await.code, Some(0));
    assert!(std::fs::read_to_string(&file).unwrap().contains("[providers.openai]"));
    let nowhere = run(&["init", "/nowhere/at/all/outrigger.toml"]).await;
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.err.contains("cannot write /nowhere/at/all/outrigger.toml"), "{}", nowhere.err);
}

/// A provider at two regions of a world.
async fn two_regions() -> (Server, String) {
    let region = |name| Region::new(name).models(["gpt-4.1"]);
    let world = World::builder().seed(7).region(region("us-east")).region(region("eu-west")).build().unwrap();
    let server = Server::start(world).await.unwrap();
    let url = |region| server.base_url(region).unwrap();
    let text = format!(
        "[providers.p]\ndialect = \"openai\"\napi_key = \"sk-secret\"\n\
         regions.us-east.base_url = \"{}\"\nregions.eu-west.base_url = \"{}\"\n\
         [models.chat]\ntargets = [{{ provider = \"p\", model = \"gpt-4.1\" }}]\n",
        url("us-east"),
        url("eu-west")
    );
    (server, text)
}

#[tokio::test]
async fn probing_finds_everybody_there() {
    let (_server, text) = two_regions().await;
    let found = check(&text, &["--probe"]).await;
    assert_eq!(found.code, Some(0), "{}{}", found.out, found.err);
    for region in ["us-east", "eu-west"] {
        let line = found.out.lines().find(|line| line.starts_with(&format!("p/{region} "))).unwrap();
        assert!(
            line.contains(": ok, status 200, ") && line.contains("key accepted, has `gpt-4.1`"),
            "{line}"
        );
    }
    assert!(found.out.contains("sound, 0 faults, 0 warnings, 0 of 2 endpoints failed"), "{}", found.out);
    assert_eq!(found.err, "", "progress is for terminals");
}

#[tokio::test]
async fn probing_tells_each_trouble_and_fails() {
    let (server, text) = two_regions().await;
    server.world().inject("eu-west", Fault::BadKey, When::always()).unwrap();
    // A port that was free a moment ago.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = text.replace(
        "[models.chat]",
        &format!("regions.nowhere.base_url = \"http://{nobody}/v1\"\n[models.chat]"),
    );
    let found = check(&text, &["--probe", "--json"]).await;
    assert_eq!(found.code, Some(1), "{}", found.err);
    assert!(!found.out.contains("sk-secret"), "{}", found.out);
    let json: Value = serde_json::from_str(&found.out).unwrap();
    assert_eq!((&json["ok"], &json["faults"]), (&Value::Bool(false), &serde_json::json!([])));
    let brief: Vec<_> = json["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| {
            let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
            (
                text("region"),
                found["ok"].as_bool().unwrap(),
                found["reachable"].as_bool().unwrap(),
                text("credential"),
            )
        })
        .collect();
    let expected = [
        ("us-east".to_owned(), true, true, "accepted".to_owned()),
        ("eu-west".to_owned(), false, true, "refused".to_owned()),
        ("nowhere".to_owned(), false, false, "unknown".to_owned()),
    ];
    assert_eq!(brief, expected);
    assert!(json["endpoints"][2]["message"].as_str().unwrap().contains("does a server listen"), "{json}");
}

#[tokio::test]
async fn probing_names_a_model_that_is_not_there_and_fails() {
    let (_server, text) = two_regions().await;
    let text = text.replace("model = \"gpt-4.1\"", "model = \"gpt-nope\"");
    let found = check(&text, &["--probe"]).await;
    assert_eq!(found.code, Some(1), "{}", found.out);
    let lines: Vec<_> =
        found.out.lines().filter(|line| line.contains("it has no model `gpt-nope`")).collect();
    assert!(
        lines.len() == 2 && lines.iter().all(|line| line.contains(": failed, status 200, ")),
        "{}",
        found.out
    );
    let found = check(&text, &["--probe", "--json"]).await;
    let json: Value = serde_json::from_str(&found.out).unwrap();
    assert_eq!((found.code, &json["ok"]), (Some(1), &Value::Bool(false)));
    let nope = serde_json::json!([{ "model": "gpt-nope", "there": false }]);
    assert_eq!(json["endpoints"][0]["models"], nope, "{json}");
}

/// A proxy where nobody listens is what is not there, and not the provider behind it.
#[tokio::test]
async fn probing_through_a_proxy_names_the_proxy() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (server, text) = two_regions().await;
    let text = text.replace("api_key", &format!("proxy = \"http://user:hunter2@{nobody}\"\napi_key"));
    let found = check(&text, &["--probe"]).await;
    let told = format!("connection refused; does the proxy {nobody} listen");
    assert_eq!((found.code, found.out.matches(&told).count()), (Some(1), 2), "{}", found.out);
    assert!(!found.out.contains("hunter2"), "{}", found.out);
    assert_eq!(server.world().count("us-east").unwrap(), 0);
}

/// A server that takes connections and says nothing costs its own patience, not more.
#[tokio::test]
async fn probing_waits_as_long_as_it_is_told() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://{}/v1\"\n\
         [models.chat]\ntargets = [{{ provider = \"p\", model = \"gpt-4.1\" }}]\n",
        silent.local_addr().unwrap()
    );
    let found = check(&text, &["--probe", "--timeout", "200ms"]).await;
    assert_eq!(found.code, Some(1));
    assert!(found.out.contains("no answer within 200ms; `--timeout` waits longer"), "{}", found.out);
    assert!(found.out.contains("1 of 1 endpoint failed"), "{}", found.out);
}

/// A file that is not sound is not asked about: what it says is not what is meant.
#[tokio::test]
async fn only_a_sound_file_is_probed() {
    let found = check("[retry]\nbudgt = 1\n", &["--probe", "--json"]).await;
    let json: Value = serde_json::from_str(&found.out).unwrap();
    assert_eq!((found.code, json.get("endpoints")), (Some(1), None));
}

/// **A secret's file is read, sent, and shown nowhere**; rotated, it is the new one that is sent.
#[tokio::test]
async fn a_key_from_a_file_is_sent_to_its_provider_and_to_nobody_else() {
    let provider = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = provider.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let mut heads = Vec::new();
        for _ in 0..2 {
            let (mut connection, _) = provider.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let length = connection.read(&mut head).await.unwrap();
            heads.push(String::from_utf8_lossy(&head[..length]).into_owned());
            let body = "{\"data\":[{\"id\":\"gpt-4.1\"}]}";
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
        heads
    });
    let secret = folder().join("key");
    let text = format!(
        "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://{address}/v1\"\napi_key = \"file:{}\"\n\
         [models.chat]\ntargets = [{{ provider = \"p\", model = \"gpt-4.1\" }}]\n",
        secret.display()
    );
    for key in ["sk-first", "sk-second"] {
        std::fs::write(&secret, format!("{key}\n")).unwrap();
        let found = check(&text, &["--probe", "--json"]).await;
        assert_eq!(found.code, Some(0), "{}", found.out);
        assert!(!found.out.contains(key) && !found.err.contains(key), "{}", found.out);
    }
    let heads = soon(heard).await.unwrap();
    for (head, key) in heads.iter().zip(["sk-first", "sk-second"]) {
        assert!(head.to_lowercase().contains(&format!("authorization: bearer {key}\r\n")), "{head}");
    }
    std::fs::remove_file(&secret).unwrap();
    let missing = check(&text, &[]).await;
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.out.contains(".toml:4:11: providers.p.api_key: cannot read the file `"),
        "{}",
        missing.out
    );
}
