//! Health checks: a real request whose result is recorded, or nothing.
//!
//! One task a client goes round the endpoints that are to be checked. It asks the engine first: an endpoint that carries
//! traffic needs no check, and in half-open the check is a trial like any other.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use http::Method;
use tokio::task::JoinHandle;

use crate::{
    config::CheckKind,
    engine::Endpoint,
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
    task: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Checks {
    /// Starts the checks that the configuration asks for; without any, or outside a runtime, there is no task.
    pub(crate) fn start(shared: &Arc<Shared>) -> Self {
        let due: Vec<(usize, Duration)> = shared
            .plan
            .endpoints
            .iter()
            .enumerate()
            .filter_map(|(number, endpoint)| Some((number, endpoint.health_check.as_ref()?.every)))
            .collect();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return Self::default() };
        if due.is_empty() {
            return Self::default();
        }
        let shared = Arc::clone(shared);
        let task = runtime.spawn(async move {
            let mut rounds: FuturesUnordered<_> =
                due.into_iter().map(|(endpoint, every)| rounds(&shared, endpoint, every)).collect();
            tokio::select! {
                () = shared.closing() => {}
                () = async { while rounds.next().await.is_some() {} } => {}
            }
        });
        Self { task: std::sync::Mutex::new(Some(task)) }
    }

    fn take(&self) -> Option<JoinHandle<()>> {
        self.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
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

async fn rounds(shared: &Arc<Shared>, endpoint: usize, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        check(shared, endpoint, every).await;
    }
}

/// One check of one endpoint, if it is needed.
async fn check(shared: &Arc<Shared>, endpoint: usize, every: Duration) {
    let Some(place) = shared.plan.endpoints.get(endpoint) else { return };
    let lease = CHECK_TIMEOUT + Duration::from_secs(5);
    let Some(check) = shared.engine().begin_check(endpoint, every, lease, now()) else { return };
    let request = request(shared, endpoint, place);
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
    let mut actions = Vec::new();
    shared.engine().end_check(check, class, now(), &mut actions);
    shared.notify(&mut actions, 0);
}

/// The list of models, or a chat of one token, which is billed and finds out more.
fn request(shared: &Shared, endpoint: usize, place: &Endpoint) -> transport::Request {
    let is_chat = place.health_check.as_ref().is_some_and(|check| check.kind == CheckKind::Chat);
    let deployment =
        shared.plan.deployments.iter().find(|deployment| is_chat && deployment.endpoint == endpoint);
    let (method, url, body) = match deployment {
        Some(deployment) => {
            let messages = serde_json::json!([{ "role": "user", "content": "ping" }]);
            let body = serde_json::json!({ "model": &*deployment.route.model, "messages": messages, "max_tokens": 1 });
            (Method::POST, &place.chat, body.to_string())
        }
        None => (Method::GET, &place.models, String::new()),
    };
    let mut request = transport::Request::new(method, url.clone(), Arc::clone(&place.pool));
    request.headers = place.headers.clone();
    if deployment.is_none() {
        request.headers.remove(http::header::CONTENT_TYPE);
    }
    request.body = body.into();
    request
}
