//! Responses that lean on what their provider remembers: they go where that is known, or are refused, never elsewhere.

use bytes::Bytes;
use outrigger::{
    Answer, AnswerBody, CallError, Client, Config, Request,
    config::{Model, Provider, Target},
};
use serde_json::Value;
use sim::{Fault, World};

use crate::support::*;

fn request(more: &str) -> Request {
    Request::responses(format!(r#"{{"model":"chat","input":"ahoy"{more}}}"#)).unwrap()
}

/// Asks, and returns where the answer came from, and its name.
async fn ask(client: &Client, request: Request) -> (String, String) {
    let answer: Answer = client.send(request).await.unwrap();
    let region = answer.route.region.to_string();
    let is_stream = matches!(answer.body, AnswerBody::Stream(_));
    let bytes: Bytes = answer.bytes().await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let json: Value = if is_stream {
        let last = text.lines().rfind(|line| line.starts_with("data: {")).unwrap();
        serde_json::from_str::<Value>(last.strip_prefix("data: ").unwrap()).unwrap()["response"].clone()
    } else {
        serde_json::from_str(&text).unwrap()
    };
    (region, json["id"].as_str().unwrap().to_owned())
}

fn follows(id: &str) -> Request {
    request(&format!(r#","previous_response_id":"{id}""#))
}

fn stateful(error: CallError) -> &'static str {
    assert_eq!((error.code(), error.status().as_u16()), ("stateful_request", 400), "{error}");
    let CallError::Stateful { field, .. } = error else { panic!("{error}") };
    field
}

#[tokio::test(start_paused = true)]
async fn a_response_is_gone_on_from_where_it_was_given() {
    for more in ["", r#","stream":true"#] {
        let harbour = harbour_with(alike(), config, |builder| builder);
        for region in REGIONS {
            let (given_by, id) = ask(&harbour.client, request(more).region(region)).await;
            for other in REGIONS {
                let (asked, _) = ask(&harbour.client, follows(&id).region(other)).await;
                assert_eq!(asked, given_by, "whatever region the caller prefers");
            }
        }
    }
}

/// **No failover to who never heard of it.** Fails if a pinned call is tried elsewhere, or the fault of its place is hidden.
#[tokio::test(start_paused = true)]
async fn a_response_whose_place_is_down_fails_and_nobody_else_is_asked() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    let (region, id) = ask(&harbour.client, request("")).await;
    harbour.inject(&region, Fault::Reset);
    let before = harbour.total() - harbour.count(&region);
    let error = harbour.client.send(follows(&id)).await.unwrap_err();
    assert_eq!(error.code(), "upstream_exhausted");
    assert_eq!(harbour.total() - harbour.count(&region), before);
    // It opens no circuit for good: once its place is well, so is the conversation.
    harbour.world.clear(&region).unwrap();
    tokio::time::sleep(secs(60)).await;
    assert_eq!(ask(&harbour.client, follows(&id)).await.0, region);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_remembered_is_refused_and_says_why() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    for (more, field) in [
        (r#","previous_response_id":"resp_unknown""#, "previous_response_id"),
        (r#","conversation":{"id":"conv_unknown"}"#, "conversation"),
        (r#","previous_response_id":7"#, "previous_response_id"),
        (r#","background":true"#, "background"),
    ] {
        let error = harbour.client.send(request(more)).await.unwrap_err();
        assert_eq!(stateful(error), field);
    }
    let refers = r#"{"model":"chat","input":[{"type":"item_reference","id":"msg_unknown"}]}"#;
    let error = harbour.client.send(Request::responses(refers).unwrap()).await.unwrap_err();
    assert_eq!(stateful(error), "input");
    assert_eq!(harbour.total(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_stored_is_not_remembered() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    let (_, id) = ask(&harbour.client, request(r#","store":false"#)).await;
    assert_eq!(stateful(harbour.client.send(follows(&id)).await.unwrap_err()), "previous_response_id");
}

/// Where there is but one place that it can be at, it is asked there, remembered or not: its provider knows better than we.
#[tokio::test(start_paused = true)]
async fn what_is_not_remembered_is_looked_for_at_the_only_place_it_can_be_at() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    let (region, id) = ask(&harbour.client, request("")).await;
    let fresh = Client::builder()
        .config(config(&harbour.world))
        .transport(harbour.world.transport())
        .build()
        .unwrap();
    assert_eq!(stateful(fresh.send(follows(&id)).await.unwrap_err()), "previous_response_id");
    assert_eq!(ask(&fresh, follows(&id).residency([region.as_str()])).await.0, region);
}

/// **A pinned call has one place, whatever it is that is wrong there.** Fails if one that is full, taken out or silent is
/// stepped around, or asked more often than any place would be.
#[tokio::test(start_paused = true)]
async fn a_place_that_is_full_or_out_or_silent_is_not_stepped_around() {
    for (fault, code) in [
        (Some(Fault::RateLimit { retry_after: Some(secs(90)) }), "rate_limit_exceeded"),
        (Some(Fault::status(500)), "upstream_exhausted"),
        (Some(Fault::Silent), "deadline_exceeded"),
        (None, "no_deployment_available"),
    ] {
        let harbour = harbour_with(alike(), config, |builder| builder);
        let (region, id) = ask(&harbour.client, request("").residency(["eu-west"])).await;
        let attempts = match fault {
            Some(fault) => {
                harbour.inject(&region, fault);
                1..=2
            }
            None => {
                harbour.client.cordon("holysheep", &region, None);
                0..=0
            }
        };
        let deadline = tokio::time::Instant::now().into_std() + secs(40);
        let error = harbour.client.send(follows(&id).deadline(deadline)).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.attempts().iter().all(|attempt| *attempt.route.region == *region));
        assert_eq!(harbour.total(), harbour.count(&region), "{code}");
        assert!(attempts.contains(&(harbour.total() - 1)), "{code}: {}", harbour.total());
        harbour.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_a_month_ago_is_forgotten() {
    let harbour = harbour_with(alike(), config, |builder| builder);
    let (region, id) = ask(&harbour.client, request("")).await;
    tokio::time::sleep(secs(29 * 24 * 60 * 60)).await;
    assert_eq!(ask(&harbour.client, follows(&id)).await.0, region);
    tokio::time::sleep(secs(2 * 24 * 60 * 60)).await;
    assert_eq!(stateful(harbour.client.send(follows(&id)).await.unwrap_err()), "previous_response_id");
}

/// `chat` everywhere, `mini` in two regions, and `home`, which may not leave its own though it has targets elsewhere.
fn several(world: &World) -> Config {
    let mut provider = Provider::openai();
    for region in world.regions() {
        provider = provider.region(region, world.base_url(region).unwrap().as_str()).unwrap();
    }
    let mut home = Model::new([Target::new("holysheep", "gpt-4.1")]);
    home.residency = Some(vec!["us-east".to_owned(), "ap-southeast".to_owned()]);
    let mini = Target::new("holysheep", "gpt-4.1-mini").regions(["us-east", "eu-west"]);
    Config::new()
        .provider("holysheep", provider)
        .model("chat", Model::new([Target::new("holysheep", "gpt-4.1")]))
        .model("mini", Model::new([mini]))
        .model("home", home)
}

/// **A conversation may change its model, and not leave its bounds.** Fails if what is stored drags a call to a place where it may
/// not go, or if it is taken for the model's own.
#[tokio::test(start_paused = true)]
async fn a_conversation_may_change_its_model_but_not_leave_its_bounds() {
    let harbour = harbour_with(alike(), several, |builder| builder);
    let (_, west) = ask(&harbour.client, request("").residency(["eu-west"])).await;
    let (_, south) = ask(&harbour.client, request("").residency(["ap-southeast"])).await;
    let of = |model: &str, id: &str| {
        let body = format!(r#"{{"model":"{model}","input":"ahoy","previous_response_id":"{id}"}}"#);
        Request::responses(body).unwrap()
    };
    let answer = harbour.client.send(of("mini", &west)).await.unwrap();
    assert_eq!((&*answer.route.region, &*answer.route.model), ("eu-west", "gpt-4.1-mini"));
    let before = harbour.total();
    for request in
        [of("mini", &south), of("home", &west), follows(&west).residency(["us-east", "ap-southeast"])]
    {
        assert_eq!(stateful(harbour.client.send(request).await.unwrap_err()), "previous_response_id");
    }
    assert_eq!(harbour.total(), before, "nothing was sent");
    assert_eq!(ask(&harbour.client, of("home", &south)).await.0, "ap-southeast");
}
