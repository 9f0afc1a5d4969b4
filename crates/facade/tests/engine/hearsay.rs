//! News of other clients: what they may change, and what they never do.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use outrigger::{
    Config, News, Notice, Route,
    config::{Model, Provider, Target},
    engine::{Action, Ask, AttemptFailure, DeploymentStatus, Engine, Plan},
    wire::Class,
};
use proptest::prelude::*;

const REGIONS: [&str; 2] = ["us-east", "eu-west"];
/// Of these, the last two are not configured.
const PLACES: [(&str, &str); 6] = [
    ("us-east", "gpt-4.1"),
    ("us-east", "*"),
    ("eu-west", "gpt-4.1"),
    ("eu-west", "*"),
    ("eu-west", "gpt-5"),
    ("mars", "*"),
];

fn route(place: usize) -> Route {
    let (region, model) = PLACES[place];
    Route::new("p", region, model)
}

fn tripped(place: usize, ago_ms: u64) -> News {
    News::Tripped { route: route(place), ago: Duration::from_millis(ago_ms) }
}

fn cool_down(place: usize, secs: u64) -> News {
    News::CoolDown { route: route(place), wait: Duration::from_secs(secs) }
}

struct Hearer {
    engine: Engine,
    now: Instant,
}

impl Hearer {
    fn new() -> Self {
        let mut provider = Provider::openai();
        for region in REGIONS {
            provider = provider.region(region, &format!("http://{region}.sim.invalid/v1")).unwrap();
        }
        let mut alone = Model::new([Target::new("p", "gpt-4.1")]);
        alone.residency = Some(vec!["us-east".to_owned()]);
        let chat = Model::new([Target::new("p", "gpt-4.1")]);
        let config = Config::new().provider("p", provider).model("chat", chat).model("alone", alone);
        config.check().unwrap();
        let now = Instant::now();
        let engine = Engine::new(Arc::new(Plan::new(&config)), (now, SystemTime::UNIX_EPOCH)).unwrap();
        Self { engine, now }
    }

    /// A stream from a region, whose first content comes after 100 ms, and its end with it.
    fn attempt(&mut self, region: usize, failure: Option<Class>) {
        let number = self.engine.plan().deployment("p", REGIONS[region], "gpt-4.1").unwrap();
        let mut actions = Vec::new();
        let recorded = self.engine.recorded_start(number, true, self.now, &mut actions);
        self.now += Duration::from_millis(100);
        if let Some(mut recorded) = recorded {
            if failure.is_none() {
                self.engine.recorded_content(&mut recorded, self.now, &mut actions);
            }
            let failure = failure.map(AttemptFailure::new);
            self.engine.recorded_end(recorded, failure.as_ref(), self.now, 0, &mut actions);
        }
    }

    fn hear(&mut self, news: &News) -> bool {
        let mut actions = Vec::new();
        let is_new = self.engine.hear(news, self.now, &mut actions);
        let told =
            matches!(&actions[..], [Action::Notice(Notice::Hearsay { news: told, .. })] if told == news);
        assert_eq!((told, actions.len()), (is_new, usize::from(is_new)), "who watches is told what is new");
        is_new
    }

    /// Where each model would be asked; none where nobody could be.
    fn choices(&self, draw: u64) -> Vec<Option<String>> {
        let choice = |model: &str| {
            let ask: Ask = self.engine.plan().ask(model, None).unwrap();
            let tier = self.engine.explain(&ask, draw, self.now).remove(0);
            let chosen = tier.outcome.unwrap().ok()?.id;
            tier.rows.iter().find(|row| row.id == chosen).map(|row| row.region.to_string())
        };
        ["chat", "alone"].map(choice).into_iter().collect()
    }

    fn status(&self, region: usize) -> DeploymentStatus {
        let mut all = self.engine.deployments(self.now);
        all.retain(|status| *status.region == *REGIONS[region]);
        all.remove(0)
    }
}

/// **Who has a choice goes elsewhere, and who has none goes there.** Fails if a trip elsewhere opens a circuit here.
#[test]
fn a_trip_elsewhere_sends_those_elsewhere_who_have_a_choice() {
    let mut hearer = Hearer::new();
    for _ in 0..5 {
        hearer.attempt(0, None);
        hearer.attempt(1, None);
    }
    hearer.now += Duration::from_secs(3);
    assert!(hearer.hear(&tripped(0, 500)));
    for draw in 0..20 {
        assert_eq!(hearer.choices(draw), [Some("eu-west".to_owned()), Some("us-east".to_owned())]);
    }
    assert_eq!(hearer.status(0).breaker, "closed");
    assert!(!hearer.hear(&tripped(5, 0)), "a place that is not configured");
    assert!(!hearer.hear(&tripped(4, 0)), "a model that is not configured");
    assert!(hearer.hear(&tripped(1, 0)), "a whole endpoint");
}

