//! The registry behind one short lock, with attempts that look after themselves.
//!
//! Choosing and beginning are one step here: two threads that choose at one instant see each other.

use crate::deployment::DeploymentId;
use crate::error::NoPick;
use crate::query::Query;
use crate::registry::{InFlight, Registry};
use crate::sample::Sample;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A handle to a registry that many threads share; clones share the same registry.
#[derive(Clone, Debug)]
pub struct SharedRegistry {
    registry: Arc<Mutex<Registry>>,
}

impl SharedRegistry {
    /// Shares a registry.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self { registry: Arc::new(Mutex::new(registry)) }
    }

    /// Does something with the registry under its lock. Keep it short; a query's `admits` runs under it too.
    pub fn with<T>(&self, work: impl FnOnce(&mut Registry) -> T) -> T {
        // A panic under the lock leaves counts of one attempt behind at worst; refusing all calls for that would be worse.
        work(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Chooses a deployment and begins an attempt there, in one step.
    ///
    /// # Errors
    /// Those of [`Registry::pick`].
    pub fn begin(&self, query: &Query<'_>, draw: u64, now: Instant) -> Result<Attempt, NoPick> {
        let in_flight = self.with(|registry| {
            let pick = registry.pick(query, draw, now)?;
            Ok(registry.begin(pick.id, now))
        })?;
        Ok(Attempt { registry: self.clone(), id: in_flight.id(), in_flight: Some(in_flight) })
    }
}

/// An attempt in flight that looks after itself.
///
/// # Drop
/// Dropping it abandons the attempt: it is no longer in flight and nothing is learned. A caller that times out, panics or
/// is cancelled therefore needs no clean-up code.
#[must_use = "dropping the attempt abandons it"]
#[derive(Debug)]
pub struct Attempt {
    registry: SharedRegistry,
    id: DeploymentId,
    in_flight: Option<InFlight>,
}

impl Attempt {
    /// Which deployment to ask.
    #[must_use]
    pub const fn id(&self) -> DeploymentId {
        self.id
    }

    /// The first content has come. See [`Registry::first_token`].
    pub fn first_token(&mut self, after: Duration, now: Instant) {
        if let Some(in_flight) = &mut self.in_flight {
            self.registry.with(|registry| registry.first_token(in_flight, after, now));
        }
    }

    /// The attempt has ended. See [`Registry::finish`].
    pub fn finish(mut self, sample: Sample, now: Instant) {
        if let Some(in_flight) = self.in_flight.take() {
            self.registry.with(|registry| registry.finish(in_flight, sample, now));
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            self.registry.with(|registry| registry.abandon(in_flight));
        }
    }
}
