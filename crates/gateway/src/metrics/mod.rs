//! The metrics: what the client's notices add up to, and how it stands now.
//!
//! What happened is counted as it happens; what is (circuits, health, attempts running, budgets) is read when the page is
//! asked for, so that neither can drift from the engine's own state.

mod errors;
mod family;
mod page;
mod state;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use outrigger::{Api, Bill, CallError, Client, Notice, Outcome, Route, wire::Usage};

pub(crate) use self::state::is_taken_out;
use self::{
    errors::Errors,
    family::{Family, Label, Sizes, Sum},
    page::Page,
};
use crate::{clerk::Subject, story::Story};

/// The content type of the page.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The model label of a name that is not configured, or not known yet.
const UNKNOWN: Label = Label::Word("_unknown");

/// From a tenth of a millisecond, where our own time should lie, to what would be an accident.
const OVERHEAD: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];
/// Around the second in which people begin to wait.
const FIRST_TOKEN: &[f64] =
    &[0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0];
/// Those of OpenTelemetry's semantic conventions for `gen_ai.client.operation.duration`.
const DURATION: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// Those of OpenTelemetry's semantic conventions for `gen_ai.client.token.usage`.
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// All that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Family<2, Sum>,
    errors: Errors,
    attempts: Family<4, Sum>,
    failovers: Family<3, Sum>,
    hedges: Family<1, Sum>,
    rescues: Family<1, Sum>,
    transitions: Family<4, Sum>,
    advised: Family<3, Sum>,
    tokens: Family<2, Sum>,
    cost: Family<2, Sum>,
    estimated: Family<2, Sum>,
    overhead: Family<0, Sizes>,
    first_token: Family<3, Sizes>,
    duration: Family<4, Sizes>,
    usage: Family<4, Sizes>,
    reloads: Family<1, Sum>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let place = ["provider", "region", "model"];
        let [provider, region, model] = place;
        Self {
            requests: Family::counter(
                "outrigger_requests_total",
                [model, "outcome"],
                "Requests by how they ended.",
            ),
            errors: Errors::new(),
            attempts: Family::counter(
                "outrigger_attempts_total",
                [provider, region, model, "class"],
                "Attempts at deployments by how they ended.",
            ),
            failovers: Family::counter(
                "outrigger_failovers_total",
                ["from", "to", "class"],
                "Requests that went on at another place, and why.",
            ),
            hedges: Family::counter(
                "outrigger_hedges_total",
                ["result"],
                "Attempts beside slow ones by what came of them: won, lost, failed.",
            ),
            rescues: Family::counter(
                "outrigger_rescues_total",
                ["result"],
                "Answers that broke off and whose rest was sought, by what came of it: continued, restarted, failed.",
            ),
            transitions: Family::counter(
                "outrigger_breaker_transitions_total",
                [provider, region, model, "to"],
                "Changes of circuits by the state they came to.",
            ),
            advised: Family::counter(
                "outrigger_failover_advised_total",
                place,
                "Times that three failures in a row advised to prefer another place.",
            ),
            tokens: Family::counter(
                "outrigger_tokens_total",
                [model, "kind"],
                "Tokens that providers counted: input, output; cached_input, cache_write and reasoning are parts of these.",
            ),
            cost: Family::counter(
                "outrigger_cost_usd_total",
                [provider, model],
                "Cost in USD of all attempts, where the price is known; what no provider counted is estimated.",
            ),
            estimated: Family::counter(
                "outrigger_cost_estimated_usd_total",
                [provider, model],
                "The part of outrigger_cost_usd_total that no provider counted.",
            ),
            overhead: overhead_times(),
            first_token: first_token_times(),
            duration: durations(),
            usage: token_usage(),
            reloads: reloads(),
        }
    }

    /// Counts what the client tells.
    pub(crate) fn notice(&self, notice: &Notice) {
        match notice {
            Notice::AttemptEnded { model, route, class, first_token, bill, .. } => {
                let [provider, region, upstream] = place(route);
                let class = class.map_or("success", |class| class.as_str());
                self.attempts.add([provider, region, upstream, class.into()], 1.0);
                if let Some(first_token) = first_token {
                    self.first_token.add(place(route), first_token.as_secs_f64());
                }
                if let Some(bill) = bill {
                    self.billed(&route.provider, model, bill);
                }
            }
            Notice::Failover { from, to, class, .. } => {
                self.failovers.add([endpoint(from), endpoint(to), class.as_str().into()], 1.0);
            }
            Notice::Hedge { result, .. } => self.hedges.add([result.as_str().into()], 1.0),
            Notice::Rescue { result, .. } => self.rescues.add([result.as_str().into()], 1.0),
            Notice::Transition { route, to, .. } => {
                let [provider, region, model] = place(route);
                self.transitions.add([provider, region, model, to.as_str().into()], 1.0);
            }
            Notice::FailoverAdvised { route, .. } => self.advised.add(place(route), 1.0),
            Notice::CallEnded { model, outcome, usage, .. } => self.call_ended(model, *outcome, *usage),
            _ => {}
        }
    }

    fn billed(&self, provider: &Arc<str>, model: &Arc<str>, bill: &Bill) {
        let Some(cost) = bill.cost_usd else { return };
        self.cost.add([provider.into(), model.into()], cost);
        if bill.estimated_usd > 0.0 {
            self.estimated.add([provider.into(), model.into()], bill.estimated_usd);
        }
    }

    fn call_ended(&self, model: &Arc<str>, outcome: Outcome, usage: Option<Usage>) {
        self.requests.add([model.into(), outcome.as_str().into()], 1.0);
        for (kind, count) in usage.iter().flat_map(kinds).filter(|(_, count)| *count > 0) {
            self.tokens.add([model.into(), kind.into()], count_of(count));
        }
    }

    /// Counts a request that is over, in the words of OpenTelemetry's conventions. One that nobody was asked is none of theirs.
    pub(crate) fn closed(&self, subject: &Subject, story: &Story) {
        let Some(last) = story.tried.last() else { return };
        let provider = || Label::from(&story.route.as_ref().unwrap_or(&last.route).provider);
        let operation = || Label::Word(operation(subject.api));
        // Somebody was asked, so the model is configured.
        let model = || Label::from(&subject.model);
        if let (Outcome::Truncated, Some(code)) = (story.outcome, &story.code) {
            self.errors.truncated(model(), code);
        }
        // An empty label is an absent one; the conventions ask for `error.type` only on errors.
        let error = story.error_type().unwrap_or_default();
        let took = story.ended.saturating_duration_since(subject.began);
        self.duration.add([operation(), provider(), model(), error.into()], took.as_secs_f64());
        for (kind, count) in story.usage.iter().flat_map(kinds).take(2) {
            self.usage.add([operation(), provider(), model(), kind.into()], count_of(count));
        }
    }

    /// Notes the gateway's own part of a request's time.
    pub(crate) fn overhead(&self, own: Duration) {
        self.overhead.add([], own.as_secs_f64());
    }

    /// Counts a call that ended without an answer. Of one that never reached the engine there is no notice.
    pub(crate) fn failed(&self, client: &Client, model: &str, error: &CallError) {
        let model = label_of(client, model);
        let is_counted = matches!(
            error,
            CallError::NoDeployment { .. }
                | CallError::RateLimited { .. }
                | CallError::Exhausted { .. }
                | CallError::DeadlineExceeded { .. }
                | CallError::Rejected { .. }
                | CallError::CutOff { .. }
                | CallError::Truncated { .. }
        );
        if !is_counted {
            self.requests.add([model.clone(), Outcome::Refused.as_str().into()], 1.0);
        }
        self.errors.failed(model, error);
    }

    /// Counts a request that was refused before the client was asked; `model` is empty where it was not known yet.
    pub(crate) fn refused(&self, client: &Client, model: &str, code: &'static str) {
        self.refuse(label_of(client, model), code);
    }

    /// Counts a connection for which there was no place.
    pub(crate) fn turned_away(&self) {
        self.refuse(UNKNOWN, "overloaded");
    }

    fn refuse(&self, model: Label, code: &'static str) {
        self.requests.add([model.clone(), Outcome::Refused.as_str().into()], 1.0);
        self.errors.refused(model, code);
    }

    /// Requests that a provider found fault with: errors that are their callers' own.
    pub(crate) fn rejected(&self) -> u64 {
        self.errors.rejected()
    }

    /// A counter that is born with its first count does not grow, as far as an alert sees. So what alerts go by is there from the first look.
    fn expect(&self, client: &Client) {
        for model in client.models().iter().map(Label::from) {
            for outcome in [Outcome::Ok, Outcome::Error, Outcome::Truncated, Outcome::Refused] {
                self.requests.add([model.clone(), outcome.as_str().into()], 0.0);
            }
            self.errors.expect(&model);
        }
        self.requests.add([UNKNOWN, Outcome::Refused.as_str().into()], 0.0);
        self.errors.expect_overload(UNKNOWN);
    }

    /// Requests by how they ended.
    pub(crate) fn outcomes(&self) -> BTreeMap<String, u64> {
        self.requests.counts_by(1)
    }

    /// There is a file to read again: so many reloads so far are none, which an alert has to know to see the first.
    pub(crate) fn may_reload(&self) {
        ["ok", "error"].into_iter().for_each(|result| self.reloads.add([result.into()], 0.0));
    }

    /// Counts a reload.
    pub(crate) fn reloaded(&self, result: &'static str) {
        self.reloads.add([result.into()], 1.0);
    }

    /// The page: what was counted, and how the client stands now.
    pub(crate) fn page(&self, client: &Client) -> String {
        self.expect(client);
        let mut page = Page::default();
        self.requests.write(&mut page);
        self.errors.0.write(&mut page);
        self.attempts.write(&mut page);
        self.failovers.write(&mut page);
        self.hedges.write(&mut page);
        self.rescues.write(&mut page);
        self.transitions.write(&mut page);
        self.advised.write(&mut page);
        self.tokens.write(&mut page);
        self.cost.write(&mut page);
        self.estimated.write(&mut page);
        self.overhead.write(&mut page);
        self.first_token.write(&mut page);
        self.duration.write(&mut page);
        self.usage.write(&mut page);
        self.reloads.write(&mut page);
        state::write(&mut page, client);
        page.into_text()
    }
}

