//! `GET /explain?model=&region=`: every candidate with the terms of its score, the choice, and why the others lost.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;

use super::Admin;
use crate::{
    explained::Explained,
    query,
    routes::{error::ApiError, json},
};

pub(super) async fn explain(State(admin): State<Arc<Admin>>, RawQuery(text): RawQuery) -> Response {
    let text = text.unwrap_or_default();
    let Some(model) = query::value(&text, "model") else {
        let message = "which model: /explain?model=NAME";
        return ApiError::caller(StatusCode::BAD_REQUEST, "invalid_value", message)
            .at("model")
            .into_response();
    };
    match admin.client.explain(&model, query::value(&text, "region").as_deref()) {
        Ok(tiers) => json(&Explained::new(&model, &tiers)),
        Err(error) => ApiError::from(error).into_response(),
    }
}
