//! Every piece can be swapped: the failover scenarios with a round-robin selector, a gate that never closes, and the
//! transport in memory.

use std::time::Instant;

use outrigger::{
    breaker::{Gate, Permit, Rejected, Report, State},
    registry::{Choices, DeploymentId, Selector},
};
use sim::{Fault, World};

use crate::support::*;

/// Takes turns.
#[derive(Debug, Default)]
struct RoundRobin {
    turn: usize,
}

impl Selector for RoundRobin {
    fn select(&mut self, choices: &Choices<'_>, _draw: u64) -> Option<DeploymentId> {
        let turn = self.turn;
        self.turn = self.turn.wrapping_add(1);
        let place = |step| (turn + step) % choices.len();
        (0..choices.len()).find_map(|step| choices.get(place(step))).map(|candidate| candidate.id())
    }
}

/// Lets everybody through, always.
#[derive(Clone, Debug)]
struct NeverCloses;

impl Gate for NeverCloses {
    fn acquire_until(&mut self, _lease_end: Instant, _now: Instant) -> Result<Permit, Rejected> {
        Ok(Permit::untracked())
    }

    fn report(&mut self, _permit: Permit, _report: Report, _now: Instant) {}

    fn release(&mut self, _permit: Permit) {}

    fn state(&self, _now: Instant) -> State {
        State::Closed
    }

    fn admits(&self, _now: Instant) -> Result<(), Rejected> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn failover_works_with_every_piece_swapped() {
    for fault in [Fault::Refuse, Fault::Reset, Fault::status(500), Fault::Silent, Fault::Cut { after: 0 }] {
        let harbour = harbour_with(World::article(7), config, |builder| {
            builder.selector(RoundRobin::default()).gate(NeverCloses)
        });
        harbour.inject("us-east", fault.clone());
        for stream in [false, true, false, true, false, true] {
            let text = harbour.text(stream).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert!(is_whole(&text));
        }
        assert!(harbour.count("us-east") >= 2, "a round robin keeps asking, and no circuit stops it");
        assert!(harbour.count("eu-west") >= 2 && harbour.count("ap-southeast") >= 2);
        harbour.assert_idle();
    }
}

/// **The budget binds by itself.** Without circuits to help it, an empty retry budget leaves each call its first attempt and
/// its free failover; a full one pays for more until it is spent. Fails if a refused withdrawal is not heeded.
#[tokio::test(start_paused = true)]
async fn an_empty_budget_leaves_the_free_failover_alone() {
    // Three attempts a call at the most; the third costs 14.
    for (budget, calls, upstream) in [(0, 10, 20), (28, 10, 22), (500, 10, 30)] {
        let with_budget = |world: &World| {
            let mut config = config(world);
            for (_, model) in &mut config.models {
                model.retry.budget = budget;
                model.retry.max_attempts = 3;
            }
            config
        };
        let harbour = harbour_with(World::article(7), with_budget, |builder| {
            builder.selector(RoundRobin::default()).gate(NeverCloses)
        });
        harbour.inject_everywhere(&Fault::status(500));
        for _ in 0..calls {
            harbour.ask().await.unwrap_err();
        }
        assert_eq!(harbour.total(), upstream, "with a budget of {budget}");
    }
}
