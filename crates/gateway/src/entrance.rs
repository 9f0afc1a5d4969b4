//! What every request goes through, on both listeners: its host is checked, its answer bears its name, and what is an error is
//! written in the words of its path's callers.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode};
use hyper::{body::Incoming, service::Service};
use hyper_util::service::TowerToHyperService;

use crate::{
    clerk::{Accounted, Beside, Clerks, Peer},
    hosts::Hosts,
    request_id::{ANTHROPIC_REQUEST_ID, REQUEST_ID, RequestId, RequestIds},
    routes::{
        error::{self, ApiError},
        stamp_untried,
        words::Words,
    },
};

/// The way into a router.
#[derive(Debug)]
pub(crate) struct Entrance {
    routes: TowerToHyperService<Router>,
    hosts: Hosts,
    ids: RequestIds,
    /// Bytes of a request's head that are taken.
    max_head: usize,
    /// Who keeps records of what callers ask. Their answers say how many attempts they took, and how long.
    clerks: Option<Clerks>,
}

impl Entrance {
    /// The operators' way in.
    pub(crate) fn for_operators(routes: Router, hosts: Hosts) -> Arc<Self> {
        Arc::new(Self::new(routes, hosts))
    }

    /// The callers' way in.
    pub(crate) fn for_callers(routes: Router, hosts: Hosts, clerks: Clerks, max_head: usize) -> Arc<Self> {
        Arc::new(Self { clerks: Some(clerks), max_head, ..Self::new(routes, hosts) })
    }

    fn new(routes: Router, hosts: Hosts) -> Self {
        Self {
            routes: TowerToHyperService::new(routes),
            hosts,
            ids: RequestIds::new(),
            max_head: usize::MAX,
            clerks: None,
        }
    }

    /// A connection of that peer was told that there is no place for it, after that time.
    pub(crate) fn turned_away(&self, peer: SocketAddr, waited: Duration) {
        if let Some(clerks) = &self.clerks {
            clerks.turned_away(peer, waited);
        }
    }

    /// Answers one request.
    pub(crate) async fn admit(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        let began = Instant::now();
        let id = self.ids.of(request.headers());
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
        let words = Words::of_path(request.uri().path());
        request.extensions_mut().insert(RequestId(id.clone()));
        let asked =
            self.clerks.as_ref().map(|clerks| (clerks, request.method().clone(), request.uri().clone()));
        let mut response = if head_bytes(&request) > self.max_head {
            ApiError::head_too_large(self.max_head).into_response()
        } else if self.hosts.admit(request.uri(), request.headers()) {
            self.routes.call(request).await?
        } else {
            let message = "the host or the origin of this request is not one that is answered here";
            ApiError::caller(StatusCode::FORBIDDEN, "foreign_host", message).into_response()
        };
        let code = response.extensions().get::<ApiError>().map(ApiError::code);
        error::write(&mut response, words, &id);
        if let Some((clerks, method, uri)) = asked {
            if response.extensions_mut().remove::<Accounted>().is_none() {
                let (path, status, took) = (uri.path(), response.status(), began.elapsed());
                clerks.passed(&Beside { id: &id, method: &method, path, status, code, peer, took });
            }
            stamp_untried(&mut response, began);
            if words == Words::Anthropic {
                response.headers_mut().insert(ANTHROPIC_REQUEST_ID, id.clone());
            }
        }
        response.headers_mut().insert(REQUEST_ID, id);
        Ok(response)
    }
}

/// Bytes of a request's path and headers, as HTTP/1.1 writes them.
fn head_bytes(request: &Request<Incoming>) -> usize {
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    // A colon, a space, and the end of the line.
    request
        .headers()
        .iter()
        .fold(path, |sum, (name, value)| sum.saturating_add(name.as_str().len() + value.len() + 4))
}
