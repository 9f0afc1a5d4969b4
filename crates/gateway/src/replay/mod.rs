//! Last night's incident on a desk: a trace that `serve --record` wrote, told to the engine once more.
//!
//! The engine is the client's own. In virtual time it is told of each attempt as it began, spoke and ended ([`Engine::recorded_start`]
//! and its siblings), and asked at each pick who would be taken. Nothing is sent, no clock decides, and the same file and seed give the
//! same bytes. Another strategy on the same trace is a second engine that hears the same and answers differently.
//!
//! # Limits
//! What another choice would have come to, no trace can say: a place that nobody asked that night has no outcomes. So choices are
//! compared, and held against what the trace knows of who was sick; their consequences are what `simulate` is for.
//!
//! [`Engine::recorded_start`]: outrigger::engine::Engine::recorded_start

mod desk;
mod history;
mod invented;
mod record;
mod summary;
mod told;
mod trace;

use std::{collections::HashMap, time::Instant};

use outrigger::{BuildError, Config, config::Strategy, engine::Recorded};

use desk::Desk;
pub(crate) use history::Trace;
pub(crate) use invented::config_for;
pub(crate) use record::Recorder;
pub(crate) use summary::Summary;
use told::{CordonTold, EndTold, PickTold, Told};
pub(crate) use trace::number;
use trace::{Ended, Line, Pick};

/// A trace, and the engines that hear it.
#[derive(Debug)]
pub(crate) struct Replay {
    trace: Trace,
    desks: Vec<Desk>,
    seed: u64,
    /// Attempts that run: the first engine's and, where there is another, its.
    running: HashMap<usize, Vec<Option<Recorded>>>,
}

/// What happens at a time, in this order where the times are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Start,
    Content,
    Told,
}

impl Replay {
    /// A replay of a trace under a configuration, beside another strategy where one is given.
    ///
    /// # Errors
    /// The configuration is not sound.
    pub(crate) fn new(
        trace: Trace,
        config: &Config,
        other: Option<Strategy>,
        seed: u64,
    ) -> Result<Self, BuildError> {
        // Which instant it is does not matter: only what lies between two of them is ever looked at.
        let began = (Instant::now(), trace.began_ms());
        let mut desks = vec![Desk::new(config.clone(), None, began)?];
        if let Some(strategy) = other {
            desks.push(Desk::new(config.clone(), Some(strategy), began)?);
        }
        Ok(Self { trace, desks, seed, running: HashMap::new() })
    }

    /// Tells all, a line at a time, and how it came out.
    pub(crate) fn run(mut self, mut tell: impl FnMut(&Told)) -> Summary {
        let mut summary = Summary::of(&self.trace, self.desks.iter().map(|desk| desk.strategy.clone()));
        let trace = std::mem::replace(&mut self.trace, Trace { lines: Vec::new() });
        for (_, index, part) in agenda(&trace) {
            let told = match (trace.lines.get(index), part) {
                (Some(Line::Ended(ended)), Part::Start) => {
                    let recorded = self.desks.iter_mut().map(|desk| desk.start(ended)).collect();
                    self.running.insert(index, recorded);
                    continue;
                }
                (Some(Line::Ended(ended)), Part::Content) => {
                    let running = self.running.get_mut(&index).into_iter().flatten();
                    for (desk, recorded) in self.desks.iter_mut().zip(running) {
                        if let Some(recorded) = recorded {
                            desk.content(recorded, ended);
                        }
                    }
                    continue;
                }
                (Some(Line::Ended(ended)), Part::Told) => Told::Ended(Box::new(self.end(index, ended))),
                (Some(Line::Pick(pick)), _) => Told::Pick(self.pick(index, pick)),
                (Some(Line::Cordon(cordon)), _) => {
                    self.desks.iter_mut().for_each(|desk| desk.cordon(cordon));
                    Told::Cordon(CordonTold::new(cordon))
                }
                (None, _) => continue,
            };
            summary.note(&told);
            tell(&told);
        }
        summary
    }

    fn end(&mut self, index: usize, ended: &Ended) -> EndTold {
        let draw = self.draw(index);
        let mut learned = false;
        let recorded = self.running.remove(&index).unwrap_or_default();
        // The second engine hears the same; of it only choices are told.
        for (number, (desk, recorded)) in self.desks.iter_mut().zip(recorded).enumerate() {
            if let Some(recorded) = recorded {
                learned |= number == 0;
                desk.end(recorded, ended, draw);
            }
        }
        let transitions = self.transitions();
        let desk = self.desks.first();
        let state = desk.and_then(|desk| desk.state(desk.deployment(ended)?, ended.at_ms));
        EndTold::new(ended, learned, state.as_ref(), transitions)
    }

    fn pick(&mut self, index: usize, pick: &Pick) -> PickTold {
        let draw = self.draw(index);
        let choices: Result<Vec<_>, _> = self.desks.iter().map(|desk| desk.pick(pick, draw)).collect();
        PickTold::new(pick, choices.map_err(|error| error.to_string()), self.transitions())
    }

    fn transitions(&mut self) -> Vec<told::Transition> {
        let mut all = self.desks.iter_mut().map(Desk::transitions);
        let first = all.next().unwrap_or_default();
        all.for_each(drop);
        first
    }

    /// The chance of one line (splitmix64).
    fn draw(&self, index: usize) -> u64 {
        let index = u64::try_from(index).unwrap_or(u64::MAX);
        let mut bits = self.seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

/// All that happens, in order.
fn agenda(trace: &Trace) -> Vec<(f64, usize, Part)> {
    let mut agenda = Vec::with_capacity(trace.lines.len() * 2);
    for (index, line) in trace.lines.iter().enumerate() {
        if let Line::Ended(ended) = line {
            let start = ended.at_ms - ended.took_ms();
            agenda.push((start, index, Part::Start));
            agenda.extend(ended.ttft_ms.map(|ttft| (start + ttft, index, Part::Content)));
        }
        agenda.push((line.at_ms(), index, Part::Told));
    }
    agenda.sort_by(|one, other| {
        one.0.total_cmp(&other.0).then_with(|| (one.1, one.2).cmp(&(other.1, other.2)))
    });
    agenda
}
