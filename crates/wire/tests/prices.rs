//! The price table that comes with the crate, fact by fact, and the rules that hold for every table and every usage.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::time::{Duration, SystemTime};

use outrigger_wire::{Price, PriceTable, Rates, Usage};
use proptest::{collection::vec, prelude::*, test_runner::FileFailurePersistence};

/// A Thursday, outside of all peak hours.
const NOW: &str = "2026-11-26 12";

/// `2026-11-26 12` as an instant: a date and its hour.
fn at(text: &str) -> SystemTime {
    let (date, hour) = text.split_once(' ').unwrap();
    let days =
        [("2026-10-19", 20_745), ("2026-10-20", 20_746), ("2026-10-28", 20_754), ("2026-10-29", 20_755)]
            .into_iter()
            .chain([
                ("2026-11-22", 20_779),
                ("2026-11-23", 20_780),
                ("2026-11-26", 20_783),
                ("2026-11-27", 20_784),
            ])
            .chain([
                ("2026-11-28", 20_785),
                ("2026-11-30", 20_787),
                ("2026-12-01", 20_788),
                ("2026-12-31", 20_818),
            ])
            .chain([("2027-01-01", 20_819)]);
    let (_, day) = days.into_iter().find(|(name, _)| *name == date).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400 + hour.parse::<u64>().unwrap() * 3_600)
}

/// Input, cached input, cache write, output.
type Four = (f64, f64, f64, f64);

fn four(rates: &Rates) -> Four {
    (rates.input, rates.cached_input, rates.cache_write, rates.output)
}

#[track_caller]
fn check(facts: &[(&str, &str, &str, Option<Four>)]) {
    let table = PriceTable::builtin();
    for &(model, host, wall, expected) in facts {
        let host = (!host.is_empty()).then_some(host);
        let price = table.price(model, host, at(wall));
        assert_eq!(price.map(|price| four(&price.rates)), expected, "{model} at {host:?}, {wall}");
    }
}

#[test]
fn every_model_of_the_table_has_its_price() {
    check(&[
        ("gpt-6-astra", "", NOW, Some((10.0, 1.0, 12.5, 50.0))),
        ("gpt-6-sol", "", NOW, Some((2.0, 0.2, 2.5, 10.0))),
        ("gpt-6.1-sol", "", NOW, Some((2.0, 0.1, 2.5, 10.0))),
        ("gpt-6.1-terra", "", NOW, Some((1.0, 0.05, 1.25, 5.0))),
        ("gpt-6-luna", "", NOW, Some((0.1, 0.01, 0.125, 0.5))),
        ("gpt-5.4-mini", "", NOW, Some((0.75, 0.075, 0.75, 4.5))),
        ("gpt-4.1", "", NOW, Some((2.0, 0.5, 2.0, 8.0))),
        ("gpt-4.1-mini", "", NOW, Some((0.4, 0.1, 0.4, 1.6))),
        ("gpt-4o-mini", "", NOW, Some((0.15, 0.075, 0.15, 0.6))),
        ("text-embedding-3-small", "", NOW, Some((0.02, 0.02, 0.02, 0.0))),
        ("text-embedding-3-large", "", NOW, Some((0.13, 0.13, 0.13, 0.0))),
        ("claude-opus-5-5", "", NOW, Some((4.0, 0.2, 5.0, 20.0))),
        ("claude-sonnet-5-5", "", NOW, Some((2.0, 0.1, 2.5, 10.0))),
        ("claude-haiku-5-5", "", NOW, Some((0.1, 0.01, 0.125, 0.5))),
        ("claude-sonnet-4-5", "", NOW, Some((3.0, 0.3, 3.75, 15.0))),
        ("claude-sonnet-4.5", "", NOW, Some((3.0, 0.3, 3.75, 15.0))),
        ("claude-haiku-4-5", "", NOW, Some((1.0, 0.1, 1.25, 5.0))),
        ("gemini-3.5-flash-lite", "", NOW, Some((0.3, 0.03, 0.3, 2.5))),
        ("gemini-2.5-pro", "", NOW, Some((1.25, 0.125, 1.25, 10.0))),
        ("gemini-2.5-flash", "", NOW, Some((0.3, 0.03, 0.3, 2.5))),
        ("deepseek-chat", "", NOW, Some((0.28, 0.028, 0.28, 0.42))),
        ("deepseek-v3.2", "", NOW, Some((0.28, 0.028, 0.28, 0.42))),
        ("mistral-medium-latest", "", NOW, Some((1.5, 0.15, 1.5, 7.5))),
        ("mistral-small-latest", "", NOW, Some((0.15, 0.015, 0.15, 0.6))),
        ("grok-4.7", "", NOW, Some((2.0, 0.5, 2.0, 6.0))),
        ("no-such-model", "api.openai.com", NOW, None),
        ("", "", NOW, None),
    ]);
}

