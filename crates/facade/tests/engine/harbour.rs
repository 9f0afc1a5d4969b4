//! A driver's part for many calls at once, played without a runtime: each action is checked against what a driver could do.

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

fn plan(places: Option<u32>) -> Arc<Plan> {
    let mut provider = Provider::openai();
    for region in ["us-east", "eu-west", "ap-southeast"] {
        provider = provider.region(region, &format!("http://{region}.sim.invalid/v1")).unwrap();
    }
    for (_, region) in &mut provider.regions {
        region.limits.concurrent = places.and_then(std::num::NonZeroU32::new);
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
pub(crate) enum Happens {
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

pub(crate) fn happens() -> impl Strategy<Value = Happens> {
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
pub(crate) struct Caller {
    began: Instant,
    pub(crate) running: Vec<(u8, usize)>,
    wake: Instant,
    deadline: Instant,
    residency: bool,
    /// The attempt that answers, while one does.
    winner: Option<u8>,
    /// Whether it is decided; an answer that breaks off opens it again.
    decided: bool,
    /// Whether it waits for a place.
    queued: bool,
    /// Whether a part of an answer was given.
    given: bool,
    pub(crate) starts: usize,
}

impl Caller {
    /// The deadline; once a part of an answer was given, the end of the longest stream.
    fn until(&self) -> Instant {
        if self.given { self.began + Duration::from_secs(3_600) } else { self.deadline }
    }
}

/// Plays the driver's part for many calls at once, and checks each action against what the driver could do.
pub(crate) struct Harbour {
    pub(crate) engine: Engine,
    pub(crate) plan: Arc<Plan>,
    pub(crate) now: Instant,
    next: u64,
    pub(crate) callers: BTreeMap<CallId, Caller>,
    pub(crate) ended: u64,
    pub(crate) begun: u64,
    /// Every action, event by event, as it was asked for.
    pub(crate) asked_for: Vec<String>,
}

impl Harbour {
    pub(crate) fn new() -> Self {
        Self::with_places(None)
    }

    /// Each deployment may have so many attempts in flight.
    pub(crate) fn with_places(places: Option<u32>) -> Self {
        let now = Instant::now();
        let plan = plan(places);
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

    pub(crate) fn tell(&mut self, event: Event) {
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
        let mut nudged = Vec::new();
        for action in actions {
            match action {
                Action::Nudge { call } => nudged.push(call),
                action => self.act(call, action),
            }
        }
        // The drivers of the calls that are nudged say so at once, each after the other.
        for call in nudged {
            let queued = self.callers.get(&call).is_some_and(|caller| caller.queued);
            assert!(queued, "a nudge for a call that does not wait");
            self.tell(Event::Tick { call });
        }
    }

    /// Whether nobody waits for a place who could have one: of those who wait, each knows full tiers only.
    pub(crate) fn nobody_waits_in_vain(&self, places: u32) -> bool {
        let deployments = self.engine.deployments(self.now);
        let is_free = |model: &str, regions: &[&str]| {
            deployments.iter().any(|at| {
                &*at.model == model
                    && regions.contains(&&*at.region)
                    && at.in_flight < places
                    && (at.breaker, at.cooldown_ms, at.reason) == ("closed", 0, None)
            })
        };
        let waits =
            self.callers.values().any(|caller| caller.queued && caller.starts == 0 && !caller.residency);
        !waits
            || !is_free("gpt-4.1", &["us-east", "eu-west"])
            || !is_free("deepseek-v3.2", &["us-east", "eu-west", "ap-southeast"])
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
            Action::Queue => {
                assert!(!caller.decided && !caller.given && caller.running.is_empty());
                caller.queued = true;
                return;
            }
            Action::Wake { .. } => {}
            _ => caller.queued = false,
        }
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

    pub(crate) fn asked(&mut self, stream: bool, single: bool, residency: bool) {
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
            queued: false,
            given: false,
            starts: 0,
        };
        self.callers.insert(call, caller);
        self.tell(Event::Asked { call, ask });
    }

    pub(crate) fn play(&mut self, happens: Happens) {
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
    pub(crate) fn passes(&mut self, duration: Duration) {
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

    pub(crate) fn in_flight(&self) -> u32 {
        self.engine.deployments(self.now).iter().map(|deployment| deployment.in_flight).sum()
    }
}
