//! What a replay tells: a line for each line of the trace, and how it all came out.

use std::fmt;

use outrigger::engine::DeploymentStatus;
use serde::Serialize;
use serde_json::Number;

use super::trace::{Cordon, Ended, Pick, number};
use crate::explained::{Candidate, Explained};

/// What is told of one line.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Told {
    Ended(Box<EndTold>),
    Pick(PickTold),
    Cordon(CordonTold),
}

/// An operator's word.
#[derive(Debug, Serialize)]
pub(crate) struct CordonTold {
    at_ms: Number,
    cordon: &'static str,
    /// Absent where all is put back.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
}

/// How a place stands after an attempt there has ended.
#[derive(Debug, Serialize)]
pub(crate) struct EndTold {
    at_ms: Number,
    provider: String,
    region: String,
    model: String,
    class: &'static str,
    /// Whether circuits here let it begin, so that its end was learned from.
    pub(crate) learned: bool,
    /// Absent where the configuration has no such place.
    state: Option<State>,
    transitions: Vec<Transition>,
}

/// How a place stands.
#[derive(Debug, Serialize)]
struct State {
    breaker: &'static str,
    level: &'static str,
    reason: Option<&'static str>,
    health: Number,
    consecutive_failures: u32,
    failover_advised: bool,
    cooldown_ms: u64,
    in_flight: u32,
    ttft_ms: Option<Number>,
    answer_ms: Option<Number>,
}

/// A circuit that changed its state.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Transition {
    pub(crate) place: String,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) reason: Option<&'static str>,
}

/// Who would be taken, under each strategy.
#[derive(Debug, Serialize)]
pub(crate) struct PickTold {
    at_ms: Number,
    pick: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    pub(crate) choices: Vec<Choice>,
    #[serde(skip)]
    pub(crate) time_ms: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    transitions: Vec<Transition>,
}

/// Who would be taken, and why.
#[derive(Debug, Serialize)]
pub(crate) struct Choice {
    strategy: String,
    /// Nobody where it is absent.
    pub(crate) choice: Option<String>,
    reasons: Vec<Reason>,
}

/// What became of one candidate.
#[derive(Debug, Serialize)]
struct Reason {
    place: String,
    tier: usize,
    verdict: String,
    cost_ms: Option<Number>,
    health: Option<Number>,
}

impl Choice {
    pub(crate) fn new(strategy: &str, explained: &Explained) -> Self {
        let name = |one: &Candidate| format!("{}/{}/{}", one.provider, one.region, one.model);
        let reason = |tier: usize, one: &Candidate| Reason {
            place: name(one),
            tier,
            verdict: one.verdict.clone(),
            cost_ms: one.terms.as_ref().map(|terms| number(terms.cost)),
            health: one.terms.as_ref().map(|terms| number(terms.health)),
        };
        let tiers = explained.tiers.iter().enumerate();
        let reasons = tiers.flat_map(|(tier, told)| told.candidates.iter().map(move |one| reason(tier, one)));
        let choice = explained.choice.as_ref();
        Self {
            strategy: strategy.to_owned(),
            choice: choice.map(|choice| format!("{}/{}/{}", choice.provider, choice.region, choice.model)),
            reasons: reasons.collect(),
        }
    }
}

impl Told {
    /// How many circuits changed their state.
    pub(crate) fn transitions(&self) -> usize {
        match self {
            Self::Ended(told) => told.transitions.len(),
            Self::Pick(told) => told.transitions.len(),
            Self::Cordon(_) => 0,
        }
    }
}

impl EndTold {
    /// Whether the configuration has its place.
    pub(crate) fn is_known(&self) -> bool {
        self.state.is_some()
    }

    pub(crate) fn new(
        ended: &Ended,
        learned: bool,
        state: Option<&DeploymentStatus>,
        transitions: Vec<Transition>,
    ) -> Self {
        Self {
            at_ms: number(ended.at_ms),
            provider: ended.provider.clone(),
            region: ended.region.clone(),
            model: ended.model.clone(),
            class: ended.class_name(),
            learned,
            state: state.map(State::from),
            transitions,
        }
    }
}

