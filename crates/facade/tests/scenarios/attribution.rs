//! Who is charged: an endpoint with all its deployments, one deployment alone, a credential, or nobody.

use outrigger::{
    Config, Notice,
    config::{Model, Target},
};
use sim::{Fault, When, World};

use crate::support::*;

/// Two models at the same two endpoints, each by its own public name.
fn neighbours(world: &World) -> Config {
    let at = |model: &str| Model::new([Target::new("holysheep", model).regions(["us-east", "eu-west"])]);
    config(world).model("one", at("gpt-4.1")).model("two", at("deepseek-v3.2"))
}

fn harbour_of_neighbours() -> Harbour {
    let harbour = harbour_with(alike(), neighbours, |builder| builder);
    harbour.client.cordon("holysheep", "ap-southeast", None);
    harbour
}

async fn ask(harbour: &Harbour, model: &str) -> bool {
    harbour.client.chat(model).user("How high is the swell?").send().await.is_ok()
}

/// Why a deployment is out, or how its circuits stand, at `us-east`.
fn state(harbour: &Harbour, model: &str) -> (Option<&'static str>, &'static str, &'static str) {
    let all = harbour.client.deployments();
    let at = all.iter().find(|at| &*at.region == "us-east" && &*at.model == model).unwrap();
    (at.reason, at.breaker, at.level)
}

fn told(harbour: &Harbour) -> Vec<String> {
    let notices = harbour.notices().into_iter().filter_map(|notice| match notice {
        Notice::TakenOut { route, class, .. } => Some(format!("{route} {class}")),
        _ => None,
    });
    notices.collect()
}

/// **A key is an endpoint's.** A key that is refused for one model is not used for its neighbour either; another region's
/// is. Somebody is told, once.
#[tokio::test(start_paused = true)]
async fn a_refused_key_takes_out_all_that_share_it_and_is_told_once() {
    for (fault, reason) in [(Fault::BadKey, "credential"), (Fault::QuotaSpent, "quota_spent")] {
        let harbour = harbour_of_neighbours();
        harbour.inject("us-east", fault);
        for _ in 0..20 {
            assert!(ask(&harbour, "one").await);
            assert!(ask(&harbour, "two").await);
        }
        assert_eq!(harbour.count("us-east"), 1, "one call finds it out for both");
        for model in ["gpt-4.1", "deepseek-v3.2"] {
            assert_eq!(state(&harbour, model), (Some(reason), "closed", "credential"), "{model}");
        }
        let told = told(&harbour);
        assert!(matches!(told.as_slice(), [only] if only.ends_with(reason)), "{told:?}");
        harbour.assert_idle();
    }
}

/// A model that is not there is not asked for there again; its neighbour is.
#[tokio::test(start_paused = true)]
async fn a_missing_model_takes_out_its_deployment_alone() {
    let harbour = harbour_of_neighbours();
    let body =
        r#"{"error":{"message":"no such model","type":"invalid_request_error","code":"model_not_found"}}"#;
    let missing =
        Fault::Status { code: 404, retry_after: None, body: Some(body.to_owned()), headers: Vec::new() };
    harbour.world.inject("us-east", missing, When::always().first(1)).unwrap();
    for _ in 0..10 {
        assert!(ask(&harbour, "one").await);
    }
    assert_eq!(harbour.count("us-east"), 1);
    assert_eq!(state(&harbour, "gpt-4.1").0, Some("model_missing"));
    assert_eq!(told(&harbour), ["holysheep/us-east/gpt-4.1 model_missing"]);
    for _ in 0..10 {
        assert!(ask(&harbour, "two").await);
    }
    assert!(harbour.count("us-east") > 1, "the neighbour is asked");
}

/// **What never reached the provider is the endpoint's.** Connections refused for one model are not tried for its neighbour;
/// resets and errors of one model say nothing of it.
#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_known_to_all_and_an_error_to_one() {
    for (fault, shared) in [(Fault::Refuse, true), (Fault::Reset, false), (Fault::status(500), false)] {
        let harbour = harbour_of_neighbours();
        harbour.client.cordon("holysheep", "eu-west", None);
        harbour.inject("us-east", fault.clone());
        while state(&harbour, "gpt-4.1").1 != "open" {
            assert!(!ask(&harbour, "one").await);
        }
        let expected = if shared { ("open", "endpoint") } else { ("closed", "deployment") };
        let (_, breaker, level) = state(&harbour, "deepseek-v3.2");
        assert_eq!((breaker, level), expected, "{fault}");
        harbour.assert_idle();
    }
}
