//! Streams that break after their content and are read whole all the same.

use outrigger::{
    Config, Outcome, RescueResult,
    config::{Model, Provider, Target},
    wire::{Class, Usage},
};
use serde_json::{Value, json};
use sim::{Fault, Step, When, World};

use crate::{support::*, torn::*};

/// **Whatever breaks a stream, its caller reads it whole.** Cut, stalled, malformed, told of an error, or ended politely without a
/// finish reason: another region is asked once, repeats what was given, and goes on; not a byte before the break is changed.
#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_is_restarted_elsewhere() {
    let whole = undisturbed().await;
    let begun = &whole[..6];
    let faults = [
        spoilt(begun, &[Step::Cut]),
        spoilt(begun, &[Step::Hold]),
        spoilt(begun, &[Step::Chunk(BROKEN.into()), Step::End]),
        spoilt(begun, &[Step::Chunk(ERROR.into()), Step::End]),
        spoilt(begun, &[Step::End]),
        // What comes in one chunk with the break is not given, and so it is not missed.
        spoilt(begun, &[Step::Chunk([&whole[6], BROKEN].concat().into())]),
        spoilt(begun, &[Step::Chunk([whole.last().unwrap(), ERROR].concat().into())]),
    ];
    for fault in faults {
        let harbour = harbour_that(false);
        harbour.world.answer_next("us-east", fault.clone()).unwrap();
        let (given, error) = harbour.read_stream().await;
        assert!(error.is_none(), "{fault:?}: {error:?}");
        assert_mended(&given, &whole, begun.len(), 1);
        assert_eq!((harbour.count("us-east"), harbour.total()), (1, 2), "{fault:?}");
        assert_eq!(rescues(&harbour), [RescueResult::Restarted]);
        assert_eq!(ended(&harbour).0, Outcome::Ok);
        harbour.assert_idle();
    }
}

/// A deployment that goes on from an assistant's message is given what was said, and says only the rest.
#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_is_continued_where_that_can_be_done() {
    let whole = undisturbed().await;
    let harbour = harbour_that(true);
    harbour.inject("us-east", Fault::Cut { after: 5 });
    let (given, error) = harbour.read_stream().await;
    assert!(error.is_none(), "{error:?}");
    assert_mended(&given, &whole, 6, 1);
    let asked: Value = serde_json::from_slice(&harbour.received("eu-west")[0].body).unwrap();
    let said = text(whole[..6].concat().as_bytes());
    assert_eq!(asked["messages"][1], json!({"role": "assistant", "content": said, "prefix": true}));
    assert_eq!(asked["continue_final_message"], true, "said in every word that servers have for it");
    assert_eq!(harbour.total(), 2);
    assert_eq!(rescues(&harbour), [RescueResult::Continued]);
    harbour.assert_idle();
}

/// What was said uses up a part of the caller's limit of tokens; the whole answer keeps to it.
#[tokio::test(start_paused = true)]
async fn a_continuation_keeps_to_the_callers_limit() {
    let harbour = harbour_that(true);
    harbour.inject("us-east", Fault::Cut { after: 5 });
    let body = json!({"model": "chat", "stream": true, "max_tokens": 12, "messages": [{"role": "user", "content": "ahoy"}]});
    let (given, error) = read(open(&harbour, &body).await).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(text(&given).split_whitespace().count(), 12);
    assert_eq!(chunks(&given).last().unwrap()["choices"][0]["finish_reason"], "length");
}

/// One that will not continue after all is asked to begin again, and not to continue a second time.
#[tokio::test(start_paused = true)]
async fn a_refused_continuation_becomes_a_restart() {
    let whole = undisturbed().await;
    let harbour = harbour_that(true);
    harbour.inject("us-east", Fault::Cut { after: 5 });
    for region in ["eu-west", "ap-southeast"] {
        harbour.inject(region, Fault::NoPrefill);
    }
    let (given, error) = harbour.read_stream().await;
    assert!(error.is_none(), "{error:?}");
    assert_mended(&given, &whole, 6, 1);
    assert_eq!((harbour.count("us-east"), harbour.total()), (1, 3), "one refusal, one restart");
    assert_eq!(rescues(&harbour), [RescueResult::Restarted]);
    assert!(harbour.client.deployments().iter().all(|at| &*at.region == "us-east" || at.failures == 0));
}

