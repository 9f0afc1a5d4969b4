//! A request on its way out: the caller's bytes with the model's name replaced, the endpoint's headers, nothing else.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use transport::{Body, Pool};

use crate::{engine::Plan, request::Request};

/// Callers' headers that may go to any provider; a provider's `forward_headers` adds its own.
const FORWARDED: [HeaderName; 7] = [
    http::header::CONTENT_TYPE,
    http::header::ACCEPT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("anthropic-version"),
];

/// Providers' headers that may come back, beside those of [`RETURNED_PREFIXES`].
const RETURNED: [HeaderName; 2] =
    [http::header::CONTENT_TYPE, HeaderName::from_static("openai-processing-ms")];
const RETURNED_PREFIXES: [&str; 2] = ["x-ratelimit-", "anthropic-ratelimit-"];
/// Where providers put the name they give a request.
const REQUEST_IDS: [&str; 3] = ["x-request-id", "request-id", "apim-request-id"];
const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-outrigger-upstream-request-id");

/// What every attempt of a call sends.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub plan: Arc<Plan>,
    pub request: Request,
    /// Whether the answer's text is to be remembered, so that it can be mended should it break off.
    pub mendable: bool,
}

impl Outgoing {
    /// The request as it goes to one deployment, or `None` when the plan has no such deployment.
    pub(crate) fn to(&self, deployment: usize) -> Option<transport::Request> {
        let deployment = self.plan.deployments.get(deployment)?;
        let endpoint = self.plan.endpoints.get(deployment.endpoint)?;
        let mut out = transport::Request::new(Method::POST, endpoint.chat.clone(), self.pool(&endpoint.pool));
        out.headers = endpoint.headers.clone();
        for name in self.request.headers.keys() {
            let may_pass = FORWARDED.contains(name) || endpoint.forward.contains(name);
            // What the configuration sets for the endpoint is not the caller's to change.
            if !may_pass || endpoint.own_headers.contains(name) {
                continue;
            }
            out.headers.remove(name);
            for value in self.request.headers.get_all(name) {
                out.headers.append(name.clone(), value.clone());
            }
        }
        out.body = self.body(&deployment.model_json);
        Some(out)
    }

    /// The same request, made to begin its answer again. Whoever mends an answer remembers it already.
    pub(crate) fn again(&self) -> Self {
        Self { plan: Arc::clone(&self.plan), request: self.request.clone(), mendable: false }
    }

    /// The request made to go on from what was said, which took so many tokens; none where it cannot be.
    pub(crate) fn continued(&self, said: &str, tokens: u64) -> Option<Self> {
        let body = wire::continue_chat(&self.request.body, said, tokens)?;
        Some(Self { request: self.request.with_body(body).ok()?, ..self.again() })
    }

    /// The endpoint's connections; a model with a connect timeout of its own has its own.
    fn pool(&self, shared: &Arc<Pool>) -> Arc<Pool> {
        let model = self.plan.model(self.request.model()).and_then(|model| self.plan.models.get(model));
        match model.map(|model| model.timeouts.connect) {
            Some(connect) if connect != shared.connect_timeout => {
                let mut own = Pool::clone(shared);
                own.connect_timeout = connect;
                Arc::new(own)
            }
            _ => Arc::clone(shared),
        }
    }

    /// The caller's body with another model's name: three slices, no copy.
    fn body(&self, model_json: &Bytes) -> Body {
        let range = self.request.model_range();
        let body = &self.request.body;
        if body.get(range.clone()) == Some(&**model_json) {
            return Body::from(body.clone());
        }
        Body::from_slices([body.slice(..range.start), model_json.clone(), body.slice(range.end..)])
    }
}

/// Of a provider's headers, those that may go back to the caller.
pub(crate) fn returned(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for (name, value) in headers {
        if RETURNED.contains(name) || RETURNED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
        {
            kept.append(name.clone(), value.clone());
        }
    }
    if let Some(id) = REQUEST_IDS.iter().find_map(|name| headers.get(*name)) {
        kept.insert(UPSTREAM_REQUEST_ID, id.clone());
    }
    kept
}
