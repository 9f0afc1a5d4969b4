//! Many clients, each with an engine of its own, before the same regions: the driver's part played in virtual time.
//!
//! They share nothing, as programs with the client built in share nothing: what one learns of a region the
//! others must learn themselves, and their calls are the load that the others find there.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use outrigger::{
    BuildError, Notice, Outcome,
    engine::{Action, AttemptFailure, CallId, Check, Engine, Event, Heard, Mode, Plan},
    policy::Finish,
    wire::{Class, Headroom},
};
use sim::Scenario;

use super::{
    agenda::Agenda,
    regions::{Failure, Happens, Regions, Wanted},
    strategy::{MODEL, Strategy},
    tally::{Done, Tally},
};
use crate::demo::{
    callers::{ASKS, PATIENT},
    schedule::{Draws, Question},
};

/// Of a patient caller's patience, the part in which an answer must have come.
const OF_PATIENCE: f64 = 0.95;
/// The longest that a health check takes, and its permits last.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
const CHECK_LEASE: Duration = Duration::from_secs(15);

/// Many clients of one strategy.
pub(super) struct Fleet<'a> {
    questions: &'a [Question],
    regions: Regions,
    clients: Vec<Client>,
    places: usize,
    agenda: Agenda<What>,
    /// An instant that stands for the beginning.
    began: Instant,
    tally: Tally,
    end: Duration,
    health_check: Option<Duration>,
}

/// One client: an engine, and the calls that it has in progress.
struct Client {
    engine: Engine,
    place: usize,
    region: String,
    draws: Draws,
    calls: HashMap<u64, Call>,
    next: u64,
    checks: HashMap<usize, Check>,
}

struct Call {
    question: usize,
    /// How often its caller has asked before.
    hang_ups: u32,
    running: Vec<(u8, usize)>,
    /// Which of its wake-ups counts.
    wake: u64,
    /// Tokens that its caller has.
    given: u32,
    served: Option<usize>,
}

/// What happens next.
enum What {
    Ask { question: usize },
    HangUp { client: usize, call: u64 },
    Wake { client: usize, call: u64, wake: Option<u64> },
    Step { client: usize, call: u64, attempt: u8, happens: Happens },
    Check { client: usize, place: usize },
    Checked { client: usize, place: usize, class: Option<Class> },
}

impl<'a> Fleet<'a> {
    /// So many clients of a strategy, spread over the scenario's places.
    ///
    /// # Errors
    /// The scenario's regions make no configuration.
    pub(super) fn new(
        strategy: Strategy,
        scenario: &Scenario,
        questions: &'a [Question],
        clients: usize,
        regions: Regions,
        end: Duration,
    ) -> Result<Self, BuildError> {
        let began = Instant::now();
        let places = scenario.regions.len().max(1);
        let plans: Result<Vec<_>, _> = (0..places).map(|place| strategy.config(scenario, place)).collect();
        let plans: Vec<Arc<Plan>> = plans?.iter().map(|config| Arc::new(Plan::new(config))).collect();
        let client = |number: usize| {
            let place = number % places;
            let plan = plans
                .get(place)
                .map(Arc::clone)
                .unwrap_or_else(|| Arc::new(Plan::new(&outrigger::Config::new())));
            let engine =
                Engine::with_parts(plan, (began, SystemTime::UNIX_EPOCH), strategy.selector(place), None)?;
            let seed = scenario.seed ^ u64::try_from(number).unwrap_or(0).wrapping_mul(0xd6e8_feb8_6659_fd93);
            let region = scenario.regions.get(place).map_or_else(String::new, |region| region.name.clone());
            let (calls, checks) = (HashMap::new(), HashMap::new());
            Ok(Client { engine, place, region, draws: Draws::new(seed), calls, next: 0, checks })
        };
        let clients: Result<Vec<Client>, BuildError> = (0..clients).map(client).collect();
        let mut fleet = Self {
            questions,
            regions,
            clients: clients?,
            places,
            agenda: Agenda::new(),
            began,
            tally: Tally::default(),
            end,
            health_check: strategy.health_check(),
        };
        fleet.begin();
        Ok(fleet)
    }

