//! `GET /explain?model=&region=`: every candidate with the terms of its score, the choice, and why the others lost.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use outrigger::{CallError, config::did_you_mean};

use super::Admin;
use crate::{
    explained::{Explained, known},
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
    let region = query::value(&text, "region");
    match admin.client.explain(&model, region.as_deref()) {
        Ok(tiers) => json(&Explained::new(&model, &tiers)),
        Err(error) => {
            let asked = if matches!(error, CallError::UnknownRegion { .. }) { region } else { Some(model) };
            let names = known(&admin.client, &error).map(|(_, names)| names).unwrap_or_default();
            let help = did_you_mean(&asked.unwrap_or_default(), names.iter().map(String::as_str));
            ApiError::from(error).help(help).into_response()
        }
    }
}
