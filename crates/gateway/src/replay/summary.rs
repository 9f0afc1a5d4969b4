//! How a replay came out: what was told in all, and how strategies divide the picks among places.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::{
    history::{Sickness, Trace},
    told::Told,
};

/// How a replay came out.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    attempts: u64,
    picks: u64,
    /// Attempts that circuits here would not have let begin.
    not_learned: u64,
    /// Attempts at places, and picks of models or regions, that the configuration does not have.
    unknown: u64,
    transitions: u64,
    strategies: Vec<Share>,
    /// Picks on which the strategies differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    differ: Option<u64>,
    #[serde(skip)]
    sickness: Sickness,
}

/// What one strategy's picks come to.
#[derive(Debug, Serialize)]
struct Share {
    strategy: String,
    /// Picks that found nobody.
    nobody: u64,
    /// Picks of a place that the trace knows to have been sick then.
    sick: u64,
    picks: BTreeMap<String, u64>,
}

impl Summary {
    pub(crate) fn of(trace: &Trace, strategies: impl Iterator<Item = String>) -> Self {
        let share = |strategy| Share { strategy, nobody: 0, sick: 0, picks: BTreeMap::new() };
        let strategies: Vec<Share> = strategies.map(share).collect();
        Self {
            attempts: 0,
            picks: 0,
            not_learned: 0,
            unknown: 0,
            transitions: 0,
            differ: (strategies.len() > 1).then_some(0),
            strategies,
            sickness: Sickness::of(trace),
        }
    }

    pub(crate) fn note(&mut self, told: &Told) {
        self.transitions += u64::try_from(told.transitions()).unwrap_or(u64::MAX);
        match told {
            Told::Ended(ended) => {
                self.attempts += 1;
                self.unknown += u64::from(!ended.is_known());
                self.not_learned += u64::from(ended.is_known() && !ended.learned);
            }
            Told::Cordon(_) => {}
            Told::Pick(pick) => {
                self.picks += 1;
                self.unknown += u64::from(pick.choices.is_empty());
                for (share, choice) in self.strategies.iter_mut().zip(&pick.choices) {
                    match &choice.choice {
                        None => share.nobody += 1,
                        Some(place) => {
                            share.sick += u64::from(self.sickness.is_sick(place, pick.time_ms));
                            *share.picks.entry(place.clone()).or_default() += 1;
                        }
                    }
                }
                if let (Some(differ), [first, second]) = (&mut self.differ, pick.choices.as_slice()) {
                    *differ += u64::from(first.choice != second.choice);
                }
            }
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempts, picks, not_learned, unknown, transitions, .. } = self;
        writeln!(f, "{attempts} attempts, {picks} picks, {transitions} changes of circuits")?;
        if *not_learned > 0 {
            writeln!(
                f,
                "{not_learned} attempts were not learned from: circuits here would not have let them begin"
            )?;
        }
        if *unknown > 0 {
            writeln!(f, "{unknown} lines name a place or a model that the configuration does not have")?;
        }
        if let Some(differ) = self.differ {
            writeln!(f, "the strategies differ on {differ} of {picks} picks")?;
        }
        for Share { strategy, nobody, sick, picks } in &self.strategies {
            let all: u64 = picks.values().sum::<u64>() + nobody;
            write!(f, "{strategy}: {sick} picks of a place that was sick then, {nobody} found nobody")?;
            for (place, count) in picks {
                write!(f, "\n  {place} {count} ({} %)", percent(*count, all))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A share in whole hundredths.
pub(crate) fn percent(part: u64, all: u64) -> u64 {
    (part.saturating_mul(200) + all).checked_div(all.saturating_mul(2)).unwrap_or(0)
}
