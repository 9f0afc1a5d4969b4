//! What is spent is kept: over a stop, over a kill at the worst moment, and never twice.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    keys::Made,
    support::{Gateway, Reply, file, find, outrigger, post, question, soon},
};

const PATH: &str = "/v1/chat/completions";

/// A place for state of this test alone.
fn state() -> PathBuf {
    let path = file("").with_extension("state");
    if path.exists() {
        std::fs::remove_dir_all(&path).unwrap();
    }
    path
}

/// The table that keeps state there.
fn kept_in(state: &Path) -> String {
    format!("[server]\nstate_dir = {state:?}\n")
}

/// What operators are told of spend.
async fn spend(gateway: &Gateway) -> Value {
    let reply = gateway.operate("GET", "/spend", "").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let spend = reply.json();
    assert_eq!((&spend["kept"], &spend["failed_writes"]), (&"disk".into(), &0.into()));
    spend
}

/// Bookings, and the tokens they were for.
fn sums(spend: &Value) -> (u64, u64) {
    let days = spend["days"].as_array().unwrap();
    let sum = |field: &str| days.iter().map(|day| day[field].as_u64().unwrap()).sum::<u64>();
    (sum("bookings"), sum("input_tokens") + sum("output_tokens"))
}

/// The tokens that an answer says it took.
fn tokens(answer: &Value) -> u64 {
    answer["usage"]["total_tokens"].as_u64().expect("an answer says what it took")
}

