//! Before the first call: who is there, with which key, and with which model.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use outrigger::{
    Config,
    config::{Model, Provider, Target},
    reach::{Credential, Finding, reach},
    transport::{self, ErrorKind, Phase, Response, ResponseBody, Transport, TransportError},
};
use sim::{Fault, Region, When, World};

const PATIENCE: Duration = Duration::from_secs(10);

fn world() -> World {
    let region = |name| Region::new(name).models(["gpt-4.1", "gpt-4.1-mini"]);
    World::builder().seed(7).region(region("us-east")).region(region("eu-west")).build().unwrap()
}

/// The regions of a world, and a third that is nowhere; two models, one of which nobody has.
fn config(world: &World, key: Option<&str>, models: &[&str]) -> Config {
    let mut provider = Provider::openai();
    for region in world.regions() {
        provider = provider.region(region, world.base_url(region).unwrap().as_str()).unwrap();
    }
    provider.api_key = key.map(Into::into);
    let targets = models.iter().map(|model| Target::new("p", *model));
    Config::new().provider("p", provider).model("chat", Model::new(targets))
}

async fn ask(world: &World, models: &[&str]) -> Vec<Finding> {
    reach(&config(world, Some("sk-secret"), models), &world.transport(), PATIENCE, |_| {}).await
}

