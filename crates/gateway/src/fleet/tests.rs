//! Replicas of one process, with an engine in memory between them.

use std::{collections::BTreeMap, sync::Mutex, time::UNIX_EPOCH};

use http::{HeaderMap, HeaderValue};
use outrigger::{Request, Route};
use sim::World;

use super::{memory::Memory, *};
use crate::{
    auth::{Key, pass::Pass},
    file::File,
    routes::error::ApiError,
};

const DAY: Duration = Duration::from_secs(86_400);

/// A ledger: millionths of a USD by key.
#[derive(Debug, Default)]
struct Books(Mutex<BTreeMap<String, u64>>);

impl Books {
    fn book(&self, key: &str, micro_usd: u64) {
        *self.0.lock().unwrap().entry(key.to_owned()).or_default() += micro_usd;
    }
}

impl Spent for Books {
    fn micro_usd(&self, key: &str, _: Duration, _: SystemTime) -> u64 {
        self.0.lock().unwrap().get(key).copied().unwrap_or(0)
    }
}

/// A replica of a gateway, as far as it shares.
struct Replica {
    fleet: Arc<Fleet>,
    ears: Ears,
    books: Arc<Books>,
    engine: Memory,
    now: Now,
}

impl Replica {
    fn new(engine: &Memory, name: &str, key: &str) -> Self {
        Self::before(&World::article(7), engine, name, key, "")
    }

    /// One that asks a simulated region, which it holds to these limits.
    fn before(world: &World, engine: &Memory, name: &str, key: &str, limits: &str) -> Self {
        let (hash, url) = (crate::auth::hash_of(b"or-1"), world.base_url("us-east").unwrap());
        let text = format!(
            "[providers.p]\ndialect = \"openai\"\nbase_url = \"{url}\"\nlimits = {{ {limits} }}\n[models.chat]\n\
             targets = [{{ provider = \"p\", model = \"m\", price = {{ input = 1000000.0, output = 0.0 }} }}]\n\
             [keys.a]\nhash = \"{hash}\"\n{key}\n"
        );
        let file = File::read(&text, "x.toml", &|_| None).unwrap();
        let books = Arc::new(Books::default());
        let identity = Identity { name: name.to_owned(), life: 1 };
        let fleet = Fleet::of(identity, None, Arc::clone(&books) as Arc<dyn Spent>);
        let keys = Arc::new(Keys::new(file.keys, Arc::clone(&fleet) as Arc<dyn Spent>));
        let client = Client::builder().config(file.config).transport(world.transport()).build().unwrap();
        let ears = Ears { keys, client };
        let now = (Instant::now(), UNIX_EPOCH + DAY * 20_000);
        Self { fleet, ears, books, engine: engine.clone(), now }
    }

    /// Time passes here and at the engine.
    fn wait(&mut self, time: Duration) {
        self.now = (self.now.0 + time, self.now.1 + time);
    }

    async fn exchange(&mut self) -> Result<Standing, String> {
        let mut port = self.engine.clone();
        let exchanged = self.fleet.exchange(&mut port, &self.ears, self.now).await;
        exchanged.map_err(|fault| fault.to_string())
    }

    fn key(&self) -> Arc<Key> {
        let headers: HeaderMap =
            [("x-api-key".parse().unwrap(), HeaderValue::from_static("or-1"))].into_iter().collect();
        self.ears.keys.find(&headers).ok().flatten().expect("it is in the file")
    }

    fn ask(&self) -> Result<Pass, ApiError> {
        let body = r#"{"model":"chat","max_tokens":1,"messages":[{"role":"user","content":"a"}]}"#;
        self.ears.keys.enter(&self.key(), &Request::chat(body).unwrap(), &self.ears.client, self.now)
    }

    /// As many calls as the region is asked for before its limit is reached, of so many at most.
    async fn call_often(&self, most: usize) -> usize {
        for number in 0..most {
            if self.ears.client.chat("chat").user("ahoy").send().await.is_err() {
                return number;
            }
        }
        most
    }

    /// As many calls as are let in, each settled as it was thought to be.
    fn ask_often(&self) -> usize {
        (0..100).map_while(|_| self.ask().ok().map(std::mem::forget)).count()
    }
}

