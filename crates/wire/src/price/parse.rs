//! Rows of a price table, from text.
//!
//! Decimals are read as whole numbers (a price in millionths of a dollar, a factor in hundredths), so that a price times its
//! factors is exact and is rounded once, when it becomes an `f64`: 8 USD with a surcharge of 1.1 is 8.8, as on the bill. It
//! also leaves no way in for `NaN`, `1e999` or `-1`.

use std::ops::Range;

use super::{Price, Rates, Step, place::Pattern};
use crate::calendar::{self, Timestamp};

/// The dearest a row may be: 100 000 USD, in millionths.
const MAX_MICROS: u64 = 100_000_000_000;

/// The largest factor, 100 times, in hundredths.
const MAX_FACTOR: u64 = 10_000;

/// One, in hundredths.
pub(super) const ONE: u64 = 100;

/// One line that is not empty and no comment.
#[derive(Debug)]
pub(super) enum Line<'a> {
    /// A price of these models.
    Price(Vec<&'a str>, Row),
    /// A factor on such prices.
    Surcharge(Surcharge),
}

/// A price, and where and when it holds.
#[derive(Clone, Debug)]
pub(super) struct Row {
    hosts: Option<Vec<Pattern>>,
    from: Option<Timestamp>,
    /// Seconds of a weekday; none for always.
    hours: Option<Vec<Range<i64>>>,
    rates: Micros,
    long: Option<Long>,
}

/// Rates in millionths of a dollar per million tokens.
#[derive(Clone, Copy, Debug)]
struct Micros {
    input: u64,
    cached_input: u64,
    cache_write: u64,
    output: u64,
}

/// What a long request's rates are multiplied by, in hundredths.
#[derive(Clone, Copy, Debug)]
struct Long {
    above: u64,
    input: u64,
    output: u64,
}

/// A factor on the prices of some models at some places.
#[derive(Clone, Debug)]
pub(super) struct Surcharge {
    models: Vec<Pattern>,
    hosts: Vec<Pattern>,
    from: Option<Timestamp>,
    /// In hundredths.
    pub(super) factor: u64,
}

impl Row {
    pub(super) fn holds(&self, host: &str, now: Timestamp) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|pattern| pattern.matches(host)))
            && self.from.is_none_or(|from| now >= from)
            && self.hours.as_ref().is_none_or(|hours| {
                now.is_weekday() && hours.iter().any(|range| range.contains(&now.second_of_day()))
            })
    }

    /// The price under a factor, in hundredths.
    pub(super) fn price(&self, factor: u64) -> Price {
        let long = self.long.map(|long| Step {
            above: long.above,
            rates: self.rates.times(factor * long.input, factor * long.output),
        });
        Price { rates: self.rates.times(factor * ONE, factor * ONE), step: long }
    }
}

impl Micros {
    /// The rates under a factor for what is read and one for what is written, in ten-thousandths.
    fn times(self, read: u64, written: u64) -> Rates {
        Rates {
            input: usd(self.input, read),
            cached_input: usd(self.cached_input, read),
            cache_write: usd(self.cache_write, read),
            output: usd(self.output, written),
        }
    }
}

/// Millionths of a dollar times ten-thousandths: at most 1e11 * 1e8, within `u64`.
#[expect(
    clippy::cast_precision_loss,
    reason = "real prices are far below 2^53; above it, rounded to the nearest"
)]
fn usd(micros: u64, factor: u64) -> f64 {
    (micros * factor) as f64 / 1e10
}

impl Surcharge {
    /// Whether it is for a model, by any of its names, at a host.
    pub(super) fn holds<'a>(
        &self,
        mut names: impl Iterator<Item = &'a str>,
        host: &str,
        now: Timestamp,
    ) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(host))
            && self.from.is_none_or(|from| now >= from)
            && names.any(|name| self.models.iter().any(|pattern| pattern.matches(name)))
    }
}

