//! What a key may use in a minute: requests and tokens, reserved before a call and settled after it.

use sim::{Fault, When};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    keys::Made,
    support::{Gateway, Reply, post, question, soon},
};

const PATH: &str = "/v1/chat/completions";

/// A question whose answer may take so many tokens.
fn of_tokens(most: u32, stream: bool) -> String {
    question(stream).replace("\"model\"", &format!("\"max_tokens\":{most},\"model\""))
}

/// That this is a refusal for a limit, with a wait that is known and short enough for an SDK.
fn assert_wait(reply: &Reply, of: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (429, "rate_limit_exceeded"), "{}", reply.text());
    assert_eq!(reply.json()["error"]["type"], "rate_limit_error");
    assert_eq!(reply.header("x-should-retry"), None, "an SDK waits as told");
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((30..=60).contains(&wait), "{wait}");
    assert!(reply.text().contains(of), "{}", reply.text());
}

#[tokio::test]
async fn a_key_at_its_requests_is_told_when_to_come_back_and_its_neighbour_is_not() {
    let made = Made::new("few", "requests_per_minute = 3").await;
    let other = Made::new("other", "requests_per_minute = 3").await;
    let gateway = Gateway::start(&(made.entry.clone() + &other.entry)).await;
    for _ in 0..3 {
        assert_eq!(gateway.ask(&made.bearer()).await.status, 200);
    }
    assert_wait(&gateway.ask(&made.bearer()).await, "`few` is at its 3 requests a minute");
    assert_eq!(gateway.ask(&other.bearer()).await.status, 200);
    let reply = gateway.post("/v1/messages", &made.bearer(), &question(false)).await;
    assert_eq!((reply.status, reply.json()["error"]["type"].as_str()), (429, Some("rate_limit_error")));
}

/// **A crowd gets what one alone would.** Fails if the check and the taking are two steps.
#[tokio::test]
async fn many_at_once_get_no_more_than_the_limit() {
    let made = Made::new("crowd", "requests_per_minute = 7").await;
    let gateway = Gateway::start(&made.entry).await;
    let bearer = made.bearer();
    let replies = futures_util::future::join_all((0..40).map(|_| gateway.ask(&bearer))).await;
    let passed = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(passed, 7);
    replies.iter().filter(|reply| reply.status != 200).for_each(|reply| assert_wait(reply, "7 requests"));
}

#[tokio::test]
async fn a_request_of_more_tokens_than_a_minute_has_is_told_so_and_not_to_come_back() {
    let made = Made::new("small", "tokens_per_minute = 1000").await;
    let gateway = Gateway::start(&made.entry).await;
    let reply = gateway.post(PATH, &made.bearer(), &of_tokens(1001, false)).await;
    assert_eq!((reply.status, reply.code().as_str()), (429, "rate_limit_exceeded"), "{}", reply.text());
    assert_eq!((reply.header("x-should-retry"), reply.header("retry-after")), (Some("false"), None));
    assert!(reply.text().contains("has 1000 a minute"), "{}", reply.text());
}

/// **Tokens are reserved before and settled after**: while a call is on its way what it may take is taken; once it has ended, what it
/// took. Fails if a reservation is not made, or outlives its call.
#[tokio::test]
async fn what_a_call_may_take_is_reserved_until_it_is_known_what_it_took() {
    let made = Made::new("small", "tokens_per_minute = 1000").await;
    let gateway = Gateway::start(&format!("[timeouts]\nanswer = \"5m\"\n{}", made.entry)).await;
    for region in ["us-east", "eu-west"] {
        gateway.world().inject(region, Fault::Silent, When::always()).unwrap();
    }
    let mut hanging = TcpStream::connect(gateway.listen).await.unwrap();
    let first = post(PATH, &made.bearer(), &of_tokens(700, false));
    hanging.write_all(first.as_bytes()).await.unwrap();
    let in_flight =
        || gateway.world().regions().iter().map(|r| gateway.world().in_flight(r).unwrap()).sum::<u32>();
    soon(async {
        while in_flight() == 0 {
            gateway.get("/v1/models").await;
        }
    })
    .await;
    gateway.world().clear_all();
    assert_wait(&gateway.post(PATH, &made.bearer(), &of_tokens(700, false)).await, "1000 tokens a minute");
    for stream in [false, true] {
        let small = gateway.post(PATH, &made.bearer(), &of_tokens(200, stream)).await;
        assert_eq!(
            small.status,
            200,
            "what is left may be taken, and is mostly given back: {}",
            small.text()
        );
    }
}