/// A stream may break more than once: its second rescue goes on from all that was given, the first rescue's part included.
#[tokio::test(start_paused = true)]
async fn a_rescued_stream_that_breaks_is_rescued_again() {
    let whole = undisturbed().await;
    for continues in [false, true] {
        let harbour = harbour_that(continues);
        harbour.inject("us-east", Fault::Cut { after: 5 });
        let later = if continues { 4 } else { 9 };
        harbour.inject("eu-west", Fault::Cut { after: later });
        let mut stream = harbour.open_stream().await;
        let mut given = Vec::new();
        while let Some(chunk) = stream.next().await {
            given.extend_from_slice(&chunk.unwrap());
        }
        assert_mended(&given, &whole, 6, rescues(&harbour).len());
        let classes: Vec<_> = stream.attempts().iter().map(|attempt| attempt.class).collect();
        assert!(stream.summary().rescued);
        assert_eq!(classes.last(), Some(&None), "{classes:?}");
        assert_eq!(classes.len() as u64, harbour.total());
        harbour.assert_idle();
    }
}

/// A restart that falls silent while it repeats is left for the next region, like any stream that stalls; the one that broke is
/// asked last.
#[tokio::test(start_paused = true)]
async fn a_restart_that_stalls_is_left() {
    let whole = undisturbed().await;
    let harbour = harbour_that(false);
    harbour.world.inject("us-east", Fault::Cut { after: 9 }, When::always().first(1)).unwrap();
    for region in ["eu-west", "ap-southeast"] {
        harbour.inject(region, Fault::Stall { after: 4 });
    }
    let mut stream = harbour.open_stream().await;
    let mut given = Vec::new();
    while let Some(chunk) = stream.next().await {
        given.extend_from_slice(&chunk.unwrap());
    }
    assert_mended(&given, &whole, 10, 1);
    let classes: Vec<_> = stream.attempts().iter().map(|attempt| attempt.class).collect();
    assert_eq!(classes, [Some(Class::Cut), Some(Class::Stalled), Some(Class::Stalled), None]);
    assert_eq!((harbour.count("us-east"), harbour.total()), (2, 4));
    harbour.assert_idle();
}

/// **Nothing is used unseen.** What a provider had counted when it broke is added to what the rescuer counts: in the summary, in
/// what watchers are told, and in the caller's own usage chunk.
#[tokio::test(start_paused = true)]
async fn usage_is_that_of_all_attempts() {
    let whole = undisturbed().await;
    let counted = |frame: &String| {
        let usage = "\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":4,\"total_tokens\":34}";
        frame.replace("\"usage\":null", usage)
    };
    let harbour = harbour_that(false);
    let begun: Vec<String> = whole[..6].iter().map(counted).collect();
    harbour.world.answer_next("us-east", spoilt(&begun, &[Step::Cut])).unwrap();
    let mut stream = harbour.open_stream().await;
    let mut given = Vec::new();
    while let Some(chunk) = stream.next().await {
        given.extend_from_slice(&chunk.unwrap());
    }
    let alone = chunks(whole.concat().as_bytes()).last().unwrap()["usage"].clone();
    let (input, output) =
        (alone["prompt_tokens"].as_u64().unwrap() + 30, alone["completion_tokens"].as_u64().unwrap() + 4);
    let summary = stream.summary();
    assert!(summary.rescued && summary.cost_usd.unwrap() > 0.0);
    assert_eq!(summary.usage, Some(Usage::new(input, output)));
    assert_eq!(ended(&harbour).1, Some(Usage::new(input, output)));
    let told = chunks(&given).last().unwrap()["usage"].clone();
    assert_eq!((&told["prompt_tokens"], &told["completion_tokens"]), (&json!(input), &json!(output)));
    assert_eq!(told["total_tokens"], json!(input + output));
}

