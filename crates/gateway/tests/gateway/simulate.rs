//! Strategies compared in virtual time: the same for a seed, and as the article's reader would expect.

use serde_json::Value;

use crate::{commands::run, support::file};

/// A short run of the built-in acts.
const SHORT: [&str; 8] = ["simulate", "--seconds", "40", "--rate", "30", "--clients", "6", "--json"];

async fn simulated(args: &[&str]) -> (String, Value) {
    let run = run(args).await;
    assert_eq!(run.code, Some(0), "{}", run.err);
    let json = serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {}", run.out));
    (run.out, json)
}

fn strategy<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut all = report["strategies"].as_array().unwrap().iter();
    all.find(|one| one["strategy"] == name).unwrap_or_else(|| panic!("{name} in {report}"))
}

/// **One seed, the same bytes.** Fails if a clock, a thread's turn or a hash map's order gets into a run.
#[tokio::test]
async fn a_seed_gives_one_report_and_another_seed_another() {
    let (first, report) = simulated(&SHORT).await;
    let (second, _) = simulated(&SHORT).await;
    assert_eq!(first, second);
    let (other, _) = simulated(&[&SHORT[..], &["--seed", "2"]].concat()).await;
    assert_ne!(first, other);
    for key in ["seed", "seconds", "clients", "rate", "strategies"] {
        assert!(report.get(key).is_some(), "{key}");
    }
    let names = ["adaptive", "composite", "weighted", "cheapest", "round_robin", "static", "naive"];
    let asked = &report["strategies"][0]["requests"];
    for name in names {
        let one = strategy(&report, name);
        assert_eq!(
            &one["requests"], asked,
            "each strategy meets the same questions, and each is answered for"
        );
        for key in ["failed", "truncated", "p50_ms", "p99_ms", "attempts_per_request", "calls_to_sick"] {
            assert!(one[key].is_number(), "{key} of {name}: {one}");
        }
        let regions = one["regions"].as_array().unwrap();
        let share: f64 = regions.iter().map(|region| region["share"].as_f64().unwrap()).sum();
        assert!((share - 1.0).abs() < 0.01, "{name}: {share}");
        assert_eq!(one["acts"].as_array().unwrap().len(), 5, "{name}");
    }
}

/// A region that is dead for ever, beside one that is well; clients that ask often enough to learn.
const ONE_DEAD: &str = "seed = 5\n[[region]]\nname = \"us-east\"\n[[region]]\nname = \"eu-west\"\n\
    [[fault]]\nregion = \"us-east\"\nfault = \"status\"\nstatus = 503\nat = \"10s\"\nfor = \"50s\"\n\
    [[act]]\nname = \"well\"\nfor = \"10s\"\n[[act]]\nname = \"dead\"\nat = \"10s\"\nfor = \"50s\"\nsick = [\"us-east\"]\n";

/// **The one number that matters.** One region dies, one is well: nobody's request fails, and hardly any attempt is made in vain; who
/// asks without a client loses requests.
#[tokio::test]
async fn nobody_loses_a_request_to_a_dead_region_but_who_asks_it_alone() {
    let path = file(ONE_DEAD).display().to_string();
    let (_, report) = simulated(&["simulate", &path, "--clients", "2", "--rate", "60", "--json"]).await;
    assert_eq!(report["seconds"], 60.0);
    for name in ["adaptive", "composite", "weighted", "cheapest", "round_robin", "static"] {
        let one = strategy(&report, name);
        assert_eq!(one["failed"], 0, "{name}: {one}");
        let attempts = one["acts"][1]["attempts_per_request"].as_f64().unwrap();
        assert!((1.0..1.05).contains(&attempts), "{name}: {attempts}");
    }
    assert!(strategy(&report, "naive")["failed"].as_u64().unwrap() > 500, "{report}");
}

#[tokio::test]
async fn a_plot_names_its_axes_and_every_line() {
    let path = file("").display().to_string();
    let told = run(&["simulate", "--seconds", "20", "--rate", "20", "--clients", "3", "--plot", &path]).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert!(
        told.out.contains("a region degrades\n") && told.out.contains("all regions refuse\n"),
        "{}",
        told.out
    );
    let svg = std::fs::read_to_string(&path).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    for word in [
        "% of requests",
        ">seconds<",
        "virtual time, seconds",
        ">naive<",
        ">adaptive<",
        "prefers-color-scheme:dark",
    ] {
        assert!(svg.contains(word), "{word}");
    }
    assert_eq!(svg.matches("class=\"line\"").count(), 3 * 7, "two charts and the legend");
    let nowhere = run(&["simulate", "--seconds", "5", "--rate", "1", "--plot", "/nowhere/at/all.svg"]).await;
    assert!(
        nowhere.code == Some(1) && nowhere.err.contains("cannot write /nowhere/at/all.svg"),
        "{}",
        nowhere.err
    );
}

#[tokio::test]
async fn a_scenario_that_is_not_sound_is_named() {
    let path = file("[[fault]]\nregion = \"atlantis\"\nfault = \"reset\"\n").display().to_string();
    let told = run(&["simulate", &path]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains(&path) && told.err.contains("atlantis"), "{}", told.err);
}
