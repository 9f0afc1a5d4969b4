//! What the ledger tells operators: `GET /spend`.

use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use humantime::format_rfc3339_seconds;
use serde::Serialize;

use super::{Ledger, books};

/// How many days are told, today included.
const TOLD: u64 = 31;

/// What calls have cost.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// `disk` when it outlives this process, else `memory`.
    kept: &'static str,
    /// Bookings that could not be written.
    failed_writes: u64,
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
}

/// What a provider's answers for a model cost on a day.
#[derive(Debug, Serialize)]
struct OfDay {
    day: String,
    provider: String,
    model: String,
    cost_usd: f64,
    /// The part of it that no provider counted.
    estimated_usd: f64,
    bookings: u64,
    input_tokens: u64,
    output_tokens: u64,
}

impl Ledger {
    /// How the books stand.
    pub(crate) fn report(&self, wall: SystemTime) -> Report {
        let today = books::day_of(wall);
        let books = self.books();
        let keys: Vec<OfKey> = books
            .by_key(today)
            .map(|(key, today, total)| OfKey {
                key: key.to_string(),
                today_usd: usd(today),
                total_usd: usd(total),
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
        Report {
            kept: if self.keeper.is_some() { "disk" } else { "memory" },
            failed_writes: self
                .keeper
                .as_ref()
                .map_or(0, |keeper| keeper.state.failed.load(Ordering::Relaxed)),
            today_usd: keys.iter().map(|key| key.today_usd).sum(),
            keys,
            days,
        }
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
