//! What is known of the other replicas, and what it comes to: pure, with the time as an argument.
//!
//! # Limits
//! What others say is believed within bounds: a part of a minute counts for a minute at most, and sums saturate. What was spent
//! elsewhere in a period only grows, so an engine that lost its memory takes nothing back.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use outrigger::{Route, registry::Used};

use super::{
    PRESENT,
    news::Newsroom,
    port::{Account, Post},
    words::Told,
};
use crate::auth::{self, Elsewhere};

/// What a limit is for.
const MINUTE: Duration = Duration::from_secs(60);
/// An account is kept for so long after its period: clocks differ, and who was cut off may still have something to add.
const BEYOND: Duration = Duration::from_secs(3_600);

/// What is known of the others.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// What keys have spent elsewhere, by their names.
    spent: BTreeMap<String, SpentElsewhere>,
    pub(super) newsroom: Newsroom,
}

/// A letter that could be read.
#[derive(Debug)]
pub(super) struct Heard<'a> {
    pub(super) replica: &'a str,
    pub(super) silent: Duration,
    pub(super) told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SpentElsewhere {
    every: Duration,
    number: u64,
    micro_usd: u64,
}

/// A key's budget in the period at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Budgeted {
    pub(super) key: String,
    pub(super) every: Duration,
    /// Which period.
    pub(super) number: u64,
    /// How long it goes on.
    pub(super) left: Duration,
    /// Millionths of a USD that were spent of it here.
    pub(super) own: u64,
}

impl Budgeted {
    pub(super) fn account(&self) -> Account {
        let Self { key, every, number, left, own } = self;
        let name = format!("{}:{number}:{key}", every.as_secs());
        Account { name, own: *own, keep: left.saturating_add(BEYOND) }
    }
}

impl Board {
    /// What a key has spent elsewhere in a period of this length and number.
    pub(super) fn spent_elsewhere(&self, key: &str, every: Duration, number: u64) -> u64 {
        let spent = self.spent.get(key).filter(|spent| (spent.every, spent.number) == (every, number));
        spent.map_or(0, |spent| spent.micro_usd)
    }

    /// Nothing is known of others any more. What happened here goes on being told.
    pub(super) fn forget(&mut self) {
        self.spent.clear();
        self.newsroom.keep(std::iter::empty());
    }

    /// The totals of these budgets are known.
    pub(super) fn learn_totals(&mut self, budgets: &[Budgeted], totals: &[u64]) {
        for (budget, total) in budgets.iter().zip(totals) {
            let Budgeted { key, every, number, own, .. } = budget;
            let known = self.spent_elsewhere(key, *every, *number);
            let micro_usd = total.saturating_sub(*own).max(known);
            let spent = SpentElsewhere { every: *every, number: *number, micro_usd };
            self.spent.insert(key.clone(), spent);
        }
        self.spent.retain(|key, _| budgets.iter().any(|budget| budget.key == *key));
    }

