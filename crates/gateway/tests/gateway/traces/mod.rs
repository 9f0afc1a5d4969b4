//! Traces, as a collector of OpenTelemetry receives them.

mod collector;

use outrigger::TraceContext;
use sim::{Fault, Received, Server, When};

use self::collector::{Collector, Span};
use crate::support::{Gateway, file, outrigger, question, soon, two_regions};

const CHAT: &str = "/v1/chat/completions";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLERS: &str = "b7ad6b7169203331";

async fn exporting(to: &Collector, delay: &str) -> Gateway {
    let endpoint = format!("http://{}", to.address);
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), ("OTEL_BSP_SCHEDULE_DELAY", delay)];
    Gateway::in_environment(&environment, "").await
}

/// What a region was told of the trace.
fn sent(received: &Received) -> (String, String) {
    let context =
        TraceContext::of(&received.headers).unwrap_or_else(|| panic!("no trace in {:?}", received.headers));
    (format!("{:032x}", u128::from_be_bytes(context.trace)), context.span.to_string())
}

fn only(spans: &[Span], what: impl Fn(&Span) -> bool) -> &Span {
    let mut found = spans.iter().filter(|span| what(span));
    let first = found.next().unwrap_or_else(|| panic!("none in {spans:#?}"));
    assert!(found.next().is_none(), "two in {spans:#?}");
    first
}

/// **A call is a span, and each attempt a child of it, under the very name that its provider was told.** Fails if an id is made up
/// twice, a parent is wrong, or an attribute of the conventions has another name.
#[tokio::test]
async fn a_call_is_a_span_with_a_child_for_each_attempt() {
    let collector = Collector::start().await;
    let gateway = exporting(&collector, "20").await;
    gateway.world().inject("us-east", Fault::Reset, When::always()).unwrap();
    let headers = format!("traceparent: 00-{TRACE}-{CALLERS}-01\r\ntracestate: vendor=7\r\n");
    let reply = gateway.ask(&headers).await;
    assert_eq!(reply.status, 200);
    let spans = collector.spans(3).await;
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    let call = only(&spans, |span| span.parent == CALLERS);
    assert_eq!((&*call.name, call.kind), ("chat chat", collector::SERVER));
    let usage = &reply.json()["usage"];
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "holysheep"),
        ("gen_ai.request.model", "chat"),
        ("gen_ai.response.model", "gpt-4.1"),
        ("gen_ai.usage.input_tokens", &usage["prompt_tokens"].to_string()),
        ("gen_ai.usage.output_tokens", &usage["completion_tokens"].to_string()),
        ("http.response.status_code", "200"),
        ("outrigger.attempts", "2"),
        ("outrigger.outcome", "ok"),
    ] {
        assert_eq!(call.attribute(name), Some(value), "{name} of {call:#?}");
    }
    assert_eq!((call.attribute("error.type"), call.is_error), (None, false));
    for (region, error) in [("us-east", Some("reset")), ("eu-west", None)] {
        let received = gateway.world().received(region).unwrap();
        let (trace, span) = sent(&received[0]);
        assert_eq!(received[0].headers["tracestate"], "vendor=7", "what others know of the trace goes on");
        let attempt = only(&spans, |other| other.span == span);
        assert_eq!((&*trace, &attempt.parent), (TRACE, &call.span));
        assert_eq!((&*attempt.name, attempt.kind), ("chat gpt-4.1", collector::CLIENT));
        assert_eq!((attempt.attribute("error.type"), attempt.is_error), (error, error.is_some()));
        assert_eq!(attempt.attribute("gen_ai.request.model"), Some("gpt-4.1"));
        assert_eq!(attempt.attribute("outrigger.region"), Some(region));
        let address = gateway.server.addr(region).unwrap();
        assert_eq!(attempt.attribute("server.address"), Some(&*address.ip().to_string()));
        assert_eq!(attempt.attribute("server.port"), Some(&*address.port().to_string()));
        assert!(
            call.start <= attempt.start && attempt.start < attempt.end && attempt.end <= call.end,
            "{spans:#?}"
        );
    }
    assert_eq!(collector.resource("service.name").as_deref(), Some("outrigger"));
}

