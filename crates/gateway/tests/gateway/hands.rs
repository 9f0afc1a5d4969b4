//! The verbs that operate a gateway from a terminal: places taken out and put back, choices explained.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    commands::{Run, run},
    reload::Deck,
    support::{Gateway, file, find, question, soon},
};

impl Gateway {
    /// Runs a verb on this gateway.
    async fn operated(&self, args: &[&str]) -> Run {
        let admin = format!("http://{}", self.admin);
        run(&[args, &["--admin", &admin]].concat()).await
    }

    async fn cordoned(&self) -> Vec<String> {
        let status = self.operate("GET", "/status", "").await.json();
        let all = status["deployments"].as_array().unwrap();
        let out = all.iter().filter(|one| one["cordoned"] == true);
        out.map(|one| one["region"].as_str().unwrap().to_owned()).collect()
    }
}

fn json(run: &Run) -> Value {
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {}", run.out))
}

#[tokio::test]
async fn a_place_is_cordoned_and_uncordoned_from_a_terminal() {
    let gateway = Gateway::start("").await;
    let done = gateway.operated(&["cordon", "holysheep/us-east"]).await;
    assert_eq!(
        (done.code, done.out.as_str()),
        (Some(0), "cordoned holysheep/us-east/gpt-4.1 until it is uncordoned\n")
    );
    assert_eq!(gateway.cordoned().await, ["us-east"]);
    let status = gateway.operate("GET", "/status", "").await.json();
    assert_eq!(status["deployments"][0]["breaker"], "closed", "a cordon is no circuit");
    assert_eq!(gateway.ask("").await.header("x-outrigger-region"), Some("eu-west"));
    let metrics = gateway.metrics().await;
    for (region, is_out) in [("us-east", 1), ("eu-west", 0)] {
        let line = format!(
            "outrigger_cordoned{{provider=\"holysheep\",region=\"{region}\",model=\"gpt-4.1\"}} {is_out}\n"
        );
        assert!(metrics.contains(&line), "{line}in\n{metrics}");
    }

    let again =
        json(&gateway.operated(&["cordon", "holysheep/us-east/gpt-4.1", "--for", "90m", "--json"]).await);
    assert_eq!((&again["cordoned"], &again["for"]), (&Value::Bool(true), &Value::from("1h 30m")), "{again}");
    assert_eq!(again["deployments"][0]["was_cordoned"], true, "{again}");

    let back = gateway.operated(&["uncordon", "holysheep/us-east/gpt-4.1"]).await;
    assert_eq!(back.out, "uncordoned holysheep/us-east/gpt-4.1\n");
    assert!(gateway.cordoned().await.is_empty());
    gateway.operated(&["cordon", "holysheep/us-east"]).await;
    let back = json(&gateway.operated(&["uncordon", "holysheep/us-east", "--json"]).await);
    let place = serde_json::json!({
        "provider": "holysheep", "region": "us-east", "model": "gpt-4.1", "was_cordoned": true,
    });
    assert_eq!(back, serde_json::json!({ "cordoned": false, "for": null, "deployments": [place] }));
    let twice = gateway.operated(&["uncordon", "holysheep/us-east"]).await;
    assert_eq!((twice.code, twice.out.as_str()), (Some(0), "holysheep/us-east/gpt-4.1 was not cordoned\n"));
}

#[tokio::test]
async fn a_place_that_is_not_there_is_told_with_the_nearest_names() {
    let gateway = Gateway::start("").await;
    for place in ["holysheep/us-esat", "holysheep/us-east/gpt-4.2"] {
        for verb in ["cordon", "uncordon"] {
            let run = gateway.operated(&[verb, place]).await;
            assert_eq!(run.code, Some(1), "{verb} {place}");
            assert!(run.err.contains(place) && run.err.contains("nearest: holysheep/us-east"), "{}", run.err);
        }
    }
    assert_eq!(gateway.operated(&["cordon", "holysheep"]).await.code, Some(2));
    let at_once = gateway.operated(&["cordon", "holysheep/us-east", "--for", "0s"]).await;
    assert!(at_once.code == Some(2) && at_once.err.contains("no time at all"), "{}", at_once.err);
    let order = "{\"provider\":\"holysheep\",\"region\":\"us-east\",\"for\":\"0s\"}";
    let at_once = gateway.operate("POST", "/cordon", order).await;
    assert_eq!((at_once.status, at_once.code().as_str()), (400, "invalid_value"));
    assert!(gateway.cordoned().await.is_empty() && !gateway.log().contains("cordoned"), "{}", gateway.log());
}

