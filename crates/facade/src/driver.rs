//! Executes the engine's actions for one call, from its first pick to its answer. The steps bear the numbers of the
//! request's life in ARCHITECTURE.md.

use std::{future::Future, sync::Arc, time::Instant};

use policy::Finish;
use wire::Class;

use crate::{
    answer::{Answer, AnswerBody, Timing},
    attempt::{Ended, Head, Refusal},
    attempts::Attempts,
    config::Timeouts,
    engine::{Action, Ask, CallId, Event, ModelPlan, Plan},
    error::CallError,
    nudges::Listener,
    outgoing::{self, Outgoing},
    reader::Reader,
    request::Request,
    shared::{InProgress, Shared, now},
    stream::{AnswerStream, Origin},
    trace::{TraceContext, Trail},
};

/// Makes one call, for as long as `end` does not come.
///
/// # Cancel safety
/// Dropping the future drops every running attempt, and the engine is told that the caller went away.
pub(crate) async fn drive(
    shared: &Arc<Shared>,
    request: Request,
    end: impl Future<Output = ()>,
) -> Result<Answer, CallError> {
    let in_progress = shared.enter();
    if shared.is_closing() {
        return Err(CallError::ShuttingDown);
    }
    if shared.is_overloaded() {
        return Err(CallError::Overloaded);
    }
    // 1. What is asked, as far as routing depends on it; what can be refused without an attempt is refused here.
    let plan = shared.plan();
    let mut ask = crate::ask::of(&plan, &request, &|name| shared.recall(name))?;
    crate::estimate::hold_to_cost(shared, &request, &mut ask)?;
    let mut drive = Drive::begin(in_progress, plan, request, ask);
    let answered = tokio::select! {
        biased;
        answered = drive.run() => Some(answered),
        () = end => None,
    };
    answered.unwrap_or_else(|| Err(drive.cut_off()))
}

/// A call in progress.
struct Drive {
    shared: Arc<Shared>,
    call: CallId,
    model: usize,
    outgoing: Arc<Outgoing>,
    attempts: Attempts,
    actions: Vec<Action>,
    wake: Instant,
    began: Instant,
    refusal: Option<Refusal>,
    /// Whether another attempt might have cost more than the call may.
    held_back: bool,
    /// Hears of a place that is kept for the call, once it has had to wait for one.
    nudged: Option<Listener>,
    /// Taken when the engine has been told of the end; until then a drop means that the caller went away.
    in_progress: Option<InProgress>,
}

impl Drive {
    fn begin(in_progress: InProgress, plan: Arc<Plan>, request: Request, mut ask: Ask) -> Self {
        let shared = Arc::clone(in_progress.shared());
        let call = shared.next_call();
        let mut actions = Vec::with_capacity(4);
        let model = ask.model;
        let began = now();
        let rescues = |model: &ModelPlan| model.routing.rescue_streams;
        let mendable = ask.rescuable && plan.models.get(model).is_some_and(rescues);
        let trail = TraceContext::of(&request.headers).map(|context| Trail::new(context, shared.draw()));
        ask.trail = trail;
        // 2. The engine picks: registry, circuits, budget.
        let mut attempts = Attempts::new(Arc::clone(&shared), plan, call, request.watcher.clone());
        attempts.tell(Event::Asked { call, ask }, &mut actions);
        let outgoing = Arc::new(Outgoing::new(request, mendable).traced(trail));
        Self {
            shared,
            call,
            model,
            outgoing,
            attempts,
            actions,
            wake: began,
            began,
            refusal: None,
            held_back: false,
            nudged: None,
            in_progress: Some(in_progress),
        }
    }

    async fn run(&mut self) -> Result<Answer, CallError> {
        loop {
            // 3. What the engine asks for is done.
            if let Some(finish) = self.act() {
                return Err(self.give_up(finish));
            }
            // 4. An attempt ends or speaks, a place is free, or the engine's wake-up comes.
            let ended = tokio::select! {
                biased;
                ended = std::future::poll_fn(|cx| self.attempts.poll_ended(cx)) => Some(ended),
                () = heard(self.nudged.as_ref()) => None,
                () = tokio::time::sleep_until(self.wake.into()) => None,
            };
            let call = self.call;
            match ended {
                None => self.tell(Event::Tick { call }),
                Some((ordinal, Ended::Failed { failure, refusal })) => {
                    // 5. A failure goes to the engine, which charges it and finds the way on.
                    self.attempts.record(ordinal, Some(failure.class), failure.status);
                    // A later failure of another kind does not take back what a provider said of the request.
                    if failure.class.level() == wire::Level::Nobody && refusal.is_some() {
                        self.refusal = refusal;
                    }
                    self.tell(Event::Failed { call, attempt: ordinal, failure });
                }
                Some((ordinal, Ended::Whole { head, bytes, heard })) => {
                    // 6. A whole answer ends the call.
                    self.attempts.record_winner(ordinal, head.status.as_u16());
                    self.attempts.stop(None);
                    self.tell(Event::Answered { call, attempt: ordinal, heard });
                    self.in_progress = None;
                    let bill = self.attempts.bill.unwrap_or_default();
                    let body = AnswerBody::Whole {
                        bytes,
                        usage: heard.usage,
                        cost_usd: bill.cost_usd,
                        estimated_usd: bill.estimated_usd,
                    };
                    return Ok(self.answer(ordinal, head, |_| body));
                }
                Some((ordinal, Ended::Speaking { head, reader })) => {
                    // 7. First content is the commit point: from here the stream is the caller's.
                    self.attempts.record_winner(ordinal, head.status.as_u16());
                    self.tell(Event::Content { call, attempt: ordinal });
                    let stream =
                        |drive: &mut Self| AnswerBody::Stream(Box::new(drive.commit(ordinal, *reader)));
                    return Ok(self.answer(ordinal, head, stream));
                }
            }
        }
    }

