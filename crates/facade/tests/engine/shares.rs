//! Limits per minute that several clients share: what others used counts here, and nothing is told but what was used here.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use outrigger::{
    Config, Route,
    config::{Model, Provider, Target},
    engine::{DeploymentStatus, Engine, Plan},
    registry::{Refusal, Used, Verdict},
};

/// A model of two regions, of which the first allows so many requests a minute; nothing where it has no limit.
fn config(requests_per_minute: u32, weight: f64) -> Config {
    let mut provider = Provider::openai();
    for region in ["us-east", "eu-west"] {
        provider = provider.region(region, &format!("http://{region}.sim.invalid/v1")).unwrap();
    }
    provider.regions[0].1.limits.requests_per_minute = NonZeroU32::new(requests_per_minute);
    let chat = Model::new([Target::new("p", "gpt-4.1").weight(weight)]);
    let config = Config::new().provider("p", provider).model("chat", chat);
    config.check().unwrap();
    config
}

fn route(region: &str) -> Route {
    Route::new("p", region, "gpt-4.1")
}

fn used(secs: u64, requests: u64) -> Used {
    Used::new(Duration::from_secs(secs), requests, 0)
}

struct Sharer {
    engine: Engine,
    now: Instant,
}

impl Sharer {
    fn new(requests_per_minute: u32) -> Self {
        let (now, plan) = (Instant::now(), Plan::new(&config(requests_per_minute, 1.0)));
        Self { engine: Engine::new(Arc::new(plan), (now, SystemTime::UNIX_EPOCH)).unwrap(), now }
    }

    /// An attempt at each region.
    fn attempt_at_each(&mut self) {
        for region in ["us-east", "eu-west"] {
            let number = self.engine.plan().deployment("p", region, "gpt-4.1").unwrap();
            let recorded = self.engine.recorded_start(number, false, self.now, &mut Vec::new()).unwrap();
            self.engine.recorded_end(recorded, None, self.now, 0, &mut Vec::new());
        }
    }

    fn hear(&mut self, parts: &[(Route, Vec<Used>)]) {
        let heard: BTreeMap<_, _> = parts.iter().cloned().collect();
        self.engine.used_elsewhere(&heard, self.now);
    }

    fn reload(&mut self, requests_per_minute: u32) {
        self.engine.reload(&config(requests_per_minute, 2.0), None, self.now, &mut Vec::new()).unwrap();
    }

    /// Why the limited region would not be asked, and the state of both.
    fn look(&self) -> (Option<Refusal>, Vec<DeploymentStatus>) {
        let ask = self.engine.plan().ask("chat", None).unwrap();
        let tier = self.engine.explain(&ask, 0, self.now).remove(0);
        let refusal = match tier.rows[0].verdict {
            Verdict::Refused(refusal) => Some(refusal),
            _ => None,
        };
        (refusal, self.engine.deployments(self.now))
    }
}

/// **What one used the other has not.** Fails if a region without a limit is told of, or what was heard is told on.
#[test]
fn what_others_used_of_a_limit_is_gone_here_too() {
    let (mut one, mut other) = (Sharer::new(3), Sharer::new(3));
    one.attempt_at_each();
    one.attempt_at_each();
    let told = one.engine.used(one.now);
    assert_eq!(told, BTreeMap::from([(route("us-east"), vec![used(60, 2)])]));
    other.hear(&told.into_iter().collect::<Vec<_>>());
    assert_eq!(other.look().0, None, "one is left");
    assert_eq!(other.engine.used(other.now), BTreeMap::new(), "nothing was used here");
    other.attempt_at_each();
    let (refusal, statuses) = other.look();
    assert_eq!(refusal, Some(Refusal::SharedQuota { until: other.now + Duration::from_secs(60) }));
    let counts =
        [0, 1].map(|place| (statuses[place].requests_per_minute, statuses[place].requests_elsewhere));
    assert_eq!(counts, [(1, 2), (1, 0)], "its own is its own");
}

/// **What is heard is all that there is**, and is about places that are known and limited here. Fails if one that is not named any more
/// keeps what was said of it.
#[test]
fn what_is_heard_is_all_that_there_is() {
    let mut sharer = Sharer::new(3);
    let elsewhere =
        |sharer: &Sharer| sharer.look().1.iter().map(|status| status.requests_elsewhere).sum::<u64>();
    sharer.hear(&[(route("us-east"), vec![used(60, 2), used(20, 5)]), (route("eu-west"), vec![used(60, 9)])]);
    assert_eq!(elsewhere(&sharer), 7, "the other one has no limit");
    sharer.hear(&[(route("us-east"), vec![used(60, 2)]), (route("nowhere"), vec![used(60, 9)])]);
    assert_eq!(elsewhere(&sharer), 2);
    sharer.hear(&[(route("nowhere"), vec![used(60, 9)])]);
    assert_eq!(elsewhere(&sharer), 0);
}

/// **A reload forgets nothing of what stays**, and a limit that is new holds at once what was used before it. Fails if others' use is lost
/// until they tell it again.
#[test]
fn what_others_used_lives_through_a_reload() {
    let mut sharer = Sharer::new(5);
    sharer.hear(&[(route("us-east"), vec![used(30, 4)])]);
    sharer.attempt_at_each();
    sharer.reload(6);
    assert_eq!(sharer.look().0, None, "one of six is left");
    sharer.reload(5);
    assert_eq!(sharer.look().0, Some(Refusal::SharedQuota { until: sharer.now + Duration::from_secs(30) }));
    let mut late = Sharer::new(0);
    late.attempt_at_each();
    assert_eq!(late.engine.used(late.now), BTreeMap::new());
    late.reload(1);
    assert_eq!(late.engine.used(late.now).len(), 1);
}
