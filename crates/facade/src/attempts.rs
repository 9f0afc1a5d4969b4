//! The attempts of one call: those that run, and what became of those that ended.
//!
//! Both who search for an answer's beginning ([`driver`](crate::driver)) and who search for the rest of one that broke
//! ([`rescue`](crate::rescue)) start attempts and await whichever ends first. An attempt that is let go is dropped, and with it
//! its connection.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures_util::future::BoxFuture;
use wire::Class;

use crate::{
    answer::AttemptRecord,
    attempt::{self, Ended},
    engine::{Action, CallId, Event, Plan},
    observe::{Bill, Notice, Observer, Route},
    outgoing::Outgoing,
    shared::{Shared, now},
};

/// All attempts of a call.
pub(crate) struct Attempts {
    pub shared: Arc<Shared>,
    pub call: CallId,
    /// What the call goes by. For as long as it is kept, a number means what it meant when the call was told of it, whatever is
    /// reloaded.
    pub plan: Arc<Plan>,
    /// Who watches this call.
    watcher: Option<Arc<dyn Observer>>,
    /// What the call cost, once it is over.
    pub bill: Option<Bill>,
    /// Few at a time, two or three at most: they are polled one after the other.
    running: Vec<(u8, BoxFuture<'static, Ended>)>,
    /// By ordinal.
    started: Vec<Started>,
    /// Those that ended, in the order of their ends; the one that gives the answer counts as ended at its first content.
    pub records: Vec<AttemptRecord>,
}

/// An attempt that was started.
#[derive(Clone, Debug)]
struct Started {
    route: Option<Route>,
    at: Instant,
    /// Where it stands among the records.
    record: Option<usize>,
}

impl std::fmt::Debug for Attempts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempts")
            .field("call", &self.call)
            .field("started", &self.started)
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}

impl Attempts {
    pub(crate) fn new(
        shared: Arc<Shared>,
        plan: Arc<Plan>,
        call: CallId,
        watcher: Option<Arc<dyn Observer>>,
    ) -> Self {
        Self {
            shared,
            call,
            plan,
            watcher,
            bill: None,
            running: Vec::new(),
            started: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Those of another stage of the same call.
    pub(crate) fn next_stage(&self) -> Self {
        Self::new(Arc::clone(&self.shared), Arc::clone(&self.plan), self.call, self.watcher.clone())
    }

    /// Tells the engine of the call, and those who watch of what came of it.
    pub(crate) fn tell(&mut self, event: Event, actions: &mut Vec<Action>) {
        let from = actions.len();
        self.shared.decide(event, actions);
        // The last notice of a call says what it cost; nudges of other calls may come after it.
        let bill = actions.iter().skip(from).find_map(|action| match action {
            Action::Notice(Notice::CallEnded { bill, .. }) => *bill,
            _ => None,
        });
        self.bill = bill.or(self.bill);
        self.shared.notify(actions, from, self.watcher.as_deref());
    }

    /// Starts one. Ordinals count from 0, in the order of their starts.
    pub(crate) fn start(&mut self, ordinal: u8, deployment: usize, outgoing: Arc<Outgoing>) {
        // By the plan of now: it knows all that the engine may have chosen, and whatever has changed holds for new attempts.
        let plan = self.shared.plan();
        let route = plan.route(deployment).cloned();
        self.started.push(Started { route, at: now(), record: None });
        let run = attempt::run(Arc::clone(&self.shared), plan, outgoing, self.call, ordinal, deployment);
        self.running.push((ordinal, Box::pin(run)));
    }

    /// The next that ends or speaks.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<(u8, Ended)> {
        for index in 0..self.running.len() {
            let Some((ordinal, run)) = self.running.get_mut(index) else { break };
            if let Poll::Ready(ended) = run.as_mut().poll(cx) {
                let ordinal = *ordinal;
                drop(self.running.swap_remove(index));
                return Poll::Ready((ordinal, ended));
            }
        }
        Poll::Pending
    }

    /// Lets go of one, or of all that run.
    pub(crate) fn stop(&mut self, ordinal: Option<u8>) {
        self.running.retain(|(running, _)| ordinal.is_some_and(|ordinal| ordinal != *running));
    }

    /// Where an attempt was made.
    pub(crate) fn route(&self, ordinal: u8) -> Option<&Route> {
        self.started.get(usize::from(ordinal))?.route.as_ref()
    }

    /// When an attempt was started.
    pub(crate) fn started_at(&self, ordinal: u8) -> Option<Instant> {
        self.started.get(usize::from(ordinal)).map(|started| started.at)
    }

    /// Notes an attempt's end, or that it ended otherwise than was noted before.
    pub(crate) fn record(&mut self, ordinal: u8, class: Option<Class>, status: Option<u16>) {
        let Some(started) = self.started.get_mut(usize::from(ordinal)) else { return };
        let took = now().saturating_duration_since(started.at);
        if let Some(record) = started.record.and_then(|index| self.records.get_mut(index)) {
            (record.class, record.took) = (class, took);
            return;
        }
        let Some(route) = started.route.clone() else { return };
        started.record = Some(self.records.len());
        self.records.push(AttemptRecord { route, class, status, took });
    }

    /// The answer's attempt is the last record; those it outran come before.
    pub(crate) fn record_winner(&mut self, ordinal: u8, status: u16) {
        for other in 0..self.started.len() {
            if let Ok(other) = u8::try_from(other)
                && other != ordinal
            {
                self.record_unended(other, Class::Timeout);
            }
        }
        self.record(ordinal, None, Some(status));
    }

    /// Attempts that still ran when the call ended are records too: all were silent to the end, or the call was cut off.
    pub(crate) fn record_unfinished(&mut self, class: Class) {
        for ordinal in 0..self.started.len() {
            if let Ok(ordinal) = u8::try_from(ordinal) {
                self.record_unended(ordinal, class);
            }
        }
    }

    /// One that has no record yet ended like this.
    fn record_unended(&mut self, ordinal: u8, class: Class) {
        if self.started.get(usize::from(ordinal)).is_some_and(|started| started.record.is_none()) {
            self.record(ordinal, Some(class), None);
        }
    }
}