/// Reads a line: eleven columns of a price, or six of a surcharge.
pub(super) fn line(text: &str) -> Result<Line<'_>, &'static str> {
    let cells: Vec<&str> = text.split('|').map(str::trim).collect();
    match *cells.as_slice() {
        [models, hosts, input, cached, write, output, above, from, hours, source, read_on] => {
            is_sourced(source, read_on)?;
            let rates = micros(input, cached, write, output)?;
            let (hosts, from, hours) = (patterns(hosts)?, instant(from)?, spans(hours)?);
            let row = Row { hosts, from, hours, rates, long: long(above)? };
            let models: Vec<&str> = models.split(',').map(str::trim).collect();
            if models.contains(&"") {
                return Err("a row names its models, parted by commas");
            }
            Ok(Line::Price(models, row))
        }
        [models, hosts, factor, from, source, read_on] => {
            is_sourced(source, read_on)?;
            let named = "a surcharge names its models and hosts, each with at most one `*`";
            let (models, hosts) = (patterns(models)?.ok_or(named)?, patterns(hosts)?.ok_or(named)?);
            let factor = times(factor).ok_or("a factor is like x1.1, above 0 and at most x100")?;
            Ok(Line::Surcharge(Surcharge { models, hosts, from: instant(from)?, factor }))
        }
        _ => Err("a row has eleven columns, or six where it is a surcharge"),
    }
}

fn is_sourced(source: &str, read_on: &str) -> Result<(), &'static str> {
    let sourced = !source.is_empty() && source != "-" && calendar::date(read_on).is_some();
    sourced.then_some(()).ok_or("a row names its source and the date it was read on")
}

fn micros(input: &str, cached: &str, write: &str, output: &str) -> Result<Micros, &'static str> {
    let price = |cell| decimal(cell, 6).filter(|micros| *micros <= MAX_MICROS);
    let wrong = "a price is a decimal between 0 and 100000 USD, of at most six places";
    let input = price(input).ok_or(wrong)?;
    let or_input = |cell| if cell == "-" { Ok(input) } else { price(cell).ok_or(wrong) };
    let (cached_input, cache_write) = (or_input(cached)?, or_input(write)?);
    Ok(Micros { input, cached_input, cache_write, output: price(output).ok_or(wrong)? })
}

/// `272000 x2 x1.5`.
fn long(cell: &str) -> Result<Option<Long>, &'static str> {
    if cell == "-" {
        return Ok(None);
    }
    let read = || {
        let mut words = cell.split_whitespace();
        let above = decimal(words.next()?, 0)?;
        let (input, output) = (times(words.next()?)?, times(words.next()?)?);
        // A longer request that costs less would make a cost fall while its tokens grow.
        (words.next().is_none() && input >= ONE && output >= ONE).then_some(Long { above, input, output })
    };
    read().map(Some).ok_or("`above` is like 272000 x2 x1.5, with factors of at least 1, or `-`")
}

fn patterns(cell: &str) -> Result<Option<Vec<Pattern>>, &'static str> {
    if cell == "-" {
        return Ok(None);
    }
    let patterns = cell.split(',').map(|text| Pattern::parse(text.trim())).collect::<Option<_>>();
    patterns.map(Some).ok_or("names are parted by commas, each with at most one `*`, or `-`")
}

fn instant(cell: &str) -> Result<Option<Timestamp>, &'static str> {
    if cell == "-" {
        return Ok(None);
    }
    calendar::midnight(cell).map(Some).ok_or("`from` is a date, YYYY-MM-DD, or `-`")
}

fn spans(cell: &str) -> Result<Option<Vec<Range<i64>>>, &'static str> {
    if cell == "-" {
        return Ok(None);
    }
    let spans = cell.split(',').map(span).collect::<Option<_>>();
    spans.map(Some).ok_or("`hours` is like 01-04,06-10, or `-`")
}

