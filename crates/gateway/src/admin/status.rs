//! `GET /status`: the whole state as one JSON document.

use std::{collections::BTreeMap, sync::Arc, time::Duration, time::Instant};

use axum::{extract::State, response::Response};
use http::{HeaderValue, header};
use outrigger::engine::{Cordon, DeploymentStatus, RetryBudgetStatus};
use serde::Serialize;
use sim::World;

use super::Admin;
use crate::{fleet::Standing, routes::json};

#[derive(Serialize)]
struct Status {
    version: &'static str,
    uptime_s: u64,
    draining: bool,
    /// The emptiest of all models; absent budgets are full.
    retry_budget: Option<RetryBudgetStatus>,
    /// Requests since the start by how they ended.
    requests: BTreeMap<String, u64>,
    /// Those of its errors that are a caller's own fault, as a provider found.
    rejected: u64,
    deployments: Vec<DeploymentStatus>,
    /// What operators took out, by name, also where nothing of that name is configured now.
    cordons: Vec<Cordon>,
    /// The other replicas; only where there is a fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<Standing>,
    /// What is wrong with the simulated regions; only where `/chaos` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    chaos: Option<Vec<Troubles>>,
}

/// A simulated region.
#[derive(Serialize)]
struct Troubles {
    region: String,
    /// Where it is; told by a simulator without a gateway, whose regions are for strangers.
    #[serde(skip_serializing_if = "Option::is_none")]
    base_url: Option<String>,
    /// Requests that it has received, and how many of them it has not answered yet.
    requests: u64,
    in_flight: u32,
    faults: Vec<Trouble>,
}

/// A fault that is on.
#[derive(Serialize)]
struct Trouble {
    fault: &'static str,
    /// Absent when it has no end.
    left_ms: Option<u64>,
}

pub(super) fn status(State(admin): State<Arc<Admin>>, world: Option<&World>) -> Response {
    // They are requests too, and counted after them: read before them, they are no more than there are.
    let rejected = admin.watch.metrics().rejected();
    fresh(&Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: admin.started.elapsed().as_secs(),
        draining: admin.is_draining(),
        retry_budget: emptiest(admin.client.retry_budgets().into_iter().map(|(_, budget)| budget)),
        requests: admin.watch.metrics().outcomes(),
        rejected,
        deployments: admin.client.deployments(),
        cordons: admin.client.cordons(),
        fleet: admin.fleet.as_ref().and_then(|fleet| fleet.standing()),
        chaos: world.map(|world| troubles(world, &[])),
    })
}

/// The state of simulated regions without a gateway: the same document, with nothing in it but them.
pub(super) fn of_world(world: &World, places: &[(String, String)], started: Instant) -> Response {
    fresh(&Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: started.elapsed().as_secs(),
        draining: false,
        retry_budget: None,
        requests: BTreeMap::new(),
        rejected: 0,
        deployments: Vec::new(),
        cordons: Vec::new(),
        fleet: None,
        chaos: Some(troubles(world, places)),
    })
}

/// What is true now and never again.
fn fresh(status: &Status) -> Response {
    let mut response = json(status);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn troubles(world: &World, places: &[(String, String)]) -> Vec<Troubles> {
    let ms = |left: Duration| u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    let of = |region: &String| Troubles {
        region: region.clone(),
        base_url: places.iter().find(|(known, _)| known == region).map(|(_, url)| url.clone()),
        requests: world.count(region).unwrap_or_default(),
        in_flight: world.in_flight(region).unwrap_or_default(),
        faults: world
            .faults(region)
            .unwrap_or_default()
            .into_iter()
            .map(|(fault, left)| Trouble { fault, left_ms: left.map(ms) })
            .collect(),
    };
    world.regions().iter().map(of).collect()
}

/// The budget of which the least share is left; an allowance of nothing is not emptier than one that was used up.
fn emptiest(budgets: impl Iterator<Item = RetryBudgetStatus>) -> Option<RetryBudgetStatus> {
    let share = |budget: &RetryBudgetStatus| f64::from(budget.balance) / f64::from(budget.capacity.max(1));
    budgets.min_by(|one, other| share(one).total_cmp(&share(other)))
}
