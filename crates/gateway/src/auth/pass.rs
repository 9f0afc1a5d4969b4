//! Leave to make one call, and what comes back of it.
//!
//! A call reserves what it may take before it begins; when it ends, the reservation gives way to what its attempts took: as providers
//! counted it, and estimated where none did. The end is told to [`Settle`], which comes after the other
//! clerks: what a call cost is booked before it is no longer held.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use http::StatusCode;
use outrigger::Notice;

use super::{Key, entry::Budget, meter::Held};
use crate::clerk::{Clerk, Subject};

/// Leave of a key to make one call.
///
/// # Drop
/// What it reserved and nobody has settled is given back.
pub(crate) struct Pass {
    key: Arc<Key>,
    held: Mutex<Option<Held>>,
    most_usd: Option<f64>,
}

impl Pass {
    /// `most_usd` is what it holds, where the key has a budget and the call a price.
    pub(super) fn new(key: Arc<Key>, held: Held, most_usd: Option<f64>) -> Self {
        Self { key, held: Mutex::new(Some(held)), most_usd }
    }

    /// What the call may cost, all its attempts together; none where nothing is held for that.
    pub(crate) fn most_usd(&self) -> Option<f64> {
        self.most_usd
    }

    /// The name of its key.
    pub(crate) fn key(&self) -> &Arc<str> {
        self.key.name()
    }

    /// What its key may spend now, where that has a bound. The file may have changed since the call began.
    pub(crate) fn budget(&self) -> Option<Budget> {
        self.key.meter().budget
    }

    /// The call is over and took so many tokens. Only the first word counts.
    fn settle(&self, tokens: u64, now: Instant) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(held) = held {
            self.key.meter().settle(held, tokens, now);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.settle(0, Instant::now());
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("key", self.key.name()).finish_non_exhaustive()
    }
}

/// Settles the passes of calls that end. The last of the clerks.
#[derive(Debug)]
pub(crate) struct Settle;

impl Clerk for Settle {
    fn notice(&self, subject: &Subject, notice: &Notice) {
        if let (Some(pass), Notice::CallEnded { bill, .. }) = (&subject.pass, notice) {
            pass.settle(bill.map_or(0, |bill| bill.tokens()), Instant::now());
        }
    }

    fn failed(&self, subject: &Subject, _status: StatusCode, _code: &str) {
        if let Some(pass) = &subject.pass {
            pass.settle(0, Instant::now());
        }
    }
}
