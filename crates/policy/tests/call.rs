//! One call's life: the order of rescue as stories. The laws that hold for every history are in `laws`.

use std::time::{Duration, Instant};

use outrigger_policy::{Call, CallPlan, Failed, Finish, Key, Mode, Picked, Price, Step};

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

/// Picks and starts `deployment`, which must cost `price`; returns the attempt's ordinal.
fn start(call: &mut Call, tier: u8, deployment: Key, price: Price, now: Instant) -> u8 {
    assert_eq!(call.next(now), Step::Pick { tier, mode: Mode::Fresh });
    call.on_pick(found(deployment), now);
    assert_eq!(call.next(now), Step::Start { deployment, price, mode: Mode::Fresh });
    call.on_start(now + ms(1_000))
}

/// `tier` is asked for, and has nobody left.
fn empty(call: &mut Call, tier: u8, now: Instant) {
    assert_eq!(call.next(now), Step::Pick { tier, mode: Mode::Fresh });
    call.on_pick(nothing(), now);
}

fn server_error() -> Failed {
    let mut failed = Failed::elsewhere();
    failed.again = Some(ms(200));
    failed
}

fn limited(wait: Duration, now: Instant) -> Failed {
    let mut failed = Failed::elsewhere();
    failed.again = Some(wait);
    failed.billed = false;
    failed.limited = true;
    failed.limited_until = Some(now + wait);
    failed
}

#[test]
fn a_failure_goes_to_another_deployment_of_the_tier_at_once_and_free() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(2, 4, now + ms(10_000)));
    let first = start(&mut call, 0, 7, Price::Free, now);
    call.on_failed(first, server_error());
    assert_eq!(call.excluded(), [7]);
    let second = start(&mut call, 0, 8, Price::Free, now);
    call.on_answer(second);
    assert_eq!(call.next(now), Step::Finish(Finish::Answered { attempt: second }));
}

#[test]
fn only_the_first_failover_is_free() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(1, 4, now + ms(10_000)));
    for (deployment, price) in [(1, Price::Free), (2, Price::Free), (3, Price::Budget(14))] {
        let attempt = start(&mut call, 0, deployment, price, now);
        call.on_failed(attempt, server_error());
    }
}

#[test]
fn a_failover_to_an_unsound_deployment_is_paid_by_the_budget() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(1, 4, now + ms(10_000)));
    let first = start(&mut call, 0, 1, Price::Free, now);
    call.on_failed(first, limited(ms(60_000), now));
    assert_eq!(call.next(now), Step::Pick { tier: 0, mode: Mode::Fresh });
    call.on_pick(Picked::Found { deployment: 2, sound: false }, now);
    assert_eq!(call.next(now), Step::Start { deployment: 2, price: Price::Budget(5), mode: Mode::Fresh });
    call.on_unpaid();
    assert!(matches!(call.next(now), Step::Finish(Finish::Limited { retry_at: Some(_) })));
}

#[test]
fn the_tiers_last_is_asked_again_after_a_pause_and_then_the_next_tier() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(2, 4, now + ms(10_000)));
    let first = start(&mut call, 0, 1, Price::Free, now);
    call.on_failed(first, server_error());
    empty(&mut call, 0, now);
    let later = now + ms(200);
    assert_eq!(call.next(now), Step::Wait(later));
    assert_eq!(call.next(later), Step::Start { deployment: 1, price: Price::Budget(14), mode: Mode::Fresh });
    let again = call.on_start(later + ms(1_000));
    call.on_failed(again, server_error());
    empty(&mut call, 0, later);
    assert_eq!(
        call.next(later),
        Step::Pick { tier: 1, mode: Mode::Fresh },
        "a deployment is asked again only once"
    );
}

#[test]
fn the_last_attempt_goes_to_the_next_tier_rather_than_to_a_place_that_failed() {
    let now = t0();
    for (tiers, goes_on) in [(2, true), (1, false)] {
        let mut call = Call::new(CallPlan::new(tiers, 3, now + ms(10_000)));
        for (deployment, price) in [(1, Price::Free), (2, Price::Free)] {
            let attempt = start(&mut call, 0, deployment, price, now);
            call.on_failed(attempt, server_error());
        }
        if !goes_on {
            empty(&mut call, 0, now);
        }
        let expected =
            if goes_on { Step::Pick { tier: 1, mode: Mode::Fresh } } else { Step::Wait(now + ms(200)) };
        assert_eq!(call.next(now), expected, "of {tiers} tiers");
    }
}