impl PickTold {
    pub(crate) fn new(
        pick: &Pick,
        choices: Result<Vec<Choice>, String>,
        transitions: Vec<Transition>,
    ) -> Self {
        let (choices, error) = match choices {
            Ok(choices) => (choices, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let time_ms = pick.at_ms;
        let (pick, at_ms, region) = (pick.model.clone(), number(pick.at_ms), pick.region.clone());
        Self { at_ms, pick, region, error, choices, time_ms, transitions }
    }
}

impl From<&DeploymentStatus> for State {
    fn from(status: &DeploymentStatus) -> Self {
        Self {
            breaker: status.breaker,
            level: status.level,
            reason: status.reason,
            health: number(status.health),
            consecutive_failures: status.consecutive_failures,
            failover_advised: status.failover_advised,
            cooldown_ms: status.cooldown_ms,
            in_flight: status.in_flight,
            ttft_ms: status.ttft_ms.map(number),
            answer_ms: status.answer_ms.map(number),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(told) => told.fmt(f),
            Self::Pick(told) => told.fmt(f),
            Self::Cordon(told) => told.fmt(f),
        }
    }
}

impl CordonTold {
    pub(crate) fn new(cordon: &Cordon) -> Self {
        let place = cordon.said.as_ref().map(|said| {
            let names = [Some(&said.provider), Some(&said.region), said.model.as_ref()];
            names.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("/")
        });
        Self { at_ms: number(cordon.at_ms), cordon: cordon.word(), place }
    }
}

impl fmt::Display for CordonTold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cordon {}", self.at_ms, self.cordon)?;
        self.place.as_ref().map_or(Ok(()), |place| write!(f, " {place}"))
    }
}

impl fmt::Display for EndTold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_ms, provider, region, model, class, .. } = self;
        write!(f, "{at_ms} {provider}/{region}/{model} {class}:")?;
        let Some(state) = &self.state else { return f.write_str(" no such place in the configuration") };
        if !self.learned {
            f.write_str(" not learned from, circuits here would not have let it begin;")?;
        }
        write!(f, " {}", state.breaker)?;
        if let Some(reason) = state.reason {
            write!(f, " ({reason})")?;
        }
        write!(f, ", health {}", state.health)?;
        if state.consecutive_failures > 0 {
            write!(f, ", {} failures in a row", state.consecutive_failures)?;
        }
        if state.cooldown_ms > 0 {
            write!(f, ", cooling down for {} ms", state.cooldown_ms)?;
        }
        told(&self.transitions, f)
    }
}

impl fmt::Display for PickTold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pick {}", self.at_ms, self.pick)?;
        if let Some(region) = &self.region {
            write!(f, " near {region}")?;
        }
        if let Some(error) = &self.error {
            return write!(f, ": {error}");
        }
        for choice in &self.choices {
            let separator =
                if self.choices.len() > 1 { format!("; {}:", choice.strategy) } else { ":".to_owned() };
            write!(f, "{separator} {}", choice.choice.as_deref().unwrap_or("nobody"))?;
            let lost = choice.reasons.iter().filter(|reason| Some(&reason.place) != choice.choice.as_ref());
            let lost: Vec<String> =
                lost.map(|reason| format!("{} {}", reason.place, reason.verdict)).collect();
            if !lost.is_empty() {
                write!(f, " ({})", lost.join(", "))?;
            }
        }
        told(&self.transitions, f)
    }
}

fn told(transitions: &[Transition], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for Transition { place, from, to, reason } in transitions {
        write!(f, " [{place}: {from} to {to}")?;
        if let Some(reason) = reason {
            write!(f, ", {reason}")?;
        }
        f.write_str("]")?;
    }
    Ok(())
}
