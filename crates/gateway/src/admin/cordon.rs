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
use outrigger::{
    Client,
    engine::{Cordon, DeploymentStatus},
};
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

/// What an operator named: a provider's region, or one model there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    provider: Arc<str>,
    region: Arc<str>,
    model: Option<Arc<str>>,
}

impl Name {
    fn means(&self, status: &DeploymentStatus) -> bool {
        (&self.provider, &self.region) == (&status.provider, &status.region)
            && self.model.as_ref().is_none_or(|model| *model == status.model)
    }

    /// Whether all that the other means, this means too.
    fn covers(&self, other: &Self) -> bool {
        (&self.provider, &self.region) == (&other.provider, &other.region)
            && self.model.as_ref().is_none_or(|model| Some(model) == other.model.as_ref())
    }
}

impl From<Cordon> for Name {
    fn from(cordon: Cordon) -> Self {
        Self { provider: cordon.provider, region: cordon.region, model: cordon.model }
    }
}

#[derive(Serialize)]
struct Done {
    deployments: usize,
}

/// The cordons that end by themselves, by what was named. The last word on a name counts: it takes away the ends that were set before for
/// it and for what it covers, and does so before anything else.
#[derive(Debug, Default)]
pub(super) struct Ends(Mutex<BTreeMap<Name, AbortHandle>>);

impl Ends {
    /// Words and ends are carried out one after the other, so that none crosses another half way.
    fn with<R>(&self, act: impl FnOnce(&mut BTreeMap<Name, AbortHandle>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Admin {
    /// Takes out what bears a name, until someone puts it back or the time is over. Returns how many deployments that are now.
    fn take_out(self: &Arc<Self>, name: Name, lasting: Option<Duration>) -> usize {
        self.cordons.with(|ends| {
            let taken_out = self.client.cordon(&name.provider, &name.region, name.model.as_deref());
            if taken_out == 0 {
                return 0;
            }
            abort(ends, &name);
            if let Some(lasting) = lasting {
                let (admin, ended) = (Arc::clone(self), name.clone());
                let end = async move {
                    tokio::time::sleep(lasting).await;
                    admin.end(&ended);
                };
                ends.insert(name.clone(), tokio::spawn(end).abort_handle());
            }
            for status in self.client.deployments().iter().filter(|status| name.means(status)) {
                self.tell_cordon(status, true, lasting);
            }
            taken_out
        })
    }

    /// Puts back by hand what bears a name. Returns how many deployments were out.
    fn put_back(&self, name: &Name) -> usize {
        self.cordons.with(|ends| {
            abort(ends, name);
            self.tell_what_is_back(name, |client| {
                client.uncordon(&name.provider, &name.region, name.model.as_deref());
            })
        })
    }

    /// Takes a cordon back because its time is over, unless there has been another word since this task was woken.
    fn end(&self, name: &Name) {
        self.cordons.with(|ends| {
            if ends.get(name).is_some_and(|end| end.id() == tokio::task::id()) {
                ends.remove(name);
                self.tell_what_is_back(name, |client| {
                    client.end_cordon(&name.provider, &name.region, name.model.as_deref());
                });
            }
        });
    }

    /// Does something about a name, and tells which deployments are back by that; returns how many.
    fn tell_what_is_back(&self, name: &Name, act: impl FnOnce(&Client)) -> usize {
        let out = |status: &DeploymentStatus| status.cordoned && name.means(status);
        let before = self.client.deployments().into_iter().filter(out).collect::<Vec<_>>();
        act(&self.client);
        let after = self.client.deployments();
        let is_out = |one: &DeploymentStatus| after.iter().any(|status| out(status) && is_same(one, status));
        let back = before.iter().filter(|one| !is_out(one));
        back.map(|status| self.tell_cordon(status, false, None)).count()
    }

    /// Tells the log, and those who listen to `/events`, that a place was taken out, perhaps for a while, or put back.
    fn tell_cordon(&self, place: &DeploymentStatus, cordoned: bool, lasting: Option<Duration>) {
        let DeploymentStatus { provider, region, model, .. } = place;
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

fn is_same(one: &DeploymentStatus, other: &DeploymentStatus) -> bool {
    (&one.provider, &one.region, &one.model) == (&other.provider, &other.region, &other.model)
}

/// Whatever was to end by itself under a name has another word now.
fn abort(ends: &mut BTreeMap<Name, AbortHandle>, name: &Name) {
    ends.extract_if(.., |known, _| name.covers(known)).for_each(|(_, end)| end.abort());
}

pub(super) async fn cordon(State(admin): State<Arc<Admin>>, body: Body) -> Response {
    let Order { provider, region, model, lasting } = match read(body).await {
        Ok(order) => order,
        Err(error) => return error.into_response(),
    };
    if lasting.is_some_and(|lasting| lasting.is_zero()) {
        return no_time();
    }
    let name = Name { provider: provider.into(), region: region.into(), model: model.map(Into::into) };
    match admin.take_out(name, lasting) {
        0 => not_found("no deployment is there"),
        deployments => routes::json(&Done { deployments }),
    }
}

pub(super) async fn uncordon(State(admin): State<Arc<Admin>>, RawQuery(text): RawQuery) -> Response {
    let text = text.unwrap_or_default();
    let names = ["provider", "region", "model"];
    if let Some(part) = query::stray(&text, &names) {
        return stray(part, &names);
    }
    let [provider, region, model] = names.map(|name| query::value(&text, name));
    let is_meant = |wish: &Option<String>, name: &str| wish.as_ref().is_none_or(|wish| wish == name);
    // By what was said, so that a cordon over what is not configured now goes too.
    let said: BTreeSet<Name> = admin
        .client
        .cordons()
        .into_iter()
        .filter(|said| is_meant(&provider, &said.provider) && is_meant(&region, &said.region))
        .map(|said| Name { model: model.as_deref().map(Into::into), ..Name::from(said) })
        .collect();
    routes::json(&Done { deployments: said.iter().map(|name| admin.put_back(name)).sum() })
}
