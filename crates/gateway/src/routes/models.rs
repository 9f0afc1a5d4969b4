//! `GET /v1/models` and `/v1/models/{id}`: the configured models, in OpenAI's form.

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use http::{HeaderMap, StatusCode};
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

/// All models that the caller may ask, in the order of the configuration.
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let key = gateway.keys.find(&headers)?;
    let names = gateway.client.models();
    let allowed = names.iter().filter(|name| key.as_ref().is_none_or(|key| key.allows(name)));
    Ok(json(&List { object: "list", data: allowed.map(|name| Model::named(name)).collect() }))
}

/// One model. A name that is no text is nobody's name.
pub(crate) async fn one(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let key = gateway.keys.find(&headers)?;
    let Ok(Path(id)) = id else { return Err(not_found("the model's name is not UTF-8")) };
    if let Some(key) = key {
        key.allow(&id)?;
    }
    if gateway.client.models().iter().any(|name| **name == *id) {
        return Ok(json(&Model::named(&id)));
    }
    Err(not_found(format!("no model `{id}` is configured")))
}

fn not_found(message: impl Into<String>) -> ApiError {
    ApiError::caller(StatusCode::NOT_FOUND, "model_not_found", message).at("model")
}
