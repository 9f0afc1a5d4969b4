//! What a file becomes.

use std::{
    num::{NonZeroU16, NonZeroU32},
    time::Duration,
};

use outrigger::config::{
    CheckKind, Config, Dialect, Document, GLOBAL, Hedge, Limit, Limits, Price, Retry, Routing, Strategy,
    Target, Timeouts,
};
use serde::Deserialize;

use super::{SOUND, env, read};

const WHOLE: &str = include_str!("whole.toml");
const ARTICLE: &str = include_str!("article.toml");

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_whole_file_is_read_as_documented() {
    let (config, warnings) = read(WHOLE).unwrap();
    let lines: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "outrigger.toml:49:14: near.singapore[0]: no provider has a region `ap-southeast`; known: `eu-west`, `global`, `us-east`"
        ]
    );
    let names: Vec<&str> = config.providers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["openai", "local"], "in the order of the file");

    let openai = &config.providers[0].1;
    assert_eq!(openai.dialect, Dialect::OpenAi);
    assert_eq!(openai.api_key.as_ref().unwrap().expose(), "sk-from-the-environment");
    let check = openai.health_check.as_ref().unwrap();
    assert_eq!((check.every, check.kind), (seconds(30), CheckKind::Models));
    assert!(openai.forward_headers.is_empty());
    let [(us, us_east), (eu, eu_west)] = openai.regions.as_slice() else { panic!("{openai:?}") };
    assert_eq!((us.as_str(), us_east.base_url.as_str()), ("us-east", "https://us.api.openai.com/v1"));
    assert_eq!((eu.as_str(), eu_west.base_url.as_str()), ("eu-west", "https://eu.api.openai.com/v1"));
    assert_eq!(us_east.limits, Limits::default());
    assert_eq!(eu_west.limits.requests_per_minute, NonZeroU32::new(600));
    assert_eq!(eu_west.limits.tokens_per_minute, NonZeroU32::new(200_000));
    assert_eq!(eu_west.limits.concurrent, NonZeroU32::new(64));

    let local = &config.providers[1].1;
    assert_eq!((local.regions.len(), local.regions[0].0.as_str()), (1, GLOBAL));
    assert_eq!(local.api_key, None);

    let [(name, chat)] = config.models.as_slice() else { panic!("{:?}", config.models) };
    assert_eq!(name, "chat");
    assert_eq!(chat.residency.as_deref().unwrap(), ["eu-west", "us-east"]);
    assert_eq!(chat.targets[0], Target::new("openai", "gpt-4.1-mini"));
    let mut qwen = Target::new("local", "qwen3").regions([GLOBAL]).tier(1).price(Price::new(0.0, 0.0));
    (qwen.continues, qwen.context) = (true, Some(32_768));
    assert_eq!(chat.targets[1], qwen);
    assert_eq!(chat.timeouts, config.timeouts);
    assert_eq!(
        config.near,
        [("singapore".to_owned(), vec!["ap-southeast".to_owned(), "us-east".to_owned()])]
    );
}

#[test]
fn the_numbers_written_as_defaults_are_the_defaults() {
    let (written, _) = read(WHOLE).unwrap();
    let defaults = Config::default();
    assert_eq!(written.timeouts, defaults.timeouts);
    assert_eq!(written.retry, defaults.retry);
    assert_eq!(written.hedge, defaults.hedge);
    assert_eq!(written.breaker, defaults.breaker);
    let mut routing = Routing::default();
    routing.preferred_region = Some("us-east".to_owned());
    assert_eq!(written.routing, routing, "the one example among the defaults");
}

#[test]
fn an_empty_file_has_the_documented_defaults() {
    let (config, warnings) = read("").unwrap();
    assert!(warnings.is_empty());
    let Timeouts { connect, first_token, first_token_max, answer, idle, total, stream_max, .. } =
        config.timeouts;
    assert_eq!((connect, first_token, first_token_max), (seconds(2), Limit::Auto, seconds(30)));
    assert_eq!((answer, idle, total, stream_max), (Limit::Auto, seconds(15), seconds(600), seconds(3600)));
    let Retry { max_attempts, budget, .. } = config.retry;
    assert_eq!((max_attempts, budget), (4, 500));
    let Hedge { enabled, .. } = config.hedge;
    assert!(!enabled);
    let Routing { strategy, preferred_region, composite_failover, affinity, rescue_streams, .. } =
        config.routing;
    assert_eq!((strategy, preferred_region), (Strategy::Adaptive, None));
    assert_eq!((composite_failover, affinity, rescue_streams), (false, true, true));
    assert_eq!(config.breaker, breaker::BreakerConfig::default());
}