#[test]
fn a_price_changes_on_its_date() {
    check(&[
        ("gemini-4-argon", "", "2026-11-30 23", Some((2.0, 0.1, 2.0, 10.0))),
        ("gemini-4-argon", "", "2026-12-01 00", Some((4.0, 0.2, 4.0, 20.0))),
        ("gemini-3.8-flash", "", "2026-12-31 23", Some((0.75, 0.075, 0.75, 3.75))),
        ("gemini-3.8-flash", "", "2027-01-01 00", Some((1.5, 0.15, 1.5, 7.5))),
        ("mistral-large-4", "", "2026-10-19 23", Some((0.68, 0.07, 0.68, 2.09))),
        ("mistral-large-4", "", "2026-10-20 00", Some((1.36, 0.14, 1.36, 4.18))),
        ("mistral-large-4", "", "2026-10-28 23", Some((1.36, 0.14, 1.36, 4.18))),
        ("mistral-large-4", "", "2026-10-29 00", Some((0.7, 0.07, 0.7, 2.1))),
    ]);
}

#[test]
fn peak_hours_are_those_of_weekdays() {
    let (peak, calm) = (Some((1.32, 0.044, 1.32, 3.96)), Some((0.66, 0.022, 0.66, 1.98)));
    let hours =
        [(0, calm), (1, peak), (3, peak), (4, calm), (5, calm), (6, peak), (9, peak), (10, calm), (23, calm)];
    for (hour, expected) in hours {
        check(&[
            ("deepseek-v4-pro", "", &format!("2026-11-23 {hour}"), expected),
            ("deepseek-v4-pro", "", &format!("2026-11-27 {hour}"), expected),
            ("deepseek-v4-pro", "", &format!("2026-11-22 {hour}"), calm),
            ("deepseek-v4-pro", "", &format!("2026-11-28 {hour}"), calm),
        ]);
    }
    check(&[
        ("deepseek-v4-flash", "", "2026-11-23 01", Some((0.3, 0.006, 0.3, 1.2))),
        ("deepseek-v4-flash", "", "2026-11-23 12", Some((0.15, 0.003, 0.15, 0.6))),
    ]);
}

#[test]
fn a_host_that_tells_its_region_has_its_surcharge() {
    let terra = |factor: f64| Some((factor, 0.05 * factor, 1.25 * factor, 5.0 * factor));
    let sol = Some((2.2, 0.22, 2.75, 11.0));
    let gpt_4_1 = Some((2.2, 0.55, 2.2, 8.8));
    check(&[
        ("gpt-6-sol", "eu.api.openai.com", NOW, sol),
        ("gpt-6-sol", "us.api.openai.com.", NOW, sol),
        ("gpt-6-sol", "api.openai.com", NOW, Some((2.0, 0.2, 2.5, 10.0))),
        ("gpt-6-sol", "jp.api.openai.com", NOW, Some((2.0, 0.2, 2.5, 10.0))),
        ("gpt-6-sol", "my-eu.api.openai.com.evil.example", NOW, Some((2.0, 0.2, 2.5, 10.0))),
        ("gpt-4.1", "eu.api.openai.com", NOW, Some((2.0, 0.5, 2.0, 8.0))),
        ("gpt-5.4-mini-2026-03-17", "eu.api.openai.com", NOW, Some((0.825, 0.0825, 0.825, 4.95))),
        ("gpt-4.1", "eastus2.api.cognitive.microsoft.com", NOW, gpt_4_1),
        ("gpt-4.1", "southcentralus.api.cognitive.microsoft.com", NOW, gpt_4_1),
        ("gpt-4.1", "swedencentral.api.cognitive.microsoft.com", NOW, gpt_4_1),
        ("gpt-6-sol", "westus3.api.cognitive.microsoft.com", NOW, sol),
        ("gpt-6-sol", "westeurope.api.cognitive.microsoft.com", NOW, Some((2.4, 0.24, 3.0, 12.0))),
        ("gpt-6.1-terra", "westeurope.api.cognitive.microsoft.com", NOW, terra(1.2)),
        ("gpt-6-sol", "japaneast.api.cognitive.microsoft.com", NOW, Some((2.0, 0.2, 2.5, 10.0))),
        ("gpt-6-sol", "mine.openai.azure.com", NOW, Some((2.0, 0.2, 2.5, 10.0))),
        ("text-embedding-3-small", "mine.openai.azure.com", NOW, Some((0.022, 0.022, 0.022, 0.0))),
        ("text-embedding-3-large", "mine.openai.azure.com", NOW, Some((0.143, 0.143, 0.143, 0.0))),
        (
            "google/gemini-3.8-flash",
            "europe-west4-aiplatform.googleapis.com",
            NOW,
            Some((0.825, 0.0825, 0.825, 4.125)),
        ),
        ("google/gemini-3.8-flash", "aiplatform.googleapis.com", NOW, Some((0.75, 0.075, 0.75, 3.75))),
        (
            "google/gemini-2.5-pro",
            "europe-west4-aiplatform.googleapis.com",
            NOW,
            Some((1.25, 0.125, 1.25, 10.0)),
        ),
    ]);
}

