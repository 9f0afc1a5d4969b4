//! An engine that is told of attempts from a record stands as the one that made them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use outrigger::{
    Config, Notice,
    config::{Model, Provider, Target},
    engine::{Action, AttemptFailure, CallId, Engine, Event, Heard, Plan, Recorded},
    wire::{Class, Headroom},
};
use proptest::prelude::*;

fn plan() -> Arc<Plan> {
    let mut provider = Provider::openai();
    for region in ["us-east", "eu-west"] {
        provider = provider.region(region, &format!("http://{region}.sim.invalid/v1")).unwrap();
    }
    let config =
        Config::new().provider("p", provider).model("chat", Model::new([Target::new("p", "gpt-4.1")]));
    config.check().unwrap();
    Arc::new(Plan::new(&config))
}

/// What becomes of an attempt, after so many milliseconds: how it fails, and the wait that is named.
type End = (u64, Option<Class>, Option<u64>);

/// One engine makes calls, another hears of their attempts, as a recorder would tell it.
struct Twins {
    plan: Arc<Plan>,
    caller: Engine,
    hearer: Engine,
    now: Instant,
    calls: u64,
    /// Attempts that run: their deployments, and the hearer's part of each.
    running: BTreeMap<u8, (usize, Recorded)>,
    wake: Option<Instant>,
    over: bool,
}

impl Twins {
    fn new() -> Self {
        let (plan, now) = (plan(), Instant::now());
        let engine = || Engine::new(Arc::clone(&plan), (now, SystemTime::UNIX_EPOCH)).unwrap();
        let (caller, hearer) = (engine(), engine());
        let running = BTreeMap::new();
        Self { plan, caller, hearer, now, calls: 0, running, wake: None, over: true }
    }

    /// One call from its beginning to its end; its attempts come to what is at the front.
    fn call(&mut self, stream: bool, ends: &mut VecDeque<End>) {
        let call = CallId(self.calls);
        self.calls += 1;
        (self.wake, self.over) = (None, false);
        let mut ask = self.plan.ask("chat", None).unwrap();
        ask.stream = stream;
        self.tell(Event::Asked { call, ask });
        while !self.over {
            let Some(&attempt) = self.running.keys().next() else {
                self.now = self.wake.unwrap();
                self.tell(Event::Tick { call });
                continue;
            };
            let (after, class, wait) = ends.pop_front().unwrap_or((100, None, None));
            let end = self.now + Duration::from_millis(after);
            while let Some(wake) = self.wake.filter(|wake| *wake <= end && !self.over) {
                self.now = wake.max(self.now);
                self.wake = None;
                self.tell(Event::Tick { call });
            }
            self.now = end.max(self.now);
            if !self.running.contains_key(&attempt) {
                continue;
            }
            match class {
                Some(class) => {
                    let mut failure = AttemptFailure::new(class);
                    failure.retry_after = wait.map(Duration::from_millis);
                    self.tell(Event::Failed { call, attempt, failure });
                }
                None => {
                    // A head comes before every answer, and tells the endpoint's circuit.
                    self.tell(Event::Head { call, attempt, headroom: Headroom::default() });
                    if stream {
                        let (_, recorded) = self.running.get_mut(&attempt).unwrap();
                        self.hearer.recorded_content(recorded, self.now, &mut Vec::new());
                        self.tell(Event::Content { call, attempt });
                        self.now += Duration::from_millis(40);
                    }
                    self.tell(Event::Answered { call, attempt, heard: Heard::default() });
                }
            }
        }
    }

    fn tell(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.caller.on(event, self.now, self.calls, &mut actions);
        for action in actions {
            match action {
                Action::Start { attempt, deployment, .. } => {
                    let stream = self.calls % 2 == 1;
                    let recorded = self.hearer.recorded_start(deployment, stream, self.now, &mut Vec::new());
                    self.running.insert(attempt, (deployment, recorded.unwrap()));
                }
                Action::Wake { at } => self.wake = Some(at),
                Action::Notice(Notice::AttemptEnded { route, class, retry_after, .. }) => {
                    let at = self.plan.deployment(&route.provider, &route.region, &route.model).unwrap();
                    let ended =
                        *self.running.iter().find(|(_, (deployment, _))| *deployment == at).unwrap().0;
                    let (_, recorded) = self.running.remove(&ended).unwrap();
                    let failure = class.map(|class| {
                        let mut failure = AttemptFailure::new(class);
                        failure.retry_after = retry_after;
                        failure
                    });
                    self.hearer.recorded_end(recorded, failure.as_ref(), self.now, 0, &mut Vec::new());
                }
                Action::Notice(Notice::CallEnded { .. }) => self.over = true,
                _ => {}
            }
        }
    }

    fn states(&self) -> [String; 2] {
        [&self.caller, &self.hearer]
            .map(|engine| serde_json::to_string(&engine.deployments(self.now)).unwrap())
    }
}

fn end() -> impl Strategy<Value = End> {
    let class = proptest::option::weighted(0.7, proptest::sample::select(Class::ALL.to_vec()));
    (1_u64..3_000, class, proptest::option::weighted(0.2, 1_u64..20_000)).prop_map(|(after, class, wait)| {
        // What the configuration must mend would leave nobody to ask for the rest of the history.
        let class = class.filter(|class| {
            !matches!(class, Class::Credential | Class::QuotaSpent | Class::ModelMissing | Class::Cancelled)
        });
        (after, class, wait.filter(|_| class.is_some()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// **A record is enough.** Whatever attempts come to, circuits, scores, estimates, cooldowns and what is in flight stand alike in
    /// the engine that made the calls and in the one that was told of their attempts; trials before their time included. Fails if
    /// either learns by another way than the other.
    #[test]
    fn who_hears_of_attempts_stands_as_who_made_them(
        calls in proptest::collection::vec((any::<bool>(), 0_u64..9_000), 1..30),
        ends in proptest::collection::vec(end(), 0..90),
    ) {
        let mut twins = Twins::new();
        let mut ends = VecDeque::from(ends);
        for (quick, gap) in calls {
            twins.now += Duration::from_millis(if quick { gap / 100 } else { gap });
            // A call's number says whether it wants a stream.
            let stream = (twins.calls + 1) % 2 == 1;
            twins.call(stream, &mut ends);
            let [caller, hearer] = twins.states();
            prop_assert_eq!(caller, hearer);
        }
    }
}