#[test]
fn a_tier_of_many_keeps_the_last_attempt_only_when_nobody_else_is_there() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(3, 4, now + ms(10_000)));
    for (deployment, price) in [(1, Price::Free), (2, Price::Free), (3, Price::Budget(14))] {
        let attempt = start(&mut call, 0, deployment, price, now);
        call.on_failed(attempt, server_error());
    }
    empty(&mut call, 1, now);
    empty(&mut call, 2, now);
    let fourth = start(&mut call, 0, 4, Price::Budget(14), now);
    call.on_failed(fourth, server_error());
    assert_eq!(call.next(now), Step::Finish(Finish::Exhausted));
}

#[test]
fn the_one_failover_of_two_attempts_stays_in_its_tier() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(2, 2, now + ms(10_000)));
    let first = start(&mut call, 0, 1, Price::Free, now);
    call.on_failed(first, server_error());
    assert_eq!(call.next(now), Step::Pick { tier: 0, mode: Mode::Fresh });
}

#[test]
fn limits_met_everywhere_are_told_as_limits_though_a_tier_was_passed_over() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(2, 4, now + ms(10_000)));
    for (deployment, price) in [(1, Price::Free), (2, Price::Free), (3, Price::Budget(5))] {
        let attempt = start(&mut call, 0, deployment, price, now);
        call.on_failed(attempt, limited(ms(30_000), now));
    }
    assert_eq!(call.next(now), Step::Pick { tier: 1, mode: Mode::Fresh });
    call.on_pick(Picked::Nothing { retry_at: Some(now + ms(9_000)), limited: true }, now);
    empty(&mut call, 0, now);
    assert_eq!(call.next(now), Step::Finish(Finish::Limited { retry_at: Some(now + ms(9_000)) }));
}

#[test]
fn a_short_limit_is_waited_for_before_a_lower_tier_and_a_long_one_is_not() {
    for (wait, waits) in [(ms(1_500), true), (ms(30_000), false)] {
        let now = t0();
        let mut call = Call::new(CallPlan::new(2, 4, now + ms(60_000)));
        let first = start(&mut call, 0, 1, Price::Free, now);
        call.on_failed(first, limited(wait, now));
        empty(&mut call, 0, now);
        let expected = if waits { Step::Wait(now + wait) } else { Step::Pick { tier: 1, mode: Mode::Fresh } };
        assert_eq!(call.next(now), expected);
    }
}

#[test]
fn with_nowhere_else_to_go_a_limit_is_told_at_once() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(1, 4, now + ms(60_000)));
    let first = start(&mut call, 0, 1, Price::Free, now);
    call.on_failed(first, limited(ms(800), now));
    empty(&mut call, 0, now);
    assert_eq!(call.next(now), Step::Finish(Finish::Limited { retry_at: Some(now + ms(800)) }));
}

#[test]
fn a_silent_attempt_gets_one_beside_it_and_the_first_to_speak_wins() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(1, 4, now + ms(60_000)));
    let silent = start(&mut call, 0, 1, Price::Free, now);
    assert_eq!(call.next(now), Step::Wait(now + ms(1_000)));
    let later = now + ms(1_000);
    let second = start(&mut call, 0, 2, Price::Free, later);
    assert_eq!(call.next(later), Step::Wait(later + ms(1_000)), "the first one still runs");
    call.on_answer(silent);
    assert_eq!(call.next(later), Step::Finish(Finish::Answered { attempt: silent }));
    call.on_answer(second);
    assert_eq!(
        call.next(later),
        Step::Finish(Finish::Answered { attempt: silent }),
        "a late answer changes nothing"
    );
}