#[test]
fn at_bedrock_the_profile_and_the_cloud_have_their_surcharges() {
    let runtime = "bedrock-runtime.eu-central-1.amazonaws.com";
    let gov = "bedrock-runtime-fips.us-gov-west-1.amazonaws.com";
    let sonnet = Some((3.0, 0.3, 3.75, 15.0));
    let dearer = Some((3.3, 0.33, 4.125, 16.5));
    check(&[
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", runtime, NOW, sonnet),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", runtime, NOW, sonnet),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", runtime, NOW, dearer),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", runtime, NOW, dearer),
        ("jp.anthropic.claude-sonnet-4-5-20250929-v1:0", runtime, NOW, dearer),
        ("au.anthropic.claude-sonnet-4-5-20250929-v1:0", runtime, NOW, dearer),
        ("apac.anthropic.claude-haiku-4-5-20251001-v1:0", runtime, NOW, Some((1.1, 0.11, 1.375, 5.5))),
        ("us-gov.anthropic.claude-opus-5-5", runtime, NOW, Some((4.8, 0.24, 6.0, 24.0))),
        ("us-gov.anthropic.claude-opus-5-5", gov, NOW, Some((4.8, 0.24, 6.0, 24.0))),
        ("anthropic.claude-sonnet-5-5", gov, NOW, Some((2.4, 0.12, 3.0, 12.0))),
        ("openai.gpt-oss-120b-1:0", gov, NOW, Some((0.18, 0.18, 0.18, 0.72))),
        ("openai.gpt-oss-20b-1:0", runtime, NOW, Some((0.07, 0.07, 0.07, 0.3))),
        (
            "openai.gpt-oss-20b",
            "bedrock-mantle.us-gov-west-1.api.aws",
            NOW,
            Some((0.084, 0.084, 0.084, 0.36)),
        ),
        ("openai.gpt-6-sol", "bedrock-mantle.us-east-1.api.aws", NOW, Some((2.2, 0.22, 2.75, 11.0))),
        ("openai.gpt-6-sol", "bedrock-runtime.us-east-1.amazonaws.com", NOW, Some((2.0, 0.2, 2.5, 10.0))),
        ("anthropic.claude-haiku-4-5", "bedrock-mantle.us-east-1.api.aws", NOW, Some((1.0, 0.1, 1.25, 5.0))),
        ("us.anthropic.claude-sonnet-4-5", "", NOW, sonnet),
        ("us.claude-sonnet-4-5", runtime, NOW, None),
    ]);
}

#[test]
fn open_weights_cost_what_their_host_asks() {
    check(&[
        ("openai/gpt-oss-120b", "api.groq.com", NOW, Some((0.15, 0.075, 0.15, 0.6))),
        ("openai/gpt-oss-20b", "api.groq.com", NOW, Some((0.075, 0.0375, 0.075, 0.3))),
        ("openai/gpt-oss-120b", "api.together.ai", NOW, Some((0.15, 0.15, 0.15, 0.6))),
        ("openai/gpt-oss-20b", "api.together.xyz", NOW, Some((0.05, 0.05, 0.05, 0.2))),
        ("openai/gpt-oss-120b", "localhost", NOW, None),
    ]);
}

#[test]
fn a_snapshot_costs_what_its_model_does() {
    check(&[
        ("gpt-4.1-2025-04-14", "", NOW, Some((2.0, 0.5, 2.0, 8.0))),
        ("claude-sonnet-4-5-20250929", "", NOW, Some((3.0, 0.3, 3.75, 15.0))),
        ("gpt-4.1-2025-99-99", "", NOW, None),
        ("20250929", "", NOW, None),
        ("é2025-04-14", "", NOW, None),
    ]);
}

