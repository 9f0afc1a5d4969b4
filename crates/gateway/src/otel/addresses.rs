//! Where providers' regions are: `server.address` and `server.port` of an attempt, by the configuration that it began under.
//!
//! A reload may move a region. The configuration before is kept for the attempts that began under it, and none before that: an attempt
//! that outlives two reloads is told at the newer place.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Instant,
};

use outrigger::{Config, Route};

/// A host and a port, by provider and region.
type Places = HashMap<(String, String), (String, u16)>;

/// The addresses of now, and of before the last reload.
#[derive(Debug)]
pub(super) struct Addresses(RwLock<Known>);

#[derive(Debug)]
struct Known {
    now: Places,
    before: Places,
    /// When the one gave way to the other.
    since: Instant,
}

impl Addresses {
    pub(super) fn of(config: &Config, now: Instant) -> Self {
        Self(RwLock::new(Known { now: places(config), before: Places::new(), since: now }))
    }

    /// Another configuration holds from now on.
    pub(super) fn follow(&self, config: &Config, now: Instant) {
        let places = places(config);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.before = std::mem::replace(&mut known.now, places);
        known.since = now;
    }

    /// Where an attempt went that began then.
    pub(super) fn find(&self, route: &Route, began: Instant) -> Option<(String, u16)> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let place = (route.provider.to_string(), route.region.to_string());
        let (own, other) =
            if began < known.since { (&known.before, &known.now) } else { (&known.now, &known.before) };
        own.get(&place).or_else(|| other.get(&place)).cloned()
    }
}

fn places(config: &Config) -> Places {
    let mut places = Places::new();
    for (provider, settings) in &config.providers {
        for (region, at) in &settings.regions {
            let host = at.base_url.host_str().unwrap_or_default().to_owned();
            let port = at.base_url.port_or_known_default().unwrap_or_default();
            places.insert((provider.to_string(), region.to_string()), (host, port));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use outrigger::config::Provider;

    use super::*;

    fn config(regions: &[(&str, &str)]) -> Config {
        let provider = regions
            .iter()
            .fold(Provider::openai(), |provider, (region, url)| provider.region(*region, url).unwrap());
        Config::new().provider("a", provider)
    }

    /// **An attempt is where it went**, though the region has moved since. Fails if a reload is not followed, or moves what began
    /// before it.
    #[test]
    fn a_region_that_moves_is_found_at_both_places() {
        let began = Instant::now();
        let later = began + Duration::from_secs(1);
        let addresses = Addresses::of(&config(&[("x", "http://one:1/v1"), ("gone", "http://old/v1")]), began);
        addresses.follow(&config(&[("x", "http://two:2/v1"), ("new", "https://new/v1")]), later);
        let find = |region, began| addresses.find(&Route::new("a", region, "m"), began);
        let expected = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(find("x", began), expected("one", 1));
        assert_eq!(find("x", later), expected("two", 2));
        assert_eq!(find("new", later), expected("new", 443));
        assert_eq!(find("gone", began), expected("old", 80));
        assert_eq!(find("other", later), None);
    }
}
