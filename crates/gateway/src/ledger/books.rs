//! The sums of a ledger and the rows they are kept as: pure, with the time as an argument.
//!
//! There are three kinds of rows: what a key cost on a day (UTC), what the period at hand of a key's budget cost, and what a provider's
//! attempts for a model cost on a day. A period that has no row yet (its length is new in the file) begins with what the days in it
//! cost where it is whole days long, and else with nothing. Days are kept for [`KEPT`] and periods for as long as they last, so the
//! books grow with the number of names in the file and not with that of calls.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use outrigger::wire::Usage;
use serde::{Deserialize, Serialize};

use super::store::Stored;
use crate::auth::spent::{parts_of_usd, period};

/// How many days are kept, today included.
pub(super) const KEPT: u64 = 400;
const DAY_SECS: u64 = 86_400;
const DAY: Duration = Duration::from_secs(DAY_SECS);

/// A row to write: its name and what stands in it; nothing where it goes.
pub(super) type Row = (Vec<u8>, Option<Vec<u8>>);

/// What an attempt cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost<'a> {
    pub(super) key: &'a str,
    /// The period of the key's budget, where it has one.
    pub(super) every: Option<Duration>,
    pub(super) provider: &'a str,
    pub(super) model: &'a str,
    pub(super) nano_usd: u64,
    /// The part of it that nobody counted: what that is thought to have cost.
    pub(super) estimated: u64,
    pub(super) usage: Usage,
}

/// All sums.
#[derive(Debug, Default)]
pub(super) struct Books {
    keys: BTreeMap<Arc<str>, KeyBook>,
    /// By day, provider and model.
    pub(super) places: BTreeMap<(u64, Arc<str>, Arc<str>), Line>,
    /// The last day that was booked; when another begins, old ones go.
    today: u64,
}

/// What a key has cost.
#[derive(Debug, Default)]
struct KeyBook {
    days: BTreeMap<u64, u64>,
    period: Option<PeriodSum>,
}

/// What a period has cost so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PeriodSum {
    every_secs: u64,
    number: u64,
    nano_usd: u64,
}

/// What a provider's attempts for a model cost on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) nano_usd: u64,
    /// The part of it that nobody counted.
    pub(super) estimated: u64,
    pub(super) bookings: u64,
    pub(super) input: u64,
    pub(super) output: u64,
}

