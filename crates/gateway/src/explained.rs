//! A choice taken apart, as `/explain` and `outrigger explain` tell it.

use std::collections::BTreeSet;

use outrigger::{
    CallError, Client,
    registry::{Explanation, Row, Scoring, Terms, Verdict},
};
use serde::{Deserialize, Serialize};

/// A choice taken apart, tier by tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Explained {
    pub(crate) model: String,
    /// Who would be asked now; absent when nobody would.
    #[serde(default)]
    pub(crate) choice: Option<Choice>,
    pub(crate) tiers: Vec<Tier>,
}

/// Who would be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Choice {
    pub(crate) tier: usize,
    pub(crate) provider: String,
    pub(crate) region: String,
    pub(crate) model: String,
}

/// One tier's candidates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tier {
    /// How it is chosen; absent when a selector of somebody's own decides.
    pub(crate) scoring: Option<Scoring>,
    /// Why nobody would be chosen; absent when somebody is.
    pub(crate) refused: Option<String>,
    pub(crate) candidates: Vec<Candidate>,
}

/// One candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) provider: String,
    pub(crate) region: String,
    pub(crate) model: String,
    /// Whether it would be asked, should its tier be.
    pub(crate) chosen: bool,
    pub(crate) verdict: String,
    pub(crate) terms: Option<Numbers>,
}

/// The terms of a candidate's score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Numbers {
    pub(crate) latency_ms: f64,
    pub(crate) preference_ms: f64,
    pub(crate) in_flight: u32,
    pub(crate) penalty: f64,
    pub(crate) weight: f64,
    pub(crate) ramp: f64,
    pub(crate) cost: f64,
    pub(crate) untried: bool,
    pub(crate) health: f64,
    pub(crate) composite: f64,
    pub(crate) price: Option<f64>,
}

impl Explained {
    pub(crate) fn new(model: &str, tiers: &[Explanation]) -> Self {
        let place = |verdict: Verdict| {
            let rows = tiers
                .iter()
                .enumerate()
                .flat_map(|(tier, told)| told.rows.iter().map(move |row| (tier, row)));
            rows.into_iter().find(|(_, row)| row.verdict == verdict)
        };
        // A cooldown of ours is waived only when no tier has anybody else.
        let chosen = place(Verdict::Chosen).or_else(|| place(Verdict::ChosenWaived));
        let choice = chosen.map(|(tier, row)| Choice {
            tier,
            provider: row.provider.to_string(),
            region: row.region.to_string(),
            model: row.model.to_string(),
        });
        Self { model: model.to_owned(), choice, tiers: tiers.iter().map(Tier::from).collect() }
    }
}

/// What there is in place of a name that a choice was asked for and that is not there, and what such names are.
pub(crate) fn known(client: &Client, error: &CallError) -> Option<(&'static str, BTreeSet<String>)> {
    match error {
        CallError::UnknownRegion { .. } => {
            let regions = client.deployments().into_iter().map(|place| place.region.to_string());
            Some(("regions", regions.collect()))
        }
        CallError::ModelNotFound { .. } => {
            Some(("models", client.models().iter().map(ToString::to_string).collect()))
        }
        _ => None,
    }
}

impl From<&Explanation> for Tier {
    fn from(explanation: &Explanation) -> Self {
        let refused = match &explanation.outcome {
            Some(Err(refused)) => Some(refused.to_string()),
            _ => None,
        };
        Self {
            scoring: explanation.scoring,
            refused,
            candidates: explanation.rows.iter().map(Candidate::from).collect(),
        }
    }
}

impl From<&Row> for Candidate {
    fn from(row: &Row) -> Self {
        Self {
            provider: row.provider.to_string(),
            region: row.region.to_string(),
            model: row.model.to_string(),
            chosen: matches!(row.verdict, Verdict::Chosen | Verdict::ChosenWaived),
            verdict: row.verdict.to_string(),
            terms: row.terms.as_ref().map(Numbers::from),
        }
    }
}

impl From<&Terms> for Numbers {
    fn from(terms: &Terms) -> Self {
        Self {
            latency_ms: terms.latency_ms,
            preference_ms: terms.preference_ms,
            in_flight: terms.in_flight,
            penalty: terms.penalty,
            weight: terms.weight,
            ramp: terms.ramp,
            cost: terms.cost,
            untried: terms.untried,
            health: terms.health,
            composite: terms.composite,
            price: terms.price,
        }
    }
}
