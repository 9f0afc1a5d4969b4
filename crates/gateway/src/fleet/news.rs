//! What this replica has learned first-hand and the others had better know, and which of their news it has heard: pure.
//!
//! Only what happened here is told: a wait that a provider named to an attempt of this replica, a circuit that tripped here by itself. What
//! was heard is not told on, so nothing goes round in a circle. News are told again with each letter for as long as they matter, so
//! that none is lost with a letter; each has a number, and is heard once.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use outrigger::{News, Notice, Route, wire::Class};
use serde::{Deserialize, Serialize};

/// How long a trip is told: who has not heard of it by then has missed nothing that it will not see itself.
const TELL_TRIPS: Duration = Duration::from_secs(10);
/// So many are told at most; beyond it the oldest goes.
const MOST: usize = 256;

/// News, as a letter has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Item {
    /// Later news have higher numbers.
    n: u64,
    provider: String,
    region: String,
    /// `*` for a whole endpoint.
    model: String,
    /// For how many milliseconds the place is still to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cooldown_ms: Option<u64>,
    /// How many milliseconds ago a circuit tripped there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tripped_ms: Option<u64>,
}

impl Item {
    /// What it says when it was told so long ago.
    fn news(&self, silent: Duration) -> Option<News> {
        let route = Route::new(self.provider.as_str(), self.region.as_str(), self.model.as_str());
        match (self.cooldown_ms.map(Duration::from_millis), self.tripped_ms.map(Duration::from_millis)) {
            (Some(left), _) => Some(News::CoolDown { route, wait: left.checked_sub(silent)? }),
            (None, Some(ago)) => Some(News::Tripped { route, ago: ago.saturating_add(silent) }),
            (None, None) => None,
        }
    }
}

/// News of this replica, and what it has heard of the others'.
#[derive(Debug, Default)]
pub(super) struct Newsroom {
    own: Vec<Own>,
    last: u64,
    /// By replica: which life of it, and the last news that were heard of it.
    heard: BTreeMap<String, (u64, u64)>,
}

#[derive(Debug)]
struct Own {
    n: u64,
    route: Route,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// Until when.
    CoolDown(Instant),
    /// When.
    Tripped(Instant),
}

impl Newsroom {
    /// Something happened here.
    pub(super) fn note(&mut self, notice: &Notice, now: Instant) {
        match notice {
            Notice::AttemptEnded {
                route, class: Some(Class::RateLimited), retry_after: Some(wait), ..
            } => {
                let Some(until) = now.checked_add(*wait) else { return };
                let known = self.own.iter().any(|own| {
                    own.route == *route && matches!(own.what, What::CoolDown(known) if known >= until)
                });
                if !known {
                    self.tell(route, What::CoolDown(until));
                }
            }
            Notice::Transition { route, to, reason: Some(reason), .. }
                if to.as_str() == "open" && reason.as_str() != "manual" =>
            {
                self.tell(route, What::Tripped(now));
            }
            _ => {}
        }
    }

    /// A place is to be left alone until then.
    #[cfg(test)]
    pub(super) fn cool_down(&mut self, route: &Route, until: Instant) {
        self.tell(route, What::CoolDown(until));
    }

    /// Newer news of a place are told instead of older ones of the same kind.
    fn tell(&mut self, route: &Route, what: What) {
        let is_older = |own: &Own| {
            own.route == *route && std::mem::discriminant(&own.what) == std::mem::discriminant(&what)
        };
        self.own.retain(|own| !is_older(own));
        if self.own.len() >= MOST {
            self.own.remove(0);
        }
        self.last += 1;
        self.own.push(Own { n: self.last, route: route.clone(), what });
    }

