//! Families of providers: their paths, the words of their refusals, the headers of their limits.

mod common;

use common::{Post, REGION, Seen, azure, chat, deltas, in_memory, message, world};
use outrigger_sim::{LAST_WORD, Quota, Region, World, answer_text};
use serde_json::json;
use std::time::Duration;

async fn ask(world: &World, post: &Post) -> Seen {
    in_memory(world, post, usize::MAX).await
}

#[tokio::test(start_paused = true)]
async fn azures_classic_path_names_the_deployment() {
    let world = World::builder().region(Region::new(REGION).models(["own-name"])).build().unwrap();
    let plain = ask(&world, &azure(false)).await;
    assert_eq!((plain.status, &plain.json()["model"]), (200, &json!("own-name")));
    assert_eq!(plain.headers["x-ms-region"], REGION);
    assert_eq!(deltas(&ask(&world, &azure(true)).await.text()), answer_text("ahoy", 20));
    assert_eq!(world.received(REGION).unwrap()[0].model.as_deref(), Some("own-name"));
}

#[tokio::test(start_paused = true)]
async fn azure_without_a_version_or_a_deployment_is_not_found() {
    let world = World::builder().region(Region::new(REGION).models(["another"])).build().unwrap();
    let unversioned = Post { path: "/openai/deployments/another/chat/completions", ..chat(false) };
    for (post, code) in [(unversioned, "404"), (azure(false), "DeploymentNotFound")] {
        let seen = ask(&world, &post).await;
        assert_eq!((seen.status, &seen.json()["error"]["code"]), (404, &json!(code)));
    }
}

/// Each fault that speaks, in the words of each family: status, and where the class can be read from.
#[tokio::test(start_paused = true)]
async fn each_family_refuses_in_its_own_words() {
    let cases = [
        (
            "rate_limit",
            [(429, "code", "rate_limit_exceeded"), (429, "code", "429"), (429, "type", "rate_limit_error")],
        ),
        (
            "bad_key",
            [(401, "code", "invalid_api_key"), (401, "code", "401"), (401, "type", "authentication_error")],
        ),
        (
            "context_length",
            [
                (400, "code", "context_length_exceeded"),
                (400, "code", "context_length_exceeded"),
                (400, "message", "prompt is too long: 208310 tokens > 200000 maximum"),
            ],
        ),
        (
            "content_filter",
            [
                (400, "code", "content_filter"),
                (400, "code", "content_filter"),
                (400, "message", "Output blocked by content filtering policy"),
            ],
        ),
        ("overloaded", [(529, "type", "overloaded_error"); 3]),
        (
            "quota_spent",
            [
                (429, "code", "insufficient_quota"),
                (429, "code", "insufficient_quota"),
                (429, "type", "rate_limit_error"),
            ],
        ),
    ];
    for (fault, said) in cases {
        for (post, (status, key, value)) in [chat(false), azure(false), message(false)].iter().zip(said) {
            let world = world();
            world.inject(REGION, fault.parse().unwrap(), outrigger_sim::When::always()).unwrap();
            let seen = ask(&world, post).await;
            assert_eq!(
                (seen.status, &seen.json()["error"][key]),
                (status, &json!(value)),
                "{fault} {}",
                post.path
            );
        }
    }
}

/// A stop of a month looks like a passing limit but for its details, and names no wait.
#[tokio::test(start_paused = true)]
async fn anthropics_spent_quota_stands_in_the_details() {
    let world = world();
    world.inject(REGION, "quota_spent".parse().unwrap(), outrigger_sim::When::always()).unwrap();
    let seen = ask(&world, &message(false)).await;
    assert_eq!(seen.json()["error"]["details"]["error_code"], json!("enforced_spend_limit_reached"));
    assert!(!seen.headers.contains_key("retry-after"));
}

#[tokio::test(start_paused = true)]
async fn each_family_tells_its_limits_in_its_own_headers() {
    // 1 token of a question and 20 of its answer.
    let quota = Quota::per_minute(10).tokens(600);
    let names = [
        (chat(false), ["x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens"], Some("2.1s")),
        (azure(false), ["x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens"], Some("3")),
        (
            message(false),
            ["anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-tokens-remaining"],
            None,
        ),
    ];
    for (post, [requests, tokens], reset) in names {
        let world = World::builder().region(Region::new(REGION).quota(quota)).build().unwrap();
        let seen = ask(&world, &post).await;
        let header = |name: &str| seen.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!((header(requests), header(tokens)), (Some("9"), Some("579")), "{}", post.path);
        assert_eq!(header("x-ratelimit-reset-tokens"), reset, "{}", post.path);
    }
}

#[tokio::test(start_paused = true)]
async fn spent_tokens_are_a_429_that_names_the_wait() {
    let world = World::builder()
        .region(Region::new(REGION).quota(Quota::per_minute(1000).tokens(30)))
        .build()
        .unwrap();
    assert_eq!(ask(&world, &chat(false)).await.status, 200);
    let refused = ask(&world, &chat(false)).await;
    assert_eq!((refused.status, &refused.json()["error"]["type"]), (429, &json!("tokens")));
    let wait: u64 = refused.headers["retry-after-ms"].to_str().unwrap().parse().unwrap();
    tokio::time::sleep(Duration::from_millis(wait)).await;
    assert_eq!(ask(&world, &chat(false)).await.status, 200);
}

/// Asked twice, a region whose answers vary says the same at first and then something else; another begins alike too.
#[tokio::test(start_paused = true)]
async fn a_region_that_varies_repeats_only_the_beginning() {
    let world = World::builder().region(Region::new(REGION).varies_after(5)).build().unwrap();
    let mut texts = Vec::new();
    for _ in 0..2 {
        texts.push(deltas(&ask(&world, &chat(true)).await.text()));
    }
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (one, two) = (words(&texts[0]), words(&texts[1]));
    assert_eq!((one.len(), two.len()), (20, 20));
    assert_eq!(one[..5], two[..5]);
    assert_ne!(one, two);
    assert_eq!(one[..5], words(&answer_text("ahoy", 20))[..5]);
    assert!(texts.iter().all(|text| text.ends_with(LAST_WORD)));
}

/// It goes on from any beginning, its own or another's, to the length that the whole would have had.
#[tokio::test(start_paused = true)]
async fn a_region_that_varies_goes_on_from_any_beginning() {
    let world = World::builder().region(Region::new(REGION).varies_after(0)).build().unwrap();
    for begun in ["a hull of another", "one"] {
        let post = common::prefilled(chat(true));
        let post =
            Post { body: post.body.replace("\"content\":\"\"", &format!("\"content\":\"{begun}\"")), ..post };
        let whole = format!("{begun}{}", deltas(&ask(&world, &post).await.text()));
        assert_eq!(whole.split(' ').count(), 20, "{whole}");
        assert!(whole.ends_with(LAST_WORD));
    }
}
