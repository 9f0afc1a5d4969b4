//! The paths that callers know.
//!
//! Bytes pass through: no body is parsed but for the few fields that routing depends on, and no layers stand around a route.
//! What every request goes through, the check of its host and its name, is the [`entrance`](crate::entrance).

mod body;
mod chat;
pub(crate) mod error;
mod models;
mod provenance;
mod stream;
mod wishes;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::OriginalUri,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use outrigger::Client;
use serde::Serialize;

use self::error::ApiError;
pub(crate) use self::{provenance::stamp_untried, stream::FLUSH};
use crate::{load::Load, phase::Phases, watch::Watch};

/// What the routes share.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) client: Client,
    pub(crate) watch: Watch,
    pub(crate) phases: Phases,
    pub(crate) load: Arc<Load>,
    /// Bytes of a request's body at most.
    pub(crate) max_body: u64,
    /// Callers' headers that some provider is to get beside the usual ones.
    pub(crate) forwarded: Vec<HeaderName>,
}

/// The routes of the callers' listener, each with and without `/v1`.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    let api = Router::new()
        .route("/chat/completions", post(chat::chat))
        .route("/completions", post(unsupported))
        .route("/embeddings", post(unsupported))
        .route("/responses", post(unsupported))
        .route("/messages", post(unsupported_messages).fallback(wrong_method_of_messages))
        .route("/models", get(models::list))
        // A model's name may hold slashes.
        .route("/models/{*id}", get(models::one));
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

async fn unsupported(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::unsupported_endpoint(uri.path())
}

async fn unsupported_messages(uri: OriginalUri) -> Response {
    unsupported(uri).await.anthropic_response()
}

async fn wrong_method_of_messages(method: Method, uri: OriginalUri) -> Response {
    wrong_method(method, uri).await.anthropic_response()
}

async fn unknown_path(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::caller(StatusCode::NOT_FOUND, "unknown_url", format!("there is no {}", uri.path()))
}

async fn wrong_method(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    let message = format!("{} does not take {method}", uri.path());
    ApiError::caller(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
