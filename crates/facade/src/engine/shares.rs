//! Limits per minute that several clients share: what was used of them here, and what was used elsewhere.
//!
//! A provider counts for the account, so each client is to count what the others use. What is told is a state, all of the last minute, so that
//! telling it twice changes nothing and one that falls silent is forgotten within a minute. Attempts in flight are not told: what
//! `concurrent` bounds changes many times a second.

use std::{collections::BTreeMap, time::Instant};

use registry::{DeploymentId, Used};

use super::Engine;
use crate::observe::Route;

impl Engine {
    /// What was used of the last minute here, of deployments with a limit per minute.
    pub fn used(&self, now: Instant) -> BTreeMap<Route, Vec<Used>> {
        let used = self.limited().map(|(route, id)| (route.clone(), self.registry.used(id, now)));
        used.filter(|(_, parts)| !parts.is_empty()).collect()
    }

    /// What was used elsewhere, as it is known now, in place of what was heard before. Deployments that are not named were not used; those
    /// that are not known, or have no limit per minute, are passed over.
    pub fn used_elsewhere(&mut self, used: &BTreeMap<Route, Vec<Used>>, now: Instant) {
        let heard: Vec<_> = self.limited().map(|(route, id)| (id, used.get(route))).collect();
        for (id, parts) in heard {
            self.registry.used_elsewhere(id, parts.map_or(&[], Vec::as_slice), now);
        }
    }

    /// The deployments that have a limit per minute.
    fn limited(&self) -> impl Iterator<Item = (&Route, DeploymentId)> {
        let limited = self.plan.live_deployments().filter(|(_, deployment)| {
            let limits = &deployment.limits;
            limits.requests_per_minute.is_some() || limits.tokens_per_minute.is_some()
        });
        limited.filter_map(|(number, deployment)| Some((&deployment.route, *self.ids.get(number)?)))
    }
}