#[test]
fn with_nowhere_else_to_go_silence_is_waited_out_to_the_deadline() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(1, 4, now + ms(5_000)));
    let _silent = start(&mut call, 0, 1, Price::Free, now);
    let later = now + ms(1_000);
    empty(&mut call, 0, later);
    assert_eq!(call.next(later), Step::Wait(now + ms(5_000)));
    assert_eq!(call.next(now + ms(5_000)), Step::Finish(Finish::Deadline));
}

/// The circuit of the last deployment opened in the pause before its second try: there is nothing left to wait for.
#[test]
fn a_refused_repeat_is_not_sought_again() {
    for (tiers, expected) in
        [(1, Step::Finish(Finish::Exhausted)), (2, Step::Pick { tier: 1, mode: Mode::Fresh })]
    {
        let now = t0();
        let mut call = Call::new(CallPlan::new(tiers, 4, now + ms(60_000)));
        let first = start(&mut call, 0, 1, Price::Free, now);
        call.on_failed(first, server_error());
        empty(&mut call, 0, now);
        let later = now + ms(200);
        assert_eq!(call.next(now), Step::Wait(later));
        assert_eq!(
            call.next(later),
            Step::Start { deployment: 1, price: Price::Budget(14), mode: Mode::Fresh }
        );
        call.on_refused(Some(later + ms(30_000)));
        empty(&mut call, 0, later);
        assert_eq!(call.next(later), expected, "{tiers} tiers");
    }
}

/// **A second try is no failover.** Before a lower tier the same deployment is asked again, at the bucket's cost; the failover
/// that follows is still the request's own. Fails if a repeat spends what is free.
#[test]
fn a_repeat_leaves_the_free_failover_unspent() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(2, 4, now + ms(10_000)));
    let first = start(&mut call, 0, 1, Price::Free, now);
    call.on_failed(first, limited(ms(800), now));
    empty(&mut call, 0, now);
    let later = now + ms(800);
    assert_eq!(call.next(later), Step::Start { deployment: 1, price: Price::Budget(5), mode: Mode::Fresh });
    let second = call.on_start(later + ms(1_000));
    call.on_failed(second, limited(ms(800), later));
    empty(&mut call, 0, later);
    start(&mut call, 1, 2, Price::Free, later);
}

/// A second try that the bucket does not pay for is none: the next tier is asked, at the request's own expense. Fails if an empty
/// bucket ends the call while somebody is left.
#[test]
fn a_repeat_that_is_not_paid_for_leads_to_the_next_tier() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(2, 4, now + ms(10_000)));
    let first = start(&mut call, 0, 1, Price::Free, now);
    call.on_failed(first, limited(ms(800), now));
    empty(&mut call, 0, now);
    let later = now + ms(800);
    assert_eq!(call.next(later), Step::Start { deployment: 1, price: Price::Budget(5), mode: Mode::Fresh });
    call.on_unpaid();
    empty(&mut call, 0, later);
    start(&mut call, 1, 2, Price::Free, later);
}

#[test]
fn a_callers_fault_ends_the_call() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(2, 4, now + ms(5_000)));
    let first = start(&mut call, 0, 1, Price::Free, now);
    let mut fault = Failed::elsewhere();
    fault.elsewhere = false;
    call.on_failed(first, fault);
    assert_eq!(call.next(now), Step::Finish(Finish::Rejected));
}

/// What is too long for one model goes on to others; when nobody is left, that is what the caller hears, and not that all failed.
#[test]
fn a_refused_request_goes_on_and_is_told_when_nobody_will_take_it() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(2, 4, now + ms(5_000)));
    let first = start(&mut call, 0, 1, Price::Free, now);
    let mut refused = Failed::elsewhere();
    refused.refused = true;
    call.exclude(2);
    call.exclude(1);
    call.on_failed(first, refused);
    assert_eq!(call.excluded(), [1, 2]);
    empty(&mut call, 0, now);
    empty(&mut call, 1, now);
    assert_eq!(call.next(now), Step::Finish(Finish::Rejected));
}

