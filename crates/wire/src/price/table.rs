//! The table: which row a model's price is, and what is put on top of it.
//!
//! A model is looked up by its name and then by shorter ones, because one model has many names: Bedrock puts a profile and a
//! vendor before it and a version behind (`us.anthropic.claude-sonnet-4-5-20250929-v1:0`), and everyone dates their snapshots.

use std::{collections::HashMap, fmt, iter, time::SystemTime};

use super::{
    Price,
    parse::{self, Line, ONE, Row, Surcharge},
};
use crate::calendar::{self, Timestamp};

/// The table that comes with the crate.
const BUILTIN: &str = include_str!("../../data/prices.txt");

/// Prices by model, place and time.
#[derive(Clone, Debug, Default)]
pub struct PriceTable {
    set: HashMap<Box<str>, Price>,
    rows: HashMap<Box<str>, Vec<Row>>,
    surcharges: Vec<Surcharge>,
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
            match parse::line(line).map_err(|what| BadPrices { line: index + 1, what })? {
                Line::Price(models, row) => {
                    for model in models {
                        table.rows.entry(model.into()).or_default().push(row.clone());
                    }
                }
                Line::Surcharge(surcharge) => table.surcharges.push(surcharge),
            }
        }
        Ok(table)
    }

    /// Sets the price of a model everywhere and at all times, over whatever the table said. No surcharge is put on it.
    pub fn set(&mut self, model: &str, price: Price) {
        self.set.insert(model.into(), price);
    }

    /// The price of a model at an instant of calendar time; none when the table does not know it.
    ///
    /// `host` is the host of the base URL that serves it. Without one, or at a host that the table does not know, a row that
    /// holds everywhere counts, and no surcharge.
    ///
    /// A dated snapshot (`gpt-4.1-2025-04-14`, `claude-sonnet-4-5-20250929`) costs what its model does, unless it has a row of
    /// its own; so does a model by its name at Bedrock.
    #[must_use]
    pub fn price(&self, model: &str, host: Option<&str>, wall: SystemTime) -> Option<Price> {
        if let Some(price) = self.set.get(model) {
            return Some(*price);
        }
        // A host may be written with the root's dot.
        let host = host.unwrap_or_default();
        let host = host.strip_suffix('.').unwrap_or(host);
        let now = Timestamp::of(wall);
        let holding = |name: &str| self.rows.get(name)?.iter().rev().find(|row| row.holds(host, now));
        let row = names(model).find_map(holding)?;
        let surcharge = self.surcharges.iter().rev().find(|rule| rule.holds(names(model), host, now));
        Some(row.price(surcharge.map_or(ONE, |rule| rule.factor)))
    }
}

/// A model's names, from the one it is given to the shortest.
fn names(model: &str) -> impl Iterator<Item = &str> {
    iter::successors(Some(model), |name| {
        without_profile(name)
            .or_else(|| without_version(name))
            .or_else(|| without_vendor(name))
            .or_else(|| without_date(name))
    })
}

/// Without the profile of regions that Bedrock calls it in.
fn without_profile(model: &str) -> Option<&str> {
    let (profile, name) = model.split_once('.')?;
    let known = ["global", "us", "eu", "jp", "au", "apac", "us-gov"];
    (known.contains(&profile) && without_vendor(name).is_some()).then_some(name)
}

/// Without Bedrock's version: `-v1:0`, `-1:0`.
fn without_version(model: &str) -> Option<&str> {
    let (name, version) = model.rsplit_once('-').filter(|_| without_vendor(model).is_some())?;
    let (major, minor) = version.strip_prefix('v').unwrap_or(version).split_once(':')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(major) && is_number(minor)).then_some(name)
}

/// Without the vendor, which Bedrock puts before it.
fn without_vendor(model: &str) -> Option<&str> {
    ["anthropic.", "openai."].iter().find_map(|vendor| model.strip_prefix(vendor))
}

/// Without the date of a snapshot.
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
