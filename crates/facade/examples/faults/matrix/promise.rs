//! What must come of each cell.
//!
//! With a healthy deployment left nobody fails, whatever the fault, unless the fault is the caller's: then the provider's
//! word is passed on. With none left the error is honest, early, and no storm. Everywhere the sick region is asked at most
//! once in a call, but where it is the last of its tier and a second try is cheap.

use std::time::Duration;

use outrigger::policy::{BudgetConfig, RETRY_COST_BILLED, RETRY_COST_UNPROCESSED};
use sim::Fault;

use super::{
    cell::{Cell, Setting},
    measure::{DEADLINE, Got, Measured},
};

/// What callers must get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// The whole answer, all of them.
    Whole,
    /// Of those whom the sick region answered: what it said.
    Passed,
    /// An error of one of these codes, early.
    Early(&'static [&'static str]),
    /// The deadline's error, at the deadline.
    AtDeadline,
    /// The whole answer, its rest from elsewhere. Rescues are the bucket's to pay: of a crowd that breaks off at one instant it
    /// pays for so many, and the others are told that they have a part.
    Rescued,
    /// What came, and an error that says that it is not all.
    Told,
}

const FAILED: &[&str] = &["upstream_exhausted", "no_deployment_available"];

fn promise(cell: &Cell) -> Promise {
    match (&cell.fault, cell.setting) {
        // Nothing is wrong with the deployment: the request is refused, and would be anywhere else.
        (Fault::ContentFilter | Fault::NoPrefill, _) => Promise::Passed,
        // Another model may have the room, the same model elsewhere has not.
        (Fault::ContextLength, Setting::NextTier) => Promise::Whole,
        (Fault::ContextLength, _) => Promise::Passed,
        // Late is not wrong, and a stream that gave its finish reason is whole.
        (Fault::SlowFirstToken { .. } | Fault::SlowTokens { .. } | Fault::Slow { .. } | Fault::NoDone, _) => {
            Promise::Whole
        }
        (Fault::Cut { .. } | Fault::Stall { .. } | Fault::Malformed { .. }, setting) if cell.stream => {
            if setting.has_refuge() {
                Promise::Rescued
            } else {
                Promise::Told
            }
        }
        (_, setting) if setting.has_refuge() => Promise::Whole,
        (Fault::RateLimit { .. }, _) => Promise::Early(&["rate_limit_exceeded"]),
        (Fault::Silent | Fault::KeepaliveForever, _) => Promise::AtDeadline,
        (Fault::Stall { .. }, _) => Promise::AtDeadline,
        _ => Promise::Early(FAILED),
    }
}

/// Every promise that the table breaks, in words; none is what is wanted.
pub(crate) fn broken(table: &[(Cell, Measured)]) -> Vec<String> {
    let faults = table.iter().flat_map(|(cell, measured)| {
        let where_ = format!("{} {cell:?}", cell.fault);
        check(cell, measured).into_iter().map(move |fault| format!("{where_}: {fault}"))
    });
    faults.collect()
}

fn check(cell: &Cell, measured: &Measured) -> Vec<String> {
    let mut faults = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            faults.push(format!("{what}: {measured:?}"));
        }
    };
    let promise = promise(cell);
    let calls = u64::try_from(cell.calls).unwrap_or(u64::MAX);
    let tries = second_tries(cell, calls);
    must(measured.got.keys().all(|got| keeps(promise, cell, got)), &format!("promised was {promise:?}"));
    if promise == Promise::Rescued {
        let rescued = measured.got.get(&Got::Rescued).copied().unwrap_or(0);
        must(rescued >= measured.to_sick.min(tries), "fewer are rescued than the bucket pays for");
    }
    must(measured.left_over == 0, "something is in flight after the end");
    let again = if may_repeat(cell, promise) { tries } else { 0 };
    must(measured.to_sick <= calls + again, "the sick region is not left in peace");
    must(measured.upstream <= calls + again + elsewhere(cell, promise, calls), "too many upstream calls");
    let late = match promise {
        Promise::AtDeadline => measured.p50 != DEADLINE || measured.p99 != DEADLINE,
        Promise::Early(_) | Promise::Passed => measured.p99 > Duration::from_secs(3),
        Promise::Whole | Promise::Rescued | Promise::Told => measured.p99 > DEADLINE,
    };
    must(!late, "too late, or not at the deadline");
    faults
}

fn keeps(promise: Promise, cell: &Cell, got: &Got) -> bool {
    match (promise, got) {
        // A crowd is spread over the regions, and those that are well have nothing against it.
        (Promise::Whole | Promise::Passed | Promise::Rescued, Got::Whole) => {
            promise == Promise::Whole || cell.calls > 1
        }
        (Promise::Rescued, got) => *got == Got::Rescued || (*got == Got::Truncated && cell.calls > 1),
        (Promise::Told, got) => *got == Got::Truncated,
        (Promise::Passed, Got::Refused { status, code }) => (*status, *code) == (400, "rejected_by_provider"),
        (Promise::Early(codes), Got::Refused { code, .. }) => codes.contains(code),
        (Promise::AtDeadline, Got::Refused { code, .. }) => *code == "deadline_exceeded",
        _ => false,
    }
}

/// How many of so many calls have a second try, or a rescue, paid by the bucket at most.
fn second_tries(cell: &Cell, calls: u64) -> u64 {
    let free_of_charge = matches!(
        cell.fault,
        Fault::Refuse | Fault::RateLimit { .. } | Fault::Overloaded | Fault::QuotaSpent | Fault::BadKey
    );
    let cost = if free_of_charge { RETRY_COST_UNPROCESSED } else { RETRY_COST_BILLED };
    calls.min(u64::from(BudgetConfig::default().capacity / cost))
}

/// Whether the sick region may be asked a second time in a call: where it is the last of its tier.
fn may_repeat(cell: &Cell, promise: Promise) -> bool {
    let alone = matches!(cell.setting, Setting::Alone | Setting::NextTier);
    alone && !matches!(promise, Promise::Passed | Promise::AtDeadline)
}

/// How many calls go elsewhere at most: each its own failover, and that is all.
fn elsewhere(cell: &Cell, promise: Promise, calls: u64) -> u64 {
    match promise {
        Promise::Whole if cell.setting.has_refuge() => calls,
        Promise::Rescued => second_tries(cell, calls),
        _ => 0,
    }
}
