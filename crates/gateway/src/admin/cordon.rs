//! `POST /cordon` takes a place out by hand, `DELETE /cordon?provider=&region=&model=` puts back all that match.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tokio::task::AbortHandle;

use super::{Admin, not_found, read};
use crate::{query, routes::json};

/// A place: a provider's region, or one model there.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    provider: String,
    region: String,
    #[serde(default)]
    model: Option<String>,
}

#[derive(Deserialize)]
struct Order {
    #[serde(flatten)]
    place: Place,
    #[serde(default, rename = "for", with = "humantime_serde")]
    lasting: Option<Duration>,
}

#[derive(Serialize)]
struct Done {
    deployments: usize,
}

/// The cordons that end by themselves. A new word on the same place replaces the end that was set before.
#[derive(Debug, Default)]
pub(super) struct Ends(Mutex<BTreeMap<Place, AbortHandle>>);

impl Ends {
    fn replace(&self, place: &Place, end: Option<AbortHandle>) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match end {
            Some(end) => ends.insert(place.clone(), end),
            None => ends.remove(place),
        };
        drop(ends);
        if let Some(before) = before {
            before.abort();
        }
    }
}

pub(super) async fn cordon(State(admin): State<Arc<Admin>>, body: Body) -> Response {
    let Order { place, lasting } = match read(body).await {
        Ok(order) => order,
        Err(error) => return error.into_response(),
    };
    let deployments = admin.client.cordon(&place.provider, &place.region, place.model.as_deref());
    if deployments == 0 {
        return not_found("no deployment is there");
    }
    let end = lasting.map(|lasting| {
        let (admin, place) = (Arc::clone(&admin), place.clone());
        let wait = async move {
            tokio::time::sleep(lasting).await;
            put_back(&admin, &place);
        };
        tokio::spawn(wait).abort_handle()
    });
    admin.cordons.replace(&place, end);
    json(&Done { deployments })
}

pub(super) async fn uncordon(State(admin): State<Arc<Admin>>, RawQuery(text): RawQuery) -> Response {
    let text = text.unwrap_or_default();
    let [provider, region, model] = ["provider", "region", "model"].map(|name| query::value(&text, name));
    let is_meant = |wish: &Option<String>, name: &str| wish.as_ref().is_none_or(|wish| wish == name);
    let mut deployments = 0;
    for status in admin.client.deployments().iter().filter(|status| status.cordoned) {
        let matches = is_meant(&provider, &status.provider)
            && is_meant(&region, &status.region)
            && is_meant(&model, &status.model);
        if matches {
            let mut place = Place {
                provider: status.provider.to_string(),
                region: status.region.to_string(),
                model: Some(status.model.to_string()),
            };
            deployments += put_back(&admin, &place);
            admin.cordons.replace(&place, None);
            place.model = None;
            admin.cordons.replace(&place, None);
        }
    }
    json(&Done { deployments })
}

fn put_back(admin: &Admin, place: &Place) -> usize {
    admin.client.uncordon(&place.provider, &place.region, place.model.as_deref())
}
