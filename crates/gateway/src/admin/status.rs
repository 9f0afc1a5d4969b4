//! `GET /status`: the whole state as one JSON document.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use outrigger::engine::{DeploymentStatus, RetryBudgetStatus};
use serde::Serialize;

use super::Admin;
use crate::routes::json;

#[derive(Serialize)]
struct Status {
    version: &'static str,
    uptime_s: u64,
    draining: bool,
    /// The emptiest of all models; absent budgets are full.
    retry_budget: Option<RetryBudgetStatus>,
    deployments: Vec<DeploymentStatus>,
}

pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Response {
    json(&Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: admin.started.elapsed().as_secs(),
        draining: admin.is_draining(),
        retry_budget: emptiest(admin.client.retry_budgets().into_iter().map(|(_, budget)| budget)),
        deployments: admin.client.deployments(),
    })
}

/// The budget of which the least share is left; an allowance of nothing is not emptier than one that was used up.
fn emptiest(budgets: impl Iterator<Item = RetryBudgetStatus>) -> Option<RetryBudgetStatus> {
    let share = |budget: &RetryBudgetStatus| f64::from(budget.balance) / f64::from(budget.capacity.max(1));
    budgets.min_by(|one, other| share(one).total_cmp(&share(other)))
}
