//! Is everybody there? Asks each endpoint of a configuration, once, before anybody depends on it.
//!
//! What is asked costs nothing: the list of models, and where there is none, a chat without a single word, which every
//! provider refuses. It goes through the same transport, with the same headers, as the calls that are to come, so that a wrong key, a
//! wrong path, a name that does not resolve and a certificate that is not trusted are found as a call would find them.

mod judge;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::Method;
use serde::Serialize;
use transport::{ErrorKind, Transport, TransportError};
use url::Url;
use wire::{Api, Dialect};

use crate::{
    config::Config,
    engine::{Endpoint, Plan},
    shared::now,
};

/// How many endpoints are asked at once.
const AT_ONCE: usize = 16;

/// The longest list of models that is read; the largest known ones take a tenth of it.
const MOST_BYTES: usize = 8 << 20;

/// What was found at an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The provider, by its name in the configuration.
    pub provider: String,
    /// The region.
    pub region: String,
    /// Its base URL's origin and the path that was asked.
    pub url: String,
    /// Whether calls can be expected to succeed there: nothing that was asked failed.
    pub ok: bool,
    /// Whether any answer came.
    pub reachable: bool,
    /// Whether the TLS handshake succeeded; none for plain HTTP, and where it did not come to one.
    pub tls: Option<bool>,
    /// The status of the last answer.
    pub status: Option<u16>,
    /// What became of the credential.
    pub credential: Credential,
    /// The models that targets name there.
    pub models: Vec<ModelFound>,
    /// From the first request to the head of its answer, connection included, in whole milliseconds.
    pub took_ms: Option<u64>,
    /// What is wrong and what to do, or what could not be found out.
    pub message: Option<String>,
}

/// What became of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Credential {
    /// The provider took it.
    Accepted,
    /// The provider refused it.
    Refused,
    /// None is configured, and none was asked for.
    None,
    /// It could not be found out.
    Unknown,
}

/// A model, and whether the endpoint has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelFound {
    /// The provider's name of it.
    pub model: String,
    /// None where the provider does not say.
    pub there: Option<bool>,
}

/// Asks every endpoint of `config` through `transport`, sixteen at a time, each for at most `patience`. `progress` hears how many have
/// been asked. The findings are in the order of the configuration, which is to have passed its check.
///
/// # Cancel safety
/// Dropping the future gives up what is being asked.
pub async fn reach(
    config: &Config,
    transport: &dyn Transport,
    patience: Duration,
    mut progress: impl FnMut(usize),
) -> Vec<Finding> {
    let plan = Plan::new(config);
    let asked = plan.endpoints.iter().enumerate().map(|(number, _)| {
        let plan = &plan;
        async move { (number, ask(plan, number, transport, patience).await) }
    });
    let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
    let mut findings = Vec::new();
    while let Some((number, finding)) = answers.next().await {
        findings.push((number, finding));
        progress(findings.len());
    }
    findings.sort_by_key(|(number, _)| *number);
    findings.into_iter().filter_map(|(_, finding)| finding).collect()
}

/// One endpoint being asked.
struct Visit<'a> {
    endpoint: &'a Endpoint,
    transport: &'a dyn Transport,
    until: Instant,
}

/// An answer, read.
struct Heard {
    status: u16,
    headers: http::HeaderMap,
    body: Bytes,
    took: Duration,
}

async fn ask(plan: &Plan, number: usize, transport: &dyn Transport, patience: Duration) -> Option<Finding> {
    let endpoint = plan.endpoints.get(number)?;
    let visit = Visit { endpoint, transport, until: now() + patience };
    let deployments = plan.deployments.iter().filter(|deployment| deployment.endpoint == number);
    let mut finding = judge::begin(endpoint, deployments.clone().map(|deployment| &*deployment.route.model));
    let heard = match visit.get(&list_of(endpoint)).await {
        Ok(heard) => heard,
        Err(error) => return Some(judge::unreached(finding, endpoint, &error, patience)),
    };
    finding.took_ms = u64::try_from(heard.took.as_millis()).ok();
    finding.tls = (endpoint.models.scheme() == "https").then_some(true);
    if judge::has_no_list(heard.status) {
        let chat = deployments.clone().find_map(|deployment| {
            let api = Api::ALL
                .into_iter()
                .find(|api| matches!(api, Api::Chat | Api::Messages) && deployment.url(*api).is_some())?;
            deployment.url(api)
        });
        let refused = match chat {
            Some(chat) => visit.send(Method::POST, chat, Bytes::from_static(b"{}")).await.ok(),
            None => None,
        };
        return Some(judge::without_list(finding, endpoint, &heard, refused.as_ref()));
    }
    let mut finding = judge::with_list(finding, endpoint, &heard);
    for missing in finding.models.iter_mut().filter(|model| model.there == Some(false)) {
        // A name that no list shows may still be one: an alias, a snapshot.
        let mut url = endpoint.models.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(&missing.model);
        }
        missing.there = match visit.get(&url).await {
            Ok(heard) if (200..300).contains(&heard.status) => Some(true),
            Ok(heard) if heard.status == 404 => Some(false),
            Ok(_) | Err(_) => None,
        };
    }
    Some(judge::end(finding))
}

/// The list of models, all of it: Anthropic gives twenty at a time unless told otherwise.
fn list_of(endpoint: &Endpoint) -> Url {
    let mut url = endpoint.models.clone();
    if endpoint.dialect == Dialect::Anthropic {
        url.query_pairs_mut().append_pair("limit", "1000");
    }
    url
}

impl Visit<'_> {
    async fn get(&self, url: &Url) -> Result<Heard, TransportError> {
        self.send(Method::GET, url, Bytes::new()).await
    }

    async fn send(&self, method: Method, url: &Url, body: Bytes) -> Result<Heard, TransportError> {
        let mut request = transport::Request::new(method, url.clone(), Arc::clone(&self.endpoint.pool));
        request.headers = self.endpoint.headers.clone();
        if request.method == Method::GET {
            request.headers.remove(http::header::CONTENT_TYPE);
        }
        request.body = body.into();
        let began = now();
        let left = self.until.saturating_duration_since(began);
        let exchange = async {
            let mut response = self.transport.send(request).await?;
            let took = now().saturating_duration_since(began);
            let mut body = BytesMut::new();
            while let Some(chunk) = response.body.chunk().await {
                body.extend_from_slice(&chunk?);
                if body.len() > MOST_BYTES {
                    break;
                }
            }
            Ok(Heard {
                status: response.status.as_u16(),
                headers: response.headers,
                body: body.freeze(),
                took,
            })
        };
        let late = || TransportError::new(ErrorKind::Timeout(transport::Phase::Head));
        tokio::time::timeout(left, exchange).await.unwrap_or_else(|_| Err(late()))
    }
}
