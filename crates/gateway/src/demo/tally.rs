//! What callers got, counted act by act.
//!
//! One question is one request, however often its caller had to ask: a caller that hangs up and asks again has been failed only
//! when it gives up. Times run from the moment the question was due to the end of its answer, hang-ups included, so that
//! neither a slow gateway nor an impatient caller makes them look better; a request without an answer has none.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How many reasons of failures are kept, for whoever must find out why.
const REASONS: usize = 5;

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With a whole answer.
    Answered {
        /// The region that gave it, where it is known.
        region: Option<String>,
    },
    /// Without an answer.
    Failed {
        /// What came instead.
        why: String,
    },
    /// With a part of an answer.
    Truncated {
        /// What is wrong with it.
        why: String,
    },
}

/// A request that is over.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) act: Option<usize>,
    pub(super) end: End,
    /// How often its caller hung up and asked again.
    pub(super) hang_ups: u32,
    pub(super) took: Duration,
}

/// Counts of some requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Of each answered request.
    times: Vec<Duration>,
    pub(super) failed: u64,
    pub(super) truncated: u64,
    pub(super) hang_ups: u64,
}

impl Counts {
    pub(super) fn requests(&self) -> u64 {
        u64::try_from(self.times.len()).unwrap_or(u64::MAX).saturating_add(self.failed + self.truncated)
    }

    /// The time within which so many of a hundred answers came, in milliseconds with one decimal; 0 where there was none.
    pub(super) fn percentile_ms(&self, percent: usize) -> f64 {
        let mut times = self.times.clone();
        // The nearest rank: the least time that so many of a hundred do not exceed.
        let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
        if times.is_empty() {
            return 0.0;
        }
        let (_, time, _) = times.select_nth_unstable(rank);
        (time.as_secs_f64() * 1e4).round() / 10.0
    }

    fn add(&mut self, done: &Done) {
        match &done.end {
            End::Answered { .. } => self.times.push(done.took),
            End::Failed { .. } => self.failed += 1,
            End::Truncated { .. } => self.truncated += 1,
        }
        self.hang_ups += u64::from(done.hang_ups);
    }
}

/// All counts of one client's callers. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Tally(Arc<Mutex<Book>>);

/// What a tally has counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    /// All requests, those outside of any act included.
    pub(super) total: Counts,
    pub(super) acts: Vec<Counts>,
    /// Answers by region.
    pub(super) served: BTreeMap<String, u64>,
    /// Why requests failed or were truncated: the first different ones.
    pub(super) reasons: Vec<String>,
}

impl Tally {
    pub(super) fn new(acts: usize) -> Self {
        let book = Book { acts: vec![Counts::default(); acts], ..Book::default() };
        Self(Arc::new(Mutex::new(book)))
    }

    pub(super) fn add(&self, done: &Done) {
        let mut book = self.book();
        book.total.add(done);
        if let Some(act) = done.act.and_then(|act| book.acts.get_mut(act)) {
            act.add(done);
        }
        match &done.end {
            End::Answered { region } => {
                if let Some(region) = region {
                    *book.served.entry(region.clone()).or_default() += 1;
                }
            }
            End::Failed { why } | End::Truncated { why } => {
                if book.reasons.len() < REASONS && !book.reasons.contains(why) {
                    book.reasons.push(why.clone());
                }
            }
        }
    }

    /// What has been counted so far.
    pub(super) fn read(&self) -> Book {
        self.book().clone()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(end: End, ms: u64) -> Done {
        Done { act: Some(0), end, hang_ups: 1, took: Duration::from_millis(ms) }
    }

    fn answered(ms: u64) -> Done {
        done(End::Answered { region: Some("here".to_owned()) }, ms)
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let tally = Tally::new(1);
        (1..=200).rev().for_each(|ms| tally.add(&answered(ms)));
        let book = tally.read();
        let percentiles = [50, 99, 100].map(|percent| book.total.percentile_ms(percent).to_bits());
        assert_eq!(percentiles, [100.0_f64, 198.0, 200.0].map(f64::to_bits));
        assert_eq!(Counts::default().percentile_ms(99).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn a_request_counts_once_however_it_ends() {
        let tally = Tally::new(1);
        tally.add(&answered(1));
        tally.add(&done(End::Failed { why: "a".to_owned() }, 2));
        tally.add(&done(End::Truncated { why: "a".to_owned() }, 3));
        tally.add(&Done { act: None, ..answered(4) });
        let book = tally.read();
        let all = |counts: &Counts| (counts.requests(), counts.failed, counts.truncated, counts.hang_ups);
        assert_eq!(all(&book.total), (4, 1, 1, 4));
        assert_eq!(all(&book.acts[0]), (3, 1, 1, 3));
        assert_eq!(book.served["here"], 2);
        assert_eq!(book.reasons, ["a"]);
    }
}
