//! How the client stands when the page is asked for: circuits, health, attempts running, budgets.

use outrigger::{Client, engine::DeploymentStatus};

use super::page::{Kind, Page};

/// Writes it.
pub(super) fn write(page: &mut Page, client: &Client) {
    let deployments = client.deployments();
    let mut gauge = |name: &str, help: &str, value: fn(&DeploymentStatus) -> f64| {
        if deployments.is_empty() {
            return;
        }
        page.begin(name, Kind::Gauge, help);
        for status in &deployments {
            let labels =
                [("provider", &*status.provider), ("region", &*status.region), ("model", &*status.model)];
            page.sample(name, &labels, value(status));
        }
    };
    gauge("outrigger_breaker_state", "State of the worst circuit: 0 closed, 1 half-open, 2 open.", circuit);
    gauge("outrigger_health_score", "Health, 0 to 100.", |status| status.health);
    gauge("outrigger_in_flight", "Attempts running.", |status| f64::from(status.in_flight));
    gauge("outrigger_cordoned", "Whether an operator took it out: 1 where so.", |status| {
        f64::from(u8::from(status.cordoned))
    });
    gauge("outrigger_taken_out", "Whether it is out until somebody acts: 1 where so.", |status| {
        f64::from(u8::from(is_taken_out(status)))
    });
    let budgets = client.retry_budgets();
    if !budgets.is_empty() {
        page.begin("outrigger_retry_budget_tokens", Kind::Gauge, "Tokens left for retries.");
        for (model, budget) in &budgets {
            page.sample("outrigger_retry_budget_tokens", &[("model", model)], budget.balance);
        }
    }
}

/// Whether its provider refuses it for a reason that no retry mends: a credential, an account, a model that is not there.
pub(crate) fn is_taken_out(status: &DeploymentStatus) -> bool {
    matches!(status.reason, Some("credential" | "quota_spent" | "model_missing"))
}

/// A circuit that is switched off passes everything, as a closed one does.
fn circuit(status: &DeploymentStatus) -> f64 {
    match status.breaker {
        "half_open" => 1.0,
        "open" | "forced_open" => 2.0,
        _ => 0.0,
    }
}
