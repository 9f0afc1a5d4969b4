//! An outage of a thousand requests against one budget: `cargo run -p outrigger-policy --example policy-tiny`.
#![expect(clippy::print_stdout, reason = "an example shows what it finds")]

use outrigger_policy::{Budget, FIRST_TRY_REWARD, RETRY_COST_BILLED, RETRY_COST_UNPROCESSED};

fn main() {
    for (what, cost) in [("billed", RETRY_COST_BILLED), ("refused", RETRY_COST_UNPROCESSED)] {
        let mut budget = Budget::default();
        let retries = (0..1_000).filter(|_| budget.withdraw(cost)).count();
        let mut successes = 0;
        while budget.balance() < budget.capacity() {
            budget.deposit(FIRST_TRY_REWARD);
            successes += 1;
        }
        println!("1000 failed attempts ({what}): {retries} retries; full again after {successes} successes");
    }
}
