//! An engine on a desk: it is told what happened at its time, and asked whom it would take.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use outrigger::{
    CallError, Config, CordonWord, Notice, Route,
    config::Strategy,
    engine::{Action, AttemptFailure, DeploymentStatus, Engine, Plan, Recorded},
};

use super::{
    told::{Choice, Transition},
    trace::{Cordon, Ended, Pick, Said, millis},
};
use crate::explained::Explained;

/// An engine that hears a trace.
#[derive(Debug)]
pub(crate) struct Desk {
    /// What its answers are told under.
    pub(crate) strategy: String,
    engine: Engine,
    /// An instant that stands for the trace's beginning.
    began: Instant,
    began_ms: f64,
    actions: Vec<Action>,
}

impl Desk {
    /// An engine for a configuration, with another strategy where one is wished.
    ///
    /// # Errors
    /// The configuration is not sound.
    pub(crate) fn new(
        mut config: Config,
        strategy: Option<Strategy>,
        began: (Instant, f64),
    ) -> Result<Self, outrigger::BuildError> {
        config.check()?;
        if let Some(strategy) = strategy {
            for (_, model) in &mut config.models {
                model.routing.strategy = strategy;
            }
        }
        let strategies: Vec<&str> =
            config.models.iter().map(|(_, model)| name(model.routing.strategy)).collect();
        let strategy = match strategies.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other == first) => (*first).to_owned(),
            _ => "as configured".to_owned(),
        };
        let (began, began_ms) = began;
        // Prices may depend on the time of day, which a record of last night knows.
        let wall = SystemTime::UNIX_EPOCH + millis(began_ms);
        let engine = Engine::new(Arc::new(Plan::new(&config)), (began, wall))?;
        Ok(Self { strategy, engine, began, began_ms, actions: Vec::new() })
    }

    /// The instant that stands for a time of the trace.
    fn at(&self, at_ms: f64) -> Instant {
        self.began + millis((at_ms - self.began_ms).max(0.0))
    }

    /// The number of the deployment that a line speaks of.
    pub(crate) fn deployment(&self, ended: &Ended) -> Option<usize> {
        self.engine.plan().deployment(&ended.provider, &ended.region, &ended.model)
    }

    /// An operator speaks.
    pub(crate) fn cordon(&mut self, cordon: &Cordon) {
        let Some(Said { word, provider, region, model }) = &cordon.said else {
            for said in self.engine.cordons() {
                self.engine.uncordon(&said.provider, &said.region, None);
            }
            return;
        };
        let model = model.as_deref();
        match word {
            CordonWord::Back => {
                self.engine.uncordon(provider, region, model);
            }
            CordonWord::Over => self.engine.end_cordon(provider, region, model),
            _ => {
                self.engine.cordon(provider, region, model);
            }
        }
    }

    /// An attempt begins.
    pub(crate) fn start(&mut self, ended: &Ended) -> Option<Recorded> {
        let now = self.at(ended.at_ms - ended.took_ms());
        let deployment = self.deployment(ended)?;
        self.engine.recorded_start(deployment, ended.stream, now, &mut self.actions)
    }

    /// Its first content came.
    pub(crate) fn content(&mut self, recorded: &mut Recorded, ended: &Ended) {
        let since = Duration::saturating_sub(millis(ended.took_ms()), millis(ended.ttft_ms.unwrap_or(0.0)));
        let now = self.at(ended.at_ms).checked_sub(since).unwrap_or(self.began);
        self.engine.recorded_content(recorded, now, &mut self.actions);
    }

    /// It ended.
    pub(crate) fn end(&mut self, recorded: Recorded, ended: &Ended, draw: u64) {
        let failure = ended.class.map(|class| {
            let mut failure = AttemptFailure::new(class);
            failure.retry_after = ended.retry_after();
            failure
        });
        let now = self.at(ended.at_ms);
        self.engine.recorded_end(recorded, failure.as_ref(), now, draw, &mut self.actions);
    }

    /// How a deployment stands.
    pub(crate) fn state(&self, deployment: usize, at_ms: f64) -> Option<DeploymentStatus> {
        self.engine.deployment_status(deployment, self.at(at_ms))
    }

    /// Whom it would take.
    ///
    /// # Errors
    /// The configuration has no such model, or no such region.
    pub(crate) fn pick(&self, pick: &Pick, draw: u64) -> Result<Choice, CallError> {
        let ask = self.engine.plan().ask(&pick.model, pick.region.as_deref())?;
        let tiers = self.engine.explain(&ask, draw, self.at(pick.at_ms));
        Ok(Choice::new(&self.strategy, &Explained::new(&pick.model, &tiers)))
    }

    /// The circuits that have changed since the last look.
    pub(crate) fn transitions(&mut self) -> Vec<Transition> {
        let notices = self.actions.drain(..).filter_map(|action| match action {
            Action::Notice(Notice::Transition { route, from, to, reason, .. }) => {
                Some((route, from, to, reason))
            }
            _ => None,
        });
        let told = notices.map(|(route, from, to, reason)| {
            let Route { provider, region, model, .. } = route;
            Transition {
                place: format!("{provider}/{region}/{model}"),
                from: from.as_str(),
                to: to.as_str(),
                reason: reason.map(outrigger::breaker::TripReason::as_str),
            }
        });
        told.collect()
    }
}

/// A strategy's name in a file.
pub(crate) fn name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Composite => "composite",
        Strategy::Cheapest => "cheapest",
        Strategy::Weighted => "weighted",
        _ => "adaptive",
    }
}
