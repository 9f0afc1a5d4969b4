//! An answer that broke off: who is asked for the rest, in which order, and when it is given up.

use std::time::{Duration, Instant};

use outrigger_policy::{Broken, Call, CallPlan, Failed, Finish, Key, Mode, Picked, Price, Step};
use proptest::{collection::vec, prelude::*};

#[expect(clippy::disallowed_methods, reason = "the one reading of the clock: all times are relative to it")]
fn t0() -> Instant {
    Instant::now()
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const TRUNCATED: Step = Step::Finish(Finish::Truncated);

fn cut() -> Failed {
    let mut failed = Failed::elsewhere();
    failed.again = Some(ms(200));
    failed
}

fn refusal() -> Failed {
    let mut failed = Failed::elsewhere();
    failed.elsewhere = false;
    failed
}

fn rescuable(failed: Failed, now: Instant, continues: bool) -> Broken {
    let mut broken = Broken::new(failed);
    broken.rescue_by = Some(now + ms(3_600_000));
    broken.continues = continues;
    broken
}

/// A call over `tiers` tiers whose answer flows from deployment 1.
fn answered(tiers: u8, most: u8, now: Instant) -> Call {
    let mut call = Call::new(CallPlan::new(tiers, most, now + ms(10_000)));
    call.next(now);
    call.on_pick(Picked::Found { deployment: 1, sound: true }, now);
    call.next(now);
    let attempt = call.on_start(now + ms(1_000));
    call.on_answer(attempt);
    assert_eq!(call.next(now), Step::Finish(Finish::Answered { attempt: 0 }));
    call
}

/// `tier` is asked for in `mode`, and has nobody.
fn empty(call: &mut Call, tier: u8, mode: Mode, now: Instant) {
    assert_eq!(call.next(now), Step::Pick { tier, mode });
    call.on_pick(Picked::Nothing { retry_at: None, limited: false }, now);
}

/// `tier` is asked for in `mode` and has `deployment`, which starts.
fn start(call: &mut Call, tier: u8, mode: Mode, deployment: Key, now: Instant) -> u8 {
    assert_eq!(call.next(now), Step::Pick { tier, mode });
    call.on_pick(Picked::Found { deployment, sound: true }, now);
    assert_eq!(call.next(now), Step::Start { deployment, price: Price::Budget(14), mode });
    call.on_start(now + ms(1_000))
}

#[test]
fn a_broken_answer_is_continued_elsewhere_for_the_price_of_a_billed_attempt() {
    let now = t0();
    let mut call = answered(2, 4, now);
    call.on_broke(0, rescuable(cut(), now, false));
    assert!(call.is_rescuing());
    empty(&mut call, 0, Mode::Continue, now);
    let rest = start(&mut call, 1, Mode::Continue, 7, now);
    assert_eq!(call.next(now), Step::Wait(now + ms(1_000)));
    call.on_answer(rest);
    assert_eq!(call.next(now), Step::Finish(Finish::Answered { attempt: rest }));
    assert!(!call.is_rescuing());
}

#[test]
fn without_anybody_who_continues_it_is_restarted_in_the_order_of_tiers() {
    let now = t0();
    let mut call = answered(2, 4, now);
    call.on_broke(0, rescuable(Failed::elsewhere(), now, true));
    empty(&mut call, 0, Mode::Continue, now);
    empty(&mut call, 1, Mode::Continue, now);
    let first = start(&mut call, 0, Mode::Restart, 2, now);
    call.on_failed(first, cut());
    empty(&mut call, 0, Mode::Restart, now);
    let second = start(&mut call, 1, Mode::Restart, 3, now);
    call.on_answer(second);
    assert_eq!(call.next(now), Step::Finish(Finish::Answered { attempt: second }));
}

/// Who has one deployment has no other: a cut is nobody's illness. What was silent is not asked again.
#[test]
fn the_one_that_broke_comes_last_of_its_kind_and_only_if_its_failure_may_pass() {
    let now = t0();
    for (failed, continues, mode) in [
        (cut(), true, Some(Mode::Continue)),
        (cut(), false, Some(Mode::Restart)),
        (Failed::elsewhere(), true, None),
    ] {
        let mut call = answered(1, 4, now);
        call.on_broke(0, rescuable(failed, now, continues));
        empty(&mut call, 0, Mode::Continue, now);
        if mode != Some(Mode::Continue) {
            empty(&mut call, 0, Mode::Restart, now);
        }
        let Some(mode) = mode else {
            assert_eq!(call.next(now), TRUNCATED);
            continue;
        };
        let later = now + ms(200);
        assert_eq!(call.next(now), Step::Wait(later), "after a pause");
        assert_eq!(call.next(later), Step::Start { deployment: 1, price: Price::Budget(14), mode });
    }
}

/// The one that refuses is well: it may give the answer anew.
#[test]
fn a_refused_continuation_becomes_a_restart() {
    let now = t0();
    let mut call = answered(2, 4, now);
    call.on_broke(0, rescuable(cut(), now, false));
    let refused = start(&mut call, 0, Mode::Continue, 2, now);
    assert_eq!(call.excluded(), [1, 2]);
    call.on_failed(refused, refusal());
    assert_eq!(call.excluded(), [1]);
    let anew = start(&mut call, 0, Mode::Restart, 2, now);
    call.on_failed(anew, refusal());
    assert_eq!(call.next(now), TRUNCATED, "a refused restart is the end");
}

#[test]
fn a_silent_rescue_is_given_up_and_one_more_is_tried() {
    let now = t0();
    let mut call = answered(1, 9, now);
    call.on_broke(0, rescuable(Failed::elsewhere(), now, false));
    let first = start(&mut call, 0, Mode::Continue, 2, now);
    let later = now + ms(1_000);
    assert_eq!(call.next(later), Step::GiveUp { attempt: first });
    assert_eq!(call.next(later), Step::GiveUp { attempt: first }, "until it is reported");
    call.on_silent(first);
    let second = start(&mut call, 0, Mode::Continue, 3, later);
    let later = later + ms(1_000);
    assert_eq!(call.next(later), Step::GiveUp { attempt: second });
    call.on_silent(second);
    assert_eq!(call.next(later), TRUNCATED);
}

#[test]
fn a_restart_that_speaks_is_given_its_time() {
    let now = t0();
    let mut call = answered(1, 4, now);
    call.on_broke(0, rescuable(Failed::elsewhere(), now, false));
    empty(&mut call, 0, Mode::Continue, now);
    let anew = start(&mut call, 0, Mode::Restart, 2, now);
    call.on_speaking(anew);
    assert_eq!(call.next(now + ms(60_000)), Step::Wait(now + ms(3_600_000)));
    assert_eq!(call.next(now + ms(3_600_000)), TRUNCATED, "within the longest stream");
}

#[test]
fn what_is_not_allowed_not_paid_or_one_attempt_too_many_is_truncated() {
    let now = t0();
    let mut not_allowed = answered(1, 4, now);
    not_allowed.on_broke(0, Broken::new(cut()));
    assert_eq!(not_allowed.next(now), TRUNCATED);

    let mut unpaid = answered(1, 4, now);
    unpaid.on_broke(0, rescuable(cut(), now, false));
    unpaid.next(now);
    unpaid.on_pick(Picked::Found { deployment: 2, sound: true }, now);
    unpaid.next(now);
    unpaid.on_unpaid();
    assert_eq!(unpaid.next(now), TRUNCATED);

    let mut too_many = answered(1, 1, now);
    too_many.on_broke(0, rescuable(cut(), now, false));
    assert_eq!(too_many.next(now), TRUNCATED);

    let mut refused = answered(1, 4, now);
    refused.on_broke(0, rescuable(refusal(), now, false));
    assert_eq!(refused.next(now), TRUNCATED, "what the provider would not say elsewhere either");

    let mut another = answered(1, 4, now);
    another.on_broke(1, rescuable(cut(), now, false));
    assert_eq!(another.next(now), Step::Finish(Finish::Answered { attempt: 0 }), "not the one that answers");
}

/// What becomes of each step of a rescue.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Found(Key),
    Nobody,
    Unpaid,
    Closed,
    Fails,
    Refuses,
    Speaks,
    Answers,
    Breaks,
    Passes,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => (0_u32..4).prop_map(Fate::Found),
        3 => Just(Fate::Nobody),
        1 => Just(Fate::Unpaid),
        1 => Just(Fate::Closed),
        2 => Just(Fate::Fails),
        2 => Just(Fate::Refuses),
        1 => Just(Fate::Speaks),
        1 => Just(Fate::Answers),
        1 => Just(Fate::Breaks),
        3 => Just(Fate::Passes),
    ]
}

