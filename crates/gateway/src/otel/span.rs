//! Spans out of stories. The names are those of OpenTelemetry's semantic conventions for generative AI, which are in development: this
//! file is where they change. What they have no name for is called `outrigger.*`.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId as OtelSpanId, TraceId,
    trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use outrigger::{Api, Outcome, SpanId, TraceContext, wire::Class};

use crate::{
    clerk::{Subject, Trace},
    log::access::cut,
    metrics,
    story::{Story, Tried},
};

const OPERATION: &str = "gen_ai.operation.name";
const PROVIDER: &str = "gen_ai.provider.name";
const REQUEST_MODEL: &str = "gen_ai.request.model";
const RESPONSE_MODEL: &str = "gen_ai.response.model";
const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
const CACHE_READ: &str = "gen_ai.usage.cache_read.input_tokens";
const CACHE_WRITTEN: &str = "gen_ai.usage.cache_creation.input_tokens";
const ERROR_TYPE: &str = "error.type";
const STATUS: &str = "http.response.status_code";
const ADDRESS: &str = "server.address";
const PORT: &str = "server.port";
const REGION: &str = "outrigger.region";
const OUTCOME: &str = "outrigger.outcome";
const ATTEMPTS: &str = "outrigger.attempts";
const COST: &str = "outrigger.cost_usd";
const ESTIMATED: &str = "outrigger.estimated_usd";
const CALLER: &str = "outrigger.caller";
const REQUEST: &str = "outrigger.request.id";
const CODE: &str = "outrigger.error.code";
const STREAM: &str = "outrigger.stream";

/// One instant in both times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant, SystemTime);

impl Clock {
    pub(super) fn now() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    fn wall(self, at: Instant) -> SystemTime {
        let ago = self.0.saturating_duration_since(at);
        self.1.checked_sub(ago).unwrap_or(self.1)
    }
}

/// What the conventions call this kind of request.
pub(super) fn operation(api: Api) -> &'static str {
    metrics::operation(api)
}

pub(super) fn context(of: &TraceContext, is_remote: bool) -> SpanContext {
    let flags = if of.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    SpanContext::new(TraceId::from_bytes(of.trace), id(of.span), flags, is_remote, TraceState::default())
}

/// The span of a request, a child of its caller's.
pub(super) fn of_request(
    trace: &Trace,
    subject: &Subject,
    story: &Story,
    clock: Clock,
    scope: &InstrumentationScope,
) -> SpanData {
    let model = cut(&subject.model).unwrap_or_default().to_owned();
    let operation = operation(subject.api);
    // A name that a caller made up makes no span's name: those are to be few.
    let name = if story.tried.is_empty() { operation.to_owned() } else { format!("{operation} {model}") };
    let mut attributes = vec![
        KeyValue::new(OPERATION, operation),
        KeyValue::new(OUTCOME, story.outcome.as_str()),
        KeyValue::new(ATTEMPTS, number(story.tried.len())),
        KeyValue::new(STREAM, subject.stream),
        KeyValue::new(REQUEST, subject.id.to_str().unwrap_or_default().to_owned()),
    ];
    let mut set = |attribute: Option<KeyValue>| attributes.extend(attribute);
    set((!model.is_empty()).then(|| KeyValue::new(REQUEST_MODEL, model)));
    set(subject.caller.clone().map(|caller| KeyValue::new(CALLER, caller)));
    if let Some(route) = &story.route {
        set(Some(named(PROVIDER, &route.provider)));
        set(Some(named(REGION, &route.region)));
        set((story.outcome == Outcome::Ok).then(|| named(RESPONSE_MODEL, &route.model)));
    }
    if let Some(usage) = &story.usage {
        set(Some(KeyValue::new(INPUT_TOKENS, number(usage.input))));
        set(Some(KeyValue::new(OUTPUT_TOKENS, number(usage.output))));
        let some = |name, tokens| (tokens > 0).then(|| KeyValue::new(name, number(tokens)));
        set(some(CACHE_READ, usage.cached_input));
        set(some(CACHE_WRITTEN, usage.cache_write));
    }
    set(story.cost_usd.map(|cost| KeyValue::new(COST, cost)));
    set((story.estimated_usd > 0.0).then(|| KeyValue::new(ESTIMATED, story.estimated_usd)));
    set(story.status.map(|status| KeyValue::new(STATUS, i64::from(status.as_u16()))));
    set(story.code.clone().map(|code| KeyValue::new(CODE, code)));
    set(story.error_type().map(|error| KeyValue::new(ERROR_TYPE, error)));
    // A caller's own fault is none of the server's.
    let is_failure =
        story.outcome == Outcome::Truncated || story.status.is_some_and(|status| status.is_server_error());
    SpanData {
        span_context: context(&trace.context, false),
        parent_span_id: trace.parent.map_or(OtelSpanId::INVALID, id),
        parent_span_is_remote: trace.parent.is_some(),
        span_kind: SpanKind::Server,
        name: name.into(),
        start_time: clock.wall(subject.began),
        end_time: clock.wall(story.ended),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if is_failure {
            Status::error(story.error_type().unwrap_or_default())
        } else {
            Status::Unset
        },
        instrumentation_scope: scope.clone(),
    }
}

/// The span of an attempt, under the name that its provider was told; none of one that was told none.
pub(super) fn of_attempt(
    trace: &Trace,
    subject: &Subject,
    tried: &Tried,
    address: Option<(String, u16)>,
    clock: Clock,
    scope: &InstrumentationScope,
) -> Option<SpanData> {
    let operation = operation(subject.api);
    let mut attributes = vec![
        KeyValue::new(OPERATION, operation),
        named(PROVIDER, &tried.route.provider),
        named(REQUEST_MODEL, &tried.route.model),
        named(REGION, &tried.route.region),
    ];
    if let Some((host, port)) = address {
        attributes.push(KeyValue::new(ADDRESS, host));
        attributes.push(KeyValue::new(PORT, i64::from(port)));
    }
    attributes.extend(tried.class.map(|class| KeyValue::new(ERROR_TYPE, class.as_str())));
    attributes.extend(tried.status.map(|status| KeyValue::new(STATUS, i64::from(status))));
    let status = match tried.class {
        None | Some(Class::Cancelled) => Status::Unset,
        Some(class) => Status::error(class.as_str()),
    };
    Some(SpanData {
        span_context: context(&trace.context.at(tried.span?), false),
        parent_span_id: id(trace.context.span),
        parent_span_is_remote: false,
        span_kind: SpanKind::Client,
        name: format!("{operation} {}", tried.route.model).into(),
        start_time: clock.wall(tried.began),
        end_time: clock.wall(tried.ended),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status,
        instrumentation_scope: scope.clone(),
    })
}

/// A count as OpenTelemetry's integer.
fn number(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

fn id(span: SpanId) -> OtelSpanId {
    OtelSpanId::from_bytes(span.to_bytes())
}

/// An attribute that is a name of the configuration.
fn named(attribute: &'static str, name: &Arc<str>) -> KeyValue {
    KeyValue::new(attribute, Arc::clone(name))
}