#[tokio::test]
async fn an_admin_port_where_nobody_listens_is_told() {
    for verb in [&["cordon", "a/b"][..], &["uncordon", "a/b"], &["explain", "chat"]] {
        let run = run(&[verb, &["--admin", "127.0.0.1:1"]].concat()).await;
        assert_eq!(run.code, Some(1), "{verb:?}");
        assert!(run.err.contains("http://127.0.0.1:1") && run.err.contains("refused"), "{}", run.err);
    }
}

/// **The wrong port says so.** Both ports are a gateway's, and they are one number apart.
#[tokio::test]
async fn the_callers_port_is_not_taken_for_the_operators() {
    let open = Gateway::start("").await;
    let minted = json(&run(&["keys", "new", "team-a", "--json"]).await);
    let locked = Gateway::start(minted["entry"].as_str().unwrap()).await;
    for gateway in [open, locked] {
        for verb in
            [&["cordon", "holysheep/us-east"][..], &["uncordon", "holysheep/us-east"], &["explain", "chat"]]
        {
            let told = run(&[verb, &["--admin", &gateway.listen.to_string()]].concat()).await;
            assert!(
                told.code == Some(1) && told.err.contains("is that the admin port of a gateway?"),
                "{}",
                told.err
            );
        }
    }
}

#[tokio::test]
async fn cordons_are_told_on_events() {
    let gateway = Gateway::start("").await;
    let mut stream = tokio::net::TcpStream::connect(gateway.admin).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    let mut until = async |what: &str| {
        while find(&bytes, what.as_bytes()).is_none() {
            assert_ne!(soon(stream.read_buf(&mut bytes)).await.unwrap(), 0);
        }
    };
    until(": listening").await;
    gateway.operated(&["cordon", "holysheep/eu-west", "--for", "100ms"]).await;
    until("event: cordon\ndata: {\"cordoned\":true,\"for_s\":0.1,\"model\":\"gpt-4.1\"").await;
    until("event: cordon\ndata: {\"cordoned\":false,\"for_s\":null,\"model\":\"gpt-4.1\"").await;
}

#[tokio::test]
async fn a_live_choice_is_explained_as_it_stands() {
    let gateway = Gateway::start("").await;
    let before = gateway.operated(&["explain", "chat", "--region", "eu-west"]).await;
    assert!(before.out.starts_with("chat near eu-west: holysheep/"), "{}{}", before.out, before.err);
    gateway.operated(&["cordon", "holysheep/us-east"]).await;
    let table = gateway.operated(&["explain", "chat"]).await.out;
    assert!(table.starts_with("chat: holysheep/eu-west/gpt-4.1\n"), "{table}");
    let row = |region: &str| {
        table.lines().find(|line| line.contains(region) && line.contains("0.")).unwrap().to_owned()
    };
    let lost = table.lines().find(|line| line.starts_with("holysheep/us-east/gpt-4.1 ")).unwrap();
    assert!(lost.ends_with("cordoned"), "{table}");
    assert!(row("eu-west").contains("chosen"), "{table}");
    assert!(!table.contains('\u{1b}'), "no colours in a pipe: {table}");

    let explained = json(&gateway.operated(&["explain", "chat", "--json"]).await);
    assert_eq!(explained["choice"]["region"], "eu-west", "{explained}");
    assert_eq!(explained, gateway.operate("GET", "/explain?model=chat", "").await.json());
    let unknown = gateway.operated(&["explain", "nope"]).await;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("404") && unknown.err.contains("no model `nope`"), "{}", unknown.err);
    for (asked, help) in [
        (&["explain", "chatt"][..], "`chatt` is configured; did you mean `chat`?"),
        (&["explain", "nope"], "; known: `chat`"),
        (&["explain", "chat", "--region", "us-esat"], "did you mean `us-east`?"),
        (&["explain", "chat", "--region", "mars"], "; known: `eu-west`, `us-east`"),
    ] {
        let told = gateway.operated(asked).await;
        assert!(told.code == Some(1) && told.err.contains(help), "{asked:?}: {}", told.err);
    }
    let question = question(false).replace("\"chat\"", "\"chatt\"");
    let told = gateway.post("/v1/chat/completions", "", &question).await.text();
    assert!(!told.contains("did you mean"), "callers are not told of models that may not be theirs: {told}");
}

const TIERS: &str = "[providers.near]\ndialect = \"openai\"\n\
    [providers.near.regions.us-east]\nbase_url = \"http://127.0.0.1:1/v1\"\n\
    [providers.near.regions.eu-west]\nbase_url = \"http://127.0.0.1:2/v1\"\n\
    [providers.spare]\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:3/v1\"\n\
    [models.chat]\nresidency = [\"us-east\", \"global\"]\ntargets = [\n\
    { provider = \"near\", model = \"gpt-4.1\" },\n{ provider = \"spare\", model = \"qwen3\", tier = 1 }]\n";

