//! What holds for any request and any fault.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use common::{End, Post, REGION, chat, deltas, in_memory, world};
use outrigger_sim::{Fault, When, answer_text};
use proptest::prelude::*;

/// Runs a future in virtual time.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

/// JSON that almost asks for something.
fn nearly_json() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-1".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("\"\\u0000\"".to_owned()),
        Just(r#"[{"role":"user","content":"é 世界"}]"#.to_owned()),
        Just(r#"[{"role":"assistant","content":[{"text":"part"},7]}]"#.to_owned()),
    ];
    let name = prop::sample::select(vec![
        "model",
        "messages",
        "stream",
        "max_tokens",
        "n",
        "tools",
        "tool_choice",
        "input",
        "prompt",
        "stream_options",
    ]);
    prop::collection::vec((name, value), 0..8).prop_map(|fields| {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        format!("{{\"model\":\"m\",{}", fields.join(",")) + "}"
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(prop::test_runner::FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::with_cases(128)
    })]

    /// **No request is too strange.** Whatever the body, the region answers to the end: an answer, or a 4xx with a JSON
    /// error. Fails if reading unwraps anything of a request.
    #[test]
    fn every_body_gets_an_answer(
        body in prop_oneof![any::<String>(), nearly_json()],
        path in prop::sample::select(vec!["/chat/completions", "/completions", "/messages", "/embeddings", "/x"]),
    ) {
        let seen = block_on(in_memory(&world(), &Post { path, body }, usize::MAX));
        prop_assert_eq!(seen.end, End::Whole);
        prop_assert!(seen.status == 200 || (400..500).contains(&seen.status));
        prop_assert!(seen.status == 200 || seen.json()["error"]["message"].is_string());
    }

    /// **A break is a beginning.** A stream cut or stalled after n tokens is the first n tokens of the whole answer, never
    /// ends properly and never has a finish reason. Fails if a break skips, repeats or closes anything.
    #[test]
    fn a_broken_stream_is_a_beginning_of_the_whole(after in 0_u32..30, stall in any::<bool>()) {
        let world = world();
        let fault = if stall { Fault::Stall { after } } else { Fault::Cut { after } };
        world.inject(REGION, fault, When::always()).unwrap();
        let seen = block_on(in_memory(&world, &chat(true), usize::MAX));
        let (text, whole) = (deltas(&seen.text()), answer_text("ahoy", 20));
        prop_assert_eq!(seen.end, if stall { End::Held } else { End::Cut });
        prop_assert!(whole.starts_with(&text));
        prop_assert_eq!(text.split_whitespace().count(), usize::try_from(after).unwrap().min(20));
        prop_assert!(!seen.text().contains("\"finish_reason\":\"stop\"") && !seen.text().contains("[DONE]"));
    }

    /// **Nothing leaks.** After any mix of faults, once every caller has its answer or has left, no request is in flight,
    /// and every line of the log has an end or a caller that left. Fails if a ticket is not settled on some path.
    #[test]
    fn an_idle_region_has_nothing_in_flight(faults in prop::collection::vec((0_usize..20, 0.0_f64..1.0), 0..4)) {
        let world = world();
        for (index, share) in faults {
            world.inject(REGION, Fault::all()[index].clone(), When::always().share(share)).unwrap();
        }
        block_on(async {
            for stream in [false, true, false, true] {
                in_memory(&world, &chat(stream), 10_000).await;
            }
        });
        prop_assert_eq!(world.in_flight(REGION), Ok(0));
        for line in world.received(REGION).unwrap() {
            use outrigger_sim::Outcome::{Answering, Held};
            prop_assert_eq!(line.cancelled_by_caller, matches!(line.outcome, Held | Answering), "{:?}", line);
        }
    }
}
