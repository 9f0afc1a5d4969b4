//! The engine without a runtime: laws that hold whatever happens to whichever call in whatever order.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use outrigger::{
    Config, Notice,
    config::{Model, Provider, Target},
    engine::{Action, Ask, AttemptFailure, CallId, Engine, Event, Mode, Plan},
    policy::Finish,
    wire::{Class, Headroom, Usage},
};
use proptest::prelude::*;

fn plan() -> Arc<Plan> {
    let mut provider = Provider::openai();
    for region in ["us-east", "eu-west", "ap-southeast"] {
        provider = provider.region(region, &format!("http://{region}.sim.invalid/v1")).unwrap();
    }
    let targets = [
        Target::new("holysheep", "gpt-4.1").regions(["us-east", "eu-west"]),
        Target::new("holysheep", "deepseek-v3.2").tier(1).continues(true),
    ];
    let config = Config::new().provider("holysheep", provider).model("chat", Model::new(targets));
    config.check().unwrap();
    Arc::new(Plan::new(&config))
}

/// What happens next, somewhere.
#[derive(Clone, Debug)]
enum Happens {
    /// Somebody asks.
    Asked { stream: bool, single: bool, residency: bool },
    /// A running attempt's head arrives.
    Head(usize),
    /// A running attempt speaks.
    Content(usize),
    /// A running attempt gives its whole answer.
    Answered(usize),
    /// A running attempt fails.
    Failed(usize, Class, Option<u64>),
    /// An answer breaks off, or one that is to go on with it fails.
    Broke(usize, Class, bool),
    /// A caller goes away.
    Cancelled(usize),
    /// Time passes, and wake-ups that are due come.
    Passes(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    let class = proptest::sample::select(Class::ALL.to_vec());
    let breaks =
        proptest::sample::select(vec![Class::Cut, Class::Stalled, Class::Malformed, Class::Cancelled]);
    prop_oneof![
        4 => (any::<bool>(), proptest::bool::weighted(0.2), proptest::bool::weighted(0.2))
            .prop_map(|(stream, single, residency)| Happens::Asked { stream, single, residency }),
        2 => (0_usize..8).prop_map(Happens::Head),
        2 => (0_usize..8).prop_map(Happens::Content),
        2 => (0_usize..8).prop_map(Happens::Answered),
        5 => (0_usize..8, class, proptest::option::of(0_u64..30_000)).prop_map(|(which, class, wait)| Happens::Failed(which, class, wait)),
        2 => (0_usize..8, breaks, proptest::bool::weighted(0.8)).prop_map(|(which, class, may)| Happens::Broke(which, class, may)),
        1 => (0_usize..8).prop_map(Happens::Cancelled),
        4 => (0_u64..20_000).prop_map(Happens::Passes),
    ]
}

/// What the driver of one call would know.
#[derive(Debug)]
struct Caller {
    began: Instant,
    running: Vec<(u8, usize)>,
    wake: Instant,
    deadline: Instant,
    residency: bool,
    /// The attempt that answers, while one does.
    winner: Option<u8>,
    /// Whether it is decided; an answer that breaks off opens it again.
    decided: bool,
    /// Whether a part of an answer was given.
    given: bool,
    starts: usize,
}

impl Caller {
    /// The deadline; once a part of an answer was given, the end of the longest stream.
    fn until(&self) -> Instant {
        if self.given { self.began + Duration::from_secs(3_600) } else { self.deadline }
    }
}

/// Plays the driver's part for many calls at once, and checks each action against what the driver could do.
struct Harbour {
    engine: Engine,
    plan: Arc<Plan>,
    now: Instant,
    next: u64,
    callers: BTreeMap<CallId, Caller>,
    ended: u64,
    begun: u64,
    /// Every action, event by event, as it was asked for.
    asked_for: Vec<String>,
}

impl Harbour {
    fn new() -> Self {
        let now = Instant::now();
        let plan = plan();
        let engine = Engine::new(Arc::clone(&plan), (now, SystemTime::UNIX_EPOCH)).unwrap();
        Self {
            engine,
            plan,
            now,
            next: 0,
            callers: BTreeMap::new(),
            ended: 0,
            begun: 0,
            asked_for: Vec::new(),
        }
    }

    fn tell(&mut self, event: Event) {
        let call = event.call();
        let draw = self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.next += 1;
        let mut actions = Vec::new();
        let is_head = matches!(event, Event::Head { .. });
        self.engine.on(event, self.now, draw, &mut actions);
        self.asked_for.push(format!("{actions:?}"));
        if is_head {
            // The driver's attempts tell of heads by themselves, where nobody could carry out an action.
            let lost = actions.iter().find(|action| !matches!(action, Action::Notice(_)));
            assert!(lost.is_none(), "a head asks for {lost:?}, which nobody hears");
        }
        for action in actions {
            self.act(call, action);
        }
    }

