//! Health checks: a real request whose result is recorded, or nothing.
//!
//! One task a client goes round the endpoints that are to be checked. It asks the engine first: an endpoint that carries
//! traffic needs no check, and in half-open the check is a trial like any other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use http::Method;
use tokio::task::JoinHandle;

use crate::{
    config::CheckKind,
    engine::{Check, Endpoint, Plan},
    shared::{Shared, now},
};

/// The longest that a health check may take; a list of models takes a fraction of a second where all is well.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// The running health checks of a client.
///
/// # Drop
/// Dropping it stops them.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    task: Mutex<Option<JoinHandle<()>>>,
    /// When an endpoint's turn was over last, by its number: whoever reloads often does not put its next one off.
    turns: Arc<Mutex<HashMap<usize, Instant>>>,
}

impl Checks {
    /// Starts the checks that the configuration asks for; without any, or outside a runtime, there is no task.
    pub(crate) fn start(shared: &Arc<Shared>) -> Self {
        let checks = Self::default();
        checks.restart(shared);
        checks
    }

    /// Starts those of the plan that holds now, in place of those that run.
    pub(crate) fn restart(&self, shared: &Arc<Shared>) {
        if let Some(task) = self.take() {
            task.abort();
        }
        let plan = shared.plan();
        let due = self.due(&plan);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if due.is_empty() || shared.is_closing() {
            return;
        }
        let (shared, turns) = (Arc::clone(shared), Arc::clone(&self.turns));
        let task = runtime.spawn(async move {
            let mut rounds: FuturesUnordered<_> =
                due.into_iter().map(|round| rounds(&shared, &plan, &turns, round)).collect();
            tokio::select! {
                () = shared.closing() => {}
                () = async { while rounds.next().await.is_some() {} } => {}
            }
        });
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Each endpoint that is to be checked, and when for the first time.
    fn due(&self, plan: &Plan) -> Vec<Round> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|number, _| !plan.endpoint_numbers.fresh.contains(number));
        let round = |(number, endpoint): (usize, &Endpoint)| {
            let every = endpoint.health_check.as_ref()?.every;
            let last = *turns.entry(number).or_insert_with(now);
            Some(Round { endpoint: number, every, first: last + every })
        };
        let due = plan.live_endpoints().filter_map(round).collect();
        drop(turns);
        due
    }

    fn take(&self) -> Option<JoinHandle<()>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns when the checks have stopped.
    pub(crate) async fn stopped(&self) {
        if let Some(task) = self.take() {
            task.abort();
            // Cancelled or finished: both are stopped.
            drop(task.await);
        }
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        if let Some(task) = self.take() {
            task.abort();
        }
    }
}

/// One endpoint's checks.
struct Round {
    endpoint: usize,
    every: Duration,
    first: Instant,
}

async fn rounds(shared: &Arc<Shared>, plan: &Plan, turns: &Mutex<HashMap<usize, Instant>>, round: Round) {
    let Round { endpoint, every, first } = round;
    tokio::time::sleep_until(first.into()).await;
    loop {
        check(shared, plan, endpoint, every).await;
        turns.lock().unwrap_or_else(PoisonError::into_inner).insert(endpoint, now());
        tokio::time::sleep(every).await;
    }
}

/// One check of one endpoint, if it is needed.
async fn check(shared: &Arc<Shared>, plan: &Plan, endpoint: usize, every: Duration) {
    let Some(place) = plan.endpoints.get(endpoint) else { return };
    let asked = asked_by_chat(plan, endpoint, place);
    let lease = CHECK_TIMEOUT + Duration::from_secs(5);
    let begun = shared.engine().begin_check(endpoint, asked, every, lease, now());
    let Some(check) = begun else { return };
    let running = Running { shared, check: Some(check) };
    let request = request(plan, asked, place);
    let answered = tokio::time::timeout(CHECK_TIMEOUT, shared.transport.send(request)).await;
    let class = match answered {
        Ok(Ok(response)) if response.status.is_success() => None,
        Ok(Ok(response)) => {
            let header = |name: &str| response.headers.get(name).and_then(|value| value.to_str().ok());
            Some(wire::classify(response.status.as_u16(), header, &[], shared.wall()).class)
        }
        Ok(Err(error)) => Some(crate::attempt::unsent(&error).class),
        Err(_) => Some(wire::Class::Timeout),
    };
    running.end(class);
}

/// A check whose request is under way.
///
/// # Drop
/// Dropping it gives the check up: its permits are free again, and no verdict is counted.
struct Running<'a> {
    shared: &'a Shared,
    check: Option<Check>,
}

impl Running<'_> {
    fn end(mut self, class: Option<wire::Class>) {
        if let Some(check) = self.check.take() {
            let mut actions = Vec::new();
            self.shared.engine().end_check(check, class, now(), &mut actions);
            self.shared.notify(&mut actions, 0, None);
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(check) = self.check.take() {
            self.shared.engine().drop_check(check);
        }
    }
}

/// The deployment that a check by chat asks: the first one there.
fn asked_by_chat(plan: &Plan, endpoint: usize, place: &Endpoint) -> Option<usize> {
    let is_chat = place.health_check.as_ref().is_some_and(|check| check.kind == CheckKind::Chat);
    let mut deployments = plan.live_deployments();
    let (number, _) = deployments.find(|(_, deployment)| is_chat && deployment.endpoint == endpoint)?;
    Some(number)
}

/// The list of models, or a chat of one token, which is billed and finds out more.
fn request(plan: &Plan, asked: Option<usize>, place: &Endpoint) -> transport::Request {
    let deployment = asked.and_then(|number| plan.deployments.get(number));
    let chat = wire::Api::Chat.at(place.dialect);
    let url = deployment.zip(chat).and_then(|(deployment, api)| deployment.url(api));
    let (method, url, body) = match (deployment, url) {
        (Some(deployment), Some(url)) => {
            // Chat and messages have this much in common.
            let messages = serde_json::json!([{ "role": "user", "content": "ping" }]);
            let body = serde_json::json!({ "model": &*deployment.route.model, "messages": messages, "max_tokens": 1 });
            (Method::POST, url, body.to_string())
        }
        _ => (Method::GET, &place.models, String::new()),
    };
    let mut request = transport::Request::new(method, url.clone(), Arc::clone(&place.pool));
    request.headers = place.headers.clone();
    if request.method == Method::GET {
        request.headers.remove(http::header::CONTENT_TYPE);
    }
    request.body = body.into();
    request
}
