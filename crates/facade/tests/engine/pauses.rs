//! A call that pauses before it asks the same deployment again, and what others learn of that place meanwhile.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use outrigger::{
    Config,
    config::{Model, Provider, Target},
    engine::{Action, Ask, AttemptFailure, CallId, Engine, Event, Plan},
    wire::Class,
};

/// Two calls run at the only deployment; the first fails with what may pass at once. Whether it asks again after its pause,
/// when this has happened in between.
fn asks_again_after(meanwhile: impl FnOnce(&mut Engine, Instant)) -> bool {
    let provider = Provider::openai().region("us-east", "http://us-east.sim.invalid/v1").unwrap();
    let config =
        Config::new().provider("p", provider).model("chat", Model::new([Target::new("p", "gpt-4.1")]));
    let mut now = Instant::now();
    let mut engine = Engine::new(Arc::new(Plan::new(&config)), (now, SystemTime::UNIX_EPOCH)).unwrap();
    let mut actions = Vec::new();
    for call in [CallId(0), CallId(1)] {
        engine.on(Event::Asked { call, ask: Ask::new(0, false) }, now, 1, &mut actions);
    }
    actions.clear();
    let failure = AttemptFailure::new(Class::Transient);
    engine.on(Event::Failed { call: CallId(0), attempt: 0, failure }, now, 1, &mut actions);
    assert!(actions.iter().any(|action| matches!(action, Action::Wake { .. })), "it pauses: {actions:?}");
    meanwhile(&mut engine, now);
    now += Duration::from_millis(200);
    actions.clear();
    engine.on(Event::Tick { call: CallId(0) }, now, 1, &mut actions);
    actions.iter().any(|action| matches!(action, Action::Start { .. }))
}

fn the_other_fails(class: Class, retry_after: Option<Duration>) -> impl FnOnce(&mut Engine, Instant) {
    move |engine, now| {
        let mut failure = AttemptFailure::new(class);
        failure.retry_after = retry_after;
        let failed = Event::Failed { call: CallId(1), attempt: 0, failure };
        engine.on(failed, now, 1, &mut Vec::new());
    }
}

/// **A pause is no pass.** What would keep a pick away keeps a second try away too: a wait that the provider named to another
/// call, a cordon, a dead key. Fails if a second try is started on what was known before its pause.
#[test]
fn a_second_try_is_held_to_what_was_learned_during_its_pause() {
    assert!(asks_again_after(|_, _| {}));
    assert!(!asks_again_after(the_other_fails(Class::RateLimited, Some(Duration::from_secs(30)))));
    assert!(!asks_again_after(the_other_fails(Class::Credential, None)));
    assert!(!asks_again_after(|engine, _| assert_eq!(engine.cordon("p", "us-east", None), 1)));
}
