//! A region of a public host is one line.

use outrigger::config::{Config, Dialect, Model, Preset, Provider, Target};

use super::read;

fn urls(config: &Config) -> Vec<String> {
    let (_, provider) = config.providers.first().unwrap();
    provider.regions.iter().map(|(name, region)| format!("{name} {}", region.base_url)).collect()
}

#[track_caller]
fn check(provider: &str, expected: &[&str]) {
    let (config, _) = read(&format!("[providers.p]\n{provider}")).unwrap();
    assert_eq!(urls(&config), expected);
}

#[track_caller]
fn check_fault(provider: &str, expected: &str) {
    let faults = read(&format!("[providers.p]\n{provider}")).map(|_| ()).unwrap_err().to_string();
    assert_eq!(faults.lines().count(), 1, "{faults}");
    assert!(faults.contains(expected), "{faults}");
}

#[test]
fn a_region_of_a_preset_is_one_line() {
    check(
        "preset = \"openai\"\nregions.us = {}\nregions.eu = { weight = 2.0 }",
        &["us https://us.api.openai.com/v1", "eu https://eu.api.openai.com/v1"],
    );
    let (config, _) = read("[providers.a]\npreset = \"anthropic\"\napi_key = \"sk\"").unwrap();
    assert_eq!(config.providers[0].1.dialect, Dialect::Anthropic);
    assert_eq!(urls(&config), ["global https://api.anthropic.com/v1"]);
}

#[test]
fn a_region_may_have_a_name_of_ones_own_or_a_url_of_ones_own() {
    check(
        "preset = \"openai\"\nregions.us-east = { preset = \"us\" }\nregions.lab.base_url = \"http://lab:8000/v1\"",
        &["us-east https://us.api.openai.com/v1", "lab http://lab:8000/v1"],
    );
}

#[test]
fn bedrocks_other_hosts_have_two_paths() {
    for (name, path) in [("bedrock-mantle", "v1"), ("bedrock-mantle-openai", "openai/v1")] {
        let url = format!("sa-east-1 https://bedrock-mantle.sa-east-1.api.aws/{path}");
        check(&format!("preset = \"{name}\"\nregions.sa-east-1 = {{}}"), &[&url]);
    }
}

#[test]
fn what_a_host_needs_is_filled_in() {
    check(
        "preset = { name = \"alibaba\", workspace = \"ws-1\" }\nregions.ap-southeast-1 = {}",
        &["ap-southeast-1 https://ws-1.ap-southeast-1.maas.aliyuncs.com/compatible-mode/v1"],
    );
    check(
        "preset = { name = \"vertex\", project = \"p-1\" }\nregions.global = {}\nregions.europe-west4 = {}",
        &[
            "global https://aiplatform.googleapis.com/v1/projects/p-1/locations/global/endpoints/openapi",
            "europe-west4 https://europe-west4-aiplatform.googleapis.com/v1/projects/p-1/locations/europe-west4/\
             endpoints/openapi",
        ],
    );
}

#[test]
fn what_a_provider_says_holds_for_the_regions_of_its_preset() {
    let text =
        "[providers.p]\npreset = \"openai\"\nweight = 3.0\nregions.us = {}\nregions.eu = { weight = 2.0 }";
    let (config, _) = read(text).unwrap();
    let weights: Vec<f64> = config.providers[0].1.regions.iter().map(|(_, region)| region.weight).collect();
    assert_eq!(weights, [3.0, 2.0]);
    let (config, _) = read("[providers.p]\npreset = \"groq\"\nweight = 3.0").unwrap();
    assert_eq!(config.providers[0].1.regions[0].1.weight.to_bits(), 3.0_f64.to_bits());
}

#[test]
fn an_unknown_region_names_the_nearest_and_lists_all() {
    check_fault(
        "preset = \"openai\"\nregions.uss = {}",
        "outrigger.toml:3:9: providers.p.regions.uss: the preset `openai` has no region `uss`; did you mean `us`? it has \
         `global`, `us`, `eu`, `ae`, `au`, `in`, `jp`; ",
    );
    check_fault(
        "preset = \"bedrock\"\nregions.frankfurt = { preset = \"eu-centrl-1\" }",
        "outrigger.toml:3:32: providers.p.regions.frankfurt.preset: the preset `bedrock` has no region `eu-centrl-1`; \
         did you mean `eu-central-1`? it has `us-east-1`, ",
    );
    check_fault("preset = \"bedrock\"", "the preset `bedrock` has no region `global`; it has `us-east-1`, ");
}

#[test]
fn a_preset_that_does_not_fit_is_told_once() {
    check_fault(
        "preset = \"opnai\"\nregions.us = {}\nregions.eu = {}",
        "2:10: providers.p.preset: there is no preset `opnai`; did you mean `openai`?",
    );
    check_fault(
        "preset = \"alibaba\"\nregions.us-east-1 = {}\nregions.cn-beijing = {}",
        "providers.p.preset: the preset `alibaba` needs a `workspace`; write `preset = { name = \"alibaba\", workspace = \
         \"...\" }`",
    );
    check_fault(
        "preset = { name = \"alibaba\", workspace = \"evil.example/\" }\nregions.us-east-1 = {}",
        "2:42: providers.p.preset.workspace: expected letters, digits",
    );
    check_fault(
        "preset = { name = \"vertex\", project = \"a\", projet = \"b\" }\nregions.global = {}",
        "providers.p.preset.projet: the preset `vertex` has nothing of this name; did you mean `project`?",
    );
    check_fault("preset = { workspace = \"a\" }\nregions.us = {}", "providers.p.preset: `name` is missing");
    check_fault("preset = 7\nregions.us = {}", "providers.p.preset: expected a preset's name, or a table");
    check_fault(
        "preset = \"openai\"\ndialect = \"azure\"",
        "providers.p.dialect: the preset speaks `openai`",
    );
    check_fault(
        "preset = \"openai\"\nbase_url = \"http://a\"",
        "providers.p.base_url: the provider has a preset too",
    );
    check_fault(
        "preset = \"openai\"\nregions.us = { preset = \"us\", base_url = \"http://a\" }",
        "providers.p.regions.us.preset: the region has a `base_url` too",
    );
    check_fault(
        "dialect = \"openai\"\nregions.us = { preset = \"us\" }",
        "providers.p.regions.us.preset: the provider has no preset",
    );
    check_fault(
        "preset = \"openai\"\nregions.us = { weigth = 1.0 }",
        "providers.p.regions.us.weigth: unknown key",
    );
}

#[test]
fn code_knows_the_presets_too() {
    let (from_file, _) = read(
        "[providers.openai]\npreset = \"openai\"\nregions.us = {}\nregions.eu = {}\n\
         [models.chat]\ntargets = [{ provider = \"openai\", model = \"gpt-4.1\" }]",
    )
    .unwrap();
    let provider = Provider::preset("openai", ["us", "eu"]).unwrap();
    let model = Model::new([Target::new("openai", "gpt-4.1")]);
    assert_eq!(Config::new().provider("openai", provider).model("chat", model), from_file);
    let one = Provider::preset("groq", [""; 0]).unwrap();
    assert_eq!(one.regions[0].0, "global");
    let filled = Preset::named("alibaba").unwrap().with("workspace", "ws-1").provider(["us-east-1"]).unwrap();
    assert_eq!(filled.dialect, Dialect::OpenAi);
    let told = Provider::preset("mistral", ["us", "uk"]).unwrap_err().to_string();
    assert!(told.starts_with("regions.uk: the preset `mistral` has no region `uk`"), "{told}");
    assert!(Provider::preset("alibaba", ["us-east-1"]).is_err());
}