#[tokio::test(start_paused = true)]
async fn who_is_well_is_found_with_its_key_and_its_models() {
    let world = world();
    let mut heard = Vec::new();
    let config = config(&world, Some("sk-secret"), &["gpt-4.1", "gpt-4.1-mini"]);
    let findings = reach(&config, &world.transport(), PATIENCE, |done| heard.push(done)).await;
    let regions: Vec<&str> = findings.iter().map(|finding| finding.region.as_str()).collect();
    assert_eq!(regions, ["us-east", "eu-west"]);
    for finding in &findings {
        assert_eq!((finding.ok, finding.status, finding.message.as_deref()), (true, Some(200), None));
        assert_eq!((finding.credential, finding.tls, finding.reachable), (Credential::Accepted, None, true));
        assert!(finding.took_ms.is_some());
        let there: Vec<_> = finding.models.iter().map(|model| (model.model.as_str(), model.there)).collect();
        assert_eq!(there, [("gpt-4.1", Some(true)), ("gpt-4.1-mini", Some(true))]);
    }
    assert_eq!(heard, [1, 2]);
    assert!(!serde_json::to_string(&findings).unwrap().contains("sk-secret"));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_nobody_has_is_named() {
    let findings = ask(&world(), &["gpt-4.1", "gpt-5"]).await;
    for finding in &findings {
        assert!(!finding.ok);
        let message = finding.message.as_deref().unwrap();
        assert!(message.contains("no model `gpt-5`;"), "{message}");
    }
}

/// **A sick endpoint is a finding and hides no other.** Each kind of trouble is told by what to do about it.
#[tokio::test(start_paused = true)]
async fn each_trouble_is_told_for_its_endpoint_alone() {
    let troubles = [
        (Fault::Refuse, false, None, "connection refused; does a server listen on"),
        (Fault::BadKey, true, Some(401), "the key is refused (401)"),
        (Fault::status(503), true, Some(503), "it is ill (503)"),
        (Fault::Silent, false, None, "no answer within 10s; `--timeout` waits longer"),
        (Fault::Reset, false, None, "connection reset before an answer"),
    ];
    for (fault, reachable, status, message) in troubles {
        let world = world();
        let shown = format!("{fault:?}");
        world.inject("us-east", fault, When::always()).unwrap();
        let findings = ask(&world, &["gpt-4.1"]).await;
        let [sick, well] = findings.as_slice() else { panic!("{findings:?}") };
        assert!(well.ok && !sick.ok, "{shown}: {findings:?}");
        assert_eq!((sick.reachable, sick.status), (reachable, status), "{shown}");
        assert!(sick.message.as_deref().unwrap().contains(message), "{shown}: {:?}", sick.message);
    }
}

/// **Who is not there is named.** With a proxy a connection is made to that and to nobody else. Its password is nobody's business.
#[tokio::test(start_paused = true)]
async fn a_proxy_that_is_not_there_is_told_and_not_the_provider_behind_it() {
    #[derive(Debug)]
    struct Failing(ErrorKind);

    #[async_trait::async_trait]
    impl Transport for Failing {
        async fn send(&self, _: transport::Request) -> Result<Response, TransportError> {
            Err(TransportError::new(self.0))
        }
    }

    let mut provider = Provider::openai().region("here", "http://provider.example/v1").unwrap();
    for (_, region) in &mut provider.regions {
        region.proxy = Some("http://user:hunter2@proxy.example:3128".parse().unwrap());
    }
    let model = Model::new([Target::new("p", "gpt-4.1")]);
    let config = Config::new().provider("p", provider).model("chat", model);
    for (kind, told) in [
        (ErrorKind::Refused, "connection refused; does the proxy proxy.example:3128 listen"),
        (ErrorKind::Dns, "is `proxy.example` the proxy's right name?"),
        (
            ErrorKind::Timeout(Phase::Connect),
            "no connection within 2s; does the proxy proxy.example:3128 run?",
        ),
    ] {
        let findings = reach(&config, &Failing(kind), PATIENCE, |_| {}).await;
        let message = findings.first().unwrap().message.as_deref().unwrap();
        assert!(message.contains(told) && !message.contains("provider.example"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_that_leads_nowhere_is_told_from_a_list_that_is_missing() {
    let world = world();
    let origin = world.base_url("us-east").unwrap().as_str().trim_end_matches("/v1").to_owned();
    let provider = Provider::openai().region("us-east", &format!("{origin}/nowhere")).unwrap();
    let config =
        Config::new().provider("p", provider).model("chat", Model::new([Target::new("p", "gpt-4.1")]));
    let findings = reach(&config, &world.transport(), PATIENCE, |_| {}).await;
    let finding = findings.first().unwrap();
    assert!(!finding.ok && finding.reachable, "{finding:?}");
    assert!(finding.message.as_deref().unwrap().contains("`base_url`"), "{finding:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_configured_is_none() {
    let world = world();
    let findings = reach(&config(&world, None, &["gpt-4.1"]), &world.transport(), PATIENCE, |_| {}).await;
    assert!(
        findings.iter().all(|finding| finding.ok && finding.credential == Credential::None),
        "{findings:?}"
    );
}

/// A provider behind TLS: of two hosts one has a certificate that nobody trusts.
#[derive(Debug)]
struct Tls;

#[async_trait::async_trait]
impl Transport for Tls {
    async fn send(&self, request: transport::Request) -> Result<Response, TransportError> {
        match request.url.host_str() {
            Some("api.openai.com") => {
                let body = ResponseBody::from_chunks(["{\"data\": [{\"id\": \"gpt-4.1\"}]}".into()]);
                Ok(Response::new(StatusCode::OK, HeaderMap::new(), body))
            }
            Some("us.api.openai.com") => {
                Err(TransportError::new(ErrorKind::Tls)
                    .with_source("invalid peer certificate: UnknownIssuer"))
            }
            _ => Err(TransportError::new(ErrorKind::Dns)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tls_is_told_apart_from_what_comes_before_it() {
    let provider = Provider::preset("openai", ["global", "us", "eu"]).unwrap();
    let config =
        Config::new().provider("p", provider).model("chat", Model::new([Target::new("p", "gpt-4.1")]));
    let findings = reach(&config, &Tls, PATIENCE, |_| {}).await;
    let tls: Vec<_> = findings.iter().map(|finding| (finding.ok, finding.reachable, finding.tls)).collect();
    assert_eq!(tls, [(true, true, Some(true)), (false, false, Some(false)), (false, false, None)]);
    let message = |index: usize| findings.get(index).and_then(|finding| finding.message.as_deref()).unwrap();
    assert!(message(1).contains("UnknownIssuer") && message(1).contains("`ca_file`"), "{}", message(1));
    assert!(message(2).contains("is `eu.api.openai.com` the host's right name?"), "{}", message(2));
}
