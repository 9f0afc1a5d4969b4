//! What the ledger tells operators: `GET /spend`.

use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use humantime::{format_duration, format_rfc3339_seconds};
use serde::Serialize;

use super::{Ledger, books};
use crate::auth::{Budget, Standing, spent::period};

/// How many days are told, today included.
const TOLD: u64 = 31;

/// What calls have cost.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// `disk` when it outlives this process, else `memory`.
    kept: &'static str,
    /// Bookings that could not be written.
    failed_writes: u64,
    /// The day that it is, in UTC.
    today: String,
    /// Since midnight UTC.
    today_usd: f64,
    keys: Vec<OfKey>,
    /// The newest first.
    days: Vec<OfDay>,
}

/// What a key has cost.
#[derive(Debug, Serialize)]
struct OfKey {
    key: String,
    today_usd: f64,
    /// Of all days that are kept.
    total_usd: f64,
    /// None where it has none, or is in the file no longer.
    budget: Option<OfBudget>,
}

/// What a key may spend, and how far it has come.
#[derive(Debug, Serialize)]
struct OfBudget {
    amount_usd: f64,
    /// As the file would say it.
    every: String,
    /// In the period at hand.
    spent_usd: f64,
    /// Until it has all of it again.
    ends_in_s: u64,
}

/// What a provider's attempts for a model cost on a day.
#[derive(Debug, Serialize)]
struct OfDay {
    day: String,
    provider: String,
    model: String,
    cost_usd: f64,
    /// The part of it that no provider counted.
    estimated_usd: f64,
    /// Attempts that cost something.
    bookings: u64,
    input_tokens: u64,
    output_tokens: u64,
}

impl Ledger {
    /// How the books stand. A key of the file is in it before it has spent anything.
    pub(crate) fn report(&self, standings: &[Standing], wall: SystemTime) -> Report {
        let today = books::day_of(wall);
        let books = self.books();
        let mut keys: Vec<OfKey> = books
            .by_key(today)
            .map(|(key, today, total)| OfKey {
                key: key.to_string(),
                today_usd: usd(today),
                total_usd: usd(total),
                budget: None,
            })
            .collect();
        let days: Vec<OfDay> = books
            .places
            .iter()
            .rev()
            .take_while(|((day, ..), _)| day.saturating_add(TOLD) > today)
            .map(|((day, provider, model), line)| OfDay {
                day: written(*day),
                provider: provider.to_string(),
                model: model.to_string(),
                cost_usd: usd(line.nano_usd),
                estimated_usd: usd(line.estimated),
                bookings: line.bookings,
                input_tokens: line.input,
                output_tokens: line.output,
            })
            .collect();
        drop(books);
        for Standing { name, budget } in standings {
            let budget = budget.map(|(budget, spent)| of_budget(budget, spent, wall));
            match keys.iter_mut().find(|known| *known.key == **name) {
                Some(known) => known.budget = budget,
                None => keys.push(OfKey { key: name.to_string(), today_usd: 0.0, total_usd: 0.0, budget }),
            }
        }
        Report {
            kept: if self.keeper.is_some() { "disk" } else { "memory" },
            failed_writes: self
                .keeper
                .as_ref()
                .map_or(0, |keeper| keeper.state.failed.load(Ordering::Relaxed)),
            today: written(today),
            today_usd: keys.iter().map(|key| key.today_usd).sum(),
            keys,
            days,
        }
    }
}

fn of_budget(budget: Budget, micro_usd: u64, wall: SystemTime) -> OfBudget {
    OfBudget {
        amount_usd: budget.amount,
        every: format_duration(budget.every).to_string(),
        spent_usd: usd(micro_usd.saturating_mul(1000)),
        ends_in_s: period(budget.every, wall).1.as_secs(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "nine million USD are told to the billionth")]
fn usd(nano: u64) -> f64 {
    nano as f64 / 1e9
}

/// A day as people write it.
fn written(day: u64) -> String {
    let begins = UNIX_EPOCH.checked_add(Duration::from_secs(day.saturating_mul(86_400)));
    let mut text = format_rfc3339_seconds(begins.unwrap_or(UNIX_EPOCH)).to_string();
    text.truncate(10);
    text
}
