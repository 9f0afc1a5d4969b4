//! `[keys.NAME]`: who may come in, to which models, and how much of them.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use outrigger::{
    Config,
    config::{Document, Fault, Faults, Path, did_you_mean},
};
use serde::{Deserialize, Deserializer, de};

use super::digest::Digest;

/// A longer name is no name.
const LONGEST_NAME: usize = 64;
/// The shortest and the longest time that a budget may be for: a second (it is what stores count in), and ten years.
const PERIODS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3_660 * 86_400));

/// One caller's key, as the file has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Entry {
    /// What is known of the key.
    pub(crate) hash: Digest,
    /// The models that it may ask; all when absent.
    #[serde(default)]
    pub(crate) models: Option<Vec<String>>,
    /// Requests in any minute at most.
    #[serde(default)]
    pub(crate) requests_per_minute: Option<NonZeroU32>,
    /// Tokens in any minute at most, read and written.
    #[serde(default)]
    pub(crate) tokens_per_minute: Option<NonZeroU64>,
    /// What it may spend.
    #[serde(default)]
    pub(crate) budget_usd: Option<Budget>,
}

#[cfg(test)]
impl Entry {
    /// A key that may do anything.
    pub(super) fn of(hash: Digest) -> Self {
        Self { hash, models: None, requests_per_minute: None, tokens_per_minute: None, budget_usd: None }
    }
}

/// What may be spent in a period.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(crate) struct Budget {
    /// USD.
    #[serde(deserialize_with = "amount")]
    pub(crate) amount: f64,
    /// For how long.
    #[serde(deserialize_with = "period")]
    pub(crate) every: Duration,
}

/// The entries of a file by their names.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// Reads `[keys]`; none when the file has no such table.
///
/// # Errors
/// Every fault of the table's own. Whether its models are there is [`faults`]' question.
pub(crate) fn read(document: &Document<'_>) -> Result<Entries, Faults> {
    document.table::<Entries>("keys").map(Option::unwrap_or_default)
}

/// What is wrong between the entries, and between them and the client's configuration, where that could be read.
pub(crate) fn faults(entries: &Entries, config: Option<&Config>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut known: BTreeMap<Digest, &str> = BTreeMap::new();
    for (name, entry) in entries {
        let path = Path::new(["keys", name.as_str()]);
        if let Err(wrong) = check_name(name) {
            faults.push(Fault::new(path.clone(), wrong));
        }
        if let Some(other) = known.insert(entry.hash, name) {
            let message = format!("the same hash as that of `{other}`; a key has one name");
            faults.push(Fault::new(path.key("hash"), message));
        }
        let models = path.key("models");
        if entry.models.as_ref().is_some_and(Vec::is_empty) {
            let message = "an empty list allows nothing; leave it out to allow every model";
            faults.push(Fault::new(models.clone(), message));
        }
        let Some(config) = config else { continue };
        for (index, model) in entry.models.iter().flatten().enumerate() {
            if !config.models.iter().any(|(known, _)| known == model) {
                let known = config.models.iter().map(|(name, _)| name.as_str());
                let fault = Fault::new(models.index(index), format!("no model `{model}` is configured"));
                faults.push(fault.help(did_you_mean(model, known)));
            }
        }
    }
    faults
}

/// Names stand in logs, in accounts and on the command line, so only what cannot be mistaken there is one. Those that begin with `_`
/// are the program's own.
///
/// # Errors
/// What a name may be.
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    let sane = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(sane) && !name.starts_with('_') {
        return Ok(());
    }
    Err("a key's name has 1 to 64 letters, digits, `-`, `_`, `.` or `@`, and does not begin with `_`")
}

fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let amount = f64::deserialize(deserializer)?;
    if amount.is_finite() && amount > 0.0 {
        return Ok(amount);
    }
    Err(de::Error::custom("an amount is a number of USD above 0"))
}

fn period<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let every: Duration = humantime_serde::deserialize(deserializer)?;
    if (PERIODS.0..=PERIODS.1).contains(&every) {
        return Ok(every);
    }
    Err(de::Error::custom("a budget is for a time between \"1s\" and \"3660d\""))
}
