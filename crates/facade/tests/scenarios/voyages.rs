//! Random weather: any faults at any times over any callers, and what holds all the same.
//!
//! Each case is a world, its faults and its callers, drawn by proptest; a case that breaks a promise is shrunk and printed whole,
//! so that it can be played again. `cargo xtask test --long` plays many more of them than the gate does.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use outrigger::{CallError, ChatError, config::Target};
use proptest::{prelude::*, sample::subsequence, test_runner::FileFailurePersistence};
use sim::{Fault, Quota, Region, When, World, WorldBuilder, answer_text};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::support::*;

/// Attempts of one request, the first included: the configuration's default.
const MOST_ATTEMPTS: usize = 4;
/// The tail of a stream that nobody answers any more ends after this: its idle limit, and the afterword's two seconds.
const TAIL: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
struct Voyage {
    seed: u64,
    places: Vec<Place>,
    troubles: Vec<Trouble>,
    callers: Vec<Caller>,
}

#[derive(Clone, Debug)]
struct Place {
    lower_tier: bool,
    latency_ms: u64,
    pace_ms: u64,
    /// Requests, and tokens where they are limited too, in ten seconds.
    quota: Option<(u32, Option<u32>)>,
    slots: Option<u32>,
}

#[derive(Clone, Debug)]
struct Trouble {
    place: usize,
    fault: Fault,
    share: f64,
    first: Option<u32>,
    after_ms: u64,
    lasting_ms: u64,
}

#[derive(Clone, Debug)]
struct Caller {
    at_ms: u64,
    stream: bool,
    deadline_ms: u64,
    /// When it hangs up, from its question.
    leaves_ms: Option<u64>,
    residency: Option<Vec<&'static str>>,
    prefers: Option<&'static str>,
}

fn fault() -> impl Strategy<Value = Fault> {
    let codes = vec![400_u16, 401, 402, 403, 404, 408, 409, 413, 422, 425, 429, 500, 502, 503, 504, 529];
    let wait = prop::option::of((0..60_000_u64).prop_map(Duration::from_millis));
    let numbers = (prop::sample::select(codes), wait, 0..25_u32, 0..30_000_u64, 1.0..100.0_f64);
    (prop::sample::select(Fault::all()), numbers).prop_map(|(fault, (code, wait, nth, delay_ms, times))| {
        let delay = Duration::from_millis(delay_ms);
        match fault {
            Fault::Status { .. } => {
                Fault::Status { code, retry_after: wait, body: None, headers: Vec::new() }
            }
            Fault::RateLimit { .. } => Fault::RateLimit { retry_after: wait },
            Fault::SlowFirstToken { .. } => Fault::SlowFirstToken { delay },
            Fault::SlowTokens { .. } => Fault::SlowTokens { delay: delay / 10 },
            Fault::Slow { .. } => Fault::Slow { factor: times },
            Fault::Cut { .. } => Fault::Cut { after: nth },
            Fault::Stall { .. } => Fault::Stall { after: nth },
            Fault::Malformed { .. } => Fault::Malformed { after: nth },
            other => other,
        }
    })
}

fn place() -> impl Strategy<Value = Place> {
    let quota = prop::option::weighted(0.3, (0..40_u32, prop::option::of(0..2_000_u32)));
    let slots = prop::option::weighted(0.3, 1..20_u32);
    (any::<bool>(), 1..400_u64, 0..20_u64, quota, slots).prop_map(
        |(lower_tier, latency_ms, pace_ms, quota, slots)| Place {
            lower_tier,
            latency_ms,
            pace_ms,
            quota,
            slots,
        },
    )
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let share = prop_oneof![Just(1.0), 0.0..1.0_f64];
    (0..REGIONS.len(), fault(), share, prop::option::of(0..20_u32), 0..60_000_u64, 0..60_000_u64).prop_map(
        |(place, fault, share, first, after_ms, lasting_ms)| Trouble {
            place,
            fault,
            share,
            first,
            after_ms,
            lasting_ms,
        },
    )
}

