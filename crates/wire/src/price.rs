//! Prices, as data: a text of one row a line with its source and its date.
//!
//! A price is not a constant of a model. It has a date from which it holds, at some providers hours of the day, and it is
//! wrong a year later; so the table is a file that anyone can read, correct and replace ([`PriceTable::parse`]), and a price is
//! asked for an instant. The file that comes with the crate is `data/prices.txt`; its head explains its columns.
//!
//! Limits: what depends on the request itself (steps above some length, batch and priority tiers, regional surcharges, the
//! writing of a cache) is not in the table.

use std::{collections::HashMap, fmt, ops::Range, time::SystemTime};

use crate::{
    calendar::{self, Timestamp},
    usage::Usage,
};

/// The table that comes with the crate.
const BUILTIN: &str = include_str!("../data/prices.txt");

/// A model's price at an instant, in USD per million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Price {
    /// What is read.
    pub input: f64,
    /// What is read from the provider's prompt cache.
    pub cached_input: f64,
    /// What is written, reasoning included.
    pub output: f64,
}

impl Price {
    /// A price without a discount for cached input.
    #[must_use]
    pub const fn new(input: f64, output: f64) -> Self {
        Self { input, cached_input: input, output }
    }

    /// The same with a price of its own for cached input.
    #[must_use]
    pub const fn with_cached_input(self, cached_input: f64) -> Self {
        Self { cached_input, ..self }
    }

    /// What an answer of so many tokens costs, in USD:
    /// `((input - cached) * price_input + cached * price_cached + output * price_output) / 1e6`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 tokens, nine thousand million millions")]
    pub fn cost_usd(&self, usage: &Usage) -> f64 {
        let cached = usage.cached_input.min(usage.input);
        let fresh = usage.input - cached;
        (fresh as f64 * self.input + cached as f64 * self.cached_input + usage.output as f64 * self.output)
            / 1e6
    }
}

/// Prices by model.
#[derive(Clone, Debug, Default)]
pub struct PriceTable {
    rows: HashMap<Box<str>, Vec<Row>>,
}

/// A price and when it holds.
#[derive(Clone, Debug)]
struct Row {
    price: Price,
    from: Option<Timestamp>,
    /// Seconds of a weekday; none for always.
    hours: Option<Vec<Range<i64>>>,
}

impl Row {
    fn holds(&self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| now >= from)
            && self.hours.as_ref().is_none_or(|hours| {
                now.is_weekday() && hours.iter().any(|range| range.contains(&now.second_of_day()))
            })
    }
}

/// A row of a price table cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadPrices {
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for BadPrices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the price table: {}", self.line, self.what)
    }
}

impl std::error::Error for BadPrices {}

impl PriceTable {
    /// The table that comes with the crate. It is parsed by each call: ask once and keep it.
    ///
    /// # Panics
    /// Never: the text is part of the crate, and a test parses it.
    #[must_use]
    pub fn builtin() -> Self {
        #[expect(clippy::expect_used, reason = "see the doc")]
        Self::parse(BUILTIN).expect("the built-in price table is well-formed")
    }

    /// Reads a table in the form of the built-in one.
    ///
    /// # Errors
    /// [`BadPrices`] with the line of the first row that cannot be read.
    pub fn parse(text: &str) -> Result<Self, BadPrices> {
        let mut table = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (models, row) = parse_row(line).map_err(|what| BadPrices { line: index + 1, what })?;
            for model in models.split(',').map(str::trim).filter(|model| !model.is_empty()) {
                table.rows.entry(model.into()).or_default().push(row.clone());
            }
        }
        Ok(table)
    }

    /// Sets the price of a model at all times, over whatever the table said.
    pub fn set(&mut self, model: &str, price: Price) {
        self.rows.insert(model.into(), vec![Row { price, from: None, hours: None }]);
    }

    /// The price of a model at an instant of calendar time; none when the table does not know it.
    ///
    /// A dated snapshot (`gpt-4.1-2025-04-14`, `claude-sonnet-4-5-20250929`) costs what its model does, unless it has a row of
    /// its own.
    #[must_use]
    pub fn price(&self, model: &str, wall: SystemTime) -> Option<Price> {
        let rows = self.rows.get(model).or_else(|| self.rows.get(without_date(model)?))?;
        let now = Timestamp::of(wall);
        rows.iter().rev().find(|row| row.holds(now)).map(|row| row.price)
    }
}

/// A model's name without the date of its snapshot.
fn without_date(model: &str) -> Option<&str> {
    let dashed = |width: usize| {
        let (name, date) = model.split_at_checked(model.len().checked_sub(width)?)?;
        Some((name.strip_suffix('-')?, date))
    };
    let is_compact = |date: &str| date.bytes().all(|byte| byte.is_ascii_digit()) && date.starts_with("20");
    match dashed(10) {
        Some((name, date)) if calendar::date(date).is_some() => Some(name),
        _ => dashed(8).filter(|(_, date)| is_compact(date)).map(|(name, _)| name),
    }
}

