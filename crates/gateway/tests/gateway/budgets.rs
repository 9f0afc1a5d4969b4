//! What a key may spend: of a period, and never by a crowd more than one call beyond it.

use sim::{Fault, When};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    keys::Made,
    support::{Gateway, Reply, find, post, question, soon},
};

const PATH: &str = "/v1/chat/completions";

/// A key that may spend so much in the years to come.
async fn spender(amount: f64) -> Made {
    Made::new("team-a", &format!("budget_usd = {{ amount = {amount}, every = \"3650d\" }}")).await
}

/// A question whose answer may take so many tokens.
fn of_tokens(most: u32) -> String {
    question(false).replace("\"model\"", &format!("\"max_tokens\":{most},\"model\""))
}

fn assert_spent(reply: &Reply) {
    assert_eq!((reply.status, reply.code().as_str()), (429, "budget_exceeded"), "{}", reply.text());
    assert_eq!((reply.header("x-should-retry"), reply.header("retry-after")), (Some("false"), Some("60")));
    assert!(reply.text().contains("has spent its") && reply.text().contains("again in"), "{}", reply.text());
}

async fn in_flight(gateway: &Gateway, calls: u32) {
    let world = gateway.world();
    let count = || world.regions().iter().map(|region| world.in_flight(region).unwrap()).sum::<u32>();
    soon(async {
        while count() != calls {
            gateway.get("/v1/models").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_that_has_spent_its_budget_is_told_when_it_has_it_again() {
    let (made, other) = (spender(0.000_001).await, Made::new("other", "").await);
    let gateway = Gateway::start(&(made.entry.clone() + &other.entry)).await;
    assert_eq!(gateway.ask(&made.bearer()).await.status, 200, "the last call may overshoot");
    assert_spent(&gateway.ask(&made.bearer()).await);
    assert_eq!(gateway.ask(&other.bearer()).await.status, 200);
}

/// **A crowd does not overshoot by a crowd.** What calls on their way may cost is held. Fails if only what is booked counts.
#[tokio::test]
async fn what_calls_on_their_way_may_cost_is_held() {
    // A call may cost 0.08 USD and more: 10,000 tokens at 8 USD a million.
    let made = spender(0.2).await;
    let gateway = Gateway::start(&format!("[timeouts]\nanswer = \"5m\"\n{}", made.entry)).await;
    for region in ["us-east", "eu-west"] {
        gateway.world().inject(region, Fault::Silent, When::always()).unwrap();
    }
    let request = post(PATH, &made.bearer(), &of_tokens(10_000));
    let mut crowd = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        crowd.push(stream);
    }
    in_flight(&gateway, 3).await;
    for _ in 0..20 {
        let reply = gateway.ask(&made.bearer()).await;
        assert_eq!((reply.status, reply.code().as_str()), (429, "budget_exceeded"), "{}", reply.text());
        assert_eq!(reply.header("x-should-retry"), None, "it may fit when those are done");
        assert!(reply.text().contains("on their way"), "{}", reply.text());
    }
    gateway.world().clear_all();
    drop(crowd);
    // Who hangs up holds nothing, as soon as that is heard.
    soon(async { while gateway.ask(&made.bearer()).await.status != 200 {} }).await;
}

/// **A stream holds until it ends, and no longer**: to its last byte, or to its caller's hang-up.
#[tokio::test]
async fn a_stream_holds_what_it_may_cost_until_its_end() {
    // One call may cost 0.08 USD and more: then nothing is left for a second.
    let made = spender(0.08).await;
    let gateway = Gateway::start(&made.entry).await;
    for region in ["us-east", "eu-west"] {
        gateway.world().inject(region, Fault::Stall { after: 2 }, When::always()).unwrap();
    }
    let streamed = of_tokens(10_000).replace("\"stream\":false", "\"stream\":true");
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(post(PATH, &made.bearer(), &streamed).as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    soon(async {
        while find(&seen, b"data: ").is_none() {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
        }
    })
    .await;
    assert_eq!(gateway.ask(&made.bearer()).await.code(), "budget_exceeded");
    drop(stream);
    gateway.world().clear_all();
    soon(async { while gateway.ask(&made.bearer()).await.status != 200 {} }).await;
    let reply = gateway.post(PATH, &made.bearer(), &streamed).await;
    assert_eq!((reply.status, reply.whole), (200, true), "{}", reply.text());
    assert_eq!(gateway.ask(&made.bearer()).await.status, 200);
}
