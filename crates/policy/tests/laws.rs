//! One call's life: the laws that hold for every history, drawn by chance.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::time::{Duration, Instant};

use outrigger_policy::{Call, CallPlan, Failed, Finish, Key, Picked, Price, Step};
use proptest::{collection::vec, prelude::*};

#[expect(clippy::disallowed_methods, reason = "the one reading of the clock: all times are relative to it")]
fn t0() -> Instant {
    Instant::now()
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn found(deployment: Key) -> Picked {
    Picked::Found { deployment, sound: true }
}

fn nothing() -> Picked {
    Picked::Nothing { retry_at: None, limited: false }
}

fn server_error() -> Failed {
    let mut failed = Failed::elsewhere();
    failed.again = Some(ms(200));
    failed
}

/// What fate does when the machine waits, picks or starts.
#[derive(Clone, Debug)]
enum Fate {
    Pass,
    Fail { which: usize, failed: Failed },
    Answer { which: usize },
    Pick { deployment: Key, sound: bool },
    None { limited: bool, retry_in: Option<u64> },
    Unpaid,
    Refused,
}

fn fate() -> impl Strategy<Value = Fate> {
    let failed = (any::<bool>(), proptest::option::of(0_u64..4_000), any::<bool>(), any::<bool>()).prop_map(
        |(elsewhere, again, billed, limited)| {
            let mut failed = Failed::elsewhere();
            failed.elsewhere = elsewhere;
            failed.again = again.map(ms);
            failed.billed = billed;
            failed.limited = limited;
            failed
        },
    );
    prop_oneof![
        3 => Just(Fate::Pass),
        5 => (0_usize..4, failed).prop_map(|(which, failed)| Fate::Fail { which, failed }),
        1 => (0_usize..4).prop_map(|which| Fate::Answer { which }),
        6 => (0_u32..5, any::<bool>()).prop_map(|(deployment, sound)| Fate::Pick { deployment, sound }),
        3 => (any::<bool>(), proptest::option::of(0_u64..5_000)).prop_map(|(limited, retry_in)| Fate::None { limited, retry_in }),
        1 => Just(Fate::Unpaid),
        1 => Just(Fate::Refused),
    ]
}

/// Few deployments, failures that may pass at once, and one start in three refused.
fn fate_at_a_door() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => (0_u32..3).prop_map(|deployment| Fate::Pick { deployment, sound: true }),
        3 => (0_usize..4).prop_map(|which| Fate::Fail { which, failed: server_error() }),
        3 => Just(Fate::Refused),
        1 => Just(Fate::None { limited: false, retry_in: None }),
    ]
}

/// All that was seen of one call.
#[derive(Default)]
struct Seen {
    /// Every deployment that was to be started, whether or not it took the attempt.
    offers: Vec<Key>,
    starts: Vec<(Key, Instant)>,
    free: usize,
    finish: Option<(Finish, Instant)>,
}

/// What a tier has, as fate will.
fn picked(fate: Fate, excluded: &[Key], now: Instant) -> Picked {
    match fate {
        Fate::Pick { deployment, sound } if !excluded.contains(&deployment) => {
            Picked::Found { deployment, sound }
        }
        Fate::Unpaid => Picked::Full,
        Fate::None { limited, retry_in } => {
            Picked::Nothing { limited, retry_at: retry_in.map(|wait| now + ms(wait)) }
        }
        _ => nothing(),
    }
}

/// Plays a call against fate until it ends; fails if it does not end within a generous number of steps.
fn play(plan: CallPlan, begin: Instant, fates: &[Fate]) -> Seen {
    let mut call = Call::new(plan);
    let mut seen = Seen::default();
    let mut running: Vec<u8> = Vec::new();
    let mut now = begin;
    let mut fates = fates.iter().cloned().chain(std::iter::repeat(Fate::Pass));
    for _ in 0..10_000 {
        let fate = fates.next().expect("endless");
        match call.next(now) {
            Step::Finish(finish) => {
                seen.finish = Some((finish, now));
                return seen;
            }
            Step::Queue { until } => {
                assert!(until > now && until < plan.deadline, "a wait for a place ends before the call");
                match fate {
                    Fate::Pick { .. } => call.on_place(),
                    _ => now = until,
                }
            }
            Step::Hedge { .. } => {
                call.on_hedge(match fate {
                    Fate::Pick { deployment, .. } => Some(deployment),
                    _ => None,
                });
            }
            Step::GiveUp { attempt } => panic!("attempt {attempt} is no rescue"),
            Step::Wait(at) => {
                assert!(at > now, "a wait that has passed is a busy loop");
                assert!(at <= plan.deadline, "nothing is waited for beyond the deadline");
                match fate {
                    Fate::Fail { which, failed } if !running.is_empty() => {
                        let attempt = running.remove(which % running.len());
                        call.on_failed(attempt, failed);
                    }
                    Fate::Answer { which } if !running.is_empty() => {
                        call.on_answer(running[which % running.len()]);
                    }
                    _ => now = at,
                }
            }
            Step::Pick { .. } => {
                let excluded = call.excluded().to_vec();
                call.on_pick(picked(fate, &excluded, now), now);
            }
            Step::Start { deployment, price, .. } => {
                seen.offers.push(deployment);
                match fate {
                    Fate::Unpaid if price != Price::Free => call.on_unpaid(),
                    Fate::Refused => call.on_refused(None),
                    _ => {
                        seen.free += usize::from(price == Price::Free);
                        seen.starts.push((deployment, now));
                        let attempt = call.on_start(now + ms(700));
                        call.hedge_from(attempt, now + ms(300));
                        running.push(attempt);
                    }
                }
            }
        }
    }
    panic!("the call did not end");
}