fn caller() -> impl Strategy<Value = Caller> {
    let leaves = prop::option::weighted(0.15, 0..20_000_u64);
    let residency = prop::option::weighted(0.3, subsequence(REGIONS.to_vec(), 1..=2));
    let prefers = prop::option::of(prop::sample::select(REGIONS.to_vec()));
    (0..60_000_u64, any::<bool>(), 100..40_000_u64, leaves, residency, prefers).prop_map(
        |(at_ms, stream, deadline_ms, leaves_ms, residency, prefers)| Caller {
            at_ms,
            stream,
            deadline_ms,
            leaves_ms,
            residency,
            prefers,
        },
    )
}

fn voyage() -> impl Strategy<Value = Voyage> {
    let places = prop::collection::vec(place(), REGIONS.len());
    let troubles = prop::collection::vec(trouble(), 0..8);
    let callers = prop::collection::vec(caller(), 1..40);
    (any::<u64>(), places, troubles, callers).prop_map(|(seed, places, troubles, callers)| Voyage {
        seed,
        places,
        troubles,
        callers,
    })
}

impl Voyage {
    fn world(&self) -> World {
        let regions = REGIONS.iter().zip(&self.places).map(|(name, place)| {
            let mut region = Region::new(*name).latency(ms(place.latency_ms)).pace(ms(place.pace_ms));
            region.slots = place.slots;
            region.quota = place.quota.map(|(requests, tokens)| {
                let quota = Quota::new(requests, secs(10));
                tokens.map_or(quota, |tokens| quota.tokens(tokens))
            });
            region
        });
        let world = regions.fold(World::builder().seed(self.seed), WorldBuilder::region).build().unwrap();
        for trouble in &self.troubles {
            let mut when = When::always().share(trouble.share);
            when = when.after(ms(trouble.after_ms)).lasting(ms(trouble.lasting_ms));
            when.first = trouble.first;
            world.inject(REGIONS[trouble.place], trouble.fault.clone(), when).unwrap();
        }
        world
    }

    /// The good model where a place is of the upper tier, another where it is not.
    fn targets(&self) -> Vec<Target> {
        let of = |lower| {
            let places = REGIONS.iter().zip(&self.places).filter(move |(_, place)| place.lower_tier == lower);
            places.map(|(name, _)| *name).collect::<Vec<_>>()
        };
        let tiers = [("gpt-4.1", 0, of(false)), ("deepseek-v3.2", 1, of(true))];
        let tiers = tiers.into_iter().filter(|(_, _, regions)| !regions.is_empty());
        tiers
            .map(|(model, tier, regions)| Target::new("holysheep", model).regions(regions).tier(tier))
            .collect()
    }
}

/// How a call ended for its caller.
#[derive(Debug)]
enum Ended {
    Whole(String),
    Refused(CallError),
    /// It hung up.
    Left,
}

/// Asks as `caller` does, and says how it ended, when it was sure of its answer or its error, and when it was over.
async fn ask(harbour: &Harbour, caller: &Caller, prompt: &str) -> (Ended, Duration, Duration) {
    let began = Instant::now();
    let mut chat =
        harbour.client.chat("chat").user(prompt).deadline(began.into_std() + ms(caller.deadline_ms));
    if let Some(residency) = &caller.residency {
        chat = chat.residency(residency.iter().copied());
    }
    if let Some(region) = caller.prefers {
        chat = chat.region(region);
    }
    let mut sure = None;
    let answer = async {
        if !caller.stream {
            return Ok(chat.send().await?.text);
        }
        let mut stream = chat.stream().await?;
        sure = Some(began.elapsed());
        let mut text = String::new();
        while let Some(piece) = stream.next().await {
            text.push_str(&piece?);
        }
        Ok(text)
    };
    let leaves = caller.leaves_ms.map_or_else(|| secs(3_600), ms);
    let ended = match timeout(leaves, answer).await {
        Ok(Ok(text)) => Ended::Whole(text),
        Ok(Err(ChatError::Call(error))) => Ended::Refused(error),
        Ok(Err(other)) => panic!("not a call's error: {other}"),
        Err(_) => Ended::Left,
    };
    let over = began.elapsed();
    (ended, sure.unwrap_or(over), over)
}

