//! Why this one: every candidate with the terms of its score, and why it lost.

use crate::config::Scoring;
use crate::deployment::DeploymentId;
use crate::error::{NoPick, Refusal, Why};
use crate::pick::{Cooldowns, Pick, admit, last_resort};
use crate::query::Query;
use crate::registry::{Registry, known};
use crate::score::{composite_score, penalty};
use crate::selector::Candidate;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// One pick, taken apart. `Display` prints it as a table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// How it was chosen; `None` when a selector of the caller's own decides, whose choice is not foretold.
    pub scoring: Option<Scoring>,
    /// What the pick would be; `None` when a selector of the caller's own decides.
    pub outcome: Option<Result<Pick, NoPick>>,
    /// Every candidate, in the query's order.
    pub rows: Vec<Row>,
}

/// One candidate.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// Which.
    pub id: DeploymentId,
    /// Its provider; empty when it is not configured.
    pub provider: Arc<str>,
    /// Its region; empty when it is not configured.
    pub region: Arc<str>,
    /// The provider's name of its model; empty when it is not configured.
    pub model: Arc<str>,
    /// What became of it.
    pub verdict: Verdict,
    /// The terms of its score; `None` when it is not configured.
    pub terms: Option<Terms>,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is the one.
    Chosen,
    /// It is the one, its inferred cooldown waived.
    ChosenWaived,
    /// It may not be asked.
    Refused(Refusal),
    /// It might be asked; chance drew two others to compare.
    NotDrawn,
    /// It might be asked; another one scored better, or was drawn.
    Lost,
    /// It might be asked; a selector of the caller's own decides.
    Eligible,
}

/// The terms of a candidate's scores.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Terms {
    /// The latency compared, in milliseconds, with penalties.
    pub latency_ms: f64,
    /// By how much the preference lowers it, in milliseconds.
    pub preference_ms: f64,
    /// Attempts in flight.
    pub in_flight: u32,
    /// What failures in a row multiply the cost by.
    pub penalty: f64,
    /// Its weight.
    pub weight: f64,
    /// The share that it may have after a recovery.
    pub ramp: f64,
    /// The adaptive cost in milliseconds; lower is better.
    pub cost: f64,
    /// Whether it deserves one try and so goes first, once: unknown, or in doubt for long enough. See
    /// [`Candidate::is_untried`].
    pub untried: bool,
    /// Health, 0 to 100.
    pub health: f64,
    /// The article's composite score; higher is better.
    pub composite: f64,
    /// USD per million tokens.
    pub price: Option<f64>,
}

impl Terms {
    fn of(candidate: &Candidate<'_>) -> Self {
        let (latency_ms, numbers) = (candidate.latency_ms(), &candidate.deployment().numbers);
        Self {
            latency_ms,
            preference_ms: candidate.preference_ms(latency_ms),
            in_flight: candidate.in_flight(),
            penalty: penalty(candidate.consecutive_failures()),
            weight: numbers.weight.get(),
            ramp: candidate.ramp(),
            cost: candidate.cost(),
            untried: candidate.is_untried(),
            health: candidate.health(),
            composite: composite_score(&candidate.state.health),
            price: numbers.price.map(|price| price.get()),
        }
    }
}

impl Registry {
    /// Takes a pick apart without making it: [`pick`](Self::pick) with the same arguments now gives this outcome.
    #[must_use]
    pub fn explain(&self, query: &Query<'_>, draw: u64, now: Instant) -> Explanation {
        let choices = self.choices(query, now);
        let scoring = (!self.selects(query)).then(|| query.scoring.unwrap_or_else(|| self.config().scoring));
        let decision = scoring.and_then(|scoring| scoring.decide(&choices, draw));
        let outcome = scoring.map(|_| match &decision {
            Some(decision) => Ok(Pick { id: decision.chosen.id(), waived_cooldown: false }),
            None => last_resort(known(&choices), query, Why::AllUnhealthy, choices.now),
        });
        let drawn = decision.and_then(|decision| decision.drawn);
        let verdict = |place: usize, id: DeploymentId, candidate: Option<&Candidate<'_>>| match outcome {
            Some(Ok(pick)) if pick.id == id => {
                if pick.waived_cooldown {
                    Verdict::ChosenWaived
                } else {
                    Verdict::Chosen
                }
            }
            _ => {
                let refusal = candidate.map_or(Err(Refusal::NotConfigured), |candidate| {
                    admit(candidate.state, id, query, Cooldowns::Kept, choices.now)
                });
                match refusal {
                    Err(refusal) => Verdict::Refused(refusal),
                    Ok(()) if scoring.is_none() => Verdict::Eligible,
                    Ok(()) if drawn.is_some_and(|drawn| !drawn.contains(&place)) => Verdict::NotDrawn,
                    Ok(()) => Verdict::Lost,
                }
            }
        };
        let nothing: Arc<str> = Arc::from("");
        let rows = query.candidates.iter().enumerate().map(|(place, &id)| {
            let candidate = choices.known(place);
            let part = |part: fn(&crate::Deployment) -> &Arc<str>| {
                Arc::clone(candidate.as_ref().map_or(&nothing, |candidate| part(candidate.deployment())))
            };
            Row {
                id,
                provider: part(|deployment| &deployment.provider),
                region: part(|deployment| &deployment.region),
                model: part(|deployment| &deployment.model),
                verdict: verdict(place, id, candidate.as_ref()),
                terms: candidate.as_ref().map(Terms::of),
            }
        });
        Explanation { scoring, outcome, rows: rows.collect() }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen => f.write_str("chosen"),
            Self::ChosenWaived => f.write_str("chosen, its inferred cooldown waived"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::NotDrawn => f.write_str("not drawn"),
            Self::Lost => f.write_str("another one was better"),
            Self::Eligible => f.write_str("eligible"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<40} {:>10} {:>8} {:>9} {:>7} {:>6} {:>5} {:>10} {:>6} {:>9}  verdict",
            "deployment",
            "latency_ms",
            "near_ms",
            "in_flight",
            "penalty",
            "weight",
            "ramp",
            "cost",
            "health",
            "composite"
        )?;
        for row in &self.rows {
            let name = format!("{}/{}/{}", row.provider, row.region, row.model);
            match &row.terms {
                None => writeln!(f, "{:<40} {}", row.id, row.verdict)?,
                Some(terms) => writeln!(
                    f,
                    "{name:<40} {:>10.1} {:>8.1} {:>9} {:>7.1} {:>6.2} {:>5.2} {:>10.1} {:>6.1} {:>9.2}  {}{}",
                    terms.latency_ms,
                    terms.preference_ms,
                    terms.in_flight,
                    terms.penalty,
                    terms.weight,
                    terms.ramp,
                    terms.cost,
                    terms.health,
                    terms.composite,
                    row.verdict,
                    if terms.untried { " (untried)" } else { "" },
                )?,
            }
        }
        match &self.outcome {
            Some(Err(nobody)) => writeln!(f, "nobody: {nobody}"),
            _ => Ok(()),
        }
    }
}
