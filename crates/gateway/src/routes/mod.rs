//! The paths that callers know.
//!
//! Bytes pass through: no body is parsed but for the few fields that routing depends on, and no layers stand around a route.
//! What every request goes through, the check of its host and its name, is the [`entrance`](crate::entrance).

mod body;
mod call;
mod codes;
mod early;
pub(crate) mod error;
mod models;
mod provenance;
mod stream;
mod wishes;
pub(crate) mod words;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::OriginalUri,
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use http::{HeaderValue, Method, StatusCode, header};
use outrigger::{Api, Client};
use serde::Serialize;

use self::error::ApiError;
pub(crate) use self::{provenance::stamp_untried, stream::FLUSH};
use crate::{auth::Keys, clerk::Clerks, live::Live, phase::Phases, watch::Watch};

/// What the routes share.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) client: Client,
    pub(crate) watch: Watch,
    pub(crate) keys: Arc<Keys>,
    pub(crate) clerks: Clerks,
    pub(crate) phases: Phases,
    /// Whether the access log is to tell what requests say.
    pub(crate) tells_prompts: bool,
    /// The settings that hold now, and the load that they bound.
    pub(crate) live: Arc<Live>,
}

/// The routes of the callers' listener, each with and without `/v1`.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    let mut api = Router::new()
        .route("/models", get(models::list))
        // A model's name may hold slashes.
        .route("/models/{*id}", get(models::one))
        .route("/responses/{*rest}", any(stored))
        .route("/messages/{*rest}", any(beside_messages));
    for kind in Api::ALL {
        let answer = move |gateway, request| call::answer(kind, gateway, request);
        api = api.route(&format!("/{kind}"), post(answer));
    }
    guarded(Router::new().merge(api.clone()).nest("/v1", api)).with_state(gateway)
}

/// Another path, or another method, gets the JSON error too.
pub(crate) fn guarded<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.fallback(unknown_path).method_not_allowed_fallback(wrong_method)
}

/// A success with a JSON body.
pub(crate) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => {
            ApiError::caller(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()).into_response()
        }
    }
}

/// What a provider has stored lies there, under its own name for it, and nobody here knows at which one.
async fn stored() -> ApiError {
    ApiError::unsupported_endpoint("stored responses are not served here; ask the provider that gave them")
}

async fn beside_messages() -> ApiError {
    ApiError::unsupported_endpoint("of the messages API only /v1/messages itself is served here")
}

async fn unknown_path(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::caller(StatusCode::NOT_FOUND, "unknown_url", format!("there is no {}", uri.path()))
}

async fn wrong_method(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    let message = format!("{} does not take {method}", uri.path());
    ApiError::caller(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
