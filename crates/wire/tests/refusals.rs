//! What refusals mean: every documented one, those in streams, and those that nobody can read.

use std::time::{Duration, SystemTime};

use outrigger_wire::{
    Api,
    Class::{CallerFault, Credential, Overloaded, QuotaSpent, RateLimited, Timeout, Transient},
    MAX_RESET, MAX_RETRY_AFTER, classify, read_frame,
};

/// The facts, one row a line; `refusals.txt` explains its columns.
const FACTS: &str = include_str!("refusals.txt");

#[test]
fn every_documented_refusal_has_its_class_and_its_wait() {
    // 2026-11-22T12:00:00Z.
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_348_800);
    let rows = FACTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut count = 0;
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [_who, status, headers, body, class, wait, _source] = cells[..] else {
            panic!("a row has seven columns: {row}")
        };
        let said = |cell: &'static str| if cell == "-" { "" } else { cell };
        let headers: Vec<_> =
            said(headers).split("; ").filter_map(|header| header.split_once(": ")).collect();
        let header = |name: &str| headers.iter().find(|(header, _)| *header == name).map(|(_, value)| *value);
        let status = status.parse().unwrap();
        let failure = classify(status, header, said(body).as_bytes(), wall);
        let wait = said(wait).parse().ok().map(Duration::from_millis);
        assert_eq!((failure.class, failure.retry_after), (class.parse().unwrap(), wait), "{row}");
        assert_eq!(failure.status, Some(status));
        count += 1;
    }
    assert!(count > 100, "{count} rows were read");
}

#[test]
fn every_documented_error_in_a_stream_has_its_class() {
    for (api, data, class) in [
        (Api::Chat, r#"{"error":{"message":"m","type":"server_error","code":null}}"#, Transient),
        (Api::Chat, r#"{"error":{"code":502,"message":"Provider disconnected"},"choices":[]}"#, Transient),
        (Api::Chat, r#"{"error":{"message":"m","code":"modelStreamErrorException"}}"#, Transient),
        (Api::Chat, r#"{"error":{"message":"m","code":"throttlingException"}}"#, RateLimited),
        (Api::Chat, r#"{"error":{"message":"m","code":"modelTimeoutException"}}"#, Timeout),
        (Api::Chat, r#"{"error":{"message":"m","code":"serviceUnavailableException"}}"#, Overloaded),
        (Api::Chat, r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}"#, RateLimited),
        (Api::Responses, r#"{"type":"error","code":"server_error","message":"m","param":null}"#, Transient),
        (
            Api::Responses,
            r#"{"type":"error","error":{"type":"tokens","code":"rate_limit_exceeded"}}"#,
            RateLimited,
        ),
        (Api::Messages, r#"{"type":"error","error":{"type":"overloaded_error"}}"#, Overloaded),
        (Api::Messages, r#"{"type":"error","error":{"type":"rate_limit_error"}}"#, RateLimited),
    ] {
        let error = read_frame(api, None, data.as_bytes()).error;
        assert_eq!(error.map(|failure| failure.class), Some(class), "{data}");
    }
}

#[test]
fn a_body_that_cannot_be_read_is_judged_by_its_status() {
    for body in
        ["{", "[]", "[7]", "null", "{}", "{\"error\":null}", "{\"error\":7}", "{\"error\":{\"code\":[]}}"]
    {
        for (status, class) in [
            (400, CallerFault),
            (401, Credential),
            (402, QuotaSpent),
            (404, Transient),
            (429, RateLimited),
            (500, Transient),
        ] {
            let failure = classify(status, |_| None, body.as_bytes(), SystemTime::UNIX_EPOCH);
            assert_eq!(failure.class, class, "{status} {body}");
        }
    }
}

#[test]
fn no_wait_is_believed_beyond_its_cap() {
    let far = |name: &str| (name == "retry-after").then_some("99999999");
    let limited = classify(429, far, b"", SystemTime::UNIX_EPOCH);
    assert_eq!((limited.class, limited.retry_after), (RateLimited, Some(MAX_RETRY_AFTER)));
    let spent = classify(429, far, br#"{"error":{"code":"insufficient_quota"}}"#, SystemTime::UNIX_EPOCH);
    assert_eq!((spent.class, spent.retry_after), (QuotaSpent, Some(MAX_RESET)));
    // So long a wait is no budget of requests in flight.
    let paid = classify(402, far, b"", SystemTime::UNIX_EPOCH);
    assert_eq!((paid.class, paid.retry_after), (QuotaSpent, Some(MAX_RESET)));
}
