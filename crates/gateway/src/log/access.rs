//! The access log: one line a request, when it is over. Who asked, for what, where it went, what came of it, and what it cost.
//!
//! Its part of the log is `access`, so that `--log-level info,access=off` is a log without it. What a caller wrote is in it only as
//! far as a name goes (the model, the path, the request's id), cut to [`LONGEST`]; answers and keys are not at hand here, and prompts only
//! where somebody asked for them.

use std::{net::SocketAddr, time::Duration};

use http::StatusCode;
use outrigger::{Route, TraceContext};
use tracing::{field::display, info};

use crate::{
    clerk::{Beside, Clerk, Subject},
    log::prompt::Prompt,
    story::{Story, Tried},
};

/// The most of a name that a caller made up.
const LONGEST: usize = 200;

/// Writes the access log.
#[derive(Debug)]
pub(crate) struct AccessLog;

impl Clerk for AccessLog {
    fn closed(&self, subject: &Subject, story: &Story) {
        let Route { provider, region, model, .. } = match &story.route {
            Some(route) => route,
            None => match story.tried.last() {
                Some(tried) => &tried.route,
                None => &Route::new("", "", ""),
            },
        };
        let tried: Vec<String> = story.tried.iter().map(Tried::to_string).collect();
        let failovers: Vec<&str> = story.failovers.iter().map(|class| class.as_str()).collect();
        info!(
            target: "access",
            id = text(subject.id.as_bytes()),
            peer = subject.peer.map(display),
            caller = subject.caller.as_deref(),
            api = subject.api.path(),
            trace_id = subject.trace.map(|trace| trace_id(&trace.context)),
            model = cut(&subject.model),
            stream = subject.stream,
            bytes = subject.bytes,
            provider = some(provider),
            region = some(region),
            upstream_model = some(model),
            attempts = story.tried.len(),
            tried = some(&tried.join(", ")),
            failovers = some(&failovers.join(",")),
            outcome = story.outcome.as_str(),
            status = story.status.map(|status| status.as_u16()),
            code = story.code.as_deref(),
            tokens_in = story.usage.map(|usage| usage.input),
            tokens_out = story.usage.map(|usage| usage.output),
            cost_usd = story.cost_usd,
            estimated_usd = Some(story.estimated_usd).filter(|usd| *usd > 0.0),
            body_ms = ms(subject.body_took),
            total_ms = ms(story.ended.saturating_duration_since(subject.began)),
            first_token_ms = story.first_token.map(ms),
            overhead_ms = ms(story.own_time(subject.began)),
            prompt = subject.prompt.as_ref().map(Prompt::text),
            "request"
        );
    }

    fn passed(&self, beside: &Beside<'_>) {
        info!(
            target: "access",
            id = text(beside.id.as_bytes()),
            peer = beside.peer.map(display),
            method = beside.method.as_str(),
            path = cut(beside.path),
            outcome = if beside.status.is_success() { "ok" } else { "refused" },
            status = beside.status.as_u16(),
            code = beside.code,
            total_ms = ms(beside.took),
            "request"
        );
    }

    fn turned_away(&self, peer: SocketAddr, waited: Duration) {
        let (status, code) = (StatusCode::SERVICE_UNAVAILABLE.as_u16(), "overloaded");
        let peer = display(peer);
        info!(target: "access", peer, outcome = "refused", status, code, total_ms = ms(waited), "request");
    }
}

/// A name that is there.
fn some(name: &str) -> Option<&str> {
    Some(name).filter(|name| !name.is_empty())
}

/// A header's value that is a sane name is ASCII.
fn text(name: &[u8]) -> &str {
    std::str::from_utf8(name).unwrap_or_default()
}

/// As much of a caller's word as is a name.
pub(crate) fn cut(word: &str) -> Option<&str> {
    some(word.get(..word.floor_char_boundary(LONGEST)).unwrap_or_default())
}

fn trace_id(context: &TraceContext) -> String {
    format!("{:032x}", u128::from_be_bytes(context.trace))
}

/// Milliseconds, to the microsecond.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc, time::Instant};

    use http::{HeaderValue, Method};
    use outrigger::{
        Api, Outcome, SpanId,
        wire::{Class, Usage},
    };

    use super::*;
    use crate::{
        clerk::Trace,
        log::{Format, tests::told},
    };

    const README: &str = include_str!("../../README.md");

    /// The fields of these lines, without those that every line of the log has.
    fn fields(lines: &str) -> BTreeSet<String> {
        let parsed = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let names = parsed.flat_map(|line| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>());
        names.filter(|name| !["timestamp", "level", "message", "target"].contains(&&**name)).collect()
    }

    /// **The README names every field, and no other.** Operators filter by these names. Fails if one is renamed, added or taken away in one of
    /// the two alone.
    #[test]
    fn the_fields_are_those_of_the_readme() {
        let (began, route) = (Instant::now(), Route::new("a", "here", "m"));
        let mut story = Story::new(began);
        story.fail(StatusCode::BAD_GATEWAY, "upstream_exhausted", began);
        (story.route, story.failovers) = (Some(route.clone()), vec![Class::Reset]);
        let tried = Tried { route, span: None, class: None, status: None, began, ended: began };
        (story.tried, story.outcome) = (vec![tried], Outcome::Error);
        (story.usage, story.first_token) = (Some(Usage::new(3, 4)), Some(Duration::ZERO));
        (story.cost_usd, story.estimated_usd) = (Some(2.0), 1.0);
        let peer = SocketAddr::from(([127, 0, 0, 1], 7));
        let context = TraceContext::new([1; 16], SpanId::new([1; 8]).unwrap(), true).unwrap();
        let subject = Subject {
            id: HeaderValue::from_static("x"),
            peer: Some(peer),
            caller: Some(Arc::from("team-a")),
            pass: None,
            api: Api::Chat,
            model: Arc::from("chat"),
            stream: true,
            region: None,
            bytes: Some(7),
            body_took: Duration::ZERO,
            prompt: Prompt::of(b"{\"prompt\":\"ahoy\"}"),
            began,
            trace: Some(Trace { context, parent: None }),
        };
        let (method, id) = (Method::GET, HeaderValue::from_static("x"));
        let lines = told(Format::Json, "info", || {
            AccessLog.closed(&subject, &story);
            let (status, code) = (StatusCode::NOT_FOUND, Some("unknown_url"));
            AccessLog.passed(&Beside {
                id: &id,
                method: &method,
                path: "/x",
                status,
                code,
                peer: Some(peer),
                took: Duration::ZERO,
            });
            AccessLog.turned_away(peer, Duration::ZERO);
        });
        let (_, section) = README.split_once("\n### The log\n").unwrap();
        let rows = section.lines().skip_while(|line| !line.starts_with("| --- ")).skip(1);
        let rows = rows.take_while(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
        let names =
            rows.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
        // In the sentences below the table.
        let more = ["method", "path", "prompt"];
        assert!(more.iter().all(|name| section.contains(&format!("`{name}`"))));
        assert_eq!(fields(&lines), names.chain(more.map(str::to_owned)).collect());
    }
}
