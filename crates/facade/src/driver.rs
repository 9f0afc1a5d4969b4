//! Executes the engine's actions for one call, from its first pick to its answer. The steps bear the numbers of the
//! request's life in ARCHITECTURE.md.

use std::{sync::Arc, time::Instant};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use policy::Finish;

use crate::{
    answer::{Answer, AnswerBody, AttemptRecord, Timing},
    attempt::{self, Ended, Head, Refusal},
    config::Timeouts,
    engine::{Action, Ask, CallId, Event},
    error::CallError,
    outgoing::{self, Outgoing},
    reader::Reader,
    request::Request,
    shared::{InProgress, Shared, now},
    stream::{AnswerStream, Origin},
};

/// Makes one call.
///
/// # Cancel safety
/// Dropping the future drops every running attempt, and the engine is told that the caller went away.
pub(crate) async fn drive(shared: &Arc<Shared>, request: Request) -> Result<Answer, CallError> {
    let in_progress = shared.enter();
    if shared.is_closing() {
        return Err(CallError::ShuttingDown);
    }
    if shared.is_overloaded() {
        return Err(CallError::Overloaded);
    }
    // 1. What is asked, as far as routing depends on it; what can be refused without an attempt is refused here.
    let ask = crate::ask::of(&shared.plan, &request)?;
    let mut drive = Drive::begin(in_progress, request, ask);
    drive.run().await
}

/// A call in progress.
struct Drive {
    shared: Arc<Shared>,
    call: CallId,
    model: usize,
    outgoing: Arc<Outgoing>,
    running: FuturesUnordered<BoxFuture<'static, (u8, Ended)>>,
    /// The attempts started, by ordinal.
    started: Vec<Started>,
    records: Vec<AttemptRecord>,
    actions: Vec<Action>,
    wake: Instant,
    began: Instant,
    refusal: Option<Refusal>,
    /// Taken when the engine has been told of the end; until then a drop means that the caller went away.
    in_progress: Option<InProgress>,
}

/// An attempt that was started.
#[derive(Clone, Copy, Debug)]
struct Started {
    deployment: usize,
    at: Instant,
    /// Whether it stands among the records.
    recorded: bool,
}

impl Drive {
    fn begin(in_progress: InProgress, request: Request, ask: Ask) -> Self {
        let shared = Arc::clone(in_progress.shared());
        let call = shared.next_call();
        let mut actions = Vec::with_capacity(4);
        let model = ask.model;
        let began = now();
        // 2. The engine picks: registry, circuits, budget.
        shared.tell(Event::Asked { call, ask }, &mut actions);
        let outgoing = Arc::new(Outgoing { plan: Arc::clone(&shared.plan), request });
        Self {
            shared,
            call,
            model,
            outgoing,
            running: FuturesUnordered::new(),
            started: Vec::new(),
            records: Vec::new(),
            actions,
            wake: began,
            began,
            refusal: None,
            in_progress: Some(in_progress),
        }
    }

    async fn run(&mut self) -> Result<Answer, CallError> {
        loop {
            // 3. What the engine asks for is done.
            if let Some(finish) = self.act() {
                return Err(self.give_up(finish));
            }
            // 4. An attempt ends or speaks, or the engine's wake-up comes.
            let ended = tokio::select! {
                biased;
                Some(ended) = self.running.next() => Some(ended),
                () = tokio::time::sleep_until(self.wake.into()) => None,
            };
            let call = self.call;
            match ended {
                None => self.tell(Event::Tick { call }),
                Some((ordinal, Ended::Failed { failure, refusal })) => {
                    // 5. A failure goes to the engine, which charges it and finds the way on.
                    self.record(ordinal, Some(failure.class), failure.status);
                    // A later failure of another kind does not take back what a provider said of the request.
                    if failure.class.level() == wire::Level::Nobody {
                        self.refusal = refusal;
                    }
                    self.tell(Event::Failed { call, attempt: ordinal, failure });
                }
                Some((ordinal, Ended::Whole { head, bytes, usage })) => {
                    // 6. A whole answer ends the call.
                    self.record_winner(ordinal, &head);
                    self.running.clear();
                    self.tell(Event::Answered { call, attempt: ordinal, usage });
                    self.in_progress = None;
                    let cost = usage
                        .and_then(|usage| self.shared.engine().cost(self.deployment(ordinal), &usage, now()));
                    let body = AnswerBody::Whole { bytes, usage, cost_usd: cost };
                    return Ok(self.answer(ordinal, head, body));
                }
                Some((ordinal, Ended::Speaking { head, reader })) => {
                    // 7. First content is the commit point: from here the stream is the caller's.
                    self.record_winner(ordinal, &head);
                    self.tell(Event::Content { call, attempt: ordinal });
                    let stream = self.commit(ordinal, reader);
                    return Ok(self.answer(ordinal, head, AnswerBody::Stream(Box::new(stream))));
                }
            }
        }
    }

    fn tell(&mut self, event: Event) {
        self.shared.tell(event, &mut self.actions);
    }

