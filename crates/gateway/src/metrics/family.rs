//! A metric with labels: its series come into being at their first use, if only to say that there was none yet.
//!
//! Labels are names of the configuration and words of our own, so their number is bounded by the configuration; no family
//! ever holds a name that a caller made up.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::page::{Kind, Page};

/// A label's value: a word of ours, or a name of the configuration. Compared by its text.
#[derive(Clone, Debug)]
pub(crate) enum Label {
    /// A word of ours.
    Word(&'static str),
    /// A name of the configuration, shared.
    Name(Arc<str>),
}

impl Label {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Word(text) => text,
            Self::Name(text) => text,
        }
    }
}

impl From<&'static str> for Label {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<&Arc<str>> for Label {
    fn from(name: &Arc<str>) -> Self {
        Self::Name(Arc::clone(name))
    }
}

impl From<String> for Label {
    fn from(text: String) -> Self {
        Self::Name(text.into())
    }
}

impl PartialEq for Label {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Label {}

impl PartialOrd for Label {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Label {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

/// What one series holds.
pub(crate) trait Value: Default {
    /// The kind of metric it makes.
    const KIND: Kind;
    /// Adds one observation, or an amount.
    fn add(&mut self, amount: f64, buckets: &[f64]);
    /// Writes the series.
    fn write(&self, page: &mut Page, name: &str, labels: &[(&str, &str)], buckets: &[f64]);
}

/// A sum that only grows.
#[derive(Debug, Default)]
pub(crate) struct Sum(f64);

impl Value for Sum {
    const KIND: Kind = Kind::Counter;

    fn add(&mut self, amount: f64, _: &[f64]) {
        self.0 += amount;
    }

    fn write(&self, page: &mut Page, name: &str, labels: &[(&str, &str)], _: &[f64]) {
        page.sample(name, labels, self.0);
    }
}

/// Values counted by size.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    /// How many fell into each bucket, not cumulated; one longer than the bounds.
    counts: Vec<u64>,
    sum: f64,
}

impl Value for Sizes {
    const KIND: Kind = Kind::Histogram;

    fn add(&mut self, value: f64, buckets: &[f64]) {
        self.counts.resize(buckets.len() + 1, 0);
        let bucket = buckets.partition_point(|&bound| bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += value;
    }

    fn write(&self, page: &mut Page, name: &str, labels: &[(&str, &str)], buckets: &[f64]) {
        let bucket_name = format!("{name}_bucket");
        let bounds = buckets.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        let mut below = 0;
        for (count, bound) in self.counts.iter().zip(bounds) {
            below += count;
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            page.sample(&bucket_name, &labels, below);
        }
        page.sample(&format!("{name}_sum"), labels, self.sum);
        page.sample(&format!("{name}_count"), labels, below);
    }
}

/// A metric with `N` labels.
#[derive(Debug)]
pub(crate) struct Family<const N: usize, V> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    buckets: &'static [f64],
    series: Mutex<BTreeMap<[Label; N], V>>,
}

impl<const N: usize> Family<N, Sum> {
    /// A counter.
    pub(crate) fn counter(name: &'static str, labels: [&'static str; N], help: &'static str) -> Self {
        Self { name, help, labels, buckets: &[], series: Mutex::default() }
    }

    /// Whole counts, all series with the same value of one label put together; the label is named by its place.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count is whole and never negative"
    )]
    pub(crate) fn counts_by(&self, label: usize) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (labels, Sum(sum)) in self.series.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(label) = labels.get(label) {
                *counts.entry(label.as_str().to_owned()).or_default() += *sum as u64;
            }
        }
        counts
    }
}

impl<const N: usize> Family<N, Sizes> {
    /// A histogram with these upper bounds, in ascending order.
    pub(crate) fn histogram(
        name: &'static str,
        labels: [&'static str; N],
        buckets: &'static [f64],
        help: &'static str,
    ) -> Self {
        Self { name, help, labels, buckets, series: Mutex::default() }
    }
}

impl<const N: usize, V: Value> Family<N, V> {
    /// Adds to the series of these labels.
    pub(crate) fn add(&self, labels: [Label; N], amount: f64) {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.entry(labels).or_default().add(amount, self.buckets);
    }

    /// Writes all series, if there are any.
    pub(crate) fn write(&self, page: &mut Page) {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if series.is_empty() {
            return;
        }
        page.begin(self.name, V::KIND, self.help);
        for (values, value) in series.iter() {
            let labels: Vec<_> = self.labels.iter().copied().zip(values.iter().map(Label::as_str)).collect();
            value.write(page, self.name, &labels, self.buckets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<const N: usize, V: Value>(family: &Family<N, V>) -> String {
        let mut page = Page::default();
        family.write(&mut page);
        page.into_text()
    }

    #[test]
    fn a_family_never_used_is_not_on_the_page() {
        assert_eq!(text(&Family::<1, Sum>::counter("x_total", ["a"], "X.")), "");
    }

    #[test]
    fn series_are_told_apart_by_text_and_sorted() {
        let family = Family::counter("x_total", ["a"], "X.");
        family.add([Label::Word("b")], 1.0);
        family.add([Label::Name("b".into())], 1.0);
        family.add([Label::Word("a")], 0.25);
        assert!(text(&family).ends_with("x_total{a=\"a\"} 0.25\nx_total{a=\"b\"} 2\n"));
    }

    #[test]
    fn buckets_are_cumulative_and_their_bounds_inclusive() {
        let family = Family::histogram("t_seconds", [], &[0.1, 1.0], "T.");
        for value in [0.1, 0.5, 7.0] {
            family.add([], value);
        }
        let expected = "# HELP t_seconds T.\n# TYPE t_seconds histogram\nt_seconds_bucket{le=\"0.1\"} 1\n\
                        t_seconds_bucket{le=\"1\"} 2\nt_seconds_bucket{le=\"+Inf\"} 3\nt_seconds_sum 7.6\nt_seconds_count 3\n";
        assert_eq!(text(&family), expected);
    }
}