    /// What is to be told now.
    pub(super) fn told(&mut self, now: Instant) -> Vec<Item> {
        self.own.retain(|own| match own.what {
            What::CoolDown(until) => now < until,
            What::Tripped(at) => now.saturating_duration_since(at) < TELL_TRIPS,
        });
        let item = |own: &Own| {
            let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let (cooldown_ms, tripped_ms) = match own.what {
                What::CoolDown(until) => (Some(ms(until.saturating_duration_since(now))), None),
                What::Tripped(at) => (None, Some(ms(now.saturating_duration_since(at)))),
            };
            let Route { provider, region, model, .. } = &own.route;
            Item {
                n: own.n,
                provider: provider.to_string(),
                region: region.to_string(),
                model: model.to_string(),
                cooldown_ms,
                tripped_ms,
            }
        };
        self.own.iter().map(item).collect()
    }

    /// What is new in another replica's letter that came so long ago.
    pub(super) fn hear(&mut self, replica: &str, life: u64, items: &[Item], silent: Duration) -> Vec<News> {
        let known = self.heard.get(replica).filter(|(known, _)| *known == life).map_or(0, |(_, n)| *n);
        let last = items.iter().map(|item| item.n).max().unwrap_or(0).max(known);
        self.heard.insert(replica.to_owned(), (life, last));
        let new = items.iter().filter(|item| item.n > known).take(MOST);
        new.filter_map(|item| item.news(silent)).collect()
    }

    /// Only these are there.
    pub(super) fn keep<'a>(&mut self, replicas: impl Iterator<Item = &'a str> + Clone) {
        self.heard.retain(|known, _| replicas.clone().any(|replica| replica == known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn places() -> [Route; 2] {
        ["us-east", "eu-west"].map(|region| Route::new("p", region, "m"))
    }

    /// **News are heard once, however often they are told, and told while they matter.** Fails if a letter that comes again is heard again, or
    /// a replica that starts anew is not heard.
    #[test]
    fn news_are_heard_once() {
        let (mut teller, mut hearer, now) = (Newsroom::default(), Newsroom::default(), Instant::now());
        let [east, west] = places();
        teller.tell(&east, What::CoolDown(now + secs(30)));
        let told = teller.told(now + secs(1));
        let news = News::CoolDown { route: east.clone(), wait: secs(27) };
        assert_eq!(hearer.hear("a", 1, &told, secs(2)), [news]);
        assert_eq!(hearer.hear("a", 1, &told, secs(2)), []);
        teller.tell(&west, What::Tripped(now + secs(2)));
        let told = teller.told(now + secs(3));
        let trip = News::Tripped { route: west, ago: secs(2) };
        assert_eq!(hearer.hear("a", 1, &told, secs(1)), [trip]);
        assert_eq!(hearer.hear("a", 2, &told[..1], Duration::ZERO).len(), 1, "another life counts anew");
        assert_eq!(hearer.hear("b", 1, &told[..1], secs(28)), [], "it is over by now");
        hearer.keep(["b"].into_iter());
        assert_eq!(hearer.heard.len(), 1);
        assert_eq!(teller.told(now + secs(12)).len(), 1, "a trip is told for 10 s");
        assert_eq!(teller.told(now + secs(30)).len(), 0);
    }

    /// **What is told has a bound, and the newest of a place goes before what was said of it.**
    #[test]
    fn what_is_told_has_a_bound() {
        let (mut teller, now) = (Newsroom::default(), Instant::now());
        for wait in 1..50 {
            teller.tell(&places()[0], What::CoolDown(now + secs(wait)));
        }
        let told = teller.told(now);
        assert_eq!((told.len(), told[0].n, told[0].cooldown_ms), (1, 49, Some(49_000)));
        for number in 0..1_000 {
            teller.tell(&Route::new("p", "r", number.to_string()), What::Tripped(now));
        }
        assert_eq!(teller.told(now).len(), MOST);
    }

    #[test]
    fn news_are_written_in_short() {
        let item = Item {
            n: 3,
            provider: "p".to_owned(),
            region: "r".to_owned(),
            model: "*".to_owned(),
            cooldown_ms: None,
            tripped_ms: Some(20),
        };
        let text = serde_json::to_string(&item).unwrap();
        assert_eq!(text, r#"{"n":3,"provider":"p","region":"r","model":"*","tripped_ms":20}"#);
    }
}
