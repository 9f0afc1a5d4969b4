//! `GET /v1/models` and `/v1/models/{id}`: the configured models, in OpenAI's form.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;

use super::{Gateway, error::ApiError, json};

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

impl<'a> Model<'a> {
    fn named(id: &'a str) -> Self {
        // When a configured name was created is nobody's business; SDKs want a number.
        Self { id, object: "model", created: 0, owned_by: "outrigger" }
    }
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

/// All models, in the order of the configuration.
pub(crate) async fn list(State(gateway): State<Arc<Gateway>>) -> Response {
    let names = gateway.client.models();
    json(&List { object: "list", data: names.iter().map(|name| Model::named(name)).collect() })
}

/// One model.
pub(crate) async fn one(State(gateway): State<Arc<Gateway>>, Path(id): Path<String>) -> Response {
    if gateway.client.models().iter().any(|name| **name == *id) {
        return json(&Model::named(&id));
    }
    ApiError::caller(StatusCode::NOT_FOUND, "model_not_found", format!("no model `{id}` is configured"))
        .at("model")
        .into_response()
}