    fn act(&mut self, call: CallId, action: Action) {
        if let Action::Notice(Notice::CallEnded { .. }) = action {
            self.ended += 1;
            return;
        }
        let Some(caller) = self.callers.get_mut(&call) else {
            assert!(matches!(action, Action::Notice(_)), "{action:?} for a call that is over");
            return;
        };
        match action {
            Action::Start { attempt, deployment, mode } => {
                assert!(!caller.decided, "an attempt after the end");
                assert_eq!(
                    mode == Mode::Fresh,
                    !caller.given,
                    "{mode:?} after a part was given: {}",
                    caller.given
                );
                if mode == Mode::Continue {
                    assert_eq!(&*self.engine.deployments(self.now)[deployment].model, "deepseek-v3.2");
                }
                assert!(mode == Mode::Fresh || caller.running.is_empty(), "one rescue at a time");
                assert!(self.now < caller.until(), "an attempt after the deadline");
                let region = Arc::clone(&self.engine.deployments(self.now)[deployment].region);
                assert!(!caller.residency || &*region == "eu-west", "residency broken: {region}");
                assert_eq!(usize::from(attempt), caller.starts, "the driver finds attempts by their ordinal");
                caller.running.push((attempt, deployment));
                caller.starts += 1;
                assert!(caller.starts <= 4, "more attempts than allowed");
            }
            Action::Wake { at } => {
                assert!(at > self.now && at <= caller.until());
                caller.wake = at;
            }
            Action::Stop { attempt } => {
                assert!(caller.given, "only a rescue is given up");
                caller.running.retain(|(running, _)| *running != attempt);
            }
            Action::Finish(finish) => {
                assert!(!caller.decided, "a call is decided once, and anew when its answer breaks off");
                caller.decided = true;
                match finish {
                    Finish::Answered { attempt } => {
                        caller.given = true;
                        caller.winner = Some(attempt);
                        caller.running.retain(|(running, _)| *running == attempt);
                    }
                    _ => {
                        assert_eq!(finish == Finish::Truncated, caller.given, "{finish:?}");
                        self.callers.remove(&call);
                    }
                }
            }
            _ => {}
        }
    }

    fn nth(&self, which: usize) -> Option<(CallId, u8, Option<u8>)> {
        let all: Vec<_> = self
            .callers
            .iter()
            .flat_map(|(call, caller)| {
                caller.running.iter().map(|(attempt, _)| (*call, *attempt, caller.winner))
            })
            .collect();
        (!all.is_empty()).then(|| all[which % all.len()])
    }

    /// The answer broke off: whether it goes on is to be decided.
    fn reopen(&mut self, call: CallId, answered: bool) {
        if let Some(caller) = self.callers.get_mut(&call).filter(|_| answered) {
            (caller.winner, caller.decided) = (None, false);
        }
    }

    fn end_attempt(&mut self, call: CallId, attempt: u8) {
        if let Some(caller) = self.callers.get_mut(&call) {
            caller.running.retain(|(running, _)| *running != attempt);
        }
    }

    fn asked(&mut self, stream: bool, single: bool, residency: bool) {
        let call = CallId(self.begun);
        self.begun += 1;
        let mut ask = Ask::new(0, stream);
        ask.single = single;
        ask.rescuable = true;
        let deadline = self.now + Duration::from_secs(40);
        ask.deadline = Some(deadline);
        ask.residency = residency.then(|| vec!["eu-west".into()]);
        let caller = Caller {
            began: self.now,
            running: Vec::new(),
            wake: self.now,
            deadline,
            residency,
            winner: None,
            decided: false,
            given: false,
            starts: 0,
        };
        self.callers.insert(call, caller);
        self.tell(Event::Asked { call, ask });
    }