/// **A call that got nothing costs no tokens.** Fails if a failed call keeps its reservation.
#[tokio::test]
async fn what_a_failed_call_had_reserved_is_given_back() {
    let made = Made::new("small", "tokens_per_minute = 1000").await;
    let gateway = Gateway::start(&format!("[breaker]\nfailure_threshold = 99\n{}", made.entry)).await;
    for region in ["us-east", "eu-west"] {
        gateway.world().inject(region, Fault::status(500), When::always()).unwrap();
    }
    for _ in 0..3 {
        let reply = gateway.post(PATH, &made.bearer(), &of_tokens(900, false)).await;
        assert_eq!(reply.code(), "upstream_exhausted", "{}", reply.text());
    }
    gateway.world().clear_all();
    let unknown = of_tokens(900, false).replace("\"chat\"", "\"none\"");
    assert_eq!(gateway.post(PATH, &made.bearer(), &unknown).await.code(), "model_not_found");
    assert_eq!(gateway.post(PATH, &made.bearer(), &of_tokens(900, false)).await.status, 200);
}

#[tokio::test]
async fn a_call_is_held_to_the_price_that_its_caller_names() {
    let gateway = Gateway::start("").await;
    let ask = async |usd: &str| {
        let headers = format!("x-outrigger-max-cost: {usd}\r\n");
        gateway.post(PATH, &headers, &of_tokens(1000, false)).await
    };
    assert_eq!(ask("1.5").await.status, 200);
    let asked = gateway.world().count("us-east").unwrap() + gateway.world().count("eu-west").unwrap();
    let dear = ask("0.000001").await;
    assert_eq!((dear.status, dear.code().as_str()), (429, "budget_exceeded"), "{}", dear.text());
    assert_eq!((dear.header("x-should-retry"), dear.header("retry-after")), (Some("false"), None));
    for bad in ["0", "-1", "nan", "inf", "free", "1,5"] {
        let reply = ask(bad).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_header"), "{bad}");
        assert_eq!(reply.json()["error"]["param"], "x-outrigger-max-cost");
    }
    let after = gateway.world().count("us-east").unwrap() + gateway.world().count("eu-west").unwrap();
    assert_eq!(after, asked, "what is refused is sent nowhere");
}

/// **A key's budget is held for all attempts of a call.** Where there is plenty, a silent place is left for the next at once; near the end
/// of a budget nobody is asked beside it who could not be paid as well. Fails if a call holds what one attempt may cost, and makes four.
#[tokio::test]
async fn a_call_makes_only_the_attempts_that_its_key_can_pay() {
    let of = async |name: &str, usd: &str| {
        Made::new(name, &format!("budget_usd = {{ amount = {usd}, every = \"3650d\" }}")).await
    };
    let (rich, poor) = (of("rich", "50.0").await, of("poor", "0.001").await);
    let more = format!("[timeouts]\nanswer = \"300ms\"\n{}{}", rich.entry, poor.entry);
    let gateway = Gateway::start(&more).await;
    let held = Fault::Silent;
    gateway.world().inject("us-east", held, When::always()).unwrap();
    for (made, status, asked) in [(&poor, 504, 0), (&rich, 200, 1)] {
        let headers = format!("x-outrigger-timeout: 2\r\n{}", made.bearer());
        let reply = gateway.post(PATH, &headers, &of_tokens(1000, false)).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(gateway.world().count("eu-west").unwrap(), asked);
    }
}