/// **What is seen here goes before what is said**, and what is old says nothing. Fails if news outweigh a fresh success, or stir a circuit
/// that is not closed.
#[test]
fn what_is_seen_here_goes_before_what_is_said() {
    let mut hearer = Hearer::new();
    hearer.attempt(0, None);
    assert!(!hearer.hear(&tripped(0, 0)), "a success of a moment ago");
    hearer.now += Duration::from_millis(1_500);
    assert!(!hearer.hear(&tripped(0, 900)), "a success of less than a second before the trip");
    assert!(hearer.hear(&tripped(0, 400)), "it was more than a second before");
    assert!(!hearer.hear(&tripped(0, 10_001)), "an old one");
    hearer.attempt(1, None);
    hearer.attempt(1, Some(Class::Transient));
    assert!(hearer.hear(&tripped(2, 0)), "a failure came after the success");
    for _ in 0..5 {
        hearer.attempt(1, Some(Class::Transient));
    }
    assert_eq!(hearer.status(1).breaker, "open");
    assert!(!hearer.hear(&tripped(2, 0)), "it is known here");
}

/// **A wait that a provider named elsewhere is kept here**, within its bound; a longer one that is known stands. Fails if it is waived as
/// what was only concluded, or a shorter one replaces it.
#[test]
fn a_wait_that_was_named_elsewhere_is_kept_here() {
    let mut hearer = Hearer::new();
    assert!(hearer.hear(&cool_down(0, 30)));
    assert_eq!(hearer.status(0).cooldown_ms, 30_000);
    assert_eq!(hearer.choices(0), [Some("eu-west".to_owned()), None]);
    assert!(
        !hearer.hear(&cool_down(0, 10)) && !hearer.hear(&cool_down(0, 40)),
        "that it cools down is no news"
    );
    assert_eq!(hearer.status(0).cooldown_ms, 40_000);
    assert!(!hearer.hear(&cool_down(2, 0)));
    assert!(hearer.hear(&cool_down(2, 86_400)));
    assert_eq!(hearer.status(1).cooldown_ms, 300_000, "no more is believed of a provider either");
    hearer.now += Duration::from_secs(40);
    assert_eq!(hearer.status(0).cooldown_ms, 0);
}

#[derive(Clone, Debug)]
enum Step {
    Attempt(usize, Option<Class>),
    Wait(u64),
    Tripped(usize, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let class = prop_oneof![Just(None), Just(Some(Class::Transient)), Just(Some(Class::Unreachable))];
    let step = prop_oneof![
        (0..2_usize, class).prop_map(|(region, class)| Step::Attempt(region, class)),
        (0..40_000_u64).prop_map(Step::Wait),
        (0..6_usize, 0..12_000_u64).prop_map(|(place, ago)| Step::Tripped(place, ago)),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// **News of circuits take nobody out.** Whatever is heard in whatever state, who could be asked can be asked, no circuit, health,
    /// count, cooldown or cordon is another. Fails if a trip
    /// elsewhere is taken for more than a failure in the score.
    #[test]
    fn news_of_circuits_take_nobody_out(steps in steps(), draw in any::<u64>()) {
        let mut hearer = Hearer::new();
        for step in steps {
            match step {
                Step::Attempt(region, class) => hearer.attempt(region, class),
                Step::Wait(ms) => hearer.now += Duration::from_millis(ms),
                Step::Tripped(place, ago) => {
                    let before = (hearer.choices(draw), format!("{:?}", hearer.engine.deployments(hearer.now)));
                    hearer.hear(&tripped(place, ago));
                    let after = (hearer.choices(draw), format!("{:?}", hearer.engine.deployments(hearer.now)));
                    let could = |choices: &[Option<String>]| choices.iter().map(Option::is_some).collect::<Vec<_>>();
                    prop_assert_eq!(could(&before.0), could(&after.0));
                    prop_assert_eq!(before.1, after.1);
                }
            }
        }
    }
}
