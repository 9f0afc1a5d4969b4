//! Next year's traffic on a desk: many clients before simulated regions, in virtual time, without a runtime or a socket.
//!
//! One seed decides who asks what and when, what regions draw and what goes wrong; each strategy meets the same. The engine is the
//! client's own, one for each client; its driver's part is played by an agenda of what happens next. So minutes take seconds, and the
//! same scenario and seed give the same bytes.
//!
//! # Limits
//! Answers have no bytes: what a client must read to find a failure out is known at once. The network is one number: another
//! place than the caller's own is an ocean away. A region's slots are its only capacity, and quotas its only limits.

mod agenda;
mod fleet;
mod naive;
mod plot;
mod regions;
mod strategy;
mod tally;

use std::{thread, time::Duration};

use serde::Serialize;
use sim::Scenario;

use fleet::Fleet;
use naive::Naive;
pub(crate) use plot::plot;
use regions::Regions;
pub(crate) use strategy::Strategy;
pub(crate) use tally::{Numbers, Outcome, Tally};

use crate::demo::schedule::{Question, Schedule};

/// What is simulated.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) scenario: Scenario,
    /// How long callers ask.
    pub(crate) length: Duration,
    /// Clients in all, spread over the scenario's regions.
    pub(crate) clients: usize,
    /// Questions a second in all, where an act's load is 1.
    pub(crate) rate: f64,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    seed: u64,
    seconds: f64,
    clients: usize,
    rate: f64,
    pub(crate) strategies: Vec<Outcome>,
}

impl Settings {
    /// The article's four acts and a fifth in which every region refuses.
    pub(crate) fn five_acts(total: Duration, seed: u64, clients: usize, rate: f64) -> Self {
        let mut scenario = Scenario::five_acts(total, seed);
        // The acts were written for a load of sixty a second.
        for limit in &mut scenario.limits {
            limit.quota.requests = scaled(limit.quota.requests, rate / 60.0);
        }
        for region in &mut scenario.regions {
            region.slots = Some(scaled(SLOTS, rate / 60.0));
        }
        Self { scenario, length: total, clients, rate }
    }

    /// Lets each strategy meet the same.
    ///
    /// # Errors
    /// The scenario makes no world, or no configuration.
    pub(crate) fn run(
        &self,
        done: &(dyn Fn(Strategy) + Sync),
    ) -> Result<(Report, Vec<(Strategy, Tally)>), String> {
        let questions: Vec<Question> = Schedule::with_rate(&self.scenario, self.length, self.rate).collect();
        let played = thread::scope(|scope| {
            let play = |strategy| {
                let questions = &questions;
                scope.spawn(move || {
                    let tally = self.play(strategy, questions);
                    done(strategy);
                    tally
                })
            };
            let running: Vec<_> =
                Strategy::ALL.into_iter().map(|strategy| (strategy, play(strategy))).collect();
            let join =
                |(strategy, running): (Strategy, thread::ScopedJoinHandle<'_, Result<Tally, String>>)| {
                    let tally =
                        running.join().map_err(|_| format!("{} could not be played", strategy.name()))??;
                    Ok((strategy, tally))
                };
            running.into_iter().map(join).collect::<Result<Vec<_>, String>>()
        })?;
        let report = |(strategy, tally): &(Strategy, Tally)| tally.report(*strategy, &self.scenario);
        let report = Report {
            seed: self.scenario.seed,
            seconds: self.length.as_secs_f64(),
            clients: self.clients,
            rate: self.rate,
            strategies: played.iter().map(report).collect(),
        };
        Ok((report, played))
    }

    fn play(&self, strategy: Strategy, questions: &[Question]) -> Result<Tally, String> {
        let regions = Regions::new(&self.scenario).map_err(|error| error.to_string())?;
        if strategy == Strategy::Naive {
            return Ok(Naive::new(questions, regions).run());
        }
        let fleet = Fleet::new(strategy, &self.scenario, questions, self.clients, regions, self.length);
        Ok(fleet.map_err(|error| error.to_string())?.run())
    }
}

/// Requests that a region of the built-in scenario serves at full speed at one time, for sixty questions a second: somewhat more than
/// all of them need.
const SLOTS: u32 = 6;

/// A number of requests for another load, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest u32 there is"
)]
fn scaled(number: u32, by: f64) -> u32 {
    ((f64::from(number) * by).round() as u32).max(1)
}
