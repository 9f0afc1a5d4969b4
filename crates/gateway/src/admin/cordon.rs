//! `POST /cordon` takes a place out by hand, `DELETE /cordon?provider=&region=&model=` puts back all that match.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use outrigger::engine::DeploymentStatus;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::AbortHandle;
use tracing::info;

use super::{Admin, not_found, read, stray};
use crate::{
    query,
    routes::{self, error::ApiError},
};

/// A provider's region, or one model there. A key that is misspelt must not widen it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    provider: String,
    region: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default, rename = "for", with = "humantime_serde")]
    lasting: Option<Duration>,
}

/// One deployment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    provider: Arc<str>,
    region: Arc<str>,
    model: Arc<str>,
}

impl From<&DeploymentStatus> for Place {
    fn from(status: &DeploymentStatus) -> Self {
        let DeploymentStatus { provider, region, model, .. } = status;
        Self { provider: Arc::clone(provider), region: Arc::clone(region), model: Arc::clone(model) }
    }
}

#[derive(Serialize)]
struct Done {
    deployments: usize,
}

/// The cordons that end by themselves, a deployment each. The last word on a deployment counts: it takes away the end that was
/// set before, and does so before anything else.
#[derive(Debug, Default)]
pub(super) struct Ends(Mutex<BTreeMap<Place, AbortHandle>>);

impl Ends {
    /// Words and ends are carried out one after the other, so that none crosses another half way.
    fn with<R>(&self, act: impl FnOnce(&mut BTreeMap<Place, AbortHandle>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Admin {
    /// Takes one deployment out, until someone puts it back or the time is over.
    fn take_out(self: &Arc<Self>, place: Place, lasting: Option<Duration>) -> usize {
        self.cordons.with(|ends| {
            abort(ends.remove(&place));
            let taken_out = self.client.cordon(&place.provider, &place.region, Some(&place.model));
            if let Some(lasting) = lasting {
                let (admin, ended) = (Arc::clone(self), place.clone());
                let end = async move {
                    tokio::time::sleep(lasting).await;
                    admin.end(&ended);
                };
                ends.insert(place.clone(), tokio::spawn(end).abort_handle());
            }
            self.tell_cordon(&place, true, lasting);
            taken_out
        })
    }

    /// Puts one deployment back by hand.
    fn put_back(&self, place: &Place) -> usize {
        self.cordons.with(|ends| {
            abort(ends.remove(place));
            let put_back = self.client.uncordon(&place.provider, &place.region, Some(&place.model));
            self.tell_cordon(place, false, None);
            put_back
        })
    }

    /// Puts one deployment back because the time is over, unless there has been another word since this task was woken.
    fn end(&self, place: &Place) {
        self.cordons.with(|ends| {
            if ends.get(place).is_some_and(|end| end.id() == tokio::task::id()) {
                ends.remove(place);
                self.client.uncordon(&place.provider, &place.region, Some(&place.model));
                self.tell_cordon(place, false, None);
            }
        });
    }

    /// Tells the log, and those who listen to `/events`, that a place was taken out, perhaps for a while, or put back.
    fn tell_cordon(&self, place: &Place, cordoned: bool, lasting: Option<Duration>) {
        let Place { provider, region, model } = place;
        let for_s = lasting.map(|lasting| lasting.as_secs_f64());
        info!(%provider, %region, %model, cordoned, for_s, "cordon");
        let facts = json!({
            "provider": **provider, "region": **region, "model": **model,
            "cordoned": cordoned, "for_s": for_s,
        });
        self.watch.tell("cordon", &facts);
    }
}

/// What would end as it begins takes nothing out, and whoever asked for it would think that it did.
fn no_time() -> Response {
    let message = "`for` is no time at all; leave it out to take the place out until it is put back";
    ApiError::caller(StatusCode::BAD_REQUEST, "invalid_value", message).at("for").into_response()
}

fn abort(end: Option<AbortHandle>) {
    if let Some(end) = end {
        end.abort();
    }
}

pub(super) async fn cordon(State(admin): State<Arc<Admin>>, body: Body) -> Response {
    let Order { provider, region, model, lasting } = match read(body).await {
        Ok(order) => order,
        Err(error) => return error.into_response(),
    };
    if lasting.is_some_and(|lasting| lasting.is_zero()) {
        return no_time();
    }
    let is_meant = |place: &Place| {
        *place.provider == *provider
            && *place.region == *region
            && model.as_ref().is_none_or(|model| **model == *place.model)
    };
    let places: BTreeSet<Place> =
        admin.client.deployments().iter().map(Place::from).filter(is_meant).collect();
    if places.is_empty() {
        return not_found("no deployment is there");
    }
    let deployments = places.into_iter().map(|place| admin.take_out(place, lasting)).sum();
    routes::json(&Done { deployments })
}

pub(super) async fn uncordon(State(admin): State<Arc<Admin>>, RawQuery(text): RawQuery) -> Response {
    let text = text.unwrap_or_default();
    let names = ["provider", "region", "model"];
    if let Some(part) = query::stray(&text, &names) {
        return stray(part, &names);
    }
    let [provider, region, model] = names.map(|name| query::value(&text, name));
    let is_meant = |wish: &Option<String>, name: &str| wish.as_ref().is_none_or(|wish| wish == name);
    let statuses = admin.client.deployments();
    let cordoned = statuses.iter().filter(|status| status.cordoned).map(Place::from);
    let places: BTreeSet<Place> = cordoned
        .filter(|place| {
            is_meant(&provider, &place.provider)
                && is_meant(&region, &place.region)
                && is_meant(&model, &place.model)
        })
        .collect();
    routes::json(&Done { deployments: places.iter().map(|place| admin.put_back(place)).sum() })
}