/// Two run beside each other; the request is too long for the model of both, and the second one's own failure would let it be
/// asked again. Fails if what is left out for good is left out of picks alone.
#[test]
fn what_is_left_out_for_good_is_not_asked_a_second_time() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(1, 4, now + ms(60_000)));
    let first = start(&mut call, 0, 1, Price::Free, now);
    let later = now + ms(1_000);
    let second = start(&mut call, 0, 2, Price::Free, later);
    call.exclude(1);
    call.exclude(2);
    call.on_failed(first, Failed::elsewhere());
    call.on_failed(second, server_error());
    empty(&mut call, 0, later);
    assert_eq!(call.next(later), Step::Finish(Finish::Exhausted));
}

#[test]
fn no_candidate_at_all_is_unavailable_and_says_when() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(2, 4, now + ms(5_000)));
    for tier in 0..2 {
        assert_eq!(call.next(now), Step::Pick { tier, mode: Mode::Fresh });
        call.on_pick(Picked::Nothing { retry_at: Some(now + ms(u64::from(tier) + 1)), limited: false }, now);
    }
    assert_eq!(call.next(now), Step::Finish(Finish::Unavailable { retry_at: Some(now + ms(1)) }));
}

#[test]
fn a_caller_that_retries_by_itself_gets_its_free_failover_and_no_more() {
    let now = t0();
    let mut plan = CallPlan::new(1, 2, now + ms(5_000));
    plan.budget = false;
    let mut call = Call::new(plan);
    let first = start(&mut call, 0, 1, Price::Free, now);
    call.on_failed(first, server_error());
    assert_eq!(call.next(now), Step::Pick { tier: 0, mode: Mode::Fresh });
    call.on_pick(Picked::Found { deployment: 2, sound: false }, now);
    assert_eq!(call.next(now), Step::Finish(Finish::Exhausted));
}

#[test]
fn a_slow_attempt_gets_one_beside_it_once_and_paid_by_the_budget() {
    let now = t0();
    let mut call = Call::new(CallPlan::new(1, 4, now + ms(60_000)));
    let slow = start(&mut call, 0, 1, Price::Free, now);
    call.hedge_from(slow, now + ms(300));
    assert_eq!(call.next(now), Step::Wait(now + ms(300)));
    let later = now + ms(300);
    assert_eq!(call.next(later), Step::Hedge { tier: 0 });
    call.on_hedge(Some(2));
    assert_eq!(call.next(later), Step::Start { deployment: 2, price: Price::Budget(14), mode: Mode::Fresh });
    let hedge = call.on_start(later + ms(1_000));
    assert_eq!(call.next(later), Step::Wait(now + ms(1_000)), "the patience with the slow one is as it was");
    call.on_failed(slow, server_error());
    assert_eq!(
        call.next(later),
        Step::Wait(later + ms(1_000)),
        "its hedge is awaited, and no third one started"
    );
    call.on_failed(hedge, server_error());
    assert_eq!(call.next(later), Step::Pick { tier: 0, mode: Mode::Fresh });
    call.on_pick(found(3), later);
    let free = Step::Start { deployment: 3, price: Price::Free, mode: Mode::Fresh };
    assert_eq!(call.next(later), free, "the hedge was no failover");
}

#[test]
fn a_hedge_that_may_not_be_changes_nothing() {
    let now = t0();
    for refuse in [|call: &mut Call| call.on_hedge(None), |call: &mut Call| call.on_hedge(Some(1))] {
        let mut call = Call::new(CallPlan::new(1, 4, now + ms(60_000)));
        let slow = start(&mut call, 0, 1, Price::Free, now);
        call.hedge_from(slow, now + ms(300));
        assert_eq!(call.next(now + ms(300)), Step::Hedge { tier: 0 });
        refuse(&mut call);
        assert_eq!(call.next(now + ms(300)), Step::Wait(now + ms(1_000)));
    }
    for refuse in [|call: &mut Call| call.on_unpaid(), |call: &mut Call| call.on_refused(None)] {
        let mut call = Call::new(CallPlan::new(1, 4, now + ms(60_000)));
        let slow = start(&mut call, 0, 1, Price::Free, now);
        call.hedge_from(slow, now + ms(300));
        call.next(now + ms(300));
        call.on_hedge(Some(2));
        call.next(now + ms(300));
        refuse(&mut call);
        assert_eq!(call.next(now + ms(300)), Step::Wait(now + ms(1_000)));
        assert_eq!(call.excluded(), [1], "it may still be failed over to");
    }
}