/// The name of a row.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Name<'a> {
    Day(#[serde(borrow)] std::borrow::Cow<'a, str>, u64),
    Period(#[serde(borrow)] std::borrow::Cow<'a, str>),
    Place(u64, #[serde(borrow)] std::borrow::Cow<'a, str>, #[serde(borrow)] std::borrow::Cow<'a, str>),
}

impl Name<'_> {
    /// A row that holds this.
    fn row(&self, value: &impl Serialize) -> Row {
        (self.written(), Some(serde_json::to_vec(value).unwrap_or_default()))
    }

    /// A row that goes.
    fn gone(&self) -> Row {
        (self.written(), None)
    }

    /// Names and numbers are always JSON.
    fn written(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Billionths of a USD.
pub(super) fn nano_usd(usd: f64) -> u64 {
    parts_of_usd(usd, 1e9)
}

pub(super) fn day_of(wall: SystemTime) -> u64 {
    period(DAY, wall).0
}

impl Books {
    /// The books that these rows are.
    ///
    /// # Errors
    /// The first row that is none of ours.
    pub(super) fn read(rows: Vec<Stored>, wall: SystemTime) -> Result<Self, String> {
        let mut books = Self { today: day_of(wall), ..Self::default() };
        for (name, value) in rows {
            books.take_in(&name, &value).map_err(|_| String::from_utf8_lossy(&name).into_owned())?;
        }
        Ok(books)
    }

    fn take_in(&mut self, name: &[u8], value: &[u8]) -> Result<(), serde_json::Error> {
        match serde_json::from_slice(name)? {
            Name::Day(key, day) => {
                self.keys.entry(key.into()).or_default().days.insert(day, serde_json::from_slice(value)?);
            }
            Name::Period(key) => {
                self.keys.entry(key.into()).or_default().period = Some(serde_json::from_slice(value)?);
            }
            Name::Place(day, provider, model) => {
                self.places.insert((day, provider.into(), model.into()), serde_json::from_slice(value)?);
            }
        }
        Ok(())
    }

    /// What a key has spent, in billionths of a USD, in the period of this length that `wall` lies in.
    pub(super) fn spent(&self, key: &str, every: Duration, wall: SystemTime) -> u64 {
        self.keys.get(key).map_or(0, |book| book.within(every, wall).nano_usd)
    }

    /// Books a cost. The rows that changed are to be written, in one piece.
    pub(super) fn book(&mut self, cost: &Cost<'_>, wall: SystemTime) -> Vec<Row> {
        let day = day_of(wall);
        let mut rows = self.turn_to(day);
        if !self.keys.contains_key(cost.key) {
            self.keys.insert(cost.key.into(), KeyBook::default());
        }
        if let Some(book) = self.keys.get_mut(cost.key) {
            // The period first: what it begins with is of the days before this booking.
            if let Some(every) = cost.every {
                let mut sum = book.within(every, wall);
                sum.nano_usd = sum.nano_usd.saturating_add(cost.nano_usd);
                book.period = Some(sum);
                rows.push(Name::Period(cost.key.into()).row(&sum));
            } else if book.period.take().is_some() {
                rows.push(Name::Period(cost.key.into()).gone());
            }
            let sum = book.days.entry(day).or_default();
            *sum = sum.saturating_add(cost.nano_usd);
            rows.push(Name::Day(cost.key.into(), day).row(sum));
        }
        let line = self.places.entry((day, cost.provider.into(), cost.model.into())).or_default();
        line.add(cost);
        rows.push(Name::Place(day, cost.provider.into(), cost.model.into()).row(line));
        rows
    }

    /// Another day begins: what is too old goes.
    fn turn_to(&mut self, day: u64) -> Vec<Row> {
        let mut rows = Vec::new();
        if std::mem::replace(&mut self.today, day) == day {
            return rows;
        }
        let first = day.saturating_sub(KEPT - 1);
        for (key, book) in &mut self.keys {
            let kept = book.days.split_off(&first);
            let old = std::mem::replace(&mut book.days, kept);
            rows.extend(old.into_keys().map(|day| Name::Day((&**key).into(), day).gone()));
            if let Some(sum) = book.period
                && sum.number.saturating_add(1).saturating_mul(sum.every_secs) <= day.saturating_mul(DAY_SECS)
            {
                book.period = None;
                rows.push(Name::Period((&**key).into()).gone());
            }
        }
        self.keys.retain(|_, book| book.period.is_some() || !book.days.is_empty());
        self.places.retain(|(of, provider, model), _| {
            let stays = *of >= first;
            if !stays {
                rows.push(Name::Place(*of, (&**provider).into(), (&**model).into()).gone());
            }
            stays
        });
        rows
    }

    /// Each key with what it cost on a day and in all days that are kept.
    pub(super) fn by_key(&self, day: u64) -> impl Iterator<Item = (&Arc<str>, u64, u64)> {
        self.keys.iter().map(move |(key, book)| {
            let today = book.days.get(&day).copied().unwrap_or(0);
            (key, today, sum(book.days.values()))
        })
    }
}

impl KeyBook {
    /// The period of this length that `wall` lies in, with what it has cost so far.
    fn within(&self, every: Duration, wall: SystemTime) -> PeriodSum {
        let (number, _) = period(every, wall);
        let every_secs = every.as_secs().max(1);
        if let Some(sum) = self.period.filter(|sum| (sum.every_secs, sum.number) == (every_secs, number)) {
            return sum;
        }
        let nano_usd = if every_secs.is_multiple_of(DAY_SECS) {
            let days = every_secs / DAY_SECS;
            let first = number.saturating_mul(days);
            sum(self.days.range(first..first.saturating_add(days)).map(|(_, sum)| sum))
        } else {
            0
        };
        PeriodSum { every_secs, number, nano_usd }
    }
}

impl Line {
    fn add(&mut self, cost: &Cost<'_>) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.nano_usd, cost.nano_usd);
        add(&mut self.estimated, cost.estimated.min(cost.nano_usd));
        add(&mut self.bookings, 1);
        add(&mut self.input, cost.usage.input);
        add(&mut self.output, cost.usage.output);
    }
}

fn sum<'a>(parts: impl Iterator<Item = &'a u64>) -> u64 {
    parts.fold(0, |sum, part| sum.saturating_add(*part))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    fn at(secs: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(secs)
    }

    fn of(every: Option<u64>, nano_usd: u64) -> Cost<'static> {
        Cost {
            key: "a",
            every: every.map(Duration::from_secs),
            provider: "p",
            model: "m",
            nano_usd,
            estimated: nano_usd / 3,
            usage: Usage::new(3, 4),
        }
    }

    /// What a store would hold.
    #[derive(Default)]
    struct Held(BTreeMap<Vec<u8>, Vec<u8>>);

    impl Held {
        fn write(&mut self, rows: Vec<Row>) {
            for (name, value) in rows {
                match value {
                    Some(value) => drop(self.0.insert(name, value)),
                    None => drop(self.0.remove(&name)),
                }
            }
        }

        fn read(&self, wall: SystemTime) -> Books {
            Books::read(self.0.clone().into_iter().collect(), wall).unwrap()
        }
    }

    #[test]
    fn a_period_of_a_new_length_begins_with_what_its_days_cost() {
        let (mut books, week) = (Books::default(), Duration::from_secs(7 * DAY_SECS));
        // The first day of a week of this counting, its second, and the one before it.
        for day in [6, 7, 8] {
            drop(books.book(&of(Some(DAY_SECS), 10), at(day * DAY_SECS)));
        }
        assert_eq!(books.spent("a", DAY, at(8 * DAY_SECS + 5)), 10);
        assert_eq!(books.spent("a", week, at(8 * DAY_SECS + 5)), 20);
        drop(books.book(&of(Some(7 * DAY_SECS), 1), at(9 * DAY_SECS)));
        assert_eq!(books.spent("a", week, at(9 * DAY_SECS)), 21);
        assert_eq!(books.spent("a", Duration::from_secs(60), at(9 * DAY_SECS)), 0);
        assert_eq!(books.spent("a", week, at(14 * DAY_SECS)), 0, "a new week");
        assert_eq!(books.spent("b", week, at(9 * DAY_SECS)), 0);
    }

    #[test]
    fn a_length_that_comes_back_has_missed_nothing() {
        let (mut books, wall) = (Books::default(), at(100 * DAY_SECS));
        for every in [Some(DAY_SECS), None, Some(2 * DAY_SECS), Some(DAY_SECS)] {
            drop(books.book(&of(every, 10), wall));
        }
        assert_eq!(books.spent("a", DAY, wall), 40);
    }

    #[test]
    fn the_smallest_cost_is_booked() {
        assert_eq!([nano_usd(1e-12), nano_usd(0.0), nano_usd(-1.0), nano_usd(f64::NAN)], [1, 0, 0, 0]);
        assert_eq!([nano_usd(1.5), nano_usd(f64::INFINITY)], [1_500_000_000, u64::MAX]);
    }

    #[test]
    fn a_row_of_another_program_is_not_read_as_one_of_ours() {
        for (name, value) in [("x", "1"), (r#"{"Day":["a",1]}"#, "no"), (r#"{"Else":["a"]}"#, "1")] {
            let rows = vec![(name.as_bytes().to_vec(), value.as_bytes().to_vec())];
            assert_eq!(Books::read(rows, at(0)).unwrap_err(), name);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// **What is written is what is known.** Whatever is booked whenever, books read back from their rows say the same, and no
        /// more rows than days times names are held. Fails if a row is forgotten, or one that is too old stays.
        #[test]
        fn rows_are_the_books(
            steps in prop::collection::vec((0..3_u64 * DAY_SECS, 0..2_usize, 0..4_usize, 1..1000_u64, any::<bool>()), 1..60),
        ) {
            let (mut books, mut held, mut now) = (Books::default(), Held::default(), 0);
            let mut total = 0;
            for (pause, key, every, nano, long) in steps {
                now += pause * if long { 100 } else { 1 };
                let every = [None, Some(90), Some(DAY_SECS), Some(30 * DAY_SECS)][every];
                let cost = Cost { key: ["a", "b\0\""][key], ..of(every, nano) };
                let before = cost.every.map(|every| books.spent(cost.key, every, at(now)));
                held.write(books.book(&cost, at(now)));
                total += nano;
                if let (Some(every), Some(before)) = (cost.every, before) {
                    prop_assert_eq!(books.spent(cost.key, every, at(now)), before + nano);
                }
            }
            let again = held.read(at(now));
            prop_assert_eq!(&again.places, &books.places);
            for every in [90, DAY_SECS, 30 * DAY_SECS].map(Duration::from_secs) {
                for key in ["a", "b\0\""] {
                    prop_assert_eq!(again.spent(key, every, at(now)), books.spent(key, every, at(now)));
                }
            }
            let first = (now / DAY_SECS).saturating_sub(KEPT - 1);
            prop_assert!(books.places.keys().all(|(day, ..)| *day >= first));
            let placed: u64 = books.places.values().map(|line| line.nano_usd).sum();
            let keyed: u64 = books.by_key(0).map(|(_, _, all)| all).sum();
            prop_assert_eq!(placed, keyed);
            prop_assert!(placed <= total);
            if first == 0 {
                prop_assert_eq!(placed, total);
            }
        }
    }
}
