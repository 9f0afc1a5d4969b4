//! Runs the test vectors of `tests/vectors/`, or of the folder that `OUTRIGGER_VECTORS` names.
//!
//! A file that is missing or holds no case, an op or a key that is not known, and any difference fail, with case, step and
//! difference named.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the harness says how many cases ran, and a bad config fails it"
)]

use std::{collections::BTreeMap, fmt::Debug, path::PathBuf, time::Duration};

use outrigger_policy::{
    AimdConfig, AimdLimit, Backoff, BackoffConfig, Budget, BudgetConfig, FIRST_TRY_REWARD,
};
use serde::{Deserialize, de::DeserializeOwned};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<C, S> {
    component: String,
    format: u32,
    cases: Vec<Case<C, S>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case<C, S> {
    id: String,
    #[serde(rename = "semantics")]
    _semantics: String,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "origin")]
    _origin: String,
    #[serde(rename = "note", default)]
    _note: Option<String>,
    config: C,
    steps: Vec<S>,
}

/// Runs every case of a file; `run` gives the differences of one step.
fn run_file<C: DeserializeOwned, S: DeserializeOwned, M>(
    name: &str,
    component: &str,
    machine: impl Fn(&C) -> M,
    step: impl Fn(&mut M, &S) -> Differences,
) {
    let folder = std::env::var_os("OUTRIGGER_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), PathBuf::from);
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: File<C, S> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!((file.component.as_str(), file.format), (component, 1), "{name}");
    assert!(!file.cases.is_empty(), "{name} holds no case");
    let mut steps = 0;
    let mut differences = Vec::new();
    for case in &file.cases {
        let mut machine = machine(&case.config);
        for (index, what) in case.steps.iter().enumerate() {
            steps += 1;
            for difference in step(&mut machine, what).0 {
                differences.push(format!("{} step {index}: {difference}", case.id));
            }
        }
    }
    println!("{name}: {} cases, {steps} steps", file.cases.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What a step gave that was not expected.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    /// Compares where there is an expectation.
    fn expect<T: PartialEq + Debug>(&mut self, what: &str, got: T, expected: Option<T>) {
        if let Some(expected) = expected.filter(|expected| *expected != got) {
            self.0.push(format!("{what} is {got:?}, expected {expected:?}"));
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetCase {
    kind: BudgetKind,
    capacity: u32,
    cost: BTreeMap<String, u32>,
    max_attempts: u32,
    base_backoff_ms: u64,
    jitter: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum BudgetKind {
    CostBucket,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum BudgetStep {
    AttemptFailed {
        error: String,
        attempt: u32,
        retry: Option<bool>,
        delay_ms: Option<u64>,
        tokens: Option<u32>,
    },
    AttemptSucceeded {
        attempt: u32,
        tokens: Option<u32>,
    },
}

/// A budget and the one request after another that draw on it.
struct BudgetRun {
    budget: Budget,
    backoff: Backoff,
    cost: BTreeMap<String, u32>,
    max_attempts: u32,
    last_cost: u32,
}

impl BudgetRun {
    fn new(case: &BudgetCase) -> Self {
        let BudgetKind::CostBucket = case.kind;
        let mut budget = BudgetConfig::default();
        budget.capacity = case.capacity;
        let mut backoff = BackoffConfig::default();
        backoff.initial = Duration::from_millis(case.base_backoff_ms);
        backoff.jitter = if case.jitter { 1.0 } else { 0.0 };
        Self {
            budget: Budget::new(budget),
            backoff: Backoff::new(backoff).unwrap(),
            cost: case.cost.clone(),
            max_attempts: case.max_attempts,
            last_cost: 0,
        }
    }

    /// The first attempt begins a new request.
    fn begin(&mut self, attempt: u32) {
        if attempt == 1 {
            self.backoff.reset();
            self.last_cost = FIRST_TRY_REWARD;
        }
    }

    fn step(&mut self, step: &BudgetStep) -> Differences {
        let mut differences = Differences::default();
        match step {
            BudgetStep::AttemptFailed { error, attempt, retry, delay_ms, tokens } => {
                self.begin(*attempt);
                let cost = *self.cost.get(error).unwrap_or_else(|| panic!("no cost of `{error}`"));
                let granted = *attempt < self.max_attempts && self.budget.withdraw(cost);
                if granted {
                    self.last_cost = cost;
                    differences.expect(
                        "delay",
                        self.backoff.next(None, 0),
                        delay_ms.map(Duration::from_millis),
                    );
                }
                differences.expect("retry", granted, *retry);
                differences.expect("tokens", self.budget.balance(), *tokens);
            }
            BudgetStep::AttemptSucceeded { attempt, tokens } => {
                self.begin(*attempt);
                self.budget.deposit(self.last_cost);
                differences.expect("tokens", self.budget.balance(), *tokens);
            }
        }
        differences
    }
}

#[test]
fn the_budget_follows_its_vectors() {
    run_file("retry_budget.json", "retry_budget", BudgetRun::new, BudgetRun::step);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackoffCase {
    initial_ms: u64,
    multiplier: f64,
    max_ms: u64,
    #[serde(default)]
    jitter: f64,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum BackoffStep {
    Fail { pushback_ms: Option<u64>, delay_ms: Option<u64> },
}

#[test]
fn the_backoff_follows_its_vectors() {
    run_file(
        "backoff.json",
        "policy",
        |case: &BackoffCase| {
            let mut config = BackoffConfig::default();
            config.initial = Duration::from_millis(case.initial_ms);
            config.multiplier = case.multiplier;
            config.max = Duration::from_millis(case.max_ms);
            config.jitter = case.jitter;
            Backoff::new(config).unwrap()
        },
        |backoff, BackoffStep::Fail { pushback_ms, delay_ms }| {
            let mut differences = Differences::default();
            let delay = backoff.next(pushback_ms.map(Duration::from_millis), 0);
            differences.expect("delay", delay, delay_ms.map(Duration::from_millis));
            differences
        },
    );
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitCase {
    kind: LimitKind,
    initial: u32,
    min: u32,
    max: u32,
    backoff: f64,
    timeout_ms: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum LimitKind {
    Aimd,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum LimitStep {
    Sample { rtt_ms: u64, inflight: u32, dropped: bool, limit: Option<u32> },
}

#[test]
fn the_limit_follows_its_vectors() {
    run_file(
        "adaptive_limit.json",
        "adaptive_limit",
        |case: &LimitCase| {
            let LimitKind::Aimd = case.kind;
            let mut config = AimdConfig::default();
            config.initial = case.initial;
            config.min = case.min;
            config.max = case.max;
            config.backoff = case.backoff;
            config.timeout = Duration::from_millis(case.timeout_ms);
            AimdLimit::new(config).unwrap()
        },
        |machine, LimitStep::Sample { rtt_ms, inflight, dropped, limit }| {
            let mut differences = Differences::default();
            machine.sample(Duration::from_millis(*rtt_ms), *inflight, *dropped);
            differences.expect("limit", machine.limit(), *limit);
            differences
        },
    );
}
