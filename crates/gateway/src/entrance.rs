//! What every request goes through, on both listeners: its host is checked, and its answer bears its name.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode};
use hyper::{body::Incoming, service::Service};
use hyper_util::service::TowerToHyperService;

use crate::{
    hosts::Hosts,
    request_id::{REQUEST_ID, RequestIds},
    routes::error::ApiError,
};

/// The way into a router.
#[derive(Debug)]
pub(crate) struct Entrance {
    routes: TowerToHyperService<Router>,
    hosts: Hosts,
    ids: RequestIds,
}

impl Entrance {
    pub(crate) fn new(routes: Router, hosts: Hosts) -> Arc<Self> {
        Arc::new(Self { routes: TowerToHyperService::new(routes), hosts, ids: RequestIds::new() })
    }

    /// Answers one request.
    pub(crate) async fn admit(self: Arc<Self>, request: Request<Incoming>) -> Result<Response, Infallible> {
        let id = self.ids.of(request.headers());
        let mut response = if self.hosts.admit(request.uri(), request.headers()) {
            self.routes.call(request).await?
        } else {
            let message = "the host or the origin of this request is not one that is answered here";
            ApiError::caller(StatusCode::FORBIDDEN, "foreign_host", message).into_response()
        };
        response.headers_mut().insert(REQUEST_ID, id);
        Ok(response)
    }
}

/// Whether a connection has brought a request yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Greeted(Arc<AtomicBool>);

impl Greeted {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
