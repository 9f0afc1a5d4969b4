//! Callers' keys change while callers ask: nobody whose key stays notices, and whose key is gone has no other way in.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use crate::{
    keys::Made,
    reload::{Deck, callers},
    support::{Reply, post, question, soon},
};

/// **Callers' keys change with it.** One that is added opens, one that is taken out does not, and one that stays never fails.
#[tokio::test]
async fn callers_keys_change_with_the_file() {
    let (old, new, stays) =
        (Made::new("old", "").await, Made::new("new", "").await, Made::new("stays", "").await);
    let deck = Deck::new(&format!("{}{}", old.entry, stays.entry)).await;
    assert_eq!(deck.gateway.ask(&old.bearer()).await.status, 200);
    assert_eq!(deck.gateway.ask(&new.bearer()).await.status, 401);
    let text = deck.text.replace(&old.entry, &new.entry);
    deck.replace(&text);
    soon(async {
        while deck.gateway.ask(&new.bearer()).await.status != 200 {
            assert_eq!(deck.gateway.ask(&stays.bearer()).await.status, 200);
        }
    })
    .await;
    assert_eq!(deck.gateway.ask(&old.bearer()).await.status, 401);
    assert_eq!(deck.gateway.ask(&stays.bearer()).await.status, 200);
}