/// Asks, and kills the gateway as soon as the last byte is here.
async fn ask_and_kill(gateway: &mut Gateway, stream: bool) -> u64 {
    let body = match stream {
        true => question(true).replace("\"model\"", r#""stream_options":{"include_usage":true},"model""#),
        false => question(false),
    };
    // The connection stays open: its end would come after the last byte.
    let request = post(PATH, "", &body).replace("connection: close\r\n", "");
    let mut connection = TcpStream::connect(gateway.listen).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    let is_whole = |seen: &[u8]| match stream {
        true => find(seen, b"data: [DONE]\n\n").is_some(),
        false => find(seen, b"\r\n\r\n").is_some() && Reply::of(seen).whole,
    };
    soon(async {
        while !is_whole(&seen) {
            assert!(connection.read_buf(&mut seen).await.unwrap() > 0);
        }
    })
    .await;
    gateway.child.start_kill().unwrap();
    soon(gateway.child.wait()).await.unwrap();
    if !stream {
        return tokens(&Reply::of(&seen).json());
    }
    let text = String::from_utf8(seen).unwrap();
    let frames = text.lines().filter_map(|line| line.strip_prefix("data: {"));
    let mut usage = frames.map(|frame| serde_json::from_str::<Value>(&format!("{{{frame}")).unwrap());
    tokens(&usage.rfind(|frame| !frame["usage"].is_null()).expect("usage was asked for"))
}

/// **Whoever has the last byte has it booked**, though the process dies that instant. Fails if the booking waits for anything.
#[tokio::test]
async fn a_kill_right_after_the_last_byte_loses_no_booking() {
    let state = state();
    let mut seen = (0, 0);
    for round in 0..8 {
        let mut gateway = Gateway::start(&kept_in(&state)).await;
        let spend = spend(&gateway).await;
        assert_eq!(sums(&spend), seen, "round {round}: {spend}");
        seen.0 += 1;
        seen.1 += ask_and_kill(&mut gateway, round % 2 == 0).await;
    }
    let gateway = Gateway::start(&kept_in(&state)).await;
    let spend = spend(&gateway).await;
    assert_eq!(sums(&spend), seen, "{spend}");
    assert_eq!(spend["keys"][0]["key"], "_open", "callers without a key have a name of their own");
    assert!(spend["keys"][0]["total_usd"].as_f64().unwrap() > 0.0, "{spend}");
}

/// **A kill under load loses no answer that was read, and counts none twice**, again and again on the same state.
#[tokio::test]
async fn a_kill_while_many_spend_loses_no_answer_and_counts_none_twice() {
    let state = state();
    let (asked, answered, took) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    for round in 1..=3 {
        let mut gateway = Gateway::start(&kept_in(&state)).await;
        let listen = gateway.listen;
        let caller = async || {
            loop {
                let Ok(mut connection) = TcpStream::connect(listen).await else { return };
                asked.fetch_add(1, Ordering::Relaxed);
                let mut bytes = Vec::new();
                let request = post(PATH, "", &question(false));
                if connection.write_all(request.as_bytes()).await.is_err()
                    || connection.read_to_end(&mut bytes).await.is_err()
                    || find(&bytes, b"\r\n\r\n").is_none()
                {
                    return;
                }
                let reply = Reply::of(&bytes);
                if !reply.whole {
                    return;
                }
                assert_eq!(reply.status, 200, "{}", reply.text());
                took.fetch_add(tokens(&reply.json()), Ordering::Relaxed);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        };
        let enough = async {
            while answered.load(Ordering::Relaxed) < round * 100 {
                tokio::task::yield_now().await;
            }
            gateway.child.start_kill().unwrap();
        };
        let crowd = futures_util::future::join_all((0..16).map(|_| caller()));
        soon(async { tokio::join!(crowd, enough) }).await;
        soon(gateway.child.wait()).await.unwrap();
    }
    let gateway = Gateway::start(&kept_in(&state)).await;
    let spend = spend(&gateway).await;
    let (bookings, booked) = sums(&spend);
    let (asked, answered) = (asked.into_inner(), answered.into_inner());
    assert!((answered..=asked).contains(&bookings), "{answered} answered, {asked} asked: {spend}");
    assert!(booked >= took.into_inner(), "{spend}");
}

#[tokio::test]
async fn a_budget_that_is_spent_stays_spent_over_a_restart() {
    let state = state();
    let made = Made::new("team-a", "budget_usd = { amount = 0.000001, every = \"3650d\" }").await;
    let more = kept_in(&state) + &made.entry;
    let mut gateway = Gateway::start(&more).await;
    assert_eq!(gateway.ask(&made.bearer()).await.status, 200);
    assert_eq!(gateway.ask(&made.bearer()).await.code(), "budget_exceeded");
    gateway.terminate();
    assert!(soon(gateway.child.wait()).await.unwrap().success());
    let again = Gateway::start(&more).await;
    assert_eq!(again.ask(&made.bearer()).await.code(), "budget_exceeded");
    assert_eq!(spend(&again).await["keys"][0]["key"], "team-a");
}

/// Tries to serve with a state of this place.
async fn refused(state: &Path) -> String {
    let text = kept_in(state)
        + "[providers.a]\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:9/v1\"\n\
           [models.chat]\ntargets = [{ provider = \"a\", model = \"gpt-4.1\" }]\n";
    let mut program = outrigger();
    program.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"]).arg(file(&text));
    let Output { status, stderr, .. } =
        soon(program.stdin(Stdio::null()).kill_on_drop(true).output()).await.unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("server.state_dir"), "{said}");
    said
}

#[tokio::test]
async fn a_state_that_another_gateway_has_or_that_is_no_folder_is_refused_at_the_start() {
    let state = state();
    let gateway = Gateway::start(&kept_in(&state)).await;
    let said = refused(&state).await;
    assert!(said.contains("another process has it; give each gateway a state_dir of its own"), "{said}");
    assert_eq!(gateway.ask("").await.status, 200, "the first one goes on");
    let said = refused(&file("not a folder")).await;
    assert!(said.contains("make it a folder that this program may write to"), "{said}");
}

/// **What is left is told before anything is gone.** Each key of the file with its budget and what it has spent of it. Fails if a key that
/// has spent nothing is left out, or a budget is another key's.
#[tokio::test]
async fn the_account_tells_each_key_and_its_budget() {
    let rich = Made::new("team-a", "budget_usd = { amount = 50.0, every = \"7d\" }").await;
    let free = Made::new("team-b", "").await;
    let gateway = Gateway::start(&format!("{}{}", rich.entry, free.entry)).await;
    let keys = async || {
        let spend = gateway.operate("GET", "/spend", "").await.json();
        let keys = spend["keys"].as_array().unwrap().clone();
        assert_eq!([&keys[0]["key"], &keys[1]["key"]], ["team-a", "team-b"], "{spend}");
        assert_eq!((keys.len(), &keys[1]["budget"]), (2, &Value::Null), "{spend}");
        keys
    };
    let before = keys().await[0]["budget"].clone();
    assert_eq!(
        (&before["amount_usd"], &before["every"], &before["spent_usd"]),
        (&50.0.into(), &"7days".into(), &0.0.into())
    );
    assert!((1..=7 * 86_400).contains(&before["ends_in_s"].as_u64().unwrap()), "{before}");
    for made in [&rich, &free, &free] {
        assert_eq!(gateway.ask(&made.bearer()).await.status, 200);
    }
    let after = keys().await;
    let number = |value: &Value| value.as_f64().unwrap();
    let (spent, today) = (number(&after[0]["budget"]["spent_usd"]), number(&after[0]["today_usd"]));
    assert!(spent > 0.0 && (spent - today).abs() <= 1e-6, "{after:?}");
    assert!(number(&after[1]["today_usd"]) > today, "{after:?}");
}
