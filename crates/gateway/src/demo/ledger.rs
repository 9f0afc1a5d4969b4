//! What the gateway's client tells of its own doing: attempts by region, and what they cost.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use outrigger::{Notice, Observer};

/// An observer that keeps accounts. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger(Arc<Mutex<Accounts>>);

/// The accounts.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts {
    /// Attempts by region, those that a hang-up ended included.
    pub(super) attempts: BTreeMap<String, u64>,
    /// In USD, estimated where a hang-up left nothing to count.
    pub(super) cost: f64,
}

impl Ledger {
    /// The accounts so far.
    pub(super) fn read(&self) -> Accounts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Ledger {
    fn notice(&self, notice: &Notice) {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Notice::AttemptEnded { route, bill, .. } = notice {
            *accounts.attempts.entry(route.region.to_string()).or_default() += 1;
            accounts.cost += bill.and_then(|bill| bill.cost_usd).unwrap_or(0.0);
        }
    }
}