#[test]
fn a_long_request_has_its_models_step() {
    let table = PriceTable::builtin();
    for (model, host, above, rates) in [
        ("gpt-6-astra", None, 272_000, (20.0, 2.0, 25.0, 75.0)),
        ("gpt-6-sol", None, 272_000, (4.0, 0.4, 5.0, 15.0)),
        ("gpt-6.1-sol", None, 272_000, (4.0, 0.2, 5.0, 15.0)),
        ("gpt-6.1-terra", None, 272_000, (2.0, 0.1, 2.5, 7.5)),
        ("gpt-6-luna", None, 272_000, (0.2, 0.02, 0.25, 0.75)),
        ("claude-haiku-5-5", None, 100_000, (0.5, 0.05, 0.625, 2.5)),
        ("gemini-2.5-pro", None, 200_000, (2.5, 0.25, 2.5, 15.0)),
        ("grok-4.7", None, 200_000, (4.0, 1.0, 4.0, 12.0)),
        ("gpt-6-sol", Some("westeurope.api.cognitive.microsoft.com"), 272_000, (4.8, 0.48, 6.0, 18.0)),
    ] {
        let step = table.price(model, host, at(NOW)).unwrap().step.unwrap();
        assert_eq!((step.above, four(&step.rates)), (above, rates), "{model}");
    }
    assert_eq!(table.price("gpt-4.1", None, at(NOW)).unwrap().step, None);
}

#[test]
fn a_price_that_is_set_holds_over_rows_and_surcharges() {
    let mut table = PriceTable::builtin();
    table.set("gpt-6-sol", Price::new(1.0, 1.0));
    let price = table.price("gpt-6-sol", Some("eu.api.openai.com"), at(NOW));
    assert_eq!(price, Some(Price::new(1.0, 1.0)));
}

#[test]
fn a_surcharge_begins_on_its_date_and_the_last_that_holds_counts() {
    let text = "m | - | 1 | - | - | 1 | - | - | - | s | 2026-01-01\n\
                m | a, *.b | x1.5 | - | s | 2026-01-01\n\
                n* | * | x9 | - | s | 2026-01-01\n\
                m | *.b | x2 | 2026-12-01 | s | 2026-01-01";
    let table = PriceTable::parse(text).unwrap();
    for (host, wall, expected) in [
        (Some("a"), "2026-12-01 00", 1.5),
        (Some("c.b"), "2026-11-30 23", 1.5),
        (Some("c.b"), "2026-12-01 00", 2.0),
        (Some("b"), "2026-12-01 00", 1.0),
        (None, "2026-12-01 00", 1.0),
    ] {
        let price = table.price("m", host, at(wall)).unwrap();
        assert_eq!(price, Price::new(expected, expected), "at {host:?}, {wall}");
    }
}

#[test]
fn the_first_bad_row_is_named_by_its_line() {
    let good = "m | - | 1 | - | - | 1 | - | - | - | s | 2026-01-01";
    let error = PriceTable::parse(&format!("# head\n\n{good}\nbad\nworse\n")).unwrap_err();
    assert_eq!(error.line, 4);
    assert_eq!(
        error.to_string(),
        "line 4 of the price table: a row has eleven columns, or six where it is a surcharge"
    );
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 512,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

/// A price from the text of a row, with a surcharge; no cached input is dearer than fresh, no written one cheaper.
fn price() -> impl Strategy<Value = Price> {
    let cents = (0_u64..10_000_000, 0_u64..=100, 0_u64..=300, 0_u64..10_000_000);
    (cents, 0_u64..2_000, 100_u64..1_000, 100_u64..1_000, 1_u64..1_000).prop_map(
        |((input, cached, written, output), above, read, write, factor)| {
            let usd = |micros: u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            let times = |hundredths: u64| format!("x{}.{:02}", hundredths / 100, hundredths % 100);
            let (cached, dearer) = (usd(input * cached / 100), usd(input * (100 + written) / 100));
            let row = format!(
                "m | - | {} | {cached} | {dearer} | {} | {above} {} {} | - | - | s | 2026-01-01\n\
                 m | * | {} | - | s | 2026-01-01",
                usd(input),
                usd(output),
                times(read),
                times(write),
                times(factor),
            );
            PriceTable::parse(&row).unwrap().price("m", Some("h"), SystemTime::UNIX_EPOCH).unwrap()
        },
    )
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..4_000, 0_u64..1 << 40, Just(u64::MAX)]
}