/// **Requests of a minute are the fleet's**, once they are told; each is free again a minute after it was told. Fails if what was heard
/// is forgotten at the next exchange, or counts for ever.
#[tokio::test]
async fn a_limit_is_shared() {
    let engine = Memory::default();
    let key = "requests_per_minute = 5";
    let (mut a, mut b) = (Replica::new(&engine, "a", key), Replica::new(&engine, "b", key));
    for _ in 0..3 {
        std::mem::forget(a.ask().unwrap());
    }
    a.exchange().await.unwrap();
    assert_eq!(b.exchange().await, Ok(Standing { connected: true, replicas: 2 }));
    b.exchange().await.unwrap();
    assert_eq!(b.ask_often(), 2);
    a.exchange().await.unwrap();
    b.exchange().await.unwrap();
    a.exchange().await.unwrap();
    assert_eq!((a.ask_often(), b.ask_often()), (0, 0));
    // One falls silent, and what it used counts for the minute that it has to.
    for (waited, is_free) in [(30, false), (29, false), (3, true)] {
        b.wait(Duration::from_secs(waited));
        engine.wait(Duration::from_secs(waited));
        b.exchange().await.unwrap();
        assert_eq!(b.ask().is_ok(), is_free, "after {waited} s more");
    }
}

/// **A region's limit is the fleet's**, once it is told what was used of it; and what one used who falls silent counts for its minute. Fails if
/// it is not told, not heard, or heard by who has left the fleet.
#[tokio::test(start_paused = true)]
async fn a_limit_of_a_region_is_shared() {
    let (engine, world) = (Memory::default(), World::article(7));
    let limits = "requests_per_minute = 5, concurrent = 3";
    let replica = |name| Replica::before(&world, &engine, name, "", limits);
    let (mut a, mut b) = (replica("a"), replica("b"));
    assert_eq!(a.call_often(3).await, 3);
    a.exchange().await.unwrap();
    b.exchange().await.unwrap();
    assert_eq!(b.call_often(9).await, 2);
    b.exchange().await.unwrap();
    a.exchange().await.unwrap();
    assert_eq!((a.call_often(9).await, b.call_often(9).await), (0, 0));
    assert_eq!(world.count("us-east").unwrap(), 5);
    let seen = |replica: &Replica| {
        let status = replica.ears.client.deployments().remove(0);
        (status.requests_per_minute, status.requests_elsewhere)
    };
    assert_eq!((seen(&a), seen(&b)), ((3, 2), (2, 3)), "its own is its own");
    b.fleet.forget(&b.ears);
    assert_eq!(seen(&b), (2, 0));
    for (waited, free) in [(40, 0), (30, 5)] {
        tokio::time::advance(Duration::from_secs(waited)).await;
        engine.wait(Duration::from_secs(waited));
        b.wait(Duration::from_secs(waited));
        b.exchange().await.unwrap();
        assert_eq!(b.call_often(9).await, free, "after {waited} s more");
    }
}

/// **A budget is the fleet's.** What one spends, the other has not; what is held there is held here; and it is told once, however often.
#[tokio::test]
async fn a_budget_is_shared() {
    let engine = Memory::default();
    let key = "budget_usd = { amount = 100.0, every = \"1d\" }";
    let (mut a, mut b) = (Replica::new(&engine, "a", key), Replica::new(&engine, "b", key));
    a.books.book("a", 60_000_000);
    for _ in 0..3 {
        a.exchange().await.unwrap();
        b.exchange().await.unwrap();
    }
    let spent = |replica: &Replica| replica.fleet.micro_usd("a", DAY, replica.now.1);
    assert_eq!((spent(&a), spent(&b)), (60_000_000, 60_000_000));
    let held = a.ask().unwrap();
    b.books.book("a", 39_999_999);
    a.exchange().await.unwrap();
    b.exchange().await.unwrap();
    let refused = b.ask().unwrap_err();
    assert!(format!("{refused:?}").contains("on their way"), "{refused:?}");
    drop(held);
    a.exchange().await.unwrap();
    b.exchange().await.unwrap();
    assert!(b.ask().is_ok(), "a millionth is left, and nothing is on its way");
    a.books.book("a", 1);
    a.exchange().await.unwrap();
    b.exchange().await.unwrap();
    let refused = b.ask().unwrap_err();
    assert!(format!("{refused:?}").contains("has spent"), "{refused:?}");
    assert_eq!(spent(&b), 100_000_000);
}

