//! Other configurations under way.

use std::collections::BTreeMap;

use outrigger::{engine::Event, wire::Class};
use proptest::prelude::*;

use super::{
    harbour::Harbour,
    world::{Happens, Shape, config, happens, shapes},
};

impl Harbour {
    /// Goes by another configuration. All that is known of what stays is as it was, and nobody but those who wait for a place
    /// hears of it.
    pub(crate) fn reload(&mut self, shape: &Shape) {
        let known = |harbour: &Self, moved: &BTreeMap<String, bool>| -> BTreeMap<String, (usize, String)> {
            let statuses = (0..99).filter_map(|number| {
                let status = harbour.engine.deployment_status(number, harbour.now)?;
                let moved = (&*status.provider == "holysheep").then(|| moved.get(&*status.region).copied());
                let name = format!("{} {} {} {moved:?}", status.provider, status.region, status.model);
                Some((name, (number, format!("{status:?}"))))
            });
            statuses.collect()
        };
        let moved = |shape: &Shape| {
            shape.regions.iter().map(|(region, moved)| ((*region).to_owned(), *moved)).collect()
        };
        let before = known(self, &moved(&self.shape));
        let mut actions = Vec::new();
        self.engine.reload(&config(None, shape), None, self.now, &mut actions).unwrap();
        assert!(actions.is_empty(), "{actions:?}");
        self.shape = shape.clone();
        let after = known(self, &moved(&self.shape));
        assert_eq!(after.len(), self.engine.deployments(self.now).len());
        for (name, status) in &after {
            match before.get(name) {
                Some(known) => assert_eq!(status, known),
                None => {
                    self.waits.remove(&status.0);
                }
            }
        }
    }

    /// What is in flight at each deployment that there is, by the engine and by the drivers.
    pub(crate) fn in_flight_at_each(&self) -> Vec<(u32, usize)> {
        let running = |number| {
            let running = self.callers.values().flat_map(|caller| &caller.running);
            running.filter(|(_, deployment)| *deployment == number).count()
        };
        let statuses = (0..99).filter_map(|number| {
            Some((self.engine.deployment_status(number, self.now)?.in_flight, running(number)))
        });
        statuses.collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// **A reload is no event to those who run.** Whatever happens between reloads of whichever shape: what is in flight at
    /// each place that there is is what the drivers have running there; nobody is sent to a place that is gone; all that is known
    /// of what stays, stays; each call ends once, and then nothing is in flight. Fails if a number comes to mean something else
    /// while somebody keeps it, or if a state is lost on the way.
    #[test]
    fn calls_live_through_reloads(
        history in proptest::collection::vec((happens(), proptest::option::weighted(0.15, shapes())), 0..120),
    ) {
        let mut harbour = Harbour::new();
        for (step, reload) in history {
            // Places that come later are not known to be too small.
            if !matches!(step, Happens::Failed(_, Class::ContextTooLong, _)) {
                harbour.play(step);
            }
            if let Some(shape) = reload {
                harbour.reload(&shape);
            }
            for (known, running) in harbour.in_flight_at_each() {
                prop_assert_eq!(known as usize, running);
            }
        }
        for call in harbour.callers.keys().copied().collect::<Vec<_>>() {
            harbour.tell(Event::Cancelled { call, reading: None });
            harbour.callers.remove(&call);
        }
        prop_assert_eq!(harbour.in_flight(), 0);
        prop_assert_eq!(harbour.ended, harbour.begun);
    }
}
