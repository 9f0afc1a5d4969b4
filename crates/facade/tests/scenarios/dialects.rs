//! Another dialect as the last resort: OpenAI's regions are down, a deployment of Anthropic's serves their chats.

use outrigger::{
    AnswerBody, CallError, Config, Request,
    config::{Model, Provider, Target},
    wire::Class,
};
use serde_json::{Value, json};
use sim::{Fault, Region, Step, World, answer_text};

use crate::support::*;

/// Where Anthropic's deployment stands; a fault everywhere spares it, since it is none of OpenAI's three.
const SHORE: &str = "shore";

const QUESTION: &str = "How high is the swell?";

/// OpenAI's three regions in tier 0, Anthropic's one in tier 1.
fn config_of(world: &World, continues: bool) -> Config {
    let mut holysheep = Provider::openai().api_key("sk-test-not-a-secret");
    for region in REGIONS {
        holysheep = holysheep.region(region, world.base_url(region).unwrap().as_str()).unwrap();
    }
    let claude = Provider::anthropic()
        .api_key("sk-ant-test-not-a-secret")
        .region(SHORE, world.base_url(SHORE).unwrap().as_str())
        .unwrap();
    let mut config = Config::new().provider("holysheep", holysheep).provider("claude", claude);
    config.routing.preferred_region = Some("us-east".to_owned());
    let mut model = Model::new([
        Target::new("holysheep", "gpt-4.1"),
        Target::new("claude", "claude-sonnet-4-5").tier(1).continues(continues),
    ]);
    model.routing = config.routing.clone();
    config.model("chat", model)
}

fn coast_that(continues: bool) -> Harbour {
    let mut builder = World::builder().seed(7);
    for name in REGIONS.into_iter().chain([SHORE]) {
        builder = builder.region(Region::new(name).latency(ms(40)));
    }
    harbour_with(builder.build().unwrap(), |world| config_of(world, continues), |builder| builder)
}

fn coast() -> Harbour {
    coast_that(false)
}

/// The body that Anthropic's deployment received last.
fn told(harbour: &Harbour) -> Value {
    let received = harbour.received(SHORE);
    let last = received.last().unwrap();
    assert!(last.path.ends_with("/messages"), "{}", last.path);
    assert_eq!(last.headers["x-api-key"], "sk-ant-test-not-a-secret");
    assert!(last.headers.contains_key("anthropic-version") && !last.headers.contains_key("authorization"));
    serde_json::from_slice(&last.body).unwrap()
}

fn chat(fields: &Value) -> Request {
    let mut body = json!({"model":"chat","messages":[{"role":"user","content":QUESTION}]});
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    Request::chat(body.to_string()).unwrap()
}

/// Sends a request as it is: the answer's JSON, or the chunks of its stream.
async fn send(harbour: &Harbour, request: Request) -> Result<Vec<Value>, CallError> {
    match harbour.client.send(request).await?.body {
        AnswerBody::Whole { bytes, .. } => Ok(vec![serde_json::from_slice(&bytes).unwrap()]),
        AnswerBody::Stream(mut stream) => {
            let mut all = Vec::new();
            while let Some(chunk) = stream.next().await {
                all.extend_from_slice(&chunk?);
            }
            Ok(chunks(&all))
        }
    }
}

