//! What hearsay may do: the news of another client, taken for what they are worth here.
//!
//! A cooldown is the provider's own word to the account that both use, so it holds here as it does there. A trip is what another went
//! through, on its own way to the provider. It counts as one failure does in the score: who has a choice goes elsewhere for
//! half a minute, and who has none goes there. So **news of circuits order the candidates and take none out**: a false or
//! an old one costs nobody an answer, and circuits open by what is seen here, as ever.
//!
//! # Limits
//! Where the strategy looks at no latency (`weighted`, `cheapest`, `composite`), a trip elsewhere changes nothing.

use std::time::{Duration, Instant};

use breaker::State;
use registry::{CooldownOrigin, DeploymentId};

use super::{Engine, attribute::LONGEST_COOLDOWN, event::Action};
use crate::{
    news::News,
    observe::{Notice, Route},
};

/// Older news of a trip say nothing: by then it was seen here, or is not to be seen from here.
const OLDEST_TRIP: Duration = Duration::from_secs(10);
/// A success here that is no older than this before a trip elsewhere speaks against it: trips come of failures that began sooner.
const FRESH: Duration = Duration::from_secs(1);

impl Engine {
    /// Takes note of news; says whether they changed anything. What is unknown here, or is known here better, changes nothing.
    pub fn hear(&mut self, news: &News, now: Instant, actions: &mut Vec<Action>) -> bool {
        let places = self.places_of(news.route());
        let mut is_new = false;
        for (number, id) in places {
            is_new |= match news {
                News::CoolDown { wait, .. } => self.hear_of_cooldown(id, *wait, now),
                News::Tripped { ago, .. } => self.hear_of_trip(number, id, *ago, now),
            };
        }
        if is_new {
            actions.push(Action::Notice(Notice::Hearsay { news: news.clone() }));
        }
        is_new
    }

    /// The deployments that a route means.
    fn places_of(&self, route: &Route) -> Vec<(usize, DeploymentId)> {
        let is_meant = |known: &Route| {
            (&known.provider, &known.region) == (&route.provider, &route.region)
                && (*route.model == *"*" || known.model == route.model)
        };
        let meant = self.plan.live_deployments().filter(|(_, deployment)| is_meant(&deployment.route));
        meant.filter_map(|(number, _)| Some((number, *self.ids.get(number)?))).collect()
    }

    /// It is news where no wait was named here.
    fn hear_of_cooldown(&mut self, id: DeploymentId, wait: Duration, now: Instant) -> bool {
        let known = self.registry.view(id, now).and_then(|view| view.cooldown);
        let is_named = known.is_some_and(|known| known.origin == CooldownOrigin::Named);
        let Some(until) = now.checked_add(wait.min(LONGEST_COOLDOWN)).filter(|until| *until > now) else {
            return false;
        };
        self.registry.cooldown(id, until, CooldownOrigin::Named);
        !is_named
    }

    /// It is news where all seems well, and nothing seen here speaks against it.
    fn hear_of_trip(&mut self, number: usize, id: DeploymentId, ago: Duration, now: Instant) -> bool {
        let Some(view) = self.registry.view(id, now).filter(|_| ago <= OLDEST_TRIP) else { return false };
        let (state, _) = self.circuits.worst(number, now);
        let since = view.last_success.map(|at| now.saturating_duration_since(at));
        let is_well = view.consecutive_failures == 0 && since.is_some_and(|since| since <= ago + FRESH);
        if is_well || state != State::Closed {
            return false;
        }
        self.registry.suspect(id, now);
        true
    }
}