/// **What is known leaves before the end**, of requests without a trace of their own too; what a caller does not record is not recorded here.
#[tokio::test]
async fn the_last_spans_leave_before_the_process_does() {
    let collector = Collector::start().await;
    let mut gateway = exporting(&collector, "600000").await;
    gateway.ask("").await;
    gateway.ask(&format!("traceparent: 00-{TRACE}-{CALLERS}-00\r\n")).await;
    gateway.post(CHAT, "tracestate: a=1\r\n", &question(false).replace("\"chat\"", "\"made-up\"")).await;
    gateway.terminate();
    assert!(soon(gateway.child.wait()).await.unwrap().success());
    let spans = collector.spans(3).await;
    assert_eq!(spans.len(), 3, "{spans:#?}");
    assert!(spans.iter().all(|span| span.trace != TRACE), "{spans:#?}");
    let regions = ["us-east", "eu-west"].map(|region| gateway.world().received(region).unwrap());
    let mut received = regions.concat();
    received.sort_by_key(|received| received.at);
    let (trace, span) = sent(&received[0]);
    let attempt = only(&spans, |other| other.span == span);
    let call = only(&spans, |other| other.span == attempt.parent);
    assert_eq!((&attempt.trace, &call.trace, &*call.parent), (&trace, &trace, ""));
    let refused = only(&spans, |span| span.attribute("outrigger.error.code") == Some("model_not_found"));
    assert_eq!((&*refused.name, refused.is_error), ("chat", false), "a caller's word makes no name");
    assert_eq!(refused.attribute("error.type"), Some("refused"));
    assert_eq!(sent(&received[1]).0, TRACE);
    assert!(received[1].headers["traceparent"].as_bytes().ends_with(b"-00"), "{:?}", received[1].headers);
}

/// **Nobody waits for a collector.** Fails if one that is not there, or says nothing, holds up an answer or the end.
#[tokio::test]
async fn a_collector_that_is_not_there_holds_up_nothing() {
    let nobody = Collector::gone().await;
    let mut gateway = exporting(&nobody, "20").await;
    for _ in 0..20 {
        assert_eq!(gateway.ask("").await.status, 200);
    }
    gateway.terminate();
    assert!(soon(gateway.child.wait()).await.unwrap().success());
}

/// **A region that a reload adds has its address.** Fails if the clerk keeps the configuration of the start.
#[tokio::test]
async fn spans_know_where_a_reloaded_region_is() {
    let collector = Collector::start().await;
    let server = Server::start(two_regions()).await.unwrap();
    let text = Gateway::text(&server);
    let added = text.find("[providers.holysheep.regions.eu-west]").unwrap();
    let end = text.find("[models.").unwrap();
    let path = file(&format!("{}{}", &text[..added], &text[end..]));
    let mut program = outrigger();
    program.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.address));
    program.env("OTEL_BSP_SCHEDULE_DELAY", "20");
    let gateway = Gateway::reading(program, server, &path).await;
    std::fs::write(&path, &text).unwrap();
    assert_eq!(gateway.operate("POST", "/reload", "").await.status, 200);
    let reply = gateway.ask("x-outrigger-residency: eu-west\r\n").await;
    assert_eq!(reply.header("x-outrigger-region"), Some("eu-west"), "{}", reply.text());
    let spans = collector.spans(2).await;
    let attempt = only(&spans, |span| span.kind == collector::CLIENT);
    let port = gateway.server.addr("eu-west").unwrap().port().to_string();
    assert_eq!(attempt.attribute("server.port"), Some(&*port), "{attempt:#?}");
}

/// **A prompt is in no span**, whatever the access log is told to hold. Fails if a clerk for others takes it along.
#[tokio::test]
async fn no_prompt_leaves_with_a_span() {
    let collector = Collector::start().await;
    let endpoint = format!("http://{}", collector.address);
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ("OUTRIGGER_LOG_PROMPTS", "true"),
    ];
    let gateway = Gateway::in_environment(&environment, "").await;
    gateway.post(CHAT, "", &question(false).replace("ahoy", "xyzzy-of-the-prompt")).await;
    collector.spans(2).await;
    assert!(collector.has_seen("gpt-4.1") && !collector.has_seen("xyzzy"));
}