    /// The first entries: every question, and the first round of health checks.
    fn begin(&mut self) {
        for (question, asked) in self.questions.iter().enumerate() {
            self.agenda.enter(asked.due, What::Ask { question });
        }
        let Some(every) = self.health_check else { return };
        let clients = u32::try_from(self.clients.len()).unwrap_or(u32::MAX).max(1);
        for client in 0..self.clients.len() {
            // Not all clients were started at one instant.
            let offset = every / clients * u32::try_from(client).unwrap_or(0);
            for place in 0..self.places {
                self.agenda.enter(offset, What::Check { client, place });
            }
        }
    }

    /// Lets all happen, and returns what was counted.
    pub(super) fn run(mut self) -> Tally {
        while let Some(what) = self.agenda.next() {
            match what {
                What::Ask { question } => self.ask(question, 0),
                What::HangUp { client, call } => self.hang_up(client, call),
                What::Wake { client, call, wake } => {
                    let known = self.call(client, call).map(|call| call.wake);
                    if known.is_some_and(|known| wake.is_none_or(|wake| wake == known)) {
                        self.tell(client, Event::Tick { call: CallId(call) });
                    }
                }
                What::Step { client, call, attempt, happens } => self.step(client, call, attempt, happens),
                What::Check { client, place } => self.check(client, place),
                What::Checked { client, place, class } => self.checked(client, place, class),
            }
        }
        self.tally
    }

    fn now(&self) -> Instant {
        self.began + self.agenda.now
    }

    fn call(&mut self, client: usize, call: u64) -> Option<&mut Call> {
        self.clients.get_mut(client)?.calls.get_mut(&call)
    }

    /// A caller asks the client that stands where it does, and is its own.
    fn ask(&mut self, number: usize, hang_ups: u32) {
        let Some(&question) = self.questions.get(number) else { return };
        let now = self.now();
        let Some(index) = client_of(&question, self.clients.len(), self.places) else { return };
        let Some(client) = self.clients.get_mut(index) else { return };
        let Ok(mut ask) = client.engine.plan().ask(MODEL, Some(&client.region)) else { return };
        (ask.stream, ask.rescuable) = (question.stream, question.stream);
        ask.deadline = question.patience.is_none().then(|| now + PATIENT.mul_f64(OF_PATIENCE));
        let call = client.next;
        client.next += 1;
        let asked = Call { question: number, hang_ups, running: Vec::new(), wake: 0, given: 0, served: None };
        client.calls.insert(call, asked);
        let patience = question.patience.unwrap_or(PATIENT);
        self.agenda.enter_in(patience, What::HangUp { client: index, call });
        self.tell(index, Event::Asked { call: CallId(call), ask });
    }

    /// The caller's patience is over: it hangs up, and perhaps asks again.
    fn hang_up(&mut self, client: usize, call: u64) {
        let Some(known) = self.call(client, call) else { return };
        let (question, hang_ups) = (known.question, known.hang_ups + 1);
        self.drop_attempts(client, call, None);
        self.tell(client, Event::Cancelled { call: CallId(call), reading: None });
        let asks = self.questions.get(question).and_then(|question| question.patience).map_or(1, |_| ASKS);
        if hang_ups < asks {
            self.ask(question, hang_ups);
        } else {
            self.done(question, None, false);
        }
    }

    fn done(&mut self, question: usize, served: Option<usize>, truncated: bool) {
        let Some(question) = self.questions.get(question) else { return };
        let took = self.agenda.now.saturating_sub(question.due);
        self.tally.done(Done { due: question.due, took, served, truncated });
    }

