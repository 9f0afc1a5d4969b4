//! What attempts cost, whatever happens to them: each is billed once, to its call and to its deployment.

use std::collections::BTreeMap;

use outrigger::{
    Bill, Notice,
    engine::{CallId, Event, Heard},
    wire::Usage,
};
use proptest::prelude::*;

use crate::{
    harbour::Harbour,
    world::{Happens, What, happens},
};

/// The bills that were told.
#[derive(Debug, Default)]
pub(crate) struct Bills {
    open: BTreeMap<CallId, Bill>,
    /// By route: attempts that ended, what they cost, and the part of it that is an estimate.
    routes: BTreeMap<String, (u64, f64, f64)>,
    estimates: u64,
}

/// What an attempt may have used when it ends: nothing, a count, output that nobody counted, or both.
pub(crate) fn heard(number: u64) -> Heard {
    let counted = Heard::counted(Usage::new(10 + number, 7));
    match number % 4 {
        0 => Heard::default(),
        1 => counted,
        2 => Heard::uncounted(number),
        _ => {
            let mut both = counted;
            both.uncounted = 3;
            both
        }
    }
}

/// Whether an event says that an attempt was refused before it said anything.
pub(crate) fn is_refusal(event: &Event) -> bool {
    match event {
        Event::Failed { failure, .. } | Event::Broke { failure, .. } => {
            failure.heard == Heard::default() && failure.class.surely_not_processed()
        }
        _ => false,
    }
}

impl Bills {
    /// Takes a notice of a call's down, which came of a refusal of one of its attempts, or not.
    pub(crate) fn note(&mut self, call: CallId, notice: &Notice, refusal: bool) {
        match notice {
            Notice::AttemptEnded { route, bill, class, .. } => {
                let refused = refusal && class.is_some_and(|class| class.surely_not_processed());
                assert!(!refused || bill.is_none(), "a refusal costs: {bill:?}");
                assert!(class.is_some() || bill.is_some(), "an answer costs nothing");
                let (ended, cost, estimated) = self.routes.entry(route.to_string()).or_default();
                *ended += 1;
                let Some(bill) = bill else { return };
                assert_eq!(bill.estimated, bill.estimated_usd > 0.0, "each price is known: {bill:?}");
                assert!(bill.estimated_usd <= bill.cost_usd.unwrap());
                *cost += bill.cost_usd.unwrap();
                *estimated += bill.estimated_usd;
                self.estimates += u64::from(bill.estimated);
                *self.open.entry(call).or_default() += *bill;
            }
            Notice::CallEnded { bill, .. } => {
                assert_eq!(*bill, self.open.remove(&call), "a call costs what its attempts cost");
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// **Each attempt is billed once.** However attempts end, the sum of their bills is what their call costs and what their
    /// deployments cost, each attempt that was started has ended once, and what was refused costs nothing. Fails if an attempt
    /// that is let go, fails or is left behind has no bill, or has two.
    #[test]
    fn the_bills_of_attempts_are_the_cost_of_all(history in proptest::collection::vec(happens(), 0..120)) {
        let mut harbour = Harbour::new();
        for step in history {
            harbour.play(step);
        }
        for which in (0..harbour.callers.len()).rev() {
            harbour.play(Happens::Cancelled(which));
        }
        prop_assert!(harbour.bills.open.is_empty(), "{:?}", harbour.bills.open);
        for at in harbour.engine.deployments(harbour.now) {
            let route = format!("{}/{}/{}", at.provider, at.region, at.model);
            let (ended, cost, estimated) = harbour.bills.routes.get(&route).copied().unwrap_or_default();
            prop_assert_eq!(ended, at.attempts, "{}", &route);
            prop_assert!((cost - at.cost_usd).abs() < 1e-12, "{}: {} and {}", &route, cost, at.cost_usd);
            prop_assert!((estimated - at.estimated_usd).abs() < 1e-12, "{}", &route);
        }
    }
}

/// The law above is about estimates, too: callers that go away leave some, whatever was counted by then.
#[test]
fn calls_that_are_let_go_are_estimated() {
    let mut harbour = Harbour::new();
    for _ in 0..4 {
        harbour.asked(What::CHAT, true, false, false);
        harbour.play(Happens::Cancelled(0));
    }
    assert!(harbour.bills.estimates >= 2, "{:?}", harbour.bills);
}
