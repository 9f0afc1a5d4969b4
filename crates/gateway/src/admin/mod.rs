//! The operators' port: is it alive, is it ready, how does it stand, what has it counted; and the few things that can be done
//! to it while it runs.
//!
//! It has no keys. It listens on the loopback address unless told otherwise, and answers no web page but its own.

mod chaos;
mod cordon;
mod events;
mod explain;
mod reload;
mod status;

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, StatusCode, header};
use outrigger::{Client, engine::DeploymentStatus};
use serde::{Serialize, de::DeserializeOwned};
use sim::World;
use tokio::sync::mpsc;

use crate::{
    auth::Keys,
    dashboard,
    fleet::Fleet,
    ledger::Ledger,
    metrics,
    phase::{Phase, Phases},
    reload::Order,
    routes::{self, error::ApiError, json},
    watch::Watch,
};

/// A body on this port is a few names.
const MAX_BODY: usize = 64 << 10;

/// What the routes share.
#[derive(Debug)]
pub(crate) struct Admin {
    client: Client,
    watch: Watch,
    phases: Phases,
    keys: Arc<Keys>,
    ledger: Arc<Ledger>,
    fleet: Option<Arc<Fleet>>,
    started: Instant,
    cordons: cordon::Ends,
}

impl Admin {
    pub(crate) fn new(
        client: Client,
        watch: Watch,
        phases: Phases,
        (keys, ledger): (Arc<Keys>, Arc<Ledger>),
        fleet: Option<Arc<Fleet>>,
    ) -> Arc<Self> {
        let (started, cordons) = (Instant::now(), cordon::Ends::default());
        Arc::new(Self { client, watch, phases, keys, ledger, fleet, started, cordons })
    }

    fn is_draining(&self) -> bool {
        self.phases.now() != Phase::Serving
    }
}

/// The operators' routes; `/chaos` only where there is a world to disturb, `/reload` only where there is a file to read again.
pub(crate) fn router(admin: Arc<Admin>, world: Option<World>, orders: Option<mpsc::Sender<Order>>) -> Router {
    let shown = world.clone();
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(page))
        .route("/status", get(async move |admin| status::status(admin, shown.as_ref())))
        .route("/spend", get(spend))
        .route("/explain", get(explain::explain))
        .route("/events", get(events::events))
        .route("/cordon", post(cordon::cordon).delete(cordon::uncordon))
        .with_state(admin)
        .merge(dashboard::router());
    let router = match orders {
        Some(orders) => router.merge(Router::new().route("/reload", post(reload::reload)).with_state(orders)),
        None => router,
    };
    routes::guarded(match world {
        Some(world) => router.merge(chaos_router(world)),
        None => router,
    })
}

/// What simulated regions without a gateway have: how and where they are, `/chaos`, and a page for both.
pub(crate) fn sim_router(world: World, places: Vec<(String, String)>) -> Router {
    let (started, shown) = (Instant::now(), world.clone());
    let status = get(async move || status::of_world(&shown, &places, started));
    let router = Router::new().route("/status", status).merge(dashboard::router());
    routes::guarded(router.merge(chaos_router(world)))
}

/// The routes that disturb a simulated world.
fn chaos_router(world: World) -> Router {
    Router::new().route("/chaos", post(chaos::wreak).delete(chaos::clear)).with_state(world)
}

/// The process answers.
async fn healthz() -> &'static str {
    "ok\n"
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    draining: bool,
    deployments: usize,
    /// Those that are not out: circuit not open, no cooldown, not cordoned, not refused by their provider.
    available: usize,
}

/// Whether it takes requests. Sick upstreams are told in the body alone: taking every replica out because a provider is down
/// helps nobody.
async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    let deployments = admin.client.deployments();
    let draining = admin.is_draining();
    let available = deployments.iter().filter(|status| is_available(status)).count();
    let mut response = json(&Ready { ready: !draining, draining, deployments: deployments.len(), available });
    if draining {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// A part of a query that would have narrowed what is done, had it been understood.
fn stray(part: &str, names: &[&str]) -> Response {
    let message =
        format!("`{part}` is not understood; a query may have {}, each with a value", names.join(", "));
    ApiError::caller(StatusCode::BAD_REQUEST, "invalid_value", message).into_response()
}

fn is_available(status: &DeploymentStatus) -> bool {
    !matches!(status.breaker, "open" | "forced_open")
        && status.cooldown_ms == 0
        && !status.cordoned
        && !metrics::is_taken_out(status)
}

/// What calls have cost, and what is left of budgets.
async fn spend(State(admin): State<Arc<Admin>>) -> Response {
    let wall = SystemTime::now();
    json(&admin.ledger.report(&admin.keys.standings(wall), wall))
}

async fn page(State(admin): State<Arc<Admin>>) -> Response {
    let mut response = Response::new(Body::from(admin.watch.metrics().page(&admin.client)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
    response
}

/// A body of a few names.
async fn read<T: DeserializeOwned>(body: Body) -> Result<T, ApiError> {
    let invalid = |message: String| ApiError::caller(StatusCode::BAD_REQUEST, "invalid_json", message);
    let bytes =
        axum::body::to_bytes(body, MAX_BODY).await.map_err(|_| ApiError::too_large(MAX_BODY as u64))?;
    serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))
}

fn not_found(message: impl Into<String>) -> Response {
    ApiError::caller(StatusCode::NOT_FOUND, "not_found", message).into_response()
}
