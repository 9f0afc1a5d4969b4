//! The world: its seed, its clock, who is struck, what is logged, and scenarios.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use common::{End, REGION, chat, in_memory, world};
use outrigger_sim::{Chaos, Fault, Latency, Outcome, Quota, Region, Scenario, When, World, WorldError};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use transport::{ErrorKind, Transport};

async fn statuses(world: &World, requests: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..requests {
        statuses.push(in_memory(world, &chat(false), usize::MAX).await.status);
    }
    statuses
}

fn wild(seed: u64) -> World {
    let latency = Latency::LogNormal { median: Duration::from_millis(35), sigma: 0.5 };
    let world = World::builder().seed(seed).region(Region::new(REGION).latency(latency)).build().unwrap();
    world.inject(REGION, Fault::status(503), When::always().share(0.3)).unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn a_seed_decides_everything() {
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        let (world, started) = (wild(seed), Instant::now());
        runs.push((statuses(&world, 50).await, started.elapsed()));
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test(start_paused = true)]
async fn a_share_strikes_its_share() {
    for seed in [1, 2, 3] {
        let struck = statuses(&wild(seed), 1000).await.iter().filter(|status| **status == 503).count();
        assert!((242..=358).contains(&struck), "{struck} of 1000, seed {seed}"); // 0.3 +- 4 deviations
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_n_and_the_window_are_kept() {
    let world = world();
    world.inject(REGION, Fault::status(503), When::always().first(2)).unwrap();
    assert_eq!(statuses(&world, 3).await, [503, 503, 200]);
    let second = Duration::from_secs(1);
    world.inject(REGION, Fault::status(500), When::always().after(second).lasting(second)).unwrap();
    assert_eq!(statuses(&world, 1).await, [200]);
    sleep(second).await;
    assert_eq!(statuses(&world, 1).await, [500]);
    sleep(second).await;
    assert_eq!(statuses(&world, 1).await, [200]);
}

#[tokio::test(start_paused = true)]
async fn the_first_injected_of_two_decides_until_cleared() {
    let world = world();
    world.inject(REGION, Fault::status(500), When::always()).unwrap();
    world.inject(REGION, Fault::Overloaded, When::always()).unwrap();
    assert_eq!(statuses(&world, 1).await, [500]);
    world.clear(REGION).unwrap();
    assert_eq!(statuses(&world, 1).await, [200]);
    world.inject(REGION, Fault::Overloaded, When::always()).unwrap();
    world.clear_all();
    assert_eq!(statuses(&world, 1).await, [200]);
}

#[tokio::test(start_paused = true)]
async fn a_region_says_what_is_wrong_with_it_now_and_for_how_long() {
    let world = world();
    let second = Duration::from_secs(1);
    world.inject(REGION, Fault::Overloaded, When::always()).unwrap();
    world.inject(REGION, Fault::Reset, When::always().after(second).lasting(second * 2)).unwrap();
    assert_eq!(world.faults(REGION).unwrap(), [("overloaded", None)]);
    sleep(second * 2).await;
    assert_eq!(world.faults(REGION).unwrap(), [("overloaded", None), ("reset", Some(second))]);
    sleep(second).await;
    assert_eq!(world.faults(REGION).unwrap(), [("overloaded", None)]);
    assert!(world.faults("nowhere").is_err());
}

#[tokio::test(start_paused = true)]
async fn load_beyond_the_slots_slows_everyone() {
    let world = World::builder().region(Region::new(REGION).slots(1)).build().unwrap();
    let started = Instant::now();
    let post = chat(false);
    in_memory(&world, &post, usize::MAX).await;
    let alone = started.elapsed();
    let started = Instant::now();
    let ask = || in_memory(&world, &post, usize::MAX);
    futures_util::future::join(ask(), ask()).await;
    assert!(started.elapsed() > alone * 2 - Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_faults_takes_no_time() {
    let real = std::time::Instant::now();
    let world = world();
    world.inject(REGION, Fault::SlowFirstToken { delay: Duration::from_secs(50) }, When::always()).unwrap();
    let started = Instant::now();
    assert_eq!(statuses(&world, 72).await, [200; 72]);
    assert!(started.elapsed() > Duration::from_secs(3500) && real.elapsed() < Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_what_was_received_and_done() {
    let world = World::builder().region(Region::new(REGION)).log_limit(2).build().unwrap();
    world.inject(REGION, Fault::Cut { after: 1 }, When::always().first(1)).unwrap();
    let cut = in_memory(&world, &chat(true), usize::MAX).await;
    let line = world.received(REGION).unwrap().pop().unwrap();
    assert_eq!(
        (line.path.as_str(), line.model.as_deref(), line.stream),
        ("POST /v1/chat/completions", Some("gpt-4.1"), true)
    );
    assert_eq!((line.fault, line.outcome, line.status), (Some("cut"), Outcome::Cut, Some(200)));
    assert_eq!((line.bytes_sent, line.cancelled_by_caller), (cut.body.len() as u64, false));
    assert_eq!(line.body, chat(true).body);
    statuses(&world, 2).await;
    assert_eq!((world.count(REGION), world.received(REGION).unwrap().len()), (Ok(3), 2));
    assert!(world.received(REGION).unwrap().iter().all(|line| line.outcome == Outcome::Answered));
}

#[tokio::test(start_paused = true)]
async fn who_is_not_there_is_told_so() {
    let world = World::article(7);
    let unknown = world.count("us-esat").unwrap_err();
    assert_eq!(unknown.to_string(), "unknown region `us-esat`; regions are us-east, eu-west, ap-southeast");
    assert!(world.inject("mars", Fault::Reset, When::always()).is_err());
    for (url, kind) in [
        ("http://mars.sim.invalid/v1", ErrorKind::Dns),
        ("ftp://us-east.sim.invalid/", ErrorKind::InvalidRequest),
    ] {
        let mut request = common::request(&world, REGION, &chat(false));
        request.url = url.parse().unwrap();
        assert_eq!(world.transport().send(request).await.unwrap_err().kind(), kind, "{url}");
    }
    let twice = World::builder().region(Region::new("a")).region(Region::new("a")).build();
    assert!(matches!(twice, Err(WorldError::DuplicateRegion { .. })));
    assert!(matches!(
        World::builder().region(Region::new("A b")).build(),
        Err(WorldError::InvalidName { .. })
    ));
    assert!(matches!(World::builder().build(), Err(WorldError::NoRegion)));
}

#[tokio::test(start_paused = true)]
async fn a_limit_holds_for_its_time() {
    let world = world();
    let second = Duration::from_secs(1);
    world.limit(REGION, Quota::new(1, second * 60), second, second).unwrap();
    assert_eq!(statuses(&world, 2).await, [200, 200]);
    sleep(second).await;
    assert_eq!(statuses(&world, 2).await, [200, 429]);
    sleep(second).await;
    assert_eq!(statuses(&world, 2).await, [200, 200]);
}

const FILE: &str = r#"
seed = 3
[[region]]
name = "us-east"
latency = "10ms"
pace = "0ms"
quota = { requests = 1000, per = "1s" }
[[fault]]
region = "us-east"
fault = "status"
status = 503
retry_after = 1.5
at = "1s"
for = "2s"
[[limit]]
region = "us-east"
at = "4s"
for = "1s"
quota = { requests = 0 }
[[act]]
name = "all of it"
for = "6s"
sick = ["us-east"]
patience = "500ms"
"#;

#[tokio::test(start_paused = true)]
async fn a_scenario_file_plays_as_written() {
    let scenario = Scenario::parse(FILE).unwrap();
    assert_eq!(scenario.duration(), Duration::from_secs(6));
    assert_eq!(scenario.acts[0].patience, Some(Duration::from_millis(500)));
    let world = scenario.world().unwrap();
    world.play(&scenario).unwrap();
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.extend(statuses(&world, 1).await);
        sleep(Duration::from_millis(990)).await;
    }
    assert_eq!(seen, [200, 503, 503, 200, 429, 200]);
}

/// The text is refused, and the message holds this.
fn check_scenario_error(text: &str, message: &str) {
    let error = Scenario::parse(text).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
}

#[test]
fn scenario_errors_say_where_and_what() {
    check_scenario_error("sead = 1", "unknown field `sead`");
    check_scenario_error("sead = 1", "line 1");
    check_scenario_error(
        "[[fault]]\nregion = 'us-east'\nfault = 'explode'",
        "fault[0]: unknown fault `explode`",
    );
    check_scenario_error("[[fault]]\nregion = 'mars'\nfault = 'reset'", "fault[0]: unknown region `mars`");
    check_scenario_error(
        "[[act]]\nname = 'one'\nfor = '1s'\nsick = ['mars']",
        "act[0]: unknown region `mars`",
    );
    check_scenario_error(
        "[[fault]]\nregion = 'us-east'\nfault = 'cut'\nstatus = 500",
        "`cut` takes no `status`",
    );
    check_scenario_error(
        "[[fault]]\nregion = 'us-east'\nfault = 'cut'\nshare = 2.0",
        "`share` must be 0 to 1, not 2",
    );
    check_scenario_error("[[region]]\nname = 'a'\nlatency = '5 parsecs'", "parsecs");
}

#[test]
fn chaos_has_defaults_for_everything_but_who_and_what() {
    for fault in Fault::all() {
        let body = format!(r#"{{"region":"us-east","fault":"{fault}"}}"#);
        let chaos: Chaos = serde_json::from_str(&body).unwrap();
        let (parsed, when) = chaos.parse().unwrap();
        assert_eq!((parsed, when), (fault, When::from(Duration::from_secs(10))));
    }
    let body = r#"{"region":"us-east","fault":"rate_limit","for":"5s","retry_after":0,"share":0.5}"#;
    let (fault, when) = serde_json::from_str::<Chaos>(body).unwrap().parse().unwrap();
    assert_eq!(fault, Fault::RateLimit { retry_after: None });
    assert_eq!(when, When::from(Duration::from_secs(5)).share(0.5));
}

#[tokio::test(start_paused = true)]
async fn the_four_acts_fill_their_time_and_fit_their_world() {
    let total = Duration::from_secs(20);
    let scenario = Scenario::four_acts(total, 7);
    assert_eq!((scenario.acts.len(), scenario.duration()), (4, total));
    let world = scenario.world().unwrap();
    world.play(&scenario).unwrap();
    sleep(Duration::from_secs(2)).await; // amid the first act
    let post = chat(false);
    let ends = futures_util::future::join_all((0..50).map(|_| in_memory(&world, &post, usize::MAX))).await;
    let bad = ends.iter().filter(|seen| seen.end == End::Reset || seen.status == 503).count();
    assert!((16..=44).contains(&bad), "{bad} of 50 calls failed while us-east was sick"); // 0.6 +- 4 deviations
}

/// The eight acts begin with the four and fill their time, and in those that follow one region is well.
#[tokio::test(start_paused = true)]
async fn the_eight_acts_begin_with_the_four_and_leave_a_refuge() {
    let total = Duration::from_secs(80);
    let (eight, four) = (Scenario::eight_acts(total, 7), Scenario::four_acts(total / 2, 7));
    assert_eq!((eight.acts.len(), eight.duration()), (8, total));
    assert_eq!((&eight.acts[..4], &eight.limits), (&four.acts[..], &four.limits));
    assert!(eight.faults.starts_with(&four.faults));
    let (_, later) = eight.faults.split_at(four.faults.len());
    assert!(later.iter().all(|fault| fault.region != "ap-southeast"), "nobody is left");
    let world = eight.world().unwrap();
    world.play(&eight).unwrap();
    assert_eq!(in_memory(&world, &chat(false), usize::MAX).await.status, 200);
}
