//! A caller's trace goes on through each attempt, and whoever watches learns under which name.

use http::{HeaderName, HeaderValue};
use outrigger::{Notice, Request, SpanId, TraceContext};
use sim::{Fault, Received};

use crate::support::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLERS: &str = "b7ad6b7169203331";

fn traced(headers: &[(&'static str, &str)]) -> Request {
    headers.iter().fold(stream_request(), |request, (name, value)| {
        request.header(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    })
}

async fn ask(harbour: &Harbour, headers: &[(&'static str, &str)]) {
    harbour.client.send(traced(headers)).await.unwrap().bytes().await.unwrap();
}

/// The spans that the attempts of all calls are told under, in the order of their ends.
fn told(harbour: &Harbour) -> Vec<Option<SpanId>> {
    let span = |notice: Notice| match notice {
        Notice::AttemptEnded { span, .. } => Some(span),
        _ => None,
    };
    harbour.notices().into_iter().filter_map(span).collect()
}

fn sent(received: &Received) -> TraceContext {
    TraceContext::of(&received.headers).unwrap_or_else(|| panic!("no trace in {:?}", received.headers))
}

/// **One trace, a span an attempt.** Fails if an attempt goes out under its caller's span, or another than is told of it.
#[tokio::test(start_paused = true)]
async fn each_attempt_goes_out_as_a_span_of_its_own_and_is_told_as_that() {
    let harbour = harbour();
    harbour.inject("us-east", Fault::Reset);
    let parent = format!("00-{TRACE}-{CALLERS}-01");
    ask(&harbour, &[("traceparent", &parent), ("tracestate", "a=1"), ("tracestate", "b=2")]).await;
    let mut attempts: Vec<Received> = REGIONS.iter().flat_map(|region| harbour.received(region)).collect();
    attempts.sort_by_key(|received| received.at);
    assert_eq!(attempts.len(), 2);
    let spans: Vec<_> = attempts.iter().map(|received| Some(sent(received).span)).collect();
    assert_eq!(told(&harbour), spans);
    assert_ne!(spans[0], spans[1]);
    for received in &attempts {
        assert_eq!(u128::from_be_bytes(sent(received).trace), u128::from_str_radix(TRACE, 16).unwrap());
        assert_ne!(sent(received).span.to_string(), CALLERS);
        assert!(sent(received).sampled);
        let state: Vec<_> = received.headers.get_all("tracestate").into_iter().collect();
        assert_eq!(state, ["a=1", "b=2"]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_attempts_of_a_rescue_are_spans_too() {
    let harbour = harbour();
    harbour.inject("us-east", Fault::Cut { after: 5 });
    ask(&harbour, &[("traceparent", &format!("00-{TRACE}-{CALLERS}-00"))]).await;
    let attempts = REGIONS.iter().flat_map(|region| harbour.received(region));
    let sent: Vec<_> = attempts.map(|received| sent(&received)).collect();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|context| !context.sampled));
    let told = told(&harbour);
    assert!(sent.iter().all(|context| told.contains(&Some(context.span))), "{told:?} {sent:?}");
}

/// **A trace that is none is not passed on**, nor what was written beside it.
#[tokio::test(start_paused = true)]
async fn without_a_parent_nothing_of_a_trace_crosses() {
    let harbour = harbour();
    let wrong = format!("00-{TRACE}-0000000000000000-01");
    for parent in [Some("00-1-2-01"), Some(&*wrong), None] {
        let parent = parent.map(|parent| ("traceparent", parent));
        ask(&harbour, &[parent.as_slice(), &[("tracestate", "a=1")]].concat()).await;
    }
    for received in REGIONS.iter().flat_map(|region| harbour.received(region)) {
        assert!(!received.headers.contains_key("traceparent"), "{:?}", received.headers);
        assert!(!received.headers.contains_key("tracestate"), "{:?}", received.headers);
    }
    assert_eq!(told(&harbour), [None; 3]);
}
