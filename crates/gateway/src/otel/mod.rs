//! Traces for OpenTelemetry: one span a request, and one child span an attempt, in the words of the GenAI conventions.
//!
//! A request's span is a child of its caller's (`traceparent`), and each attempt goes upstream under the very span that is exported for it. The
//! standard variables steer it: nothing is exported unless `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is
//! set; `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS` and `OTEL_BSP_*` are the SDK's.
//!
//! Spans are made when a request is over, out of its story; they go through the SDK's own queue, and are dropped when that is full. Nobody
//! waits for a collector. Of the conventions' names, which are in development still, none is written elsewhere than in [`span`].

mod addresses;
mod post;
mod span;

use std::time::{Duration, Instant};

use http::{HeaderMap, header::HeaderName};
use opentelemetry::{
    Context, InstrumentationScope, TraceId,
    trace::{SpanKind, TraceContextExt},
};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{
        BatchSpanProcessor, Config as Sampling, IdGenerator, RandomIdGenerator, SamplingDecision,
        ShouldSample, SpanProcessor,
    },
};
use outrigger::{Config, SpanId, TraceContext};

use self::addresses::Addresses;
use crate::{
    clerk::{Clerk, Subject, Trace},
    cli::Env,
    story::Story,
};

/// How long the end of the process waits for the last spans.
const LAST_SPANS: Duration = Duration::from_secs(3);
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Exports spans. The clerk who keeps a record for somebody else.
#[derive(Debug)]
pub(crate) struct Tracing {
    processor: BatchSpanProcessor,
    sampler: Box<dyn ShouldSample>,
    scope: InstrumentationScope,
    addresses: Addresses,
}

impl Tracing {
    /// The exporter that the environment asks for, if it does. It must be made on a runtime, which sends what it exports.
    ///
    /// # Errors
    /// What the SDK has against the environment.
    pub(crate) fn start(env: Env<'_>, config: &Config) -> Result<Option<Self>, String> {
        let set = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        let says =
            |name: &str, word: &str| set(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(word));
        let somewhere = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        if !somewhere.iter().any(|name| set(name).is_some())
            || says("OTEL_SDK_DISABLED", "true")
            || says("OTEL_TRACES_EXPORTER", "none")
        {
            return Ok(None);
        }
        let patience = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
        let patience = patience.iter().find_map(|name| set(name)?.trim().parse().ok());
        let post = post::Post::new(patience.map(Duration::from_millis));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(post)
            .build()
            .map_err(|error| format!("cannot export traces: {error}"))?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let resource = Resource::builder();
        let is_named = set("OTEL_SERVICE_NAME").is_some()
            || set("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|list| list.contains("service.name="));
        let resource = if is_named { resource } else { resource.with_service_name("outrigger") };
        processor.set_resource(&resource.build());
        let scope =
            InstrumentationScope::builder("outrigger").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Some(Self {
            processor,
            sampler: Sampling::default().sampler,
            scope,
            addresses: Addresses::of(config, Instant::now()),
        }))
    }

    /// Another configuration holds from now on.
    pub(crate) fn follow(&self, config: &Config) {
        self.addresses.follow(config, Instant::now());
    }

    /// Sends what waits, for a few seconds at most. It blocks its thread, which must not be one of the runtime's workers.
    pub(crate) fn finish(&self) {
        drop(self.processor.shutdown_with_timeout(LAST_SPANS));
    }
}

impl Clerk for Tracing {
    fn opened(&self, subject: &mut Subject, headers: &mut HeaderMap) {
        let ids = RandomIdGenerator::default();
        let callers = subject.trace.map(|trace| trace.context);
        let trace = callers.map_or_else(|| ids.new_trace_id().to_bytes(), |context| context.trace);
        let parent =
            callers.map(|context| Context::new().with_remote_span_context(span::context(&context, true)));
        let name = span::operation(subject.api);
        let sampled = self.sampler.should_sample(
            parent.as_ref(),
            TraceId::from_bytes(trace),
            name,
            &SpanKind::Server,
            &[],
            &[],
        );
        let sampled = sampled.decision == SamplingDecision::RecordAndSample;
        let own = SpanId::new(ids.new_span_id().to_bytes());
        let Some(context) = own.and_then(|own| TraceContext::new(trace, own, sampled)) else { return };
        headers.insert(TRACEPARENT, context.to_header());
        if callers.is_none() {
            headers.remove(TRACESTATE);
        }
        subject.trace = Some(Trace { context, parent: callers.map(|context| context.span) });
    }

    fn closed(&self, subject: &Subject, story: &Story) {
        let Some(trace) = subject.trace.filter(|trace| trace.context.sampled) else { return };
        let clock = span::Clock::now();
        for tried in &story.tried {
            let address = self.addresses.find(&tried.route, tried.began);
            if let Some(span) = span::of_attempt(&trace, subject, tried, address, clock, &self.scope) {
                self.processor.on_end(span);
            }
        }
        self.processor.on_end(span::of_request(&trace, subject, story, clock, &self.scope));
    }
}