/// Plays it, holds every caller to its promise, and returns how many upstream calls it took.
fn check(voyage: &Voyage) -> u64 {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = voyage.world();
        let harbour = harbour_with(world, |world| config_with(world, voyage.targets()), |builder| builder);
        let start = Instant::now();
        let prompts: Vec<String> =
            (0..voyage.callers.len()).map(|number| format!("wave {number}?")).collect();
        let calls = voyage.callers.iter().zip(&prompts).map(|(caller, prompt)| async {
            sleep_until(start + ms(caller.at_ms)).await;
            ask(&harbour, caller, prompt).await
        });
        let ends = join_all(calls).await;
        for ((caller, prompt), (ended, sure, over)) in voyage.callers.iter().zip(&prompts).zip(ends) {
            check_caller(&harbour, caller, prompt, &ended, (sure, over));
        }
        tokio::task::yield_now().await;
        harbour.assert_idle();
        let asked = harbour.total();
        sleep(secs(60)).await;
        assert_eq!(harbour.total(), asked, "somebody was asked after the last caller had gone");
        asked
    })
}

fn check_caller(
    harbour: &Harbour,
    caller: &Caller,
    prompt: &str,
    ended: &Ended,
    (sure, over): (Duration, Duration),
) {
    let deadline = ms(caller.deadline_ms);
    assert!(
        sure <= deadline.min(caller.leaves_ms.map_or(deadline, ms)),
        "{prompt} {ended:?}: after {sure:?}"
    );
    match ended {
        Ended::Whole(text) => assert_eq!(*text, answer_text(prompt, 20), "{prompt}: taken for whole"),
        Ended::Refused(CallError::Truncated { .. }) => assert!(caller.stream && over >= sure),
        Ended::Refused(CallError::Rejected { status, .. }) => assert!(status.is_client_error(), "{status}"),
        Ended::Refused(_) => assert_eq!(over, sure, "{prompt} {ended:?}"),
        Ended::Left => {}
    }
    let question = format!("\"{prompt}\"");
    let mut attempts = 0;
    for region in REGIONS {
        let received = harbour.received(region);
        let mine = received.iter().filter(|one| String::from_utf8_lossy(&one.body).contains(&question));
        for one in mine {
            attempts += 1;
            let allowed = caller.residency.as_ref().is_none_or(|allowed| allowed.contains(&region));
            assert!(allowed, "{prompt} was sent to {region}");
            let after = one.at.saturating_sub(ms(caller.at_ms));
            assert!(after <= over, "{prompt}: {region} was asked after its end");
        }
    }
    assert!(attempts <= MOST_ATTEMPTS, "{prompt} {ended:?}: {attempts} attempts");
    assert!(over <= sure + secs(30 * 20) + TAIL, "{prompt}: the stream did not end");
}

proptest! {
    #![proptest_config(ProptestConfig {
        // A case is a minute of many callers: an eighth of what a usual property has, and of what `--long` asks for.
        cases: ProptestConfig::default().cases.div_ceil(8),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// **Whatever the weather.** Any faults, at any times, for any share of the requests, over any callers: an answer that is
    /// taken for whole is whole, to the letter; each call is decided by its deadline; no region beyond a residency is asked;
    /// no call takes more attempts than it may, and none begins after its caller has gone; at the end nothing is in flight.
    #[test]
    fn whatever_the_weather_no_caller_is_lied_to(voyage in voyage()) {
        check(&voyage);
    }

    /// **In fair weather one attempt is enough.** With nothing wrong anywhere and callers who are not in a hurry, each call takes
    /// one upstream call: no failover, no second attempt beside the first, no retry.
    #[test]
    fn in_fair_weather_a_call_takes_one_attempt(voyage in voyage()) {
        let calls = voyage.callers.len() as u64;
        prop_assert_eq!(check(&fair(voyage)), calls);
    }
}

/// The same voyage without its troubles.
fn fair(mut voyage: Voyage) -> Voyage {
    voyage.troubles.clear();
    for place in &mut voyage.places {
        (place.quota, place.slots) = (None, None);
    }
    for caller in &mut voyage.callers {
        (caller.deadline_ms, caller.leaves_ms) = (30_000, None);
    }
    voyage
}

/// The weather that is drawn is worth sailing in: most of what is asked is answered, some of it is not, and every fault comes up.
#[test]
fn the_weather_is_foul_enough() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut faults = BTreeSet::new();
    for _ in 0..100 {
        let voyage = voyage().new_tree(&mut runner).unwrap().current();
        faults.extend(voyage.troubles.iter().map(|trouble| trouble.fault.name()));
    }
    assert_eq!(faults.len(), Fault::all().len(), "{faults:?}");
}