/// At least, but for the rounding of the last place.
fn is_at_least(more: f64, less: f64) -> bool {
    more >= less - less.abs() * 1e-12
}

proptest! {
    #![proptest_config(config())]

    /// **More costs more.** A cost is a number of at least 0, and no count can grow without its growing or staying: not across
    /// a step, and not by any surcharge. Fails if only what is above a step is priced at its rates, or if a part is counted twice.
    #[test]
    fn a_cost_grows_with_every_count(price in price(), counts in (count(), count(), count(), count()), more in count()) {
        let (input, output, cached, written) = counts;
        let usage = |input, output, cached| Usage::new(input, output).with_cached_input(cached).with_cache_write(written);
        let base = usage(input, output, cached);
        let cost = price.cost_usd(&base);
        prop_assert!(cost.is_finite() && cost >= 0.0, "{cost}");
        let longer = base.input.saturating_add(more);
        let grown = Usage::new(longer, base.output).with_cached_input(base.cached_input).with_cache_write(base.cache_write);
        prop_assert!(is_at_least(price.cost_usd(&grown), cost));
        prop_assert!(is_at_least(price.cost_usd(&usage(input, output.saturating_add(more), cached)), cost));
        let dearer = base.with_cache_write(base.cache_write.saturating_add(more));
        prop_assert!(is_at_least(price.cost_usd(&dearer), cost));
    }

    /// **A cache saves.** Where its rate is not above that of fresh input, no cached token makes an answer dearer. Fails if
    /// cached tokens are added to the input rather than taken out of it.
    #[test]
    fn what_is_cached_is_never_dearer(price in price(), input in count(), output in count(), cached in count()) {
        let fresh = Usage::new(input, output);
        prop_assert!(is_at_least(price.cost_usd(&fresh), price.cost_usd(&fresh.with_cached_input(cached))));
    }

    /// **A bad table names a line.** Any text is a table or an error with a line that it has and that has a row. Fails if a
    /// line is counted from 0, or a cell is read on trust.
    #[test]
    fn any_text_is_a_table_or_a_line(rows in vec(row(), 0..6), garbage in ".{0,80}", place in any::<prop::sample::Index>()) {
        let mut rows = rows;
        if !garbage.is_empty() && place.index(2) == 0 {
            rows.insert(place.index(rows.len() + 1), garbage);
        }
        let text = rows.join("\n");
        if let Err(error) = PriceTable::parse(&text) {
            let line = error.line.checked_sub(1).and_then(|index| text.lines().nth(index));
            prop_assert!(line.is_some_and(|line| !line.trim().is_empty()));
            let before: Vec<&str> = text.lines().take(error.line - 1).collect();
            prop_assert!(PriceTable::parse(&before.join("\n")).is_ok(), "an earlier line is bad");
        }
    }
}

/// A line that is nearly a row: cells that may be right, in about the right number.
fn row() -> impl Strategy<Value = String> {
    let cell = prop::sample::select(vec![
        "m",
        "-",
        "1",
        "0.5",
        "x1.1",
        "x0",
        "272000 x2 x1.5",
        "2026-01-01",
        "2026-02-30",
        "01-04",
        "9-3",
        "",
        "*.a",
        "*a*",
        "99999999999999999999",
        "s",
    ]);
    let price = vec(cell.clone(), 11).prop_map(|mut cells| {
        cells[10] = "2026-01-01";
        cells
    });
    prop_oneof![vec(cell, 0..13), price].prop_map(|cells| cells.join(" | "))
}

#[test]
fn no_row_of_the_table_makes_a_cache_dearer() {
    let table = PriceTable::builtin();
    let text = include_str!("../data/prices.txt");
    let rows = text.lines().filter(|line| !line.starts_with('#') && line.split('|').count() == 11);
    let models: Vec<&str> =
        rows.filter_map(|row| row.split('|').next()).flat_map(|cell| cell.split(',')).collect();
    assert!(models.len() > 40);
    for model in models {
        for host in ["", "api.groq.com", "api.together.ai", "bedrock-runtime.us-east-1.amazonaws.com"] {
            let Some(price) = table.price(model.trim(), Some(host), at(NOW)) else { continue };
            assert!(price.rates.cached_input <= price.rates.input, "{model}");
            assert!(price.rates.cache_write >= price.rates.input, "{model}");
        }
    }
}