/// A model's name as a label: callers must not be able to make series.
fn label_of(client: &Client, model: &str) -> Label {
    client.models().iter().find(|name| ***name == *model).map_or(UNKNOWN, Label::from)
}

/// Tokens by kind. The first two are the whole; the others are parts of them.
fn kinds(usage: &Usage) -> [(&'static str, u64); 5] {
    [
        ("input", usage.input),
        ("output", usage.output),
        ("cached_input", usage.cached_input),
        ("cache_write", usage.cache_write),
        ("reasoning", usage.reasoning),
    ]
}

/// What OpenTelemetry's conventions call this kind of request.
pub(crate) fn operation(api: Api) -> &'static str {
    match api {
        Api::Completions => "text_completion",
        Api::Embeddings => "embeddings",
        _ => "chat",
    }
}

fn first_token_times() -> Family<3, Sizes> {
    Family::histogram(
        "outrigger_time_to_first_token_seconds",
        ["provider", "region", "model"],
        FIRST_TOKEN,
        "Time of an attempt from its start to its first content.",
    )
}

fn overhead_times() -> Family<0, Sizes> {
    Family::histogram(
        "outrigger_overhead_seconds",
        [],
        OVERHEAD,
        "Time of a request that was spent on no attempt: the gateway's own.",
    )
}

fn durations() -> Family<4, Sizes> {
    Family::histogram(
        "gen_ai_client_operation_duration_seconds",
        ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"],
        DURATION,
        "Duration of requests, from their start to the end of the answer.",
    )
}

fn reloads() -> Family<1, Sum> {
    Family::counter(
        "outrigger_config_reloads_total",
        ["result"],
        "Times that the configuration was read again, by what came of it: ok, or error, and then the one before stayed.",
    )
}

fn token_usage() -> Family<4, Sizes> {
    Family::histogram(
        "gen_ai_client_token_usage",
        ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"],
        TOKENS,
        "Tokens of a request, by direction.",
    )
}

fn place(route: &Route) -> [Label; 3] {
    [Label::from(&route.provider), Label::from(&route.region), Label::from(&route.model)]
}

fn endpoint(route: &Route) -> Label {
    Label::from(format!("{}/{}", route.provider, route.region))
}

#[expect(clippy::cast_precision_loss, reason = "a sum of tokens is a float in the text form anyway")]
fn count_of(tokens: u64) -> f64 {
    tokens as f64
}