/// What fate does to a running attempt; whether it still runs.
fn befalls(call: &mut Call, attempt: u8, fate: Fate) -> bool {
    match fate {
        Fate::Fails => call.on_failed(attempt, cut()),
        Fate::Refuses => call.on_failed(attempt, refusal()),
        Fate::Answers => call.on_answer(attempt),
        Fate::Speaks => {
            call.on_speaking(attempt);
            return true;
        }
        _ => return true,
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1024,
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// **A rescue ends, and costs.** Whatever happens to it, it is over by its instant, starts no more than the call's
    /// attempts, one at a time, never for free, never at a deployment that is left out save the one that broke, and ends as
    /// an answer or truncated. Fails if a refusal or a silence is not counted, or the one that broke is repeated twice.
    #[test]
    fn a_rescue_ends_in_an_answer_or_truncated(tiers in 1_u8..3, continues: bool, fates in vec(fate(), 0..60)) {
        let begin = t0();
        let mut now = begin;
        let mut call = answered(tiers, 5, now);
        let broken = rescuable(cut(), now, continues);
        let until = broken.rescue_by.unwrap_or(now);
        call.on_broke(0, broken);
        let (mut starts, mut repeats, mut running) = (1, 0, None);
        let mut fates = fates.into_iter().chain(std::iter::repeat(Fate::Passes));
        loop {
            let fate = fates.next().unwrap_or(Fate::Passes);
            match call.next(now) {
                Step::Finish(Finish::Answered { attempt }) => {
                    if !matches!(fate, Fate::Breaks) {
                        break;
                    }
                    repeats = 0;
                    call.on_broke(attempt, broken);
                }
                Step::Finish(finish) => {
                    prop_assert_eq!(finish, Finish::Truncated);
                    break;
                }
                Step::Pick { mode, .. } => {
                    prop_assert!(mode != Mode::Fresh);
                    let left_out = call.excluded().to_vec();
                    call.on_pick(match fate {
                        Fate::Found(deployment) if !left_out.contains(&deployment) => Picked::Found { deployment, sound: true },
                        _ => Picked::Nothing { retry_at: None, limited: false },
                    }, now);
                }
                Step::Start { deployment, price, mode } => {
                    prop_assert_eq!(price, Price::Budget(14));
                    prop_assert!(mode != Mode::Fresh && running.is_none());
                    match fate {
                        Fate::Unpaid => call.on_unpaid(),
                        Fate::Closed => call.on_refused(None),
                        _ => {
                            repeats += usize::from(call.excluded().contains(&deployment));
                            prop_assert!(repeats <= 2, "once to continue, once to begin anew");
                            starts += 1;
                            prop_assert!(starts <= 5 && now < until);
                            running = Some(call.on_start(now + ms(700)));
                        }
                    }
                }
                Step::Queue { .. } => prop_assert!(false, "a rescue does not queue"),
                Step::Hedge { .. } => prop_assert!(false, "a rescue is not hedged"),
                Step::GiveUp { attempt } => {
                    prop_assert_eq!(running.take(), Some(attempt));
                    call.on_silent(attempt);
                }
                Step::Wait(at) => {
                    prop_assert!(at > now && at <= until);
                    if running.is_some_and(|attempt| !befalls(&mut call, attempt, fate)) {
                        running = None;
                    } else if !matches!(fate, Fate::Speaks) || running.is_none() {
                        now = at;
                    }
                }
            }
        }
        prop_assert!(now <= until);
    }
}