    fn play(&mut self, happens: Happens) {
        match happens {
            Happens::Asked { stream, single, residency } => self.asked(stream, single, residency),
            Happens::Head(which) => {
                if let Some((call, attempt, _)) = self.nth(which) {
                    self.tell(Event::Head { call, attempt, headroom: Headroom::default() });
                }
            }
            Happens::Content(which) => {
                if let Some((call, attempt, None)) = self.nth(which) {
                    self.tell(Event::Content { call, attempt });
                    assert_eq!(self.callers[&call].winner, Some(attempt), "content ends the search");
                }
            }
            Happens::Answered(which) => {
                if let Some((call, attempt, _)) = self.nth(which) {
                    self.tell(Event::Answered { call, attempt, usage: Some(Usage::new(10, 10)) });
                    self.callers.remove(&call);
                }
            }
            Happens::Failed(which, class, wait) => {
                if let Some((call, attempt, winner)) = self.nth(which) {
                    let mut failure = AttemptFailure::new(class);
                    failure.retry_after = wait.map(Duration::from_millis);
                    self.end_attempt(call, attempt);
                    self.reopen(call, winner == Some(attempt));
                    self.tell(Event::Failed { call, attempt, failure });
                    if winner == Some(attempt) {
                        assert!(!self.callers.contains_key(&call), "what may not be rescued is over");
                    }
                }
            }
            Happens::Broke(which, class, rescuable) => {
                if let Some((call, attempt, winner)) = self.nth(which) {
                    self.end_attempt(call, attempt);
                    self.reopen(call, winner == Some(attempt));
                    let failure = AttemptFailure::new(class);
                    self.tell(Event::Broke { call, attempt, failure, rescuable });
                }
            }
            Happens::Cancelled(which) => {
                let call = self.callers.keys().nth(which % self.callers.len().max(1)).copied();
                if let Some(call) = call {
                    self.tell(Event::Cancelled { call, usage: None });
                    self.callers.remove(&call);
                }
            }
            Happens::Passes(millis) => self.passes(Duration::from_millis(millis)),
        }
    }

    /// Lets time pass, waking every call that is due at its own instant.
    fn passes(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            let due = self
                .callers
                .iter()
                .filter(|(_, caller)| !caller.decided && caller.wake <= until)
                .min_by_key(|(_, caller)| caller.wake)
                .map(|(call, caller)| (*call, caller.wake));
            let Some((call, at)) = due else { break };
            self.now = self.now.max(at);
            self.tell(Event::Tick { call });
        }
        self.now = until;
    }

    fn in_flight(&self) -> u32 {
        self.engine.deployments(self.now).iter().map(|deployment| deployment.in_flight).sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// **Nothing leaks.** Whatever happens, what is in flight by the registry is what the drivers have running; when all
    /// calls are over nothing is; and each call ends exactly once. Fails if an abandoned attempt is not settled, or a
    /// failure after content forgets the call.
    #[test]
    fn what_is_in_flight_is_what_runs(history in proptest::collection::vec(happens(), 0..120)) {
        let mut harbour = Harbour::new();
        for step in history {
            harbour.play(step);
            let running: usize = harbour.callers.values().map(|caller| caller.running.len()).sum();
            prop_assert_eq!(harbour.in_flight() as usize, running);
        }
        for call in harbour.callers.keys().copied().collect::<Vec<_>>() {
            harbour.tell(Event::Cancelled { call, usage: None });
            harbour.callers.remove(&call);
        }
        prop_assert_eq!(harbour.in_flight(), 0);
        prop_assert_eq!(harbour.ended, harbour.begun);
    }

    /// **It comes back.** However bad the history, once a minute has passed and every call is over, a call is admitted
    /// again, unless the provider has refused the key or the model for good. Fails if a trial's permit is lost.
    #[test]
    fn after_a_quiet_minute_a_call_is_admitted(history in proptest::collection::vec(happens(), 0..120)) {
        let mut harbour = Harbour::new();
        for step in history {
            let heals = |class: Class| !matches!(class, Class::Credential | Class::QuotaSpent | Class::ModelMissing);
            if !matches!(step, Happens::Failed(_, class, _) if !heals(class)) {
                harbour.play(step);
            }
        }
        for call in harbour.callers.keys().copied().collect::<Vec<_>>() {
            harbour.tell(Event::Cancelled { call, usage: None });
            harbour.callers.remove(&call);
        }
        harbour.passes(Duration::from_secs(61));
        let call = CallId(harbour.begun);
        harbour.asked(true, false, false);
        prop_assert_eq!(harbour.callers.get(&call).map(|caller| caller.starts), Some(1));
    }

    /// **The same again.** The same events, times and draws give the same actions. Fails if a decision reads a clock, a
    /// thread-local generator, or the order of a hash map.
    #[test]
    fn the_engine_is_deterministic(history in proptest::collection::vec(happens(), 0..60)) {
        let mut first = Harbour::new();
        let mut second = Harbour::new();
        second.now = first.now;
        second.engine = Engine::new(Arc::clone(&second.plan), (first.now, SystemTime::UNIX_EPOCH)).unwrap();
        for step in history {
            first.play(step.clone());
            second.play(step);
            prop_assert_eq!(&first.asked_for, &second.asked_for);
            first.asked_for.clear();
            second.asked_for.clear();
        }
        let show = |harbour: &Harbour| format!("{:?}", harbour.engine.deployments(harbour.now));
        prop_assert_eq!(show(&first), show(&second));
    }
}
