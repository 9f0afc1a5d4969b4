//! What must come of each cell.
//!
//! With a healthy deployment left nobody fails, whatever the fault, unless the fault is the caller's: then the provider's
//! word is passed on. With none left the error is honest, early, and no storm. Everywhere the sick region is asked at most
//! once in a call, but where it is the last of its tier and a second try is cheap.

use std::time::Duration;

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
        (_, setting) if setting.has_refuge() => Promise::Whole,
        (Fault::RateLimit { .. }, _) => Promise::Early(&["rate_limit_exceeded"]),
        (Fault::Silent | Fault::KeepaliveForever, _) => Promise::AtDeadline,
        (Fault::Cut { .. } | Fault::Stall { .. } | Fault::Malformed { .. }, _) if cell.stream => {
            Promise::Told
        }
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
    let calls = u64::try_from(cell.calls).unwrap_or(u64::MAX);
    let promise = promise(cell);
    must(measured.got.keys().all(|got| keeps(promise, got)), &format!("promised was {promise:?}"));
    must(measured.left_over == 0, "something is in flight after the end");
    must(measured.to_sick <= most_to_sick(cell, promise, calls), "the sick region is not left in peace");
    must(measured.upstream <= most_upstream(cell, promise, calls), "too many upstream calls");
    let late = match promise {
        Promise::AtDeadline => measured.p50 != DEADLINE || measured.p99 != DEADLINE,
        Promise::Early(_) | Promise::Passed => measured.p99 > Duration::from_secs(3),
        Promise::Whole | Promise::Told => measured.p99 > DEADLINE,
    };
    must(!late, "too late, or not at the deadline");
    faults
}

fn keeps(promise: Promise, got: &Got) -> bool {
    match (promise, got) {
        (Promise::Whole, got) => *got == Got::Whole,
        (Promise::Told, got) => *got == Got::Truncated,
        (Promise::Passed, Got::Refused { status, code }) => (*status, *code) == (400, "rejected_by_provider"),
        // A crowd is spread over the regions, and those that are well have nothing against it.
        (Promise::Passed, got) => *got == Got::Whole,
        (Promise::Early(codes), Got::Refused { code, .. }) => codes.contains(code),
        (Promise::AtDeadline, Got::Refused { code, .. }) => *code == "deadline_exceeded",
        (Promise::Early(_) | Promise::AtDeadline, _) => false,
    }
}

/// A tenth more than one a call at most, where a second try is the bucket's to pay; a call alone may have that one.
fn with_few_more(calls: u64) -> u64 {
    calls + calls.div_ceil(5)
}

fn most_to_sick(cell: &Cell, promise: Promise, calls: u64) -> u64 {
    match (promise, cell.setting) {
        // The last of its tier may be asked again where that is cheap.
        (Promise::Early(_) | Promise::Told, _) | (_, Setting::NextTier) => with_few_more(calls),
        _ => calls,
    }
}

fn most_upstream(cell: &Cell, promise: Promise, calls: u64) -> u64 {
    match promise {
        Promise::Passed | Promise::AtDeadline => calls,
        Promise::Early(_) | Promise::Told => with_few_more(calls),
        Promise::Whole if cell.setting.has_refuge() => 2 * calls + calls.div_ceil(5),
        Promise::Whole => calls,
    }
}