#[test]
fn the_articles_registry_loads_with_a_warning() {
    let (config, warnings) = read(ARTICLE).unwrap();
    let regions: Vec<&str> = config.providers[0].1.regions.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(regions, ["us-east", "eu-west", "ap-southeast"]);
    assert_eq!(config.models[0].1.routing.strategy, Strategy::Composite);
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert_eq!(
        warning.to_string(),
        "outrigger.toml:17:14: providers.holysheep.regions.us-east.base_url: `holysheep/us-east`, `holysheep/eu-west`, \
         `holysheep/ap-southeast` share one base URL: a failure of it takes all"
    );
}

#[test]
fn a_models_own_number_stands_over_the_common_one_and_leaves_the_rest() {
    let text = format!(
        "{SOUND}
        [models.chat.timeouts]
        idle = \"5s\"
        first_token = \"3s\"
        [models.chat.breaker]
        failure_threshold = 9
        [timeouts]
        idle = \"20s\"
        total = \"120s\"
        [breaker]
        success_threshold = 1
        [models.plain]
        targets = [{{ provider = \"openai\", model = \"gpt-4.1\" }}]"
    );
    let (config, _) = read(&text).unwrap();
    let chat = &config.models[0].1;
    assert_eq!((chat.timeouts.idle, chat.timeouts.total), (seconds(5), seconds(120)));
    assert_eq!(chat.timeouts.first_token, Limit::Fixed(seconds(3)));
    assert_eq!((chat.breaker.failure_threshold, chat.breaker.success_threshold), (9, 1));
    let plain = &config.models[1].1;
    assert_eq!(plain.timeouts, config.timeouts);
    assert_eq!((plain.breaker.failure_threshold, plain.breaker.success_threshold), (5, 1));
}

#[test]
fn what_a_provider_says_holds_for_regions_that_say_nothing_else() {
    let text = r#"
        [providers.p]
        dialect = "azure"
        api_key = "common"
        api_version = "2024-10-21"
        weight = 2
        connections = 3
        headers = { x-team = "a" }
        [providers.p.regions.one]
        base_url = "http://one.example/v1"
        weight = 0.5
        api_key = "own"
        proxy = "http://proxy.example:3128"
        ca_file = "/etc/ca.pem"
        [providers.p.regions.two]
        base_url = "http://two.example/v1""#;
    let files = |_: &std::path::Path| Ok("-----BEGIN CERTIFICATE-----".to_owned());
    let document = Document::parse_with(text, "outrigger.toml", &|_| None, &files).unwrap();
    let (config, _) = Config::from_document(&document, &[]).unwrap();
    let provider = &config.providers[0].1;
    let [(_, one), (_, two)] = provider.regions.as_slice() else { panic!("{provider:?}") };
    assert_eq!((one.weight.to_string(), two.weight.to_string()), ("0.5".to_owned(), "2".to_owned()));
    assert_eq!(provider.key_of(one).unwrap().expose(), "own");
    assert_eq!(provider.key_of(two).unwrap().expose(), "common");
    assert_eq!(
        (one.connections, two.connections),
        (NonZeroU16::new(3).unwrap(), NonZeroU16::new(3).unwrap())
    );
    assert_eq!(two.headers[0].1.expose(), "a");
    assert_eq!(two.api_version.as_deref(), Some("2024-10-21"));
    assert_eq!(one.proxy.as_ref().unwrap().as_str(), "http://proxy.example:3128/");
    assert_eq!((one.ca_file.is_some(), two.ca_file.is_some(), two.proxy.is_some()), (true, false, false));
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Server {
    listen: String,
    drain: String,
    mode: Mode,
}

impl Default for Server {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8080".to_owned(), drain: "30s".to_owned(), mode: Mode::Plain }
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Plain,
    Named { name: String },
}

#[test]
fn another_owner_reads_its_tables_from_the_same_document() {
    let text = "[server]\nlisten = \"${HOST:-0.0.0.0}:80\"\nmode = { named = { name = \"x\" } }\n[timeouts]\nidle = \"1s\"";
    let document = Document::parse(text, "outrigger.toml", &env).unwrap();
    let server: Server = document.table("server").unwrap().unwrap();
    assert_eq!((server.listen.as_str(), server.drain.as_str()), ("0.0.0.0:80", "30s"));
    assert_eq!(server.mode, Mode::Named { name: "x".to_owned() });
    assert!(document.table::<Server>("keys").unwrap().is_none());
    let (config, _) = Config::from_document(&document, &["server"]).unwrap();
    assert_eq!(config.timeouts.idle, seconds(1));

    let text = "[server]\nlistn = \"x\"\ndrain = 5\nmode = \"plan\"";
    let document = Document::parse(text, "outrigger.toml", &env).unwrap();
    assert_eq!(
        document.table::<Server>("server").unwrap_err().to_string(),
        "outrigger.toml:2:1: server.listn: unknown key; did you mean `listen`?\n\
         outrigger.toml:3:9: server.drain: expected a string, found integer `5`\n\
         outrigger.toml:4:8: server.mode: unknown value `plan`; did you mean `plain`?"
    );
}