    /// Something becomes known of an attempt that still runs.
    fn step(&mut self, client: usize, call: u64, attempt: u8, happens: Happens) {
        let Some(known) = self.call(client, call) else { return };
        let Some(index) = known.running.iter().position(|(running, _)| *running == attempt) else { return };
        let call_id = CallId(call);
        if matches!(happens, Happens::Whole | Happens::Fails(_) | Happens::Breaks(..)) {
            let (_, place) = known.running.swap_remove(index);
            match happens {
                Happens::Whole => known.served = Some(place),
                Happens::Breaks(_, given) => known.given = given,
                _ => {}
            }
            self.regions.leave(place);
        }
        let event = match happens {
            Happens::Head => Event::Head { call: call_id, attempt, headroom: Headroom::default() },
            Happens::Speaks => Event::Speaking { call: call_id, attempt },
            Happens::Content => Event::Content { call: call_id, attempt },
            Happens::Whole => Event::Answered { call: call_id, attempt, heard: Heard::default() },
            Happens::Fails(failure) => Event::Failed { call: call_id, attempt, failure: failed(&failure) },
            Happens::Breaks(class, _) => {
                let failure = AttemptFailure::new(class);
                Event::Broke { call: call_id, attempt, failure, rescuable: true }
            }
        };
        self.tell(client, event);
    }

    /// Tells a client's engine, and does what it asks for.
    fn tell(&mut self, index: usize, event: Event) {
        let now = self.now();
        let call = event.call().0;
        let mut actions = Vec::new();
        if let Some(client) = self.clients.get_mut(index) {
            let draw = client.draws.next();
            client.engine.on(event, now, draw, &mut actions);
        }
        for action in actions {
            self.act(index, call, action);
        }
    }

    fn act(&mut self, client: usize, call: u64, action: Action) {
        match action {
            Action::Start { attempt, deployment, mode } => {
                self.start(client, call, attempt, deployment, mode);
            }
            Action::Wake { at } => {
                let at = at.saturating_duration_since(self.began);
                if let Some(known) = self.call(client, call) {
                    known.wake += 1;
                    let wake = Some(known.wake);
                    self.agenda.enter(at, What::Wake { client, call, wake });
                }
            }
            Action::Nudge { call: CallId(call) } => {
                self.agenda.enter_in(Duration::ZERO, What::Wake { client, call, wake: None });
            }
            Action::Stop { attempt } => self.drop_one(client, call, attempt),
            Action::Finish(Finish::Answered { attempt }) => self.drop_attempts(client, call, Some(attempt)),
            Action::Finish(_) => self.drop_attempts(client, call, None),
            Action::Notice(Notice::CallEnded { outcome, .. }) => self.ended(client, call, outcome),
            _ => {}
        }
    }

    /// A call is over, unless its caller ended it, who then has more to say.
    fn ended(&mut self, client: usize, call: u64, outcome: Outcome) {
        let known = self.clients.get_mut(client).and_then(|client| client.calls.remove(&call));
        if let Some(Call { question, served, .. }) = known
            && outcome != Outcome::Cancelled
        {
            let served = served.filter(|_| outcome == Outcome::Ok);
            self.done(question, served, outcome == Outcome::Truncated);
        }
    }

    fn start(&mut self, client: usize, call: u64, attempt: u8, deployment: usize, mode: Mode) {
        // The deployments are the regions, in their order: see `Strategy::config`.
        let place = deployment;
        let now = self.agenda.now;
        let away = self.clients.get(client).is_some_and(|client| client.place != place);
        let questions = self.questions;
        let Some(known) = self.call(client, call) else { return };
        known.running.push((attempt, place));
        let stream = questions.get(known.question).is_some_and(|question| question.stream);
        let given = if mode == Mode::Fresh { 0 } else { known.given };
        let wanted = Wanted { stream, given, restarts: mode == Mode::Restart, away };
        self.tally.attempt(now, place, self.regions.is_sick(place, now));
        for (after, happens) in self.regions.ask(place, wanted, now) {
            self.agenda.enter_in(after, What::Step { client, call, attempt, happens });
        }
    }