fn span(text: &str) -> Option<Range<i64>> {
    let (from, until) = text.split_once('-')?;
    let (from, until): (i64, i64) = (from.trim().parse().ok()?, until.trim().parse().ok()?);
    (0 <= from && from < until && until <= 24).then(|| from * 3_600..until * 3_600)
}

/// A factor, `x1.1`, in hundredths.
fn times(cell: &str) -> Option<u64> {
    decimal(cell.strip_prefix('x')?, 2).filter(|factor| (1..=MAX_FACTOR).contains(factor))
}

/// A decimal as a whole number of its last place: `1.5` of two places is 150. None when it has more places, or is none.
fn decimal(text: &str, places: u32) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let missing = places.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scale = 10_u64.checked_pow(places)?;
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(scale)?
        .checked_add(fraction.checked_mul(10_u64.checked_pow(missing)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_read_to_its_last_place() {
        for (text, expected) in [
            ("0", Some(0)),
            ("8", Some(800)),
            ("1.5", Some(150)),
            ("1.50", Some(150)),
            ("1.500", Some(150)),
            ("0.05", Some(5)),
            ("00.10", Some(10)),
            ("0.005", None),
            (".5", None),
            ("5.", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("NaN", None),
            ("1e3", None),
            ("1.2.3", None),
            ("99999999999999999999", None),
            ("18446744073709551615", None),
        ] {
            assert_eq!(decimal(text, 2), expected, "{text}");
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_says_why() {
        let price = "a price is a decimal between 0 and 100000 USD, of at most six places";
        let above = "`above` is like 272000 x2 x1.5, with factors of at least 1, or `-`";
        let named = "a surcharge names its models and hosts, each with at most one `*`";
        let factor = "a factor is like x1.1, above 0 and at most x100";
        let sourced = "a row names its source and the date it was read on";
        for (row, what) in [
            ("m | 1 | - | 1", "a row has eleven columns, or six where it is a surcharge"),
            ("m | - | x | - | - | 1 | - | - | - | s | 2026-01-01", price),
            ("m | - | -1 | - | - | 1 | - | - | - | s | 2026-01-01", price),
            ("m | - | NaN | - | - | 1 | - | - | - | s | 2026-01-01", price),
            ("m | - | 1 | - | - | 100000.1 | - | - | - | s | 2026-01-01", price),
            ("m | - | 1 | 0.0000001 | - | 1 | - | - | - | s | 2026-01-01", price),
            ("m | - | 1 | - | - | 1 | 9 x1 | - | - | s | 2026-01-01", above),
            ("m | - | 1 | - | - | 1 | 9 x0.5 x1 | - | - | s | 2026-01-01", above),
            ("m | - | 1 | - | - | 1 | - | soon | - | s | 2026-01-01", "`from` is a date, YYYY-MM-DD, or `-`"),
            ("m | - | 1 | - | - | 1 | - | - | 9-3 | s | 2026-01-01", "`hours` is like 01-04,06-10, or `-`"),
            ("m | - | 1 | - | - | 1 | - | - | - | | 2026-01-01", sourced),
            ("m | - | 1 | - | - | 1 | - | - | - | s | today", sourced),
            (
                ", m | - | 1 | - | - | 1 | - | - | - | s | 2026-01-01",
                "a row names its models, parted by commas",
            ),
            (
                "m | a*b* | 1 | - | - | 1 | - | - | - | s | 2026-01-01",
                "names are parted by commas, each with at most one `*`, or `-`",
            ),
            ("m | - | x1.1 | - | s | 2026-01-01", named),
            ("m | h | 1.1 | - | s | 2026-01-01", factor),
            ("m | h | x0 | - | s | 2026-01-01", factor),
            ("m | h | x1.1 | - | - | 2026-01-01", sourced),
        ] {
            assert_eq!(line(row).unwrap_err(), what, "{row}");
        }
    }
}