fn parse_row(line: &str) -> Result<(&str, Row), &'static str> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let &[models, input, cached, output, from, hours, source, read_on] = cells.as_slice() else {
        return Err("a row has eight columns");
    };
    if source.is_empty() || calendar::date(read_on).is_none() {
        return Err("a row names its source and the date it was read on");
    }
    let input = usd(input)?;
    let price = Price::new(input, usd(output)?);
    let price = if cached == "-" { price } else { price.with_cached_input(usd(cached)?) };
    let from = match from {
        "-" => None,
        date => Some(calendar::midnight(date).ok_or("`from` is a date, YYYY-MM-DD, or `-`")?),
    };
    let hours = match hours {
        "-" => None,
        spans => Some(
            spans.split(',').map(span).collect::<Option<_>>().ok_or("`hours` is like 01-04,06-10, or `-`")?,
        ),
    };
    Ok((models, Row { price, from, hours }))
}

fn usd(cell: &str) -> Result<f64, &'static str> {
    let usd: f64 = cell.parse().map_err(|_| "a price is a number")?;
    (0.0..=1e6).contains(&usd).then_some(usd).ok_or("a price is between 0 and a million USD")
}

fn span(text: &str) -> Option<Range<i64>> {
    let (from, until) = text.split_once('-')?;
    let (from, until): (i64, i64) = (from.trim().parse().ok()?, until.trim().parse().ok()?);
    (0 <= from && from < until && until <= 24).then(|| from * 3_600..until * 3_600)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(text: &str) -> SystemTime {
        let seconds = calendar::rfc3339(text).unwrap().seconds;
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap())
    }

    #[track_caller]
    fn check(model: &str, wall: &str, expected: Option<(f64, f64, f64)>) {
        let price = PriceTable::builtin().price(model, at(wall));
        assert_eq!(
            price.map(|price| (price.input, price.cached_input, price.output)),
            expected,
            "{model} at {wall}"
        );
    }

    #[test]
    fn the_articles_models_have_their_prices() {
        let now = "2026-11-22T12:00:00Z";
        check("gpt-4.1", now, Some((2.0, 0.5, 8.0)));
        check("deepseek-chat", now, Some((0.28, 0.028, 0.42)));
        check("deepseek-v3.2", now, Some((0.28, 0.028, 0.42)));
        check("claude-sonnet-4-5", now, Some((3.0, 0.3, 15.0)));
        check("gemini-2.5-flash", now, Some((0.3, 0.03, 2.5)));
        check("text-embedding-3-small", now, Some((0.02, 0.02, 0.0)));
        check("no-such-model", now, None);
        check("", now, None);
    }

    #[test]
    fn a_price_changes_on_its_date() {
        check("gemini-4-argon", "2026-11-30T23:59:59Z", Some((2.0, 0.1, 10.0)));
        check("gemini-4-argon", "2026-12-01T00:00:00Z", Some((4.0, 0.2, 20.0)));
    }

    #[test]
    fn peak_hours_are_those_of_weekdays() {
        let peak = Some((1.32, 0.044, 3.96));
        let calm = Some((0.66, 0.022, 1.98));
        check("deepseek-v4-pro", "2026-11-23T01:00:00Z", peak);
        check("deepseek-v4-pro", "2026-11-23T03:59:59Z", peak);
        check("deepseek-v4-pro", "2026-11-23T04:00:00Z", calm);
        check("deepseek-v4-pro", "2026-11-23T09:00:00Z", peak);
        check("deepseek-v4-pro", "2026-11-22T02:00:00Z", calm);
    }

    #[test]
    fn a_snapshot_costs_what_its_model_does() {
        let now = "2026-11-22T12:00:00Z";
        check("gpt-4.1-2025-04-14", now, Some((2.0, 0.5, 8.0)));
        check("claude-sonnet-4-5-20250929", now, Some((3.0, 0.3, 15.0)));
        check("gpt-4.1-2025-99-99", now, None);
        check("20250929", now, None);
        check("é2025-04-14", now, None);
    }

    #[test]
    fn a_cost_counts_cached_input_at_its_own_price() {
        let price = Price::new(2.0, 8.0).with_cached_input(0.5);
        let usage = Usage::new(1_000_000, 500_000).with_cached_input(400_000);
        assert!((price.cost_usd(&usage) - (1.2 + 0.2 + 4.0)).abs() < 1e-12);
    }

    #[test]
    fn a_price_that_is_set_holds_over_the_table() {
        let mut table = PriceTable::builtin();
        table.set("deepseek-v4-pro", Price::new(1.0, 1.0));
        assert_eq!(table.price("deepseek-v4-pro", at("2026-11-23T02:00:00Z")), Some(Price::new(1.0, 1.0)));
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named() {
        for (row, what) in [
            ("m | 1 | - | 1", "a row has eight columns"),
            ("m | x | - | 1 | - | - | s | 2026-01-01", "a price is a number"),
            ("m | -1 | - | 1 | - | - | s | 2026-01-01", "a price is between 0 and a million USD"),
            ("m | NaN | - | 1 | - | - | s | 2026-01-01", "a price is between 0 and a million USD"),
            ("m | 1 | - | 1 | soon | - | s | 2026-01-01", "`from` is a date, YYYY-MM-DD, or `-`"),
            ("m | 1 | - | 1 | - | 9-3 | s | 2026-01-01", "`hours` is like 01-04,06-10, or `-`"),
            ("m | 1 | - | 1 | - | - | | 2026-01-01", "a row names its source and the date it was read on"),
        ] {
            let text = format!("# head\n{row}\n");
            assert_eq!(PriceTable::parse(&text).unwrap_err(), BadPrices { line: 2, what });
        }
    }
}