    /// Does what the engine asked for. Returns how the call ended without an answer, if it did.
    fn act(&mut self) -> Option<Finish> {
        let mut over = None;
        for action in self.actions.drain(..) {
            match action {
                Action::Start { attempt, deployment, .. } => {
                    self.started.push(Started { deployment, at: now(), recorded: false });
                    let run = attempt::run(
                        Arc::clone(&self.shared),
                        Arc::clone(&self.outgoing),
                        self.call,
                        attempt,
                        deployment,
                    );
                    self.running.push(Box::pin(async move { (attempt, run.await) }));
                }
                Action::Wake { at } => self.wake = at,
                // Only an answer that broke is rescued, and there is none yet.
                Action::Stop { .. } => {}
                Action::Finish(finish) => over = Some(finish),
                Action::Notice(_) => {}
            }
        }
        over
    }

    fn deployment(&self, ordinal: u8) -> usize {
        self.started.get(usize::from(ordinal)).map_or(usize::MAX, |started| started.deployment)
    }

    fn record(&mut self, ordinal: u8, class: Option<wire::Class>, status: Option<u16>) {
        let Some(started) = self.started.get_mut(usize::from(ordinal)) else { return };
        started.recorded = true;
        let Some(deployment) = self.shared.plan.deployments.get(started.deployment) else { return };
        let took = now().saturating_duration_since(started.at);
        self.records.push(AttemptRecord { route: deployment.route.clone(), class, status, took });
    }

    /// The answer's attempt is the last record; those it outran come before.
    fn record_winner(&mut self, ordinal: u8, head: &Head) {
        if let Some(started) = self.started.get_mut(usize::from(ordinal)) {
            started.recorded = true;
        }
        self.record_unfinished(wire::Class::Timeout);
        self.record(ordinal, None, Some(head.status.as_u16()));
    }

    /// Attempts that still ran when the call ended are records too: another one won, or all were silent to the end.
    fn record_unfinished(&mut self, class: wire::Class) {
        for ordinal in 0..self.started.len() {
            let unrecorded = self.started.get(ordinal).is_some_and(|started| !started.recorded);
            if let (true, Ok(ordinal)) = (unrecorded, u8::try_from(ordinal)) {
                self.record(ordinal, Some(class), None);
            }
        }
    }

    fn commit(&mut self, ordinal: u8, reader: Reader) -> AnswerStream {
        let model = self.shared.plan.models.get(self.model);
        let timeouts = model.map_or_else(Timeouts::default, |model| model.timeouts.clone());
        let origin = Origin {
            call: self.call,
            attempt: ordinal,
            model: model.map_or_else(|| Arc::from(""), |model| Arc::clone(&model.name)),
            deployment: self.deployment(ordinal),
            attempts: self.records.clone(),
            began: self.began,
            first_token: now().saturating_duration_since(self.began),
            idle: timeouts.idle,
            longest: timeouts.stream_max,
            choices: self.outgoing.request.facts.choices,
        };
        // The call goes on as a stream: its token goes with it.
        let in_progress = self.in_progress.take().unwrap_or_else(|| self.shared.enter());
        AnswerStream::new(reader, origin, in_progress)
    }

    fn answer(&mut self, ordinal: u8, head: Head, body: AnswerBody) -> Answer {
        self.running.clear();
        let at = now();
        let started = self.started.get(usize::from(ordinal)).map_or(self.began, |started| started.at);
        let route = self
            .shared
            .plan
            .deployments
            .get(self.deployment(ordinal))
            .map_or_else(|| crate::Route::new("", "", ""), |deployment| deployment.route.clone());
        Answer {
            status: head.status,
            headers: outgoing::returned(&head.headers),
            route,
            attempts: std::mem::take(&mut self.records),
            timing: Timing {
                total: at.saturating_duration_since(self.began),
                upstream: at.saturating_duration_since(started),
            },
            body,
        }
    }

    /// The call ended without an answer.
    fn give_up(&mut self, finish: Finish) -> CallError {
        self.running.clear();
        self.in_progress = None;
        self.record_unfinished(wire::Class::Timeout);
        let attempts = std::mem::take(&mut self.records);
        let model =
            self.shared.plan.models.get(self.model).map_or_else(String::new, |model| model.name.to_string());
        let wait = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(now()));
        match (finish, self.refusal.take()) {
            (Finish::Rejected, Some(Refusal { head, body })) => CallError::Rejected {
                status: head.status,
                headers: Box::new(outgoing::returned(&head.headers)),
                body,
                attempts,
            },
            (Finish::Limited { retry_at }, _) => {
                CallError::RateLimited { model, retry_in: wait(retry_at), attempts }
            }
            (Finish::Unavailable { retry_at }, _) => {
                CallError::NoDeployment { model, retry_in: wait(retry_at), attempts }
            }
            (Finish::Deadline, _) => CallError::DeadlineExceeded { model, attempts },
            _ => CallError::Exhausted { model, attempts },
        }
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        if self.in_progress.is_some() {
            self.running.clear();
            self.shared.tell(Event::Cancelled { call: self.call, usage: None }, &mut Vec::new());
        }
    }
}
