//! docs/defaults.md tells the truth: each row is what the code does by default, and each field has its row.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use outrigger::breaker::BreakerConfig;
use outrigger::config::{Hedge, Retry, Routing, Timeouts};
use outrigger::policy::{self, AimdConfig, BackoffConfig, BudgetConfig};
use outrigger::registry::RegistryConfig;
use outrigger::wire::DEFAULT_MAX_TOKENS;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

const PAGE: &str = include_str!("../../../docs/defaults.md");

/// The rows whose key starts with `prefix` and a dot: the rest of the key and the value, `None` where leaving it out is the
/// default.
fn rows(prefix: &str) -> BTreeMap<String, Option<Value>> {
    let mut rows = BTreeMap::new();
    for line in PAGE.lines() {
        let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
        let (Some(key), Some(value)) = (cells.next(), cells.next()) else { continue };
        let Some(key) = key.trim_matches('`').strip_prefix(prefix).and_then(|key| key.strip_prefix('.'))
        else {
            continue;
        };
        let value = (value != "*absent*").then(|| {
            let line = format!("value = {}", value.trim_matches('`'));
            let table: Table = line.parse().unwrap_or_else(|error| panic!("{prefix}.{key}: {error}"));
            table["value"].clone()
        });
        assert!(rows.insert(key.to_owned(), value).is_none(), "{prefix}.{key} has two rows");
    }
    rows
}

/// The fields of `T`, from its own word: serde names them all when it is given one that is not there.
fn fields<T: DeserializeOwned + Debug>() -> BTreeSet<String> {
    let unknown: Table = "no-such-field = 1".parse().unwrap();
    let said = unknown.try_into::<T>().unwrap_err().to_string();
    let quoted = said.split('`').skip(1).step_by(2);
    quoted.filter(|word| *word != "no-such-field").map(str::to_owned).collect()
}

/// The rows of `prefix` name the fields of `T` and no other, and reading them gives the default.
fn check<T: Default + DeserializeOwned + Debug + PartialEq>(prefix: &str) {
    let mut table = Table::new();
    let mut named = BTreeSet::new();
    for (key, value) in rows(prefix) {
        let (outer, inner) =
            key.split_once('.').map_or((key.as_str(), None), |(outer, inner)| (outer, Some(inner)));
        named.insert(outer.to_owned());
        let Some(value) = value else { continue };
        match inner {
            None => drop(table.insert(outer.to_owned(), value)),
            Some(inner) => {
                let place = table.entry(outer).or_insert_with(|| Value::Table(Table::new()));
                place.as_table_mut().unwrap().insert(inner.to_owned(), value);
            }
        }
    }
    assert_eq!(named, fields::<T>(), "{prefix}: the rows beside the fields");
    assert_eq!(table.try_into::<T>().unwrap(), T::default(), "{prefix}");
}

#[test]
fn the_page_has_the_defaults_of_the_file() {
    check::<Timeouts>("timeouts");
    check::<Retry>("retry");
    check::<Hedge>("hedge");
    check::<BreakerConfig>("breaker");
    check::<Routing>("routing");
}

#[test]
fn the_page_has_the_defaults_of_the_machines() {
    check::<RegistryConfig>("registry");
    check::<BackoffConfig>("BackoffConfig");
    check::<BudgetConfig>("BudgetConfig");
    check::<AimdConfig>("AimdConfig");
}

#[test]
fn the_page_has_the_prices_of_retries() {
    let prices = rows("budget").into_iter().map(|(key, price)| (key, price.unwrap().as_integer().unwrap()));
    let expected = [
        ("cost_billed", policy::RETRY_COST_BILLED),
        ("cost_unprocessed", policy::RETRY_COST_UNPROCESSED),
        ("first_try_reward", policy::FIRST_TRY_REWARD),
    ];
    assert!(prices.eq(expected.map(|(key, price)| (key.to_owned(), i64::from(price)))));
}

#[test]
fn the_page_has_the_bound_of_translated_requests() {
    let most = i64::try_from(DEFAULT_MAX_TOKENS).unwrap();
    assert_eq!(rows("translation")["max_tokens"], Some(Value::Integer(most)));
}

#[test]
fn a_row_that_is_not_true_is_found() {
    let wrong: Table = "failure_threshold = 6".parse().unwrap();
    assert_ne!(wrong.try_into::<BreakerConfig>().unwrap(), BreakerConfig::default());
    assert!(fields::<Retry>().contains("max_attempts"));
}
