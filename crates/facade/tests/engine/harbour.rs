//! A driver's part for many calls at once, played without a runtime: each action is checked against what a driver could do.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{
    bills::{self, Bills},
    world::{Happens, Shape, What, plan},
};
use outrigger::{
    Notice,
    engine::{Action, Ask, AttemptFailure, CallId, Engine, Event, Heard, Mode, Plan},
    policy::Finish,
    wire::{Class, Headroom},
};

/// What the driver of one call would know.
#[derive(Debug)]
pub(crate) struct Caller {
    what: What,
    /// The models for which its request was too long.
    too_long: Vec<String>,
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
    fn runs_at(&self, deployment: usize) -> bool {
        self.running.iter().any(|(_, running)| *running == deployment)
    }

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
    /// Until when each deployment asked to be left alone.
    pub(crate) waits: BTreeMap<usize, Instant>,
    pub(crate) shape: Shape,
    pub(crate) bills: Bills,
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
            waits: BTreeMap::new(),
            shape: Shape::default(),
            bills: Bills::default(),
            asked_for: Vec::new(),
        }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        let call = event.call();
        let draw = self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.next += 1;
        let mut actions = Vec::new();
        let refusal = bills::is_refusal(&event);
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
            if let Action::Notice(notice) = &action {
                self.bills.note(call, notice, refusal);
            }
            match action {
                Action::Nudge { call } => nudged.push(call),
                action => {
                    self.keeps_waits(&action);
                    self.act(call, action);
                }
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
        let waits = self.callers.values().any(|caller| {
            caller.what == What::CHAT && caller.queued && caller.starts == 0 && !caller.residency
        });
        !waits
            || !is_free("gpt-4.1", &["us-east", "eu-west"])
            || !is_free("deepseek-v3.2", &["us-east", "eu-west", "ap-southeast"])
    }

    /// A wait that a provider named is kept, by every call and whatever else there is to ask.
    fn keeps_waits(&self, action: &Action) {
        if let Action::Start { deployment, .. } = action {
            let until = self.waits.get(deployment);
            assert!(until.is_none_or(|until| self.now >= *until), "asked within the wait that it named");
        }
    }

    fn note_wait(&mut self, call: CallId, attempt: u8, wait: Duration) {
        let running = self.callers.get(&call).map(|caller| &caller.running);
        let at = running.into_iter().flatten().find(|(running, _)| *running == attempt);
        if let Some((_, deployment)) = at {
            let until = self.now + wait;
            self.waits.entry(*deployment).and_modify(|known| *known = until.max(*known)).or_insert(until);
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
                assert!(mode == Mode::Fresh || caller.running.is_empty(), "one rescue at a time");
                assert!(self.now < caller.until(), "an attempt after the deadline");
                let at = self.engine.deployment_status(deployment, self.now);
                assert!(at.is_some(), "nobody is sent where nothing is");
                let at = at.unwrap();
                assert!(mode != Mode::Continue || &*at.model == "deepseek-v3.2");
                assert!(!caller.residency || &*at.region == "eu-west", "residency broken: {}", at.region);
                assert!(caller.what.suits(&at.provider), "{:?} at {}", caller.what, at.provider);
                // Who has begun to answer could read it, whatever another place of its model said.
                let too_long = !caller.given && caller.too_long.contains(&at.model.to_string());
                assert!(!too_long, "too long for {} already", at.model);
                assert!(!caller.runs_at(deployment), "an attempt beside itself");
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

    /// What an attempt that ends now may have used.
    fn heard(&self) -> Heard {
        bills::heard(self.next)
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

    fn note_too_long(&mut self, call: CallId, attempt: u8) {
        // A continuation is longer than the request, and may be too long where that is not.
        if let Some(caller) = self.callers.get_mut(&call).filter(|caller| !caller.given) {
            let at = caller.running.iter().find(|(running, _)| *running == attempt);
            let status = at.and_then(|(_, deployment)| self.engine.deployment_status(*deployment, self.now));
            caller.too_long.extend(status.map(|at| at.model.to_string()));
        }
    }

    fn end_attempt(&mut self, call: CallId, attempt: u8) {
        if let Some(caller) = self.callers.get_mut(&call) {
            caller.running.retain(|(running, _)| *running != attempt);
        }
    }

    pub(crate) fn asked(&mut self, what: What, stream: bool, single: bool, residency: bool) {
        let plan = Arc::clone(self.engine.plan());
        let Ok(known) = plan.ask(if what.draft { "draft" } else { "chat" }, None) else { return };
        let call = CallId(self.begun);
        self.begun += 1;
        let mut ask = Ask::new(known.model, stream);
        (ask.api, ask.translates) = (what.api, what.translates);
        ask.single = single;
        ask.rescuable = true;
        ask.input = 100;
        let deadline = self.now + Duration::from_secs(40);
        ask.deadline = Some(deadline);
        ask.residency = residency.then(|| vec!["eu-west".into()]);
        let caller = Caller {
            what,
            too_long: Vec::new(),
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
            Happens::Asked { what, stream, single, residency } => {
                self.asked(what, stream, single, residency);
            }
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
                    self.tell(Event::Answered { call, attempt, heard: self.heard() });
                    self.callers.remove(&call);
                }
            }
            Happens::Failed(which, class, wait) => {
                if let Some((call, attempt, winner)) = self.nth(which) {
                    let mut failure = AttemptFailure::new(class);
                    failure.heard = self.heard();
                    failure.retry_after = wait.map(Duration::from_millis);
                    if let (Class::RateLimited, Some(wait)) = (class, failure.retry_after) {
                        self.note_wait(call, attempt, wait);
                    }
                    if class == Class::ContextTooLong {
                        self.note_too_long(call, attempt);
                    }
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
                    let mut failure = AttemptFailure::new(class);
                    failure.heard = self.heard();
                    self.tell(Event::Broke { call, attempt, failure, rescuable });
                }
            }
            Happens::Cancelled(which) => {
                let call = self.callers.keys().nth(which % self.callers.len().max(1)).copied();
                if let Some(call) = call {
                    let reading =
                        self.callers[&call].running.first().map(|(attempt, _)| (*attempt, self.heard()));
                    self.tell(Event::Cancelled { call, reading });
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
