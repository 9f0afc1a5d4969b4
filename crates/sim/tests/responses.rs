//! The Responses API: its events in their order, its tools, its memory, and the ways in which it breaks.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod common;

use common::{End, Post, REGION, Seen, deltas, in_memory, response, world};
use outrigger_sim::{Fault, Region, When, World, answer_text};
use serde_json::{Value, json};

async fn post(world: &World, body: &Value) -> Seen {
    in_memory(world, &Post { path: "/responses", body: body.to_string() }, usize::MAX).await
}

/// The events of a stream by name, each name twice and the same, numbered from 0.
fn events(stream: &str) -> Vec<(String, Value)> {
    let frames = stream.split_terminator("\n\n");
    let events = frames.map(|frame| {
        let (name, data) = frame.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        let name = name.strip_prefix("event: ").unwrap().to_owned();
        assert_eq!(data["type"], json!(name));
        (name, data)
    });
    let events: Vec<_> = events.collect();
    for (number, (_, event)) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], json!(number));
    }
    events
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    let mut names: Vec<_> =
        events.iter().map(|(name, _)| name.strip_prefix("response.").unwrap_or(name)).collect();
    names.dedup();
    names
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_how_its_item_comes_to_be() {
    let text = answer_text("ahoy", 20);
    let stream = in_memory(&world(), &response(true), usize::MAX).await.text();
    let events = events(&stream);
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(names(&events), expected);
    assert_eq!(deltas(&stream), text);
    assert_eq!(events.len(), 8 + 20);
    let (first, last) = (&events[0].1["response"], &events.last().unwrap().1["response"]);
    assert_eq!(
        (&first["status"], &first["usage"], &first["output"]),
        (&json!("in_progress"), &Value::Null, &json!([]))
    );
    assert_eq!((&last["status"], &last["usage"]["output_tokens"]), (&json!("completed"), &json!(20)));
    assert_eq!(last["output"][0]["content"][0]["text"], json!(text));
    assert_eq!(first["id"], last["id"]);
}

/// Plain, the answer is the response of a stream's last event.
#[tokio::test(start_paused = true)]
async fn plain_and_streamed_responses_say_the_same() {
    let plain = in_memory(&world(), &response(false), usize::MAX).await.json();
    let streamed = events(&in_memory(&world(), &response(true), usize::MAX).await.text());
    assert_eq!(plain, streamed.last().unwrap().1["response"]);
}

#[tokio::test(start_paused = true)]
async fn a_forced_tool_is_called_in_both_ways() {
    let mut body = json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "ahoy"}]}],
        "tools": [{"type": "function", "name": "log"}], "tool_choice": {"type": "function", "name": "log"}});
    let item = post(&world(), &body).await.json()["output"][0].clone();
    let call = (&item["type"], &item["name"], &item["arguments"]);
    assert_eq!(call, (&json!("function_call"), &json!("log"), &json!(r#"{"echo":"ahoy"}"#)));
    body["stream"] = json!(true);
    let events = events(&post(&world(), &body).await.text());
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(names(&events), expected);
    assert_eq!(events.last().unwrap().1["response"]["output"][0], item);
}

#[tokio::test(start_paused = true)]
async fn a_limit_on_tokens_ends_it_incomplete() {
    let body = json!({"model": "m", "input": "ahoy", "max_output_tokens": 3, "stream": true});
    let events = events(&post(&world(), &body).await.text());
    let (name, last) = events.last().unwrap();
    assert_eq!(name, "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"], json!({"reason": "max_output_tokens"}));
}

/// **A response lives where it was given.** The region that gave it goes on from it, no other knows it, and one that was
/// not to be stored, or that never came whole, is known nowhere.
#[tokio::test(start_paused = true)]
async fn only_the_region_that_gave_a_response_goes_on_from_it() {
    let world = World::builder().region(Region::new(REGION)).region(Region::new("eu-west")).build().unwrap();
    let ask = |previous: &str, store: bool| json!({"model": "m", "input": "on", "previous_response_id": previous, "store": store});
    let first =
        post(&world, &json!({"model": "m", "input": "ahoy"})).await.json()["id"].as_str().unwrap().to_owned();
    let second = post(&world, &ask(&first, false)).await;
    assert_eq!((second.status, &second.json()["previous_response_id"]), (200, &json!(first)));

    let mut elsewhere = common::request(&world, "eu-west", &response(false));
    elsewhere.body = ask(&first, true).to_string().into_bytes().into();
    use transport::Transport;
    assert_eq!(world.transport().send(elsewhere).await.unwrap().status, 400);

    let unstored = second.json()["id"].as_str().unwrap().to_owned();
    let refused = post(&world, &ask(&unstored, true)).await;
    let error = &refused.json()["error"];
    assert_eq!((refused.status, &error["code"]), (400, &json!("previous_response_not_found")));
    assert_eq!(error["param"], json!("previous_response_id"));

    world.inject(REGION, Fault::Cut { after: 5 }, When::always().first(1)).unwrap();
    let cut = post(&world, &json!({"model": "m", "input": "ahoy", "stream": true})).await;
    assert_eq!(cut.end, End::Cut);
    let text = cut.text();
    let id =
        text.split(r#""id":""#).find_map(|rest| rest.split('"').next().filter(|id| id.starts_with("resp_")));
    assert_eq!(post(&world, &ask(id.unwrap(), true)).await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_refused() {
    for body in [
        json!({"model": "m"}),
        json!({"model": "m", "input": []}),
        json!({"model": "m", "input": "x", "store": "yes"}),
        json!({"model": "m", "input": "x", "previous_response_id": 7}),
        json!({"model": "m", "input": "x", "max_output_tokens": 0}),
    ] {
        assert_eq!(post(&world(), &body).await.status, 400, "{body}");
    }
}

/// Without its last event a stream has no end: nothing else says that it is whole.
#[tokio::test(start_paused = true)]
async fn no_done_takes_the_completed_event_away() {
    let world = world();
    world.inject(REGION, Fault::NoDone, When::always()).unwrap();
    let seen = in_memory(&world, &response(true), usize::MAX).await;
    let events = events(&seen.text());
    assert_eq!((seen.end, events.last().unwrap().0.as_str()), (End::Whole, "response.output_item.done"));
}
