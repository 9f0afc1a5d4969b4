//! What is spent is kept: over a stop, over a kill at the worst moment, and never twice.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::Value;
use sim::{Fault, Server, When};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    keys::Made,
    support::{Gateway, Reply, file, find, outrigger, post, question, soon, two_regions},
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
async fn ask_and_kill(gateway: &mut Gateway, headers: &str, stream: bool) -> u64 {
    let body = match stream {
        true => question(true).replace("\"model\"", r#""stream_options":{"include_usage":true},"model""#),
        false => question(false),
    };
    // The connection stays open: its end would come after the last byte.
    let request = post(PATH, headers, &body).replace("connection: close\r\n", "");
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
        seen.1 += ask_and_kill(&mut gateway, "", round % 2 == 0).await;
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

/// **What a key has spent of its period is known after any end.** The process is killed as soon as its caller has the last byte, again
/// and again; the next one knows of every answer, and refuses whose budget that exceeds. Fails if the row of a key's period waits for
/// an orderly end, or is written apart from the booking it sums up.
#[tokio::test]
async fn a_kill_forgets_nothing_of_a_keys_budget() {
    let state = state();
    // No whole number of days, so that nothing but its own row knows what it has cost.
    let made = Made::new("team-a", "budget_usd = { amount = 50.0, every = \"87601h\" }").await;
    let more = kept_in(&state) + &made.entry;
    let (mut seen, mut before) = ((0, 0), 0.0);
    for round in 0..5 {
        let mut gateway = Gateway::start(&more).await;
        let spend = spend(&gateway).await;
        assert_eq!(sums(&spend), seen, "round {round}: {spend}");
        let days = spend["days"].as_array().unwrap();
        let booked: f64 = days.iter().map(|day| day["cost_usd"].as_f64().unwrap()).sum();
        let spent = spend["keys"][0]["budget"]["spent_usd"].as_f64().unwrap();
        // A period is counted in millionths, each booking rounded up.
        assert!(spent >= booked && spent <= booked + 1e-6 * f64::from(round), "{spent} of {booked}: {spend}");
        assert!(round == 0 || spent > before, "round {round}: {spend}");
        before = spent;
        seen.0 += 1;
        seen.1 += ask_and_kill(&mut gateway, &made.bearer(), round % 2 == 0).await;
    }
    let less = more.replace("amount = 50.0", &format!("amount = {before}"));
    let gateway = Gateway::start(&less).await;
    let reply = gateway.ask(&made.bearer()).await;
    assert_eq!((reply.status, reply.code().as_str()), (429, "budget_exceeded"), "{}", reply.text());
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
    let spend = gateway.operate("GET", "/spend", "").await.json();
    assert_eq!(spend["today"], spend["days"][0]["day"], "{spend}");
}

/// Asks for a stream that does not count, and hangs up once a few words are here.
async fn ask_and_hang_up(gateway: &Gateway, headers: &str) {
    let mut connection = TcpStream::connect(gateway.listen).await.unwrap();
    connection.write_all(post(PATH, headers, &question(true)).as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    soon(async {
        while seen.windows(11).filter(|window| *window == b"\"content\":\"").count() < 4 {
            assert!(connection.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
        }
    })
    .await;
}

/// Slow enough that a caller can hang up amid an answer.
fn slowly(gateway: &Gateway) {
    for region in ["us-east", "eu-west"] {
        let fault = Fault::SlowTokens { delay: Duration::from_millis(100) };
        gateway.world().inject(region, fault, When::always()).unwrap();
    }
}

/// What operators are told of spend, once so much is booked.
async fn spend_of(gateway: &Gateway, bookings: u64) -> Value {
    soon(async {
        loop {
            let spend = spend(gateway).await;
            if sums(&spend).0 >= bookings {
                return spend;
            }
        }
    })
    .await
}

/// **Whoever hangs up has it booked, once**: what it heard is estimated, and outlives a kill. Fails if a hang-up costs nothing, or
/// is booked at its end and at its attempt's.
#[tokio::test]
async fn a_hang_up_is_booked_and_outlives_a_kill() {
    let state = state();
    let mut gateway = Gateway::start(&kept_in(&state)).await;
    slowly(&gateway);
    ask_and_hang_up(&gateway, "").await;
    let before = spend_of(&gateway, 1).await;
    let day = &before["days"][0];
    assert_eq!(
        (&day["provider"], &day["model"], &day["bookings"]),
        (&"holysheep".into(), &"chat".into(), &1.into())
    );
    assert!(day["estimated_usd"].as_f64().unwrap() > 0.0, "{before}");
    assert_eq!(day["estimated_usd"], day["cost_usd"], "nobody counted any of it");
    assert!(day["input_tokens"].as_u64() > Some(0) && day["output_tokens"].as_u64() >= Some(4), "{before}");
    let metrics = gateway.metrics().await;
    let labels = "{provider=\"holysheep\",model=\"chat\"}";
    assert!(metrics.contains(&format!("outrigger_cost_estimated_usd_total{labels} ")), "{metrics}");
    let status = gateway.operate("GET", "/status", "").await.json();
    assert!(
        status["deployments"].as_array().unwrap().iter().any(|at| at["estimated_usd"].as_f64() > Some(0.0))
    );
    soon(async {
        while !gateway.log().contains("outcome=\"cancelled\"") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(gateway.log().contains("estimated_usd="), "{}", gateway.log());
    gateway.child.start_kill().unwrap();
    soon(gateway.child.wait()).await.unwrap();
    let again = Gateway::start(&kept_in(&state)).await;
    assert_eq!(spend(&again).await["days"], before["days"]);
}

/// **Hung-up streams eat a budget.** Fails if a key can have as many beginnings as it likes for nothing.
#[tokio::test]
async fn a_budget_is_eaten_by_streams_that_are_hung_up() {
    let made = Made::new("team-a", "budget_usd = { amount = 0.000001, every = \"3650d\" }").await;
    let gateway = Gateway::start(&(kept_in(&state()) + &made.entry)).await;
    slowly(&gateway);
    ask_and_hang_up(&gateway, &made.bearer()).await;
    let spend = spend_of(&gateway, 1).await;
    assert_eq!(spend["keys"][0]["key"], "team-a");
    assert_eq!(gateway.ask(&made.bearer()).await.code(), "budget_exceeded");
}

/// **What nobody counted is settled too.** A minute of tokens has room for what an uncounted answer is thought to have taken, and not
/// for the most that it might have. Fails if a stream without usage holds its whole reservation.
#[tokio::test]
async fn a_minutes_tokens_are_settled_by_the_estimate() {
    let made = Made::new("team-a", "tokens_per_minute = 1000").await;
    let gateway = Gateway::start(&made.entry).await;
    let body = question(true).replace("\"model\"", "\"max_tokens\":700,\"model\"");
    for round in 0..3 {
        let reply = gateway.post(PATH, &made.bearer(), &body).await;
        assert_eq!(reply.status, 200, "{round}: {}", reply.text());
    }
    // Some words of an answer each: far from nothing.
    let most = question(false).replace("\"model\"", "\"max_tokens\":975,\"model\"");
    assert_eq!(gateway.post(PATH, &made.bearer(), &most).await.code(), "rate_limit_exceeded");
}

/// **Each attempt is booked at its own place.** Attempts that a reset ended stand under their provider as an estimate, and the
/// answer that came elsewhere under its own, as counted. Fails if a call's whole cost is its last provider's.
#[tokio::test]
async fn an_attempt_that_broke_is_booked_under_its_own_provider() {
    let server = Server::start(two_regions()).await.unwrap();
    let provider = |name: &str, region: &str| {
        let url = server.base_url(region).unwrap();
        format!("[providers.{name}]\ndialect = \"openai\"\napi_key = \"sk-secret\"\nbase_url = \"{url}\"\n")
    };
    let text = kept_in(&state())
        + &provider("one", "us-east")
        + &provider("two", "eu-west")
        + "[models.chat]\ntargets = [{ provider = \"one\", model = \"gpt-4.1\" }, \
           { provider = \"two\", model = \"gpt-4.1\", tier = 1 }]\n";
    let gateway = Gateway::reading(outrigger(), server, &file(&text)).await;
    gateway.world().inject("us-east", Fault::Reset, When::always()).unwrap();
    assert_eq!(gateway.ask("").await.status, 200);
    let spend = spend(&gateway).await;
    let days = spend["days"].as_array().unwrap();
    let of =
        |name: &str| days.iter().find(|day| day["provider"] == name).unwrap_or_else(|| panic!("{spend}"));
    let (one, two) = (of("one"), of("two"));
    let asked = gateway.world().received("us-east").unwrap().len();
    assert_eq!((&one["bookings"], &two["bookings"], days.len()), (&asked.into(), &1.into(), 2));
    assert!(one["estimated_usd"].as_f64() > Some(0.0) && one["estimated_usd"] == one["cost_usd"], "{spend}");
    assert!(two["cost_usd"].as_f64() > Some(0.0) && two["estimated_usd"] == 0.0, "{spend}");
}