/// A call's beginning and its bounds.
fn plans() -> impl Strategy<Value = (Instant, CallPlan)> {
    (0_u8..4, 0_u8..6, 1_u64..20_000, any::<bool>()).prop_map(|(tiers, most, total, budget)| {
        let begin = t0();
        let mut plan = CallPlan::new(tiers, most, begin + ms(total));
        plan.budget = budget;
        (begin, plan)
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2048,
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// **It ends.** Whatever happens, the call ends by its deadline, and starts nothing at or after it. Fails if `next`
    /// forgets the deadline while it seeks or pauses.
    #[test]
    fn a_call_ends_by_its_deadline((begin, plan) in plans(), fates in vec(fate(), 0..60)) {
        let seen = play(plan, begin, &fates);
        let (_, at) = seen.finish.expect("it ended");
        prop_assert!(at <= plan.deadline);
        prop_assert!(seen.starts.iter().all(|(_, at)| *at < plan.deadline));
    }

    /// **Few attempts.** No call starts more than `max_attempts`, at most two of them free, and none free twice over.
    /// Fails if the attempt beside a silent one is not counted, or a repeat is free.
    #[test]
    fn a_call_keeps_to_its_attempts((begin, plan) in plans(), fates in vec(fate(), 0..60)) {
        let seen = play(plan, begin, &fates);
        prop_assert!(seen.starts.len() <= usize::from(plan.max_attempts.max(1)));
        prop_assert!(seen.free <= 2);
        if !plan.budget {
            prop_assert!(seen.starts.len() <= 2);
        }
    }

    /// **Nobody is pestered.** A deployment is chosen a second time at most once in a call, whether it took the attempt or
    /// its door was closed. Fails if a repeat is not remembered, started or refused, or exclusions are lost with the tier.
    #[test]
    fn a_deployment_is_asked_at_most_twice((begin, plan) in plans(), fates in prop_oneof![vec(fate(), 0..60), vec(fate_at_a_door(), 5..60)]) {
        let seen = play(plan, begin, &fates);
        for key in 0..5 {
            prop_assert!(seen.offers.iter().filter(|deployment| **deployment == key).count() <= 2, "{:?}", seen.offers);
        }
    }

    /// **The end is the end.** After a finish, no input changes it. Fails if a late failure reopens the search.
    #[test]
    fn nothing_happens_after_the_end(fates in vec(fate(), 0..40), late in vec(fate(), 1..20)) {
        let begin = t0();
        let plan = CallPlan::new(2, 4, begin + ms(5_000));
        let mut call = Call::new(plan);
        call.next(begin);
        call.on_pick(found(0), begin);
        let first = call.on_start(begin + ms(700));
        call.on_answer(first);
        let finish = call.next(begin);
        for fate in fates.into_iter().chain(late) {
            match fate {
                Fate::Fail { which, failed } => call.on_failed(u8::try_from(which).unwrap_or(0), failed),
                Fate::Answer { which } => call.on_answer(u8::try_from(which).unwrap_or(0)),
                Fate::Pick { deployment, sound } => call.on_pick(Picked::Found { deployment, sound }, begin),
                Fate::None { .. } => call.on_pick(nothing(), begin),
                Fate::Unpaid => call.on_unpaid(),
                Fate::Refused => call.on_place(),
                Fate::Pass => call.on_cancelled(),
            }
            prop_assert_eq!(call.next(begin + ms(10_000)), finish);
        }
    }
}
