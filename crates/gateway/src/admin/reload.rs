//! `POST /reload`: the file is read again now, and what came of it is the answer.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::{
    reload::Order,
    routes::{self, error::ApiError},
};

pub(super) async fn reload(State(orders): State<mpsc::Sender<Order>>) -> Response {
    let (order, answer) = oneshot::channel();
    // Who takes orders goes with the process.
    let reloaded = match orders.send(order).await {
        Ok(()) => answer.await.ok(),
        Err(_) => None,
    };
    let Some(reloaded) = reloaded else { return ApiError::draining().into_response() };
    if reloaded.is_ok() {
        return routes::json(&reloaded);
    }
    let message = format!("the configuration is not taken: {}", reloaded.faults.join("; "));
    let mut response = routes::json(&json!({
        "error": { "message": message, "type": "invalid_request_error", "param": null, "code": "invalid_config" },
        "result": reloaded.result,
        "faults": reloaded.faults,
    }));
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    response
}