/// **Rotation costs no caller a request.** While callers ask without a pause, one key gives way to another and back, again and again: whose
/// key stays is served throughout, and at every turn the key that is in opens and the one that is out does not. Fails if a reload
/// turns away whose key stays, or leaves the keys of the file before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_rotated_while_callers_ask_without_a_pause() {
    let (one, other, stays) =
        (Made::new("one", "").await, Made::new("other", "").await, Made::new("stays", "").await);
    let deck = Deck::new(&format!("{}{}", one.entry, stays.entry)).await;
    let until = Arc::new(AtomicBool::new(false));
    let (served, asking) = callers(&deck, &stays.bearer(), &until);
    let (mut in_, mut out) = (&one, &other);
    for turn in 0..30 {
        let before = served.load(Ordering::Relaxed);
        assert_eq!(deck.gateway.ask(&in_.bearer()).await.status, 200, "turn {turn}");
        assert_eq!(deck.gateway.ask(&out.bearer()).await.status, 401, "turn {turn}");
        (in_, out) = (out, in_);
        deck.replace(&deck.text.replace(&one.entry, &in_.entry));
        assert_eq!(deck.gateway.operate("POST", "/reload", "").await.status, 200);
        soon(async {
            while served.load(Ordering::Relaxed) < before + 4 && !asking.iter().any(JoinHandle::is_finished) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    until.store(true, Ordering::Relaxed);
    for caller in asking {
        soon(caller).await.unwrap().unwrap();
    }
}

/// A request whose head is here and known, and the body that it still has to send.
async fn half_sent(deck: &Deck, headers: &str, body: &str) -> (TcpStream, String) {
    let request = post("/v1/chat/completions", headers, body);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut connection = TcpStream::connect(deck.gateway.listen).await.unwrap();
    // Whoever is told to go on is known.
    let head = format!("{head}\r\nexpect: 100-continue\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut told = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    soon(connection.read_exact(&mut told)).await.unwrap();
    assert!(told.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&told));
    (connection, body.to_owned())
}

/// Sends the rest, and reads what comes of it.
async fn rest_of((mut connection, body): (TcpStream, String)) -> Reply {
    connection.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon(connection.read_to_end(&mut answer)).await.unwrap();
    Reply::of(&answer)
}

/// Reads the file that there is now.
async fn reload(deck: &Deck, text: &str) {
    deck.replace(text);
    assert_eq!(deck.gateway.operate("POST", "/reload", "").await.status, 200);
}

/// Attempts, wherever.
fn asked(deck: &Deck) -> u64 {
    ["us-east", "eu-west"].map(|region| deck.gateway.world().count(region).unwrap()).into_iter().sum()
}

/// **A request goes by the file that holds when it is here.** Its key was known before its body came, and has fewer models now, is
/// gone, or has another secret. Fails if what a key may ask is looked up in the file that its head came under: then a model that is new
/// is open to a key that was never to have it; or if it is looked up by its name alone: then a secret that was replaced still opens.
#[tokio::test]
async fn a_request_that_comes_in_slowly_goes_by_the_keys_of_now() {
    let (narrowed, gone) = (Made::new("narrowed", "").await, Made::new("gone", "").await);
    let (leaked, fresh) = (Made::new("rotated", "").await, Made::new("rotated", "").await);
    let deck = Deck::new(&format!("{}{}{}", narrowed.entry, gone.entry, leaked.entry)).await;
    let body = question(false).replace("\"chat\"", "\"secret\"");
    let mut waiting = Vec::new();
    for made in [&narrowed, &gone, &leaked] {
        waiting.push(half_sent(&deck, &made.bearer(), &body).await);
    }
    let fewer = format!("{}models = [\"chat\"]\n", narrowed.entry);
    let text = deck.with("secret").replace(&narrowed.entry, &fewer).replace(&gone.entry, "");
    reload(&deck, &text.replace(&leaked.entry, &fresh.entry)).await;
    for (half, status) in waiting.into_iter().zip([403, 401, 401]) {
        let reply = rest_of(half).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    assert_eq!(asked(&deck), 0);
}

/// **Keys hold for what was on its way when they came.** Fails if a request that began while everyone might come in needs no key.
#[tokio::test]
async fn a_request_that_began_before_there_were_keys_needs_one() {
    let made = Made::new("first", "").await;
    let deck = Deck::new("").await;
    let stranger = half_sent(&deck, "", &question(false)).await;
    let known = half_sent(&deck, &made.bearer(), &question(false)).await;
    reload(&deck, &format!("{}{}", deck.text, made.entry)).await;
    assert_eq!(rest_of(stranger).await.status, 401);
    assert_eq!(asked(&deck), 0);
    assert_eq!(rest_of(known).await.status, 200);
}

/// **A file that is torn before its keys opens nothing.** Fails if keys that are gone are taken for a wish; who wishes it says so.
#[tokio::test]
async fn a_file_torn_before_its_keys_opens_nothing() {
    let made = Made::new("any", "").await;
    let mut deck = Deck::new(&made.entry).await;
    let open = deck.text.replacen(&made.entry, "", 1);
    deck.text = format!("{open}{}", made.entry);
    deck.replace(&deck.text);
    let torn = deck.text[..deck.text.find("[keys").unwrap()].to_owned();
    for text in [torn, format!("{open}[keys]\n")] {
        deck.replace(&text);
        let refused = deck.gateway.operate("POST", "/reload", "").await;
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(
            refused.text().contains("there were keys") && refused.text().contains("allow_open"),
            "{}",
            refused.text()
        );
        assert_eq!(deck.gateway.get("/v1/models").await.status, 401);
        assert_eq!(deck.gateway.ask(&made.bearer()).await.status, 200);
    }
    deck.replace(&format!("[server]\nallow_open = true\n{open}"));
    assert_eq!(deck.gateway.operate("POST", "/reload", "").await.status, 200);
    assert_eq!(deck.gateway.get("/v1/models").await.status, 200);
}

/// **What is refused is refused once**, also where it can be read and cannot be gone by. Fails if each touch of it is another error.
#[tokio::test]
async fn a_touch_of_what_was_refused_is_no_refusal() {
    let made = Made::new("any", "").await;
    let deck = Deck::new(&made.entry).await;
    let open = deck.text.replacen(&made.entry, "", 1);
    let touched = || deck.gateway.log().matches("was touched").count();
    deck.replace(&open);
    soon(async { while deck.reloads("error").await == 0 {} }).await;
    for _ in 0..2 {
        let before = touched();
        deck.replace(&open);
        soon(async { while touched() == before && deck.reloads("error").await == 1 {} }).await;
        assert_eq!((deck.reloads("ok").await, deck.reloads("error").await), (0, 1));
    }
    assert_eq!(deck.gateway.operate("POST", "/reload", "").await.status, 422, "who asks is answered");
}