/// **A replica that is gone for good has spent what it has spent**, and one that starts again under its name has not spent it twice.
#[tokio::test]
async fn spend_outlives_who_spent_it() {
    let engine = Memory::default();
    let key = "budget_usd = { amount = 100.0, every = \"1d\" }";
    let mut a = Replica::new(&engine, "a", key);
    a.books.book("a", 30);
    a.exchange().await.unwrap();
    drop(a);
    engine.wait(SILENCE);
    let mut b = Replica::new(&engine, "b", key);
    b.exchange().await.unwrap();
    let spent = |replica: &Replica| replica.fleet.micro_usd("a", DAY, replica.now.1);
    assert_eq!(spent(&b), 30);
    let mut again = Replica::new(&engine, "a", key);
    again.books.book("a", 30);
    again.exchange().await.unwrap();
    b.exchange().await.unwrap();
    assert_eq!((spent(&again), spent(&b)), (30, 30));
}

/// **An engine that is gone takes nothing away and lets nobody wait**; one that comes back empty knows it all after one letter of each.
#[tokio::test]
async fn a_replica_goes_on_alone_and_an_engine_that_forgot_is_told_again() {
    let engine = Memory::default();
    let key = "requests_per_minute = 50\nbudget_usd = { amount = 100.0, every = \"1d\" }";
    let (mut a, mut b) = (Replica::new(&engine, "a", key), Replica::new(&engine, "b", key));
    a.books.book("a", 30);
    a.exchange().await.unwrap();
    b.exchange().await.unwrap();
    engine.is_gone(true);
    assert_eq!(b.exchange().await, Err("it is gone".to_owned()));
    assert!(b.ask().is_ok());
    let spent = |replica: &Replica| replica.fleet.micro_usd("a", DAY, replica.now.1);
    assert_eq!(spent(&b), 30, "what was known is known");
    engine.is_gone(false);
    engine.forget();
    b.books.book("a", 5);
    b.exchange().await.unwrap();
    a.exchange().await.unwrap();
    b.exchange().await.unwrap();
    assert_eq!((spent(&a), spent(&b)), (35, 35));
    let mut new = Replica::new(&engine, "c", key);
    new.exchange().await.unwrap();
    assert_eq!(spent(&new), 35, "and who is new hears it");
}

/// **Nonsense in the place of a letter is no letter**, and spoils nobody else's.
#[tokio::test]
async fn nonsense_is_passed_over() {
    let engine = Memory::default();
    let key = "requests_per_minute = 5";
    let (mut a, mut b) = (Replica::new(&engine, "a", key), Replica::new(&engine, "b", key));
    for (name, text) in [("x", "PONG"), ("y", "{\"keys\":7}"), ("z", "{\"keys\":{\"a\":{\"held\":-1}}}")] {
        engine.put(name, text);
    }
    std::mem::forget(a.ask().unwrap());
    a.exchange().await.unwrap();
    b.exchange().await.unwrap();
    assert_eq!(b.ask_often(), 4);
}

/// **A wait that a provider named to one is kept by all**, and is not told on by who only heard of it. Fails if hearsay goes round.
#[tokio::test]
async fn a_cooldown_is_shared_and_not_told_on() {
    let engine = Memory::default();
    let replica = |name| Replica::new(&engine, name, "");
    let (mut a, mut b, mut c) = (replica("a"), replica("b"), replica("c"));
    let cooldown = |replica: &Replica| replica.ears.client.deployments()[0].cooldown_ms;
    let place = Route::new("p", "global", "m");
    a.fleet.board().newsroom.cool_down(&place, a.now.0 + Duration::from_secs(30));
    a.exchange().await.unwrap();
    b.exchange().await.unwrap();
    assert!((25_000..=30_000).contains(&cooldown(&b)), "{}", cooldown(&b));
    engine.forget();
    b.exchange().await.unwrap();
    c.exchange().await.unwrap();
    assert_eq!(cooldown(&c), 0, "who heard of it does not say it");
}

#[test]
fn settings_that_are_the_same_are_no_news() {
    let url = |url: &str| Some(FleetSettings { redis: url.into() });
    let fleet = Fleet::of(Identity::kept_in(None), url("redis://a"), Arc::new(Books::default()));
    let changes = fleet.settings.subscribe();
    fleet.swap(url("redis://a"));
    assert!(!changes.has_changed().unwrap());
    fleet.swap(url("redis://b"));
    assert!(changes.has_changed().unwrap());
    assert!(!format!("{fleet:?} {:?}", url("redis://:hunter2@a")).contains("hunter2"));
    assert_eq!(fleet.standing(), Some(Standing::default()));
    fleet.swap(None);
    assert_eq!(fleet.standing(), None);
}
