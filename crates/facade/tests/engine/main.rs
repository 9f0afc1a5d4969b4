//! The engine without a runtime: laws that hold whatever happens to whichever call in whatever order.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod bills;
mod harbour;
mod hearsay;
mod pauses;
mod record;
mod reloads;
mod shares;
mod world;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use outrigger::{
    engine::{CallId, Engine, Event},
    wire::Class,
};
use proptest::prelude::*;

use harbour::Harbour;
use world::{Happens, What, happens};

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// **Nothing leaks, and waits are kept.** Whatever happens, no deployment is asked within a wait that it named with a 429;
    /// what is in flight by the registry is what the drivers have running; when all calls are over nothing is; and each call
    /// ends exactly once. Fails if an abandoned attempt is not settled, a failure after content forgets the call, or a second
    /// try is made before its time.
    #[test]
    fn what_is_in_flight_is_what_runs(history in proptest::collection::vec(happens(), 0..120)) {
        let mut harbour = Harbour::new();
        for step in history {
            harbour.play(step);
            let running: usize = harbour.callers.values().map(|caller| caller.running.len()).sum();
            prop_assert_eq!(harbour.in_flight() as usize, running);
        }
        for call in harbour.callers.keys().copied().collect::<Vec<_>>() {
            harbour.tell(Event::Cancelled { call, reading: None });
            harbour.callers.remove(&call);
        }
        prop_assert_eq!(harbour.in_flight(), 0);
        prop_assert_eq!(harbour.ended, harbour.begun);
    }

    /// **Nobody waits beside a free place.** With one or two places at each deployment, whoever waits for one has it as soon
    /// as it is free, however calls end, fail or go away meanwhile; no deployment has more than its places in flight; and
    /// when all is over nobody waits. (What time alone brings back, a cooldown's end, is found by the call's own wake-up, so such
    /// failures are left out.) Fails if a nudge is lost with its call, or a kept place is never given back.
    #[test]
    fn nobody_waits_beside_a_free_place(places in 1_u32..3, history in proptest::collection::vec(happens(), 0..120)) {
        let mut harbour = Harbour::with_places(Some(places));
        let by_time = [Class::RateLimited, Class::Credential, Class::QuotaSpent];
        let history = history.into_iter();
        for step in history.filter(|step| !matches!(step, Happens::Failed(_, class, _) if by_time.contains(class))) {
            harbour.play(step);
            prop_assert!(harbour.nobody_waits_in_vain(places));
            let deployments = harbour.engine.deployments(harbour.now);
            prop_assert!(deployments.iter().all(|deployment| deployment.in_flight <= places));
        }
        for call in harbour.callers.keys().copied().collect::<Vec<_>>() {
            harbour.tell(Event::Cancelled { call, reading: None });
            harbour.callers.remove(&call);
        }
        prop_assert_eq!(harbour.in_flight(), 0);
        prop_assert_eq!(harbour.ended, harbour.begun);
        for _ in 0..places {
            harbour.asked(What::CHAT, true, false, false);
        }
    }

    /// **It comes back.** However bad the history, once a minute has passed and every call is over, a call is admitted
    /// again, unless the provider has refused the key or the model for good. Fails if a trial's permit is lost.
    #[test]
    fn after_a_quiet_minute_a_call_is_admitted(history in proptest::collection::vec(happens(), 0..120)) {
        let mut harbour = Harbour::new();
        for step in history {
            let heals = |class: Class| !matches!(class, Class::Credential | Class::QuotaSpent | Class::ModelMissing);
            if !matches!(step, Happens::Failed(_, class, _) if !heals(class)) {
                harbour.play(step);
            }
        }
        for call in harbour.callers.keys().copied().collect::<Vec<_>>() {
            harbour.tell(Event::Cancelled { call, reading: None });
            harbour.callers.remove(&call);
        }
        harbour.passes(Duration::from_secs(61));
        let call = CallId(harbour.begun);
        harbour.asked(What::CHAT, true, false, false);
        prop_assert_eq!(harbour.callers.get(&call).map(|caller| caller.starts), Some(1));
    }

    /// **The same again.** The same events, times and draws give the same actions. Fails if a decision reads a clock, a
    /// thread-local generator, or the order of a hash map.
    #[test]
    fn the_engine_is_deterministic(history in proptest::collection::vec(happens(), 0..60)) {
        let mut first = Harbour::new();
        let mut second = Harbour::new();
        second.now = first.now;
        second.engine = Engine::new(Arc::clone(&second.plan), (first.now, SystemTime::UNIX_EPOCH)).unwrap();
        for step in history {
            first.play(step.clone());
            second.play(step);
            prop_assert_eq!(&first.asked_for, &second.asked_for);
            first.asked_for.clear();
            second.asked_for.clear();
        }
        let show = |harbour: &Harbour| format!("{:?}", harbour.engine.deployments(harbour.now));
        prop_assert_eq!(show(&first), show(&second));
    }
}