#[tokio::test]
async fn a_choice_is_explained_from_the_file_alone() {
    let path = file(TIERS).display().to_string();
    let told = run(&["explain", "chat", "--config", &path]).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert!(told.out.starts_with("chat: near/us-east/gpt-4.1\n"), "{}", told.out);
    for line in ["outside the residency", "next, when the tiers before have nobody", "tier 1, adaptive"] {
        assert!(told.out.contains(line), "{line} in {}", told.out);
    }
    let explained = json(&run(&["explain", "chat", "--config", &path, "--json"]).await);
    assert_eq!(
        (&explained["choice"]["tier"], &explained["choice"]["region"]),
        (&0.into(), &"us-east".into())
    );
    assert_eq!(explained["tiers"][1]["candidates"][0]["chosen"], true);

    let unknown = run(&["explain", "chta", "--config", &path]).await;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("`chta`") && unknown.err.contains("are: chat"), "{}", unknown.err);
    let nowhere = run(&["explain", "chat", "--config", &path, "--region", "mars"]).await;
    assert!(
        nowhere.err.contains("`mars`") && nowhere.err.contains("are: eu-west, global, us-east"),
        "{}",
        nowhere.err
    );
    assert_eq!(run(&["explain", "chat"]).await.code, Some(2));
    assert_eq!(run(&["explain", "chat", "--config", &path, "--admin", "x:1"]).await.code, Some(2));
}

/// **What an operator took out by name stays out**, and what was counted stays counted, whatever is added to the file: another model on the same
/// deployment, a deployment that was not there, a region that was gone for a while. Fails if a cordon means the deployments of the
/// moment in which it was said.
#[tokio::test]
async fn a_cordon_survives_a_reload() {
    let deck = Deck::new("").await;
    deck.gateway.ask("").await;
    let body = r#"{"provider":"holysheep","region":"us-east"}"#;
    assert_eq!(deck.gateway.operate("POST", "/cordon", body).await.status, 200);
    let status = async || deck.gateway.operate("GET", "/status", "").await.json();
    let in_us_east = async || {
        let status = status().await;
        let deployments = status["deployments"].as_array().unwrap().clone();
        let there = deployments.into_iter().filter(|status| status["region"] == "us-east");
        let facts = there.map(|status| {
            let model = status["model"].as_str().unwrap().to_owned();
            (model, status["cordoned"].as_bool().unwrap(), status["attempts"].as_u64().unwrap())
        });
        facts.collect::<Vec<_>>()
    };
    let before = ("gpt-4.1".to_owned(), true, 1);
    deck.replace(&deck.with("more"));
    deck.serves("more").await;
    assert_eq!(in_us_east().await, std::slice::from_ref(&before));
    assert_eq!(deck.gateway.ask("").await.header("x-outrigger-region"), Some("eu-west"));

    let nano = "targets = [{ provider = \"holysheep\", model = \"gpt-4.1-nano\" }]";
    deck.replace(&format!("{}[models.other]\n{nano}\n", deck.text));
    deck.serves("other").await;
    assert_eq!(in_us_east().await, [before, ("gpt-4.1-nano".to_owned(), true, 0)]);
    let question = question(false).replace("\"chat\"", "\"other\"");
    let reply = deck.gateway.post("/v1/chat/completions", "", &question).await;
    assert_eq!(reply.header("x-outrigger-region"), Some("eu-west"), "{}", reply.text());

    // One region less: its table is another's now.
    let (table, spare) = ("[providers.holysheep.regions.us-east]", "[providers.spare]\ndialect = \"openai\"");
    let without = deck.with("fewer").replace(table, spare).replace("preferred_region = \"us-east\"", "");
    deck.replace(&without);
    deck.serves("fewer").await;
    assert!(in_us_east().await.is_empty());
    assert_eq!(status().await["cordons"][0]["region"], "us-east", "it is told though nothing bears the name");
    let there = deck.gateway.operated(&["uncordon", "holysheep/us-east/gpt-4.1"]).await;
    assert_eq!(there.code, Some(1), "a word that was not said is not taken back: {}", there.out);
    deck.replace(&deck.with("again"));
    deck.serves("again").await;
    assert_eq!(in_us_east().await, [("gpt-4.1".to_owned(), true, 0)]);

    deck.replace(&without.replace("models.fewer", "models.fewest"));
    deck.serves("fewest").await;
    let back = deck.gateway.operated(&["uncordon", "holysheep/us-east"]).await;
    assert_eq!(back.out, "uncordoned holysheep/us-east, where nothing is configured now\n", "{}", back.err);
    deck.replace(&deck.with("back"));
    deck.serves("back").await;
    assert_eq!(in_us_east().await, [("gpt-4.1".to_owned(), false, 0)]);
}
