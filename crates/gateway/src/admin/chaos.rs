//! `POST /chaos` disturbs a simulated region, `DELETE /chaos` (all, or `?region=`) ends it.

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use sim::{Chaos, World};

use super::{not_found, read, stray};
use crate::{
    query,
    routes::{error::ApiError, json},
};

pub(super) async fn wreak(State(world): State<World>, body: Body) -> Response {
    let chaos: Chaos = match read(body).await {
        Ok(chaos) => chaos,
        Err(error) => return error.into_response(),
    };
    match world.wreak(&chaos) {
        Ok(()) => json(&chaos),
        Err(error) => {
            ApiError::caller(StatusCode::BAD_REQUEST, "invalid_value", error.to_string()).into_response()
        }
    }
}

pub(super) async fn clear(State(world): State<World>, RawQuery(text): RawQuery) -> Response {
    let text = text.unwrap_or_default();
    if let Some(part) = query::stray(&text, &["region"]) {
        return stray(part, &["region"]);
    }
    match query::value(&text, "region") {
        None => world.clear_all(),
        Some(region) => {
            if let Err(error) = world.clear(&region) {
                return not_found(error.to_string());
            }
        }
    }
    StatusCode::NO_CONTENT.into_response()
}