/// The chunks of a stream that ends as OpenAI's do.
fn chunks(stream: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stream).unwrap();
    let text = text.strip_suffix("data: [DONE]\n\n").unwrap();
    let frames = text.split_terminator("\n\n").map(|frame| frame.strip_prefix("data: ").unwrap());
    frames.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_chat_whose_regions_are_down_is_answered_in_its_own_form() {
    for fault in [Fault::Refuse, Fault::Reset, Fault::status(503), Fault::Overloaded, Fault::Cut { after: 0 }]
    {
        for stream in [false, true] {
            let harbour = coast();
            harbour.inject_everywhere(&fault);
            let text =
                harbour.text(stream).await.unwrap_or_else(|error| panic!("{fault:?} {stream}: {error}"));
            assert_eq!(text, answer_text(QUESTION, 20), "{fault:?} {stream}");
            assert_eq!(harbour.count(SHORE), 1);
            assert!(harbour.total() <= 3, "each region is asked once, not {}", harbour.total());
            let body = told(&harbour);
            assert_eq!(body["model"], "claude-sonnet-4-5");
            assert_eq!(
                body["messages"],
                json!([{"role":"user","content":[{"type":"text","text":QUESTION}]}])
            );
            assert_eq!(body["stream"].as_bool().unwrap_or(false), stream);
            harbour.assert_idle();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_hundred_callers_of_a_dead_tier_are_served_without_a_storm() {
    let harbour = coast();
    harbour.inject_everywhere(&Fault::status(500));
    let calls = (0..200).map(|call| harbour.text(call % 2 == 0));
    for text in futures_util::future::join_all(calls).await {
        assert!(is_whole(&text.unwrap()));
    }
    assert_eq!(harbour.count(SHORE), 200, "one attempt there for each call");
    harbour.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn tools_are_called_there_and_their_results_are_told_there() {
    let harbour = coast();
    harbour.inject_everywhere(&Fault::Refuse);
    let tools = json!([{"type":"function","function":{"name":"measure","parameters":
        {"type":"object","properties":{"what":{"type":"string"}}}}}]);
    let forced = json!({"tools":tools,"tool_choice":"required","parallel_tool_calls":false});
    let answer = send(&harbour, chat(&forced)).await.unwrap().remove(0);
    let choice = &answer["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["message"]["content"]),
        (&json!("tool_calls"), &Value::Null)
    );
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("measure")));
    assert_eq!(told(&harbour)["tool_choice"], json!({"type":"any","disable_parallel_tool_use":true}));

    let mut streamed = forced.clone();
    streamed["stream"] = json!(true);
    let chunks = send(&harbour, chat(&streamed)).await.unwrap();
    let calls = chunks.iter().flat_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array());
    let arguments: String =
        calls.flatten().map(|call| call["function"]["arguments"].as_str().unwrap()).collect();
    assert_eq!(call["function"]["arguments"], json!(arguments));
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");

    let history = json!({"tools":tools,"messages":[
        {"role":"system","content":"Be brief."},
        {"role":"user","content":QUESTION},
        choice["message"],
        {"role":"tool","tool_call_id":call["id"],"content":"two fathoms"},
    ]});
    let answer = send(&harbour, chat(&history)).await.unwrap().remove(0);
    assert_eq!(answer["choices"][0]["message"]["content"], answer_text(QUESTION, 20));
    let body = told(&harbour);
    assert_eq!(body["system"], json!([{"type":"text","text":"Be brief."}]));
    assert_eq!(body["messages"][1]["content"][0]["type"], "tool_use");
    assert_eq!(body["messages"][2]["content"][0]["content"], json!([{"type":"text","text":"two fathoms"}]));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_said_there_never_goes_there() {
    for wish in [json!({"n":2}), json!({"logprobs":true}), json!({"response_format":{"type":"json_object"}})]
    {
        let harbour = coast();
        assert!(send(&harbour, chat(&wish)).await.is_ok(), "{wish}: OpenAI serves it");
        harbour.inject_everywhere(&Fault::status(500));
        let error = send(&harbour, chat(&wish)).await.unwrap_err();
        assert!(
            error.attempts().iter().all(|attempt| attempt.route.provider.as_ref() == "holysheep"),
            "{error}"
        );
        assert!(matches!(error.status().as_u16(), 502 | 503), "{wish}: {error}");
        assert_eq!(harbour.count(SHORE), 0, "{wish}");
    }
}

/// What OpenAI's callers may count on is left out where no program can tell; the rest of the request goes.
#[tokio::test(start_paused = true)]
async fn sampling_is_left_out_and_the_rest_is_said() {
    let harbour = coast();
    harbour.inject_everywhere(&Fault::Refuse);
    let answer = send(&harbour, chat(&json!({"temperature":1.9,"seed":7,"max_tokens":3,"user":"u"}))).await;
    let answer = answer.unwrap().remove(0);
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["usage"]["completion_tokens"], 3);
    let body = told(&harbour);
    assert_eq!((&body["max_tokens"], &body["metadata"]), (&json!(3), &json!({"user_id":"u"})));
    assert!(body.get("temperature").is_none() && body.get("seed").is_none());
}

/// Steps of a stream of Anthropic's with an error in its 200.
fn failing_stream(text_first: bool) -> Vec<Step> {
    let mut steps = vec![Step::Head {
        status: http::StatusCode::OK,
        headers: http::HeaderMap::from_iter([(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("text/event-stream"),
        )]),
    }];
    let mut say = |name: &str, mut event: Value| {
        event["type"] = json!(name);
        steps.push(Step::Chunk(format!("event: {name}\ndata: {event}\n\n").into()));
    };
    say(
        "message_start",
        json!({"message":{"id":"msg_x","model":"claude","usage":{"input_tokens":5,"output_tokens":1}}}),
    );
    say("content_block_start", json!({"index":0,"content_block":{"type":"text","text":""}}));
    if text_first {
        say("content_block_delta", json!({"index":0,"delta":{"type":"text_delta","text":"The swell"}}));
    }
    say("error", json!({"error":{"type":"overloaded_error","message":"Overloaded"}}));
    steps.push(Step::End);
    steps
}

#[tokio::test(start_paused = true)]
async fn an_error_in_a_200_before_the_first_word_is_a_failure_like_any_other() {
    let harbour = coast();
    harbour.inject_everywhere(&Fault::Refuse);
    harbour.world.answer_next(SHORE, failing_stream(false)).unwrap();
    let error = harbour.client.send(stream_request()).await.unwrap_err();
    let last = error.attempts().last().unwrap().clone();
    assert_eq!((last.route.provider.as_ref(), last.class), ("claude", Some(Class::Overloaded)), "{error}");
    assert!(is_whole(&harbour.ask_stream().await.unwrap()), "the next call finds it well");
    harbour.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn an_error_after_the_first_words_is_never_an_end() {
    let harbour = coast();
    harbour.inject_everywhere(&Fault::Refuse);
    harbour.world.answer_next(SHORE, failing_stream(true)).unwrap();
    harbour.world.inject(SHORE, Fault::Refuse, sim::When::always()).unwrap();
    let (given, error) = harbour.read_stream().await;
    let given = String::from_utf8_lossy(&given).into_owned();
    assert!(given.contains("The swell") && !given.contains("[DONE]"), "{given}");
    assert!(!given.contains("\"finish_reason\":\""), "{given}");
    let Some(CallError::Truncated { class, .. }) = error else { panic!("{error:?}") };
    assert_eq!(class, Class::Overloaded);
}

/// OpenAI's regions break off all their streams after five words. Anthropic's deployment has the same answer, so it takes over:
/// by a restart that repeats what was given, or by going on from it where it is said to be able to.
#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_goes_on_in_another_dialect() {
    for continues in [false, true] {
        let harbour = coast_that(continues);
        harbour.inject_everywhere(&Fault::Cut { after: 5 });
        let (given, error) = harbour.read_stream().await;
        assert!(error.is_none(), "{continues}: {error:?}");
        let chunks = chunks(&given);
        let text: String =
            chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(text, answer_text(QUESTION, 20), "{continues}");
        let first = &chunks[0];
        assert!(chunks.iter().all(|chunk| chunk["id"] == first["id"] && chunk["model"] == first["model"]));
        assert_eq!(harbour.count(SHORE), 1);
        let body = told(&harbour);
        let last = body["messages"].as_array().unwrap().last().unwrap();
        assert_eq!(last["role"], if continues { "assistant" } else { "user" }, "{continues}: {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_there_is_told_in_the_callers_form() {
    let harbour = coast();
    harbour.inject_everywhere(&Fault::Refuse);
    harbour.world.inject(SHORE, Fault::ContentFilter, sim::When::always()).unwrap();
    let error = send(&harbour, chat(&json!({}))).await.unwrap_err();
    let CallError::Rejected { status, body, .. } = error else { panic!("{error:?}") };
    assert_eq!(status, 400);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        body,
        json!({"error":{"message":"Output blocked by content filtering policy","type":"invalid_request_error",
            "param":null,"code":null}})
    );
}