    /// Lets go of all attempts of a call but one.
    fn drop_attempts(&mut self, client: usize, call: u64, kept: Option<u8>) {
        let Some(known) = self.call(client, call) else { return };
        let gone = known.running.extract_if(.., |(attempt, _)| Some(*attempt) != kept);
        let gone: Vec<usize> = gone.map(|(_, place)| place).collect();
        gone.into_iter().for_each(|place| self.regions.leave(place));
    }

    fn drop_one(&mut self, client: usize, call: u64, attempt: u8) {
        let Some(known) = self.call(client, call) else { return };
        let gone = known.running.extract_if(.., |(running, _)| *running == attempt);
        let gone: Vec<usize> = gone.map(|(_, place)| place).collect();
        gone.into_iter().for_each(|place| self.regions.leave(place));
    }

    /// A health check, where no traffic says it: a list of models, of which only the head counts.
    fn check(&mut self, index: usize, place: usize) {
        let Some(every) = self.health_check else { return };
        if self.agenda.now >= self.end {
            return;
        }
        self.agenda.enter_in(every, What::Check { client: index, place });
        let (now, at) = (self.now(), self.agenda.now);
        let Some(client) = self.clients.get_mut(index) else { return };
        let away = client.place != place;
        let Some(check) = client.engine.begin_check(place, None, every, CHECK_LEASE, now) else { return };
        client.checks.insert(place, check);
        let wanted = Wanted { stream: false, given: 0, restarts: false, away };
        self.tally.attempt(at, place, self.regions.is_sick(place, at));
        let steps = self.regions.ask(place, wanted, at);
        self.regions.leave(place);
        let (after, class) = match steps.last() {
            Some((after, Happens::Fails(failure))) => (*after, Some(failure.class)),
            Some((after, Happens::Whole)) => (*after, None),
            _ => (CHECK_TIMEOUT, Some(Class::Timeout)),
        };
        let late = after >= CHECK_TIMEOUT;
        let class = if late { Some(Class::Timeout) } else { class };
        let checked = What::Checked { client: index, place, class };
        self.agenda.enter_in(after.min(CHECK_TIMEOUT), checked);
    }

    fn checked(&mut self, index: usize, place: usize, class: Option<Class>) {
        let now = self.now();
        let Some(client) = self.clients.get_mut(index) else { return };
        let mut actions = Vec::new();
        if let Some(check) = client.checks.remove(&place) {
            client.engine.end_check(check, class, now, &mut actions);
        }
        for action in actions {
            if let Action::Nudge { call: CallId(call) } = action {
                self.agenda.enter_in(Duration::ZERO, What::Wake { client: index, call, wake: None });
            }
        }
    }
}

/// The client that a caller asks: one where it stands, always the same for the same draw; anywhere, where there is none.
fn client_of(question: &Question, clients: usize, places: usize) -> Option<usize> {
    let (first, step) = if question.place < clients { (question.place, places.max(1)) } else { (0, 1) };
    let here = u64::try_from(clients.checked_sub(first)?.div_ceil(step)).ok().filter(|here| *here > 0)?;
    Some(first + step * usize::try_from(question.draw % here).ok()?)
}

fn failed(failure: &Failure) -> AttemptFailure {
    let mut told = AttemptFailure::new(failure.class);
    told.status = failure.status;
    told.retry_after = failure.retry_after;
    told.sent = failure.sent;
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_asks_a_client_where_it_stands_or_anyone() {
        let at = |place, draw| Question {
            due: Duration::ZERO,
            act: None,
            place,
            stream: false,
            patience: None,
            draw,
        };
        for draw in 0..20 {
            assert_eq!(client_of(&at(1, draw), 8, 3).unwrap() % 3, 1, "{draw}");
            assert!(client_of(&at(2, draw), 2, 3).unwrap() < 2, "{draw}");
        }
        let all: std::collections::BTreeSet<_> =
            (0..20).filter_map(|draw| client_of(&at(1, draw), 8, 3)).collect();
        assert_eq!(all, [1, 4, 7].into());
    }
}
