//! What a refusal means, and how long to stay away: `cargo run -p outrigger-wire --example wire-tiny`.
#![expect(clippy::print_stdout, reason = "an example shows what it finds")]

use std::time::SystemTime;

use outrigger_wire::classify;

fn main() {
    let bodies = [
        (429, r#"{"error":{"code":"rate_limit_exceeded"}}"#),
        (429, r#"{"error":{"code":"insufficient_quota"}}"#),
        (400, r#"{"error":{"code":"context_length_exceeded"}}"#),
        (503, "<html>busy</html>"),
    ];
    let header = |name: &str| (name == "retry-after").then_some("20");
    for (status, body) in bodies {
        let failure = classify(status, header, body.as_bytes(), SystemTime::UNIX_EPOCH);
        println!("{status} {body}: {}, wait {:?}", failure.class, failure.retry_after);
    }
}
