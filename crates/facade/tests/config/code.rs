//! A configuration made in code passes the same check as one from a file.

use std::time::Duration;

use outrigger::config::{Config, Limit, Model, Provider, Target};
use proptest::prelude::*;

use super::{SOUND, read};

fn sound() -> Config {
    let provider = Provider::openai()
        .region("us-east", "https://us.api.example.com/v1")
        .and_then(|provider| provider.region("eu-west", "https://eu.api.example.com/v1"))
        .unwrap();
    Config::new().provider("openai", provider).model("chat", Model::new([Target::new("openai", "gpt-4.1")]))
}

#[test]
fn code_and_file_make_the_same_configuration() {
    assert_eq!(sound(), read(SOUND).unwrap().0);
    assert_eq!(sound().check(), Ok(vec![]));
}

#[test]
fn a_fault_of_code_has_a_path_and_no_place() {
    let faults = sound().model("m", Model::new([Target::new("opnai", "gpt-4.1")])).check().unwrap_err();
    assert_eq!(
        faults.to_string(),
        "models.m.targets[0].provider: there is no provider `opnai`; did you mean `openai`?"
    );
    let faults = Provider::openai().region("us", "us.example").unwrap_err();
    assert_eq!(faults.to_string(), "regions.us.base_url: not a URL: relative URL without a base");
}

#[test]
fn names_given_twice_in_code_are_faults() {
    let twice = sound()
        .provider("openai", sound().providers.remove(0).1)
        .near("sg", ["us-east"])
        .near("sg", ["us-east"]);
    let mut config = twice.model("chat", Model::new([Target::new("openai", "gpt-4.1")]));
    let again = config.providers[0].1.regions[0].clone();
    config.providers[0].1.regions.push(again);
    let paths: Vec<String> =
        config.check().unwrap_err().as_slice().iter().map(|fault| fault.path.to_string()).collect();
    let expected = ["providers.openai", "models.chat", "near.sg", "providers.openai.regions.us-east"];
    assert_eq!(paths, expected);
}

#[test]
fn a_model_added_takes_the_configurations_numbers_where_it_has_none() {
    let mut config = Config::new();
    config.timeouts.idle = Duration::from_secs(3);
    config.retry.budget = 7;
    let mut model = Model::new([]);
    model.timeouts.total = Duration::from_secs(9);
    let config = config.model("m", model);
    let model = &config.models[0].1;
    assert_eq!(model.retry.budget, 7);
    assert_eq!(model.timeouts.total, Duration::from_secs(9));
    assert_eq!(model.timeouts.idle, Duration::from_secs(15), "a table that says something is taken whole");
}

/// What a drawn configuration may have wrong or right.
#[derive(Clone, Debug)]
struct Drawn {
    provider: &'static str,
    region: &'static str,
    tiers: Vec<u8>,
    weight: f64,
    attempts: u8,
    answer_s: u64,
    total_s: u64,
    residency: Option<&'static str>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let provider = prop_oneof![4 => Just("openai"), 1 => Just("opnai")];
    let region = prop_oneof![4 => Just("us-east"), 1 => Just("us-eats")];
    let weight = prop_oneof![4 => Just(1.5), 1 => Just(0.0), 1 => Just(-1.0)];
    let residency = prop_oneof![3 => Just(None), 1 => Just(Some("us-east")), 1 => Just(Some("eu-west"))];
    let tiers = prop::collection::vec(0_u8..4, 0..4);
    (provider, region, tiers, weight, 0_u8..20, 1_u64..900, 1_u64..900, residency).prop_map(
        |(provider, region, tiers, weight, attempts, answer_s, total_s, residency)| Drawn {
            provider,
            region,
            tiers,
            weight,
            attempts,
            answer_s,
            total_s,
            residency,
        },
    )
}

impl Drawn {
    fn in_code(&self) -> Config {
        let mut config = sound();
        config.retry.max_attempts = self.attempts;
        config.timeouts.answer = Limit::Fixed(Duration::from_secs(self.answer_s));
        config.timeouts.total = Duration::from_secs(self.total_s);
        let targets = self.tiers.iter().map(|tier| {
            Target::new(self.provider, "gpt-4.1").regions([self.region]).tier(*tier).weight(self.weight)
        });
        let model = Model::new(targets);
        let model = match self.residency {
            Some(region) => model.residency([region]),
            None => model,
        };
        config.models.clear();
        config.model("chat", model)
    }

    fn in_toml(&self) -> String {
        let Self { provider, region, tiers, weight, attempts, answer_s, total_s, residency } = self;
        let target = |tier: &u8| {
            format!(
                "{{ provider = {provider:?}, model = 'gpt-4.1', regions = [{region:?}], tier = {tier}, weight = {weight:?} }}"
            )
        };
        let targets: Vec<String> = tiers.iter().map(target).collect();
        let residency = residency.map(|region| format!("residency = [{region:?}]\n")).unwrap_or_default();
        let providers = SOUND.split("[models").next().unwrap_or_default();
        format!(
            "{providers}\n[models.chat]\n{residency}targets = [{}]\n[retry]\nmax_attempts = {attempts}\n\
             [timeouts]\nanswer = '{answer_s}s'\ntotal = '{total_s}s'\n",
            targets.join(", ")
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// **Code and file are judged alike.** A configuration made in code and the same one written as a file
    /// are equal, and have the same faults; the file's have a place besides. Fails if a rule looks at the
    /// file only, or at the merged numbers only.
    #[test]
    fn code_and_file_are_judged_alike(drawn in drawn()) {
        match (drawn.in_code().check(), read(&drawn.in_toml())) {
            (Ok(of_code), Ok((config, of_file))) => {
                prop_assert_eq!(of_code.len(), of_file.len());
                prop_assert_eq!(drawn.in_code(), config);
            }
            (Err(of_code), Err(of_file)) => {
                let bare = |faults: &outrigger::config::Faults| {
                    let mut lines: Vec<String> =
                        faults.as_slice().iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
                    lines.sort();
                    lines
                };
                prop_assert_eq!(bare(&of_code), bare(&of_file));
                prop_assert!(of_file.as_slice().iter().all(|fault| fault.place.is_some()));
            }
            (of_code, of_file) => prop_assert!(false, "{:?} in code, {:?} in the file", of_code, of_file),
        }
    }

    /// **No file breaks the reader.** Whatever is written, reading ends with a configuration or with placed
    /// faults. Fails on a panic, or on a reading that sets nothing aside and starts again for ever.
    #[test]
    fn no_file_breaks_the_reader(
        lines in prop::collection::vec("(\\[{1,2}(models|providers|timeouts|near|é)(\\.(a|regions|\"b c\"|timeouts|targets)){0,3}\\]{1,2}|(targets|base_url|idle|dialect|regions) = (1|-1|nan|\"\\$\\{A\\}\"|\"openai\"|\\[\\{\\}, 1\\]|\\{ a = 1 \\}|\\[\\]))", 0..12),
    ) {
        let text = lines.join("\n");
        if let Err(faults) = read(&text) {
            prop_assert!(!faults.as_slice().is_empty());
            for fault in faults.as_slice() {
                let place = fault.place.as_ref().expect("a file's fault has a place");
                prop_assert!(place.line <= lines.len().max(1), "{fault}");
            }
        }
    }
}
