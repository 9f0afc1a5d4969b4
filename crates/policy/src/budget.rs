//! What retries may cost: one bucket that failures empty and successes refill.
//!
//! # Why a bucket of costs, and not a share of the traffic?
//! A retry of a language model's answer is money: an attempt that was silent or broke off may have been billed, one that was
//! refused was not. A ratio of retries to requests knows neither, and the reserve it needs for quiet hours (ten retries
//! a second in Finagle and tower) is a storm at one request a second. The AWS SDKs' bucket (standard retry mode, v2.1) has a
//! price for each kind, needs no clock, and stops after about 35 retries of an outage; it refills by successes alone, so it
//! cannot feed the outage that emptied it.
//!
//! # The rules
//! A retry withdraws its price or is not made. A success after retries gives the last price back; a success at the first try
//! gives [`FIRST_TRY_REWARD`]. An attempt whose retry was refused, or that ended in failure, gives nothing back.

use crate::config::BudgetConfig;

/// The price of a retry after an attempt that may have been billed: silent, reset, cut, a server's error. AWS SDKs, v2.1.
pub const RETRY_COST_BILLED: u32 = 14;
/// The price of a retry after an attempt that was surely not processed: refused, limited, overloaded. AWS SDKs, v2.1, where it
/// is the price of throttling.
pub const RETRY_COST_UNPROCESSED: u32 = 5;
/// What a success at the first try gives back. AWS SDKs, v2.1.
pub const FIRST_TRY_REWARD: u32 = 1;

/// Decides whether one more retry may be afforded.
///
/// Inputs are [`withdraw`](Self::withdraw), which is the decision too, and [`deposit`](Self::deposit). There is no clock.
///
/// Invariant: the balance is never above the capacity and never overdrawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    capacity: u32,
    balance: u32,
}

impl Budget {
    /// A full budget.
    #[must_use]
    pub const fn new(config: BudgetConfig) -> Self {
        Self { capacity: config.capacity, balance: config.capacity }
    }

    /// Takes the price of a retry. Says whether it was there; a refused withdrawal changes nothing.
    #[must_use = "a retry that was refused must not be made"]
    pub const fn withdraw(&mut self, cost: u32) -> bool {
        match self.balance.checked_sub(cost) {
            Some(left) => {
                self.balance = left;
                true
            }
            None => false,
        }
    }

    /// Gives back: the last price after a success with retries, [`FIRST_TRY_REWARD`] after one without. What is above the
    /// capacity is lost.
    pub const fn deposit(&mut self, amount: u32) {
        let balance = self.balance.saturating_add(amount);
        self.balance = if balance < self.capacity { balance } else { self.capacity };
    }

    /// Changes the most it holds. What is left stays, as far as the new capacity holds it: a wider bucket is filled by successes,
    /// like any other.
    pub const fn set_capacity(&mut self, capacity: u32) {
        self.capacity = capacity;
        self.deposit(0);
    }

    /// What is left.
    #[must_use]
    pub const fn balance(&self) -> u32 {
        self.balance
    }

    /// The most it holds.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(BudgetConfig::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_not_stormed() {
        let mut budget = Budget::default();
        let retries = (0..1_000).filter(|_| budget.withdraw(RETRY_COST_BILLED)).count();
        assert_eq!(retries, 35);
    }

    #[test]
    fn an_empty_budget_affords_only_what_is_free() {
        let mut budget = Budget::new(BudgetConfig { capacity: 0 });
        assert!(!budget.withdraw(1));
        assert!(budget.withdraw(0));
        budget.deposit(FIRST_TRY_REWARD);
        assert_eq!(budget.balance(), 0);
    }

    #[test]
    fn another_capacity_gives_nothing_and_takes_only_what_it_cannot_hold() {
        let mut budget = Budget::new(BudgetConfig { capacity: 100 });
        assert!(budget.withdraw(40));
        budget.set_capacity(200);
        assert_eq!((budget.balance(), budget.capacity()), (60, 200));
        budget.set_capacity(50);
        assert_eq!((budget.balance(), budget.capacity()), (50, 50));
        budget.set_capacity(100);
        assert_eq!(budget.balance(), 50);
    }

    #[test]
    fn a_deposit_stops_at_the_capacity() {
        let mut budget = Budget::new(BudgetConfig { capacity: u32::MAX });
        budget.deposit(u32::MAX);
        assert_eq!(budget.balance(), budget.capacity());
    }
}