    /// What the keys have used elsewhere, by their names.
    pub(super) fn used_elsewhere(letters: &[Heard<'_>], now: Instant) -> BTreeMap<String, Elsewhere> {
        let mut keys: BTreeMap<String, Elsewhere> = BTreeMap::new();
        for Heard { told, silent, .. } in letters {
            for (key, auth::Used { requests, tokens, held }) in &told.keys {
                let sum = keys.entry(key.clone()).or_default();
                sum.requests.extend(requests.iter().filter_map(|part| counts(*part, *silent, now)));
                sum.tokens.extend(tokens.iter().filter_map(|part| counts(*part, *silent, now)));
                // Who is gone holds nothing: its calls are gone with it.
                let held = if *silent < PRESENT { *held } else { 0 };
                sum.held = sum.held.saturating_add(held);
            }
        }
        keys
    }

    /// What was used of places elsewhere.
    pub(super) fn places_elsewhere(letters: &[Heard<'_>]) -> BTreeMap<Route, Vec<Used>> {
        let mut places: BTreeMap<Route, Vec<Used>> = BTreeMap::new();
        for Heard { told, silent, .. } in letters {
            for place in &told.places {
                let parts = place.used.iter().filter_map(|&(left_ms, requests, tokens)| {
                    Some(Used::new(still_left(left_ms, *silent)?, requests, tokens))
                });
                places.entry(place.route()).or_default().extend(parts);
            }
        }
        places
    }
}

/// Until when a part of a minute counts that was told so long ago; none where it is over.
fn counts((left_ms, amount): (u64, u64), silent: Duration, now: Instant) -> Option<(Instant, u64)> {
    Some((now.checked_add(still_left(left_ms, silent)?)?, amount))
}

/// For how much longer a part of a minute counts that was told so long ago; none where it is over.
fn still_left(left_ms: u64, silent: Duration) -> Option<Duration> {
    Duration::from_millis(left_ms).min(MINUTE).checked_sub(silent)
}

/// The letters that could be read.
pub(super) fn letters(post: &Post) -> Vec<Heard<'_>> {
    let fresh = post.letters.iter().filter(|letter| letter.silent < super::SILENCE);
    let read = fresh.filter_map(|letter| {
        let told = Told::read(&letter.text)?;
        Some(Heard { replica: &letter.replica, silent: letter.silent, told })
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::words::Place;

    const DAY: Duration = Duration::from_secs(86_400);

    fn budget(number: u64, own: u64) -> Vec<Budgeted> {
        vec![Budgeted { key: "a".to_owned(), every: DAY, number, left: DAY / 2, own }]
    }

    /// **What was spent elsewhere never counts as own, and is never forgotten within its period.** Fails if a total is taken whole, or
    /// an engine that lost its memory frees a budget.
    #[test]
    fn what_was_spent_elsewhere_is_the_total_without_the_own() {
        let mut board = Board::default();
        board.learn_totals(&budget(7, 10), &[25]);
        assert_eq!(board.spent_elsewhere("a", DAY, 7), 15);
        board.learn_totals(&budget(7, 12), &[12]);
        assert_eq!(board.spent_elsewhere("a", DAY, 7), 15, "the engine forgot, and this replica did not");
        assert_eq!(board.spent_elsewhere("a", DAY, 8), 0, "another period");
        assert_eq!(board.spent_elsewhere("a", DAY * 2, 7), 0, "of another length");
        board.learn_totals(&budget(8, 0), &[3]);
        assert_eq!((board.spent_elsewhere("a", DAY, 8), board.spent_elsewhere("a", DAY, 7)), (3, 0));
        board.learn_totals(&[], &[]);
        assert_eq!(board.spent.len(), 0, "a key that has no budget any more takes no place");
    }

    #[test]
    fn an_account_is_of_a_key_and_a_period() {
        let account = budget(7, 10).remove(0).account();
        assert_eq!((account.name.as_str(), account.own), ("86400:7:a", 10));
        assert_eq!(account.keep, DAY / 2 + BEYOND);
    }

    /// **A part of a minute counts until it is a minute old, whoever tells it and however late.** Fails if the time on the way is not
    /// taken off, a lie may hold a key for longer than a minute, or who is gone still holds what its calls might have cost.
    #[test]
    fn what_was_used_elsewhere_is_summed_and_ages() {
        let now = Instant::now();
        let used =
            |parts: &[(u64, u64)]| auth::Used { requests: parts.to_vec(), tokens: vec![(10, 99)], held: 2 };
        let letter = |parts: &[(u64, u64)], secs| Heard {
            replica: "b",
            silent: Duration::from_secs(secs),
            told: Told { keys: [("a".to_owned(), used(parts))].into(), ..Told::default() },
        };
        let letters = [letter(&[(50_000, 3), (900, 9)], 1), letter(&[(u64::MAX, 5)], 0), letter(&[], 5)];
        let keys = Board::used_elsewhere(&letters, now);
        assert_eq!(keys["a"].requests, [(now + Duration::from_secs(49), 3), (now + MINUTE, 5)]);
        assert_eq!((keys["a"].tokens.len(), keys["a"].held), (1, 4));
    }

    /// **What was used of a place is that of all replicas, and ages on the way.** Fails if the time on the way is not taken off, one replica's
    /// goes for all, or a lie counts for longer than a minute.
    #[test]
    fn what_was_used_of_places_is_summed_and_ages() {
        let route = |region| Route::new("p", region, "m");
        let secs = Duration::from_secs;
        let letter = |region, parts: &[Used], silent| Heard {
            replica: "b",
            silent: secs(silent),
            told: Told { places: vec![Place::new(&route(region), parts)], ..Told::default() },
        };
        let letters = [
            letter("r", &[Used::new(secs(50), 3, 30), Used::new(Duration::from_millis(900), 9, 9)], 1),
            letter("r", &[Used::new(secs(86_400), 5, 50)], 2),
            letter("other", &[Used::new(secs(1), 1, 1)], 0),
        ];
        let places = Board::places_elsewhere(&letters);
        assert_eq!(places[&route("r")], [Used::new(secs(49), 3, 30), Used::new(secs(58), 5, 50)]);
        assert_eq!(places[&route("other")], [Used::new(secs(1), 1, 1)]);
    }
}
