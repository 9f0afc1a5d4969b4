//! As many at a time as a deployment may have: who waits for a place, for how long, and who is told that there is none.

use std::num::NonZeroU32;

use outrigger::{CallError, Config, config::Target};
use sim::{Fault, When, World};
use tokio::time::Instant;

use crate::support::*;

/// One region for the first tier, with so many places, and perhaps another for the next.
fn with_places(world: &World, places: u32, reserve: bool) -> Config {
    let mut targets = vec![Target::new("holysheep", "gpt-4.1").regions(["us-east"])];
    targets.extend(reserve.then(|| Target::new("holysheep", "gpt-4.1").regions(["eu-west"]).tier(1)));
    let mut config = config_with(world, targets);
    for (_, provider) in &mut config.providers {
        for (_, region) in &mut provider.regions {
            region.limits.concurrent = NonZeroU32::new(places);
        }
    }
    config
}

/// The most that a region answers at one time, watched while `work` is done.
async fn most_in_flight<T>(harbour: &Harbour, work: impl Future<Output = T>) -> (u32, T) {
    let most = std::cell::Cell::new(0);
    let watch = async {
        loop {
            most.set(most.get().max(harbour.world.in_flight("us-east").unwrap()));
            tokio::time::sleep(ms(1)).await;
        }
    };
    tokio::select! {
        done = work => (most.get(), done),
        () = watch => unreachable!("it watches for ever"),
    }
}

/// **A place is waited for, in turn.** Twelve callers at once and three places: all are served, three at a time, in the order in
/// which they came. Fails if a nudge is lost, or a newcomer overtakes.
#[tokio::test(start_paused = true)]
async fn who_finds_all_places_taken_waits_in_turn() {
    for stream in [false, true] {
        let harbour = harbour_with(alike(), |world| with_places(world, 3, false), |builder| builder);
        let served = std::cell::RefCell::new(Vec::new());
        let (harbour, served) = (&harbour, &served);
        let calls = (0..12_u32).map(|caller| async move {
            tokio::time::sleep(ms(1) * caller).await;
            assert!(is_whole(&harbour.text_within(stream, secs(20)).await.unwrap()));
            served.borrow_mut().push(caller);
        });
        let (most, _) = most_in_flight(harbour, futures_util::future::join_all(calls)).await;
        assert_eq!(most, 3);
        let order = served.borrow().clone();
        let expected: Vec<u32> = (0..12).collect();
        assert_eq!(order, expected, "first come, first served");
        assert_eq!(harbour.total(), 12);
        harbour.assert_idle();
    }
}

/// **The wait has an end.** When no place comes free within a second the next tier is asked, and with no other tier the caller is
/// told that there is none.
#[tokio::test(start_paused = true)]
async fn a_place_is_waited_for_no_longer_than_a_second() {
    for reserve in [true, false] {
        let harbour = harbour_with(alike(), |world| with_places(world, 1, reserve), |builder| builder);
        harbour.inject("us-east", Fault::SlowFirstToken { delay: secs(8) });
        let harbour = &harbour;
        let second = async {
            tokio::time::sleep(ms(1)).await;
            let began = Instant::now();
            let answer = harbour.ask().await;
            (began.elapsed(), answer)
        };
        let (first, (took, second)) = tokio::join!(harbour.ask(), second);
        first.unwrap();
        assert_eq!(took.as_millis() / 100, 10, "after a second: {took:?}");
        match second {
            Ok(answer) => assert!(reserve && is_whole(&answer.text)),
            Err(error) => {
                let error = call_error(error);
                assert!(!reserve && matches!(error, CallError::NoDeployment { .. }), "{error}");
            }
        }
        assert_eq!((harbour.count("us-east"), harbour.count("eu-west")), (1, u64::from(reserve)));
        harbour.assert_idle();
    }
}

/// Callers who leave while they wait leave the queue: those behind them are served as if they had never come.
#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_leaves_the_queue() {
    let harbour = harbour_with(alike(), |world| with_places(world, 1, false), |builder| builder);
    let harbour = &harbour;
    let leaves = async {
        for _ in 0..5 {
            tokio::time::timeout(ms(2), harbour.ask()).await.unwrap_err();
        }
    };
    let stays = async {
        tokio::time::sleep(ms(20)).await;
        harbour.ask().await
    };
    let (first, (), last) = tokio::join!(harbour.ask(), leaves, stays);
    assert!(is_whole(&first.unwrap().text) && is_whole(&last.unwrap().text));
    assert_eq!(harbour.total(), 2, "those who left were never sent");
    harbour.assert_idle();
}

/// A provider that answers 'overloaded' to a crowd is given less of it at a time, and more again while it serves.
#[tokio::test(start_paused = true)]
async fn an_overloaded_region_is_given_fewer_at_a_time() {
    let harbour = harbour_with(alike(), |world| with_places(world, 4_000, true), |builder| builder);
    for _ in 0..9 {
        let refusal = Fault::RateLimit { retry_after: None };
        harbour.world.inject("us-east", refusal, When::always().first(1)).unwrap();
        let crowd = (0..10).map(|_| harbour.ask());
        for answer in futures_util::future::join_all(crowd).await {
            answer.unwrap();
        }
        // The wait that is inferred from a limit that names none.
        tokio::time::sleep(secs(6)).await;
    }
    let crowd = futures_util::future::join_all((0..40).map(|_| harbour.ask()));
    let (most, answers) = most_in_flight(&harbour, crowd).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!((4..40).contains(&most), "{most} at a time of forty");
    harbour.assert_idle();
}

/// **A silence beside a full neighbour is not for ever.** One region is silent, the other has one place, which is taken when the
/// caller's patience ends and free two seconds later: the caller is served there, long before its deadline. Fails if a call that waits
/// on for a silent attempt never asks again.
#[tokio::test(start_paused = true)]
async fn a_silent_region_is_left_once_its_full_neighbour_has_a_place() {
    let both = |world: &World| {
        let target = Target::new("holysheep", "gpt-4.1").regions(["us-east", "eu-west"]);
        let mut config = config_with(world, [target]);
        for (_, region) in config.providers.iter_mut().flat_map(|(_, provider)| &mut provider.regions) {
            region.limits.concurrent = NonZeroU32::new(1);
        }
        config
    };
    let harbour = harbour_with(alike(), both, |builder| builder);
    for _ in 0..20 {
        harbour.ask_stream().await.unwrap();
    }
    let taken = harbour.client.send(stream_request().region("eu-west")).await.unwrap();
    assert_eq!(&*taken.route.region, "eu-west");
    harbour.inject("us-east", Fault::Silent);
    let began = Instant::now();
    let (text, ()) = tokio::join!(harbour.text_within(true, secs(30)), async {
        tokio::time::sleep(secs(3)).await;
        drop(taken);
    });
    assert!(is_whole(&text.unwrap()));
    assert!(began.elapsed() <= secs(5), "served after {:?}", began.elapsed());
    harbour.assert_idle();
}
