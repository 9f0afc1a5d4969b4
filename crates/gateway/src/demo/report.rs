//! What the demo reports: one JSON document, or a table for people.
//!
//! The keys of the document are a public surface. Beside them it has `hang_ups`: how often impatient callers hung up and asked
//! again, which is no failure as long as they were answered in the end.

use std::{fmt, time::Duration};

use serde::Serialize;
use sim::Scenario;

use super::{
    census::Census,
    ledger::Accounts,
    tally::{Book, Counts},
};

/// Columns of the table before its numbers: the longest name of the eight acts and a gap.
const NAMES: usize = 26;

/// The whole report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    seed: u64,
    seconds: u64,
    requests: u64,
    failed: u64,
    truncated: u64,
    hang_ups: u64,
    p50_ms: f64,
    p99_ms: f64,
    attempts_per_request: f64,
    cost_usd: f64,
    regions: Vec<Region>,
    acts: Vec<Act>,
    naive: Naive,
}

#[derive(Debug, Serialize)]
struct Region {
    region: String,
    served: u64,
    attempts: u64,
}

#[derive(Debug, Serialize)]
struct Act {
    name: String,
    requests: u64,
    failed: u64,
    truncated: u64,
    hang_ups: u64,
    p99_ms: f64,
    calls_to_sick: u64,
    /// The naive client's part of the table.
    #[serde(skip)]
    naive: Naive,
}

/// The client without a gateway. A truncated answer counts as failed.
#[derive(Debug, Serialize)]
struct Naive {
    requests: u64,
    failed: u64,
    p50_ms: f64,
    p99_ms: f64,
    calls_to_sick: u64,
}

/// One client's side of the run.
#[derive(Debug)]
pub(super) struct Side<'a> {
    /// What its callers got.
    pub(super) book: Book,
    /// What sick regions got from it.
    pub(super) census: Census<'a>,
}

impl Report {
    /// The report of a run that lasted so long.
    pub(super) fn new(
        scenario: &Scenario,
        lasted: Duration,
        ours: &Side<'_>,
        theirs: &Side<'_>,
        accounts: &Accounts,
    ) -> Self {
        let regions = scenario.regions.iter().map(|region| Region {
            served: ours.book.served.get(&region.name).copied().unwrap_or(0),
            attempts: accounts.attempts.get(&region.name).copied().unwrap_or(0),
            region: region.name.clone(),
        });
        let acts = scenario.acts.iter().enumerate().filter_map(|(index, act)| {
            let counts = ours.book.acts.get(index)?;
            Some(Act {
                name: act.name.clone(),
                requests: counts.requests(),
                failed: counts.failed,
                truncated: counts.truncated,
                hang_ups: counts.hang_ups,
                p99_ms: counts.percentile_ms(99),
                calls_to_sick: *ours.census.acts.get(index)?,
                naive: Naive::new(theirs.book.acts.get(index)?, *theirs.census.acts.get(index)?),
            })
        });
        let total = &ours.book.total;
        Self {
            seed: scenario.seed,
            seconds: rounded(lasted),
            requests: total.requests(),
            failed: total.failed,
            truncated: total.truncated,
            hang_ups: total.hang_ups,
            p50_ms: total.percentile_ms(50),
            p99_ms: total.percentile_ms(99),
            attempts_per_request: ratio(accounts.attempts.values().sum(), total.requests()),
            cost_usd: (accounts.cost * 1e6).round() / 1e6,
            regions: regions.collect(),
            acts: acts.collect(),
            naive: Naive::new(&theirs.book.total, theirs.census.total),
        }
    }

    /// Whether every caller got a whole answer.
    pub(super) fn is_good(&self) -> bool {
        self.failed == 0 && self.truncated == 0
    }
}

impl Naive {
    fn new(counts: &Counts, calls_to_sick: u64) -> Self {
        Self {
            requests: counts.requests(),
            failed: counts.failed + counts.truncated,
            p50_ms: counts.percentile_ms(50),
            p99_ms: counts.percentile_ms(99),
            calls_to_sick,
        }
    }
}

fn rounded(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_millis() >= 500)
}

/// With three decimals; 0 of nothing.
fn ratio(of: u64, to: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let ratio = of as f64 / to.max(1) as f64;
    (ratio * 1e3).round() / 1e3
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = format!("seed {}, {} s", self.seed, self.seconds);
        let (ours, theirs) = ("through the gateway", "naive, one region");
        writeln!(f, "{head:NAMES$}  {ours:<48}  {theirs}")?;
        let head = Row { failed: "failed", p99: "p99 ms", sick: "to sick" };
        writeln!(f, "{:NAMES$}{:>10}{:>10}{head}  {head}", "act", "requests", "hung up")?;
        for act in &self.acts {
            let (requests, hang_ups) = (act.requests, act.hang_ups);
            let ours = Row { failed: act.failed + act.truncated, p99: act.p99_ms, sick: act.calls_to_sick };
            let theirs = act.naive.row();
            writeln!(f, "{:NAMES$}{requests:>10}{hang_ups:>10}{ours}  {theirs}", act.name)?;
        }
        let sick = self.acts.iter().map(|act| act.calls_to_sick).sum::<u64>();
        let ours = Row { failed: self.failed + self.truncated, p99: self.p99_ms, sick };
        let (requests, hang_ups) = (self.requests, self.hang_ups);
        writeln!(f, "{:NAMES$}{requests:>10}{hang_ups:>10}{ours}  {}", "in all", self.naive.row())?;
        writeln!(f, "to sick: calls that regions received while something was wrong with them")?;
        let (p50, naive) = (self.p50_ms, self.naive.p50_ms);
        let (attempts, cost) = (self.attempts_per_request, self.cost_usd);
        writeln!(f, "p50 {p50} ms (naive {naive} ms), {attempts} attempts a request, {cost:.4} USD")?;
        for (index, Region { region, served, attempts }) in self.regions.iter().enumerate() {
            let lead = if index == 0 { "served by " } else { ", " };
            write!(f, "{lead}{region} {served} of {attempts} attempts")?;
        }
        Ok(())
    }
}

impl Naive {
    fn row(&self) -> Row<u64, f64> {
        Row { failed: self.failed, p99: self.p99_ms, sick: self.calls_to_sick }
    }
}

/// The three columns that both clients have.
struct Row<N, T> {
    failed: N,
    p99: T,
    sick: N,
}

impl<N: fmt::Display, T: fmt::Display> fmt::Display for Row<N, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10}{:>10}{:>10}", self.failed, self.p99, self.sick)
    }
}
