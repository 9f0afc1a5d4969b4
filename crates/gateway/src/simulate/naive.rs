//! The callers whom a client is held against: each asks the region where it stands and no other, with the retries that an SDK brings
//! along.

use std::{collections::HashMap, time::Duration};

use outrigger::wire::Class;

use super::{
    agenda::Agenda,
    regions::{Failure, Happens, Regions, Wanted},
    tally::{Done, Tally},
};
use crate::demo::{
    callers::{ASKS, PATIENT, SDK_LONGEST_NAMED, SDK_RETRIES, sdk_wait},
    schedule::{Draws, Question},
};

/// Callers without a client.
pub(super) struct Naive<'a> {
    questions: &'a [Question],
    regions: Regions,
    agenda: Agenda<What>,
    calls: HashMap<u64, Call>,
    next: u64,
    tally: Tally,
}

struct Call {
    question: usize,
    hang_ups: u32,
    retries: i32,
    /// Whether an attempt is under way.
    running: bool,
    draws: Draws,
}

enum What {
    Ask { question: usize },
    Try { call: u64 },
    HangUp { call: u64 },
    Step { call: u64, retries: i32, happens: Happens },
}

impl<'a> Naive<'a> {
    pub(super) fn new(questions: &'a [Question], regions: Regions) -> Self {
        let mut agenda = Agenda::new();
        for (question, asked) in questions.iter().enumerate() {
            agenda.enter(asked.due, What::Ask { question });
        }
        Self { questions, regions, agenda, calls: HashMap::new(), next: 0, tally: Tally::default() }
    }

    /// Lets all happen, and returns what was counted.
    pub(super) fn run(mut self) -> Tally {
        while let Some(what) = self.agenda.next() {
            match what {
                What::Ask { question } => self.ask(question, 0),
                What::Try { call } => self.attempt(call),
                What::HangUp { call } => self.hang_up(call),
                What::Step { call, retries, happens } => self.step(call, retries, happens),
            }
        }
        self.tally
    }

    fn question(&self, call: u64) -> Option<Question> {
        self.questions.get(self.calls.get(&call)?.question).copied()
    }

    fn ask(&mut self, question: usize, hang_ups: u32) {
        let Some(asked) = self.questions.get(question) else { return };
        let (call, patience) = (self.next, asked.patience.unwrap_or(PATIENT));
        self.next += 1;
        let draws = Draws::new(asked.draw);
        self.calls.insert(call, Call { question, hang_ups, retries: 0, running: false, draws });
        self.agenda.enter_in(patience, What::HangUp { call });
        self.attempt(call);
    }

    fn attempt(&mut self, call: u64) {
        let Some(question) = self.question(call) else { return };
        let Some(known) = self.calls.get_mut(&call) else { return };
        known.running = true;
        let (now, retries) = (self.agenda.now, known.retries);
        let wanted = Wanted { stream: question.stream, given: 0, restarts: false, away: false };
        self.tally.attempt(now, question.place, self.regions.is_sick(question.place, now));
        for (after, happens) in self.regions.ask(question.place, wanted, now) {
            self.agenda.enter_in(after, What::Step { call, retries, happens });
        }
    }

    fn step(&mut self, call: u64, retries: i32, happens: Happens) {
        let Some(question) = self.question(call) else { return };
        let Some(known) = self.calls.get_mut(&call).filter(|known| known.retries == retries && known.running)
        else {
            return;
        };
        match happens {
            Happens::Head | Happens::Speaks | Happens::Content => {}
            Happens::Whole => self.end(call, Some(question.place), false),
            Happens::Breaks(..) => self.end(call, None, true),
            Happens::Fails(failure) => match may_retry(&failure).filter(|_| retries < SDK_RETRIES) {
                Some(named) => {
                    (known.running, known.retries) = (false, retries + 1);
                    let wait = named.unwrap_or_else(|| sdk_wait(retries, known.draws.unit()));
                    self.regions.leave(question.place);
                    self.agenda.enter_in(wait, What::Try { call });
                }
                None => self.end(call, None, is_half(failure.class)),
            },
        }
    }

    fn hang_up(&mut self, call: u64) {
        let Some(question) = self.question(call) else { return };
        let Some(known) = self.calls.get(&call) else { return };
        let (number, hang_ups) = (known.question, known.hang_ups + 1);
        if hang_ups < question.patience.map_or(1, |_| ASKS) {
            self.forget(call);
            self.ask(number, hang_ups);
        } else {
            self.end(call, None, false);
        }
    }

    /// The call is gone, and what it had running.
    fn forget(&mut self, call: u64) {
        let place = self.question(call).map(|question| question.place);
        if let (Some(known), Some(place)) = (self.calls.remove(&call), place)
            && known.running
        {
            self.regions.leave(place);
        }
    }

    fn end(&mut self, call: u64, served: Option<usize>, truncated: bool) {
        let Some(question) = self.question(call) else { return };
        let took = self.agenda.now.saturating_sub(question.due);
        self.forget(call);
        self.tally.done(Done { due: question.due, took, served, truncated });
    }
}

/// Whether an SDK asks again, and the wait that the provider named.
fn may_retry(failure: &Failure) -> Option<Option<Duration>> {
    let passes = matches!(
        failure.class,
        Class::Transient
            | Class::Unreachable
            | Class::Reset
            | Class::Timeout
            | Class::RateLimited
            | Class::Overloaded
            | Class::QuotaSpent
    );
    passes.then(|| failure.retry_after.filter(|wait| !wait.is_zero() && *wait <= SDK_LONGEST_NAMED))
}

/// Whether it was an answer's beginning, which an SDK takes for one.
fn is_half(class: Class) -> bool {
    matches!(class, Class::Cut | Class::Stalled | Class::Malformed | Class::Empty)
}