    /// The public name of what is asked.
    fn model(&self) -> String {
        let model = self.attempts.plan.models.get(self.model);
        model.map_or_else(String::new, |model| model.name.to_string())
    }

    /// What the call may cost at most, where that is why nobody else was asked.
    fn max_usd(&self) -> Option<f64> {
        let request = &self.outgoing.request;
        let bounds = [request.max_cost, request.held].into_iter().flatten();
        bounds.reduce(f64::min).filter(|_| self.held_back)
    }

    fn tell(&mut self, event: Event) {
        self.attempts.tell(event, &mut self.actions);
    }

    /// Does what the engine asked for. Returns how the call ended without an answer, if it did.
    fn act(&mut self) -> Option<Finish> {
        let (mut over, mut queued) = (None, false);
        for action in self.actions.drain(..) {
            match action {
                Action::Start { attempt, deployment, .. } => {
                    self.attempts.start(attempt, deployment, Arc::clone(&self.outgoing));
                }
                Action::Wake { at } => self.wake = at,
                Action::Queue => queued = true,
                Action::Finish(finish) => over = Some(finish),
                Action::HeldBack => self.held_back = true,
                // Only an answer that broke is rescued, and there is none yet; the rest is done by `Shared::tell`.
                Action::Stop { .. } | Action::Nudge { .. } | Action::Notice(_) => {}
            }
        }
        if queued && self.nudged.is_none() {
            // A nudge that came before this was not heard: the engine is asked again.
            self.nudged = Some(self.shared.listen(self.call));
            self.tell(Event::Tick { call: self.call });
            return self.act();
        }
        over
    }

    /// The stream takes the call over, with all that a rescue needs.
    fn commit(&mut self, ordinal: u8, reader: Reader) -> AnswerStream {
        let plan = Arc::clone(&self.attempts.plan);
        let model = plan.models.get(self.model);
        let timeouts = model.map_or_else(Timeouts::default, |model| model.timeouts.clone());
        let next = self.attempts.next_stage();
        let origin = Origin {
            attempt: ordinal,
            model: model.map_or_else(|| Arc::from(""), |model| Arc::clone(&model.name)),
            attempts: std::mem::replace(&mut self.attempts, next),
            outgoing: self.outgoing.mendable.then(|| Arc::clone(&self.outgoing)),
            began: self.began,
            first_token: now().saturating_duration_since(self.began),
            idle: timeouts.idle,
            longest: timeouts.stream_max,
            choices: self.outgoing.request.choices(),
        };
        // The call goes on as a stream: its token goes with it.
        let in_progress = self.in_progress.take().unwrap_or_else(|| self.shared.enter());
        AnswerStream::new(reader, origin, in_progress)
    }

    fn answer(&mut self, ordinal: u8, head: Head, body: impl FnOnce(&mut Self) -> AnswerBody) -> Answer {
        self.attempts.stop(None);
        let at = now();
        let started = self.attempts.started_at(ordinal).unwrap_or(self.began);
        let route = self.attempts.route(ordinal).cloned().unwrap_or_else(|| crate::Route::new("", "", ""));
        let body = body(self);
        let attempts = match &body {
            AnswerBody::Whole { .. } => std::mem::take(&mut self.attempts.records),
            AnswerBody::Stream(stream) => stream.attempts().to_vec(),
        };
        Answer {
            status: head.status,
            headers: outgoing::returned(&head.headers),
            route,
            attempts,
            timing: Timing {
                total: at.saturating_duration_since(self.began),
                upstream: at.saturating_duration_since(started),
            },
            fallback: false,
            body,
        }
    }

    /// Whoever runs the client has no more time for the call.
    fn cut_off(&mut self) -> CallError {
        self.attempts.stop(None);
        self.tell(Event::CutOff { call: self.call, reading: None });
        self.in_progress = None;
        self.attempts.record_unfinished(Class::Cancelled);
        CallError::CutOff { model: self.model(), attempts: std::mem::take(&mut self.attempts.records) }
    }

    /// The call ended without an answer.
    fn give_up(&mut self, finish: Finish) -> CallError {
        self.attempts.stop(None);
        self.in_progress = None;
        self.attempts.record_unfinished(Class::Timeout);
        let attempts = std::mem::take(&mut self.attempts.records);
        let model = self.model();
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
            (Finish::Deadline, _) => CallError::DeadlineExceeded { model, max_usd: self.max_usd(), attempts },
            _ => CallError::Exhausted { model, max_usd: self.max_usd(), attempts },
        }
    }
}

/// Returns when the engine has a place for the call; never for one that waits for none.
async fn heard(nudged: Option<&Listener>) {
    match nudged {
        Some(nudged) => nudged.nudged().await,
        None => std::future::pending().await,
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        if self.in_progress.is_some() {
            self.attempts.stop(None);
            self.attempts.tell(Event::Cancelled { call: self.call, reading: None }, &mut Vec::new());
        }
    }
}
