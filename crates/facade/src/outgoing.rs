//! A request on its way out: the caller's bytes with the model's name replaced, the endpoint's headers, nothing else. For a
//! deployment of another dialect they are written anew, once a call.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use transport::{Body, Pool};
use wire::{Api, Dialect, GoOn};

use crate::{
    engine::{ANTHROPIC_VERSION, Plan},
    request::Request,
    trace::{TRACEPARENT, TRACESTATE, Trail},
};

/// Callers' headers that may go to any provider; a provider's `forward_headers` adds its own.
/// The trace goes on beside these.
const FORWARDED: [HeaderName; 5] = [
    http::header::CONTENT_TYPE,
    http::header::ACCEPT,
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
    pub request: Request,
    /// Whether the answer's text is to be remembered, so that it can be mended should it break off.
    pub mendable: bool,
    /// The names of its attempts, where its caller traces it.
    trail: Option<Trail>,
    /// The request in the form of the other dialect, once a deployment of that is tried; none when there is no such form.
    translated: OnceLock<Option<Named>>,
}

/// A body, and where the model's name stands in it.
#[derive(Debug)]
struct Named {
    body: Bytes,
    model: Range<usize>,
}

impl Outgoing {
    pub(crate) fn new(request: Request, mendable: bool) -> Self {
        Self { request, mendable, trail: None, translated: OnceLock::new() }
    }

    /// The same, with these names for its attempts.
    pub(crate) fn traced(self, trail: Option<Trail>) -> Self {
        Self { trail, ..self }
    }

    /// The request as an attempt sends it to one deployment of a plan, with its kind there; none when it cannot go there.
    pub(crate) fn to(
        &self,
        plan: &Plan,
        deployment: usize,
        ordinal: u8,
    ) -> Option<(Api, transport::Request)> {
        let deployment = plan.deployments.get(deployment)?;
        let endpoint = plan.endpoints.get(deployment.endpoint)?;
        let sent = self.request.api.at(endpoint.dialect)?;
        let is_translated = sent != self.request.api;
        let url = deployment.url(sent)?.clone();
        let mut out = transport::Request::new(Method::POST, url, self.pool(plan, &endpoint.pool));
        out.headers = endpoint.headers.clone();
        for name in self.request.headers.keys() {
            let may_pass = FORWARDED.contains(name) || endpoint.forward.contains(name);
            // What the configuration sets for the endpoint is not the caller's to change, and the version of a body that we
            // wrote is ours to name.
            if !may_pass
                || endpoint.own_headers.contains(name)
                || (is_translated && *name == ANTHROPIC_VERSION)
                || [TRACEPARENT, TRACESTATE].contains(name)
            {
                continue;
            }
            out.headers.remove(name);
            for value in self.request.headers.get_all(name) {
                out.headers.append(name.clone(), value.clone());
            }
        }
        self.trace(&mut out.headers, &endpoint.own_headers, ordinal);
        out.body = if is_translated {
            let Named { body, model } = self.translated.get_or_init(|| translated(&self.request)).as_ref()?;
            named(body, model.clone(), &deployment.model_json)
        } else {
            named(&self.request.body, self.request.model_range(), &deployment.model_json)
        };
        Some((sent, out))
    }

    /// The caller's trace goes on, with a span of this attempt's own; what others wrote beside it is theirs.
    fn trace(&self, headers: &mut HeaderMap, own: &[HeaderName], ordinal: u8) {
        let Some(trail) = &self.trail else { return };
        if own.contains(&TRACEPARENT) {
            return;
        }
        headers.insert(TRACEPARENT, trail.header(ordinal));
        for value in self.request.headers.get_all(TRACESTATE) {
            headers.append(TRACESTATE, value.clone());
        }
    }

    /// The same request, made to begin its answer again. Whoever mends an answer remembers it already.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.request.clone(), false).traced(self.trail)
    }

    /// The request made to go on, at a deployment, from what was said, which took so many tokens; none where it cannot be.
    pub(crate) fn continued(&self, plan: &Plan, deployment: usize, said: &str, tokens: u64) -> Option<Self> {
        let endpoint = plan.deployments.get(deployment)?.endpoint;
        let go_on = match plan.endpoints.get(endpoint)?.dialect {
            Dialect::Anthropic => GoOn::Message,
            _ => GoOn::Words,
        };
        let body = wire::continue_chat(&self.request.body, said, tokens, go_on)?;
        Some(Self { request: self.request.with_body(body).ok()?, ..self.again() })
    }

    /// The endpoint's connections; a model with a connect timeout of its own has its own.
    fn pool(&self, plan: &Plan, shared: &Arc<Pool>) -> Arc<Pool> {
        let model = plan.model(self.request.model()).and_then(|model| plan.models.get(model));
        match model.map(|model| model.timeouts.connect) {
            Some(connect) if connect != shared.connect_timeout => {
                let mut own = Pool::clone(shared);
                own.connect_timeout = connect;
                Arc::new(own)
            }
            _ => Arc::clone(shared),
        }
    }
}

/// A body with another model's name: three slices, no copy.
fn named(body: &Bytes, range: Range<usize>, model_json: &Bytes) -> Body {
    if body.get(range.clone()) == Some(&**model_json) {
        return Body::from(body.clone());
    }
    Body::from_slices([body.slice(..range.start), model_json.clone(), body.slice(range.end..)])
}

/// A chat in Anthropic's form. What it says does not depend on the model, whose name is put in for each deployment.
fn translated(request: &Request) -> Option<Named> {
    let body: Bytes = wire::chat_to_messages(&request.body, request.model()).ok()?.into();
    let model = wire::skim_request(Api::Messages, &body).ok()?.model_range;
    Some(Named { body, model })
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