/// A limit of tokens and a filter are reasons to finish: a stream that breaks behind one is whole, and nobody is asked.
#[tokio::test(start_paused = true)]
async fn whatever_finishes_a_stream_is_an_end() {
    let begun = undisturbed().await[..4].to_vec();
    for reason in ["length", "content_filter"] {
        let harbour = harbour_that(true);
        let finish = format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"{reason}\"}}]}}\n\n"
        );
        harbour
            .world
            .answer_next("us-east", spoilt(&begun, &[Step::Chunk(finish.clone().into()), Step::Cut]))
            .unwrap();
        let (given, error) = harbour.read_stream().await;
        assert!(error.is_none(), "{error:?}");
        let given = String::from_utf8(given.to_vec()).unwrap();
        assert_eq!(given, [begun.concat(), finish, "data: [DONE]\n\n".to_owned()].concat());
        assert_eq!(harbour.total(), 1);
    }
}

/// The typed stream gives the text as if nothing had happened, and says that something did.
#[tokio::test(start_paused = true)]
async fn a_typed_stream_is_rescued_seamlessly() {
    let whole = harbour_that(false).ask_stream().await.unwrap();
    let harbour = harbour_that(false);
    harbour.inject("us-east", Fault::Cut { after: 5 });
    let mut stream = harbour.client.chat("chat").user("How high is the swell?").stream().await.unwrap();
    let mut text = String::new();
    while let Some(piece) = stream.next().await {
        text.push_str(&piece.unwrap());
    }
    assert_eq!(text, whole);
    assert!(stream.summary().rescued);
    let regions: Vec<_> =
        stream.attempts().iter().map(|attempt| (&*attempt.route.region, attempt.class)).collect();
    assert_eq!(regions, [("us-east", Some(Class::Cut)), (regions[1].0, None)]);
}

/// **Another dialect goes on as well.** An Anthropic deployment gives the rest of what an OpenAI one began, by restart or by
/// continuation, usage and `[DONE]` included; the caller sees one OpenAI stream.
#[tokio::test(start_paused = true)]
async fn a_deployment_of_another_dialect_gives_the_rest() {
    for (continues, fault) in [(false, None), (true, None), (true, Some(Fault::NoDone))] {
        let whole = undisturbed().await;
        let config = |world: &World| {
            let region = |provider: Provider, name| {
                provider.region(name, world.base_url(name).unwrap().as_str()).unwrap()
            };
            let models = [
                Target::new("first", "gpt-4.1"),
                Target::new("second", "claude-sonnet-4").continues(continues).tier(1),
            ];
            let mut config = Config::new()
                .provider("first", region(Provider::openai().api_key("sk-test-not-a-secret"), "us-east"))
                .provider("second", region(Provider::anthropic().api_key("sk-test-not-a-secret"), "eu-west"));
            config.routing.preferred_region = Some("us-east".to_owned());
            config.model("chat", Model::new(models))
        };
        let harbour = harbour_with(alike(), config, |builder| builder);
        harbour.inject("us-east", Fault::Cut { after: 5 });
        if let Some(fault) = fault {
            harbour.inject("eu-west", fault);
        }
        let (given, error) = harbour.read_stream().await;
        assert!(error.is_none(), "{error:?}");
        assert_mended(&given, &whole, 6, 1);
        assert!(chunks(&given).last().unwrap()["usage"]["completion_tokens"].as_u64().unwrap() > 0);
        assert_eq!(harbour.received("eu-west")[0].path, "POST /v1/messages");
        assert_eq!((harbour.count("us-east"), harbour.total()), (1, 2));
        harbour.assert_idle();
    }
}
