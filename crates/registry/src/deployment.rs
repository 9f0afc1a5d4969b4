//! Who can be asked: a provider's model in a region, its numbers, and the id that stands for it.

use crate::number::{Price, Weight};
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

/// A name for a deployment, valid until it is removed.
///
/// It is a place in the registry's table and the generation of that place, so that the id of a removed deployment is never
/// mistaken for its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeploymentId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// One place that can be asked: its identity, and the numbers that may change while it lives.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Deployment {
    /// The company, as configured.
    pub provider: Arc<str>,
    /// The region, as configured.
    pub region: Arc<str>,
    /// The provider's own name of the model.
    pub model: Arc<str>,
    /// What a reload may change without the state being lost.
    pub numbers: Numbers,
}

impl Deployment {
    /// A deployment of weight 1, without limits and price. Set [`numbers`](Self::numbers) for more.
    pub fn new(
        provider: impl Into<Arc<str>>,
        region: impl Into<Arc<str>>,
        model: impl Into<Arc<str>>,
    ) -> Self {
        Self {
            provider: provider.into(),
            region: region.into(),
            model: model.into(),
            numbers: Numbers::default(),
        }
    }

    /// The same deployment with other numbers.
    #[must_use]
    pub fn with(self, numbers: Numbers) -> Self {
        Self { numbers, ..self }
    }

    /// A hash of the identity that is the same in every process, for rendezvous hashing (FNV-1a, 64 bit; a separator
    /// keeps `ab`+`c` apart from `a`+`bc`).
    pub(crate) fn fingerprint(&self) -> u64 {
        let parts = [&self.provider, &self.region, &self.model];
        let bytes = parts.into_iter().flat_map(|part| part.bytes().chain([0xff]));
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}

/// What a reload may change without the state being lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Numbers {
    /// Its share of the traffic beside its neighbours. Default 1.
    pub weight: Weight,
    /// What it costs, for [`Scoring::Cheapest`](crate::Scoring::Cheapest). Default unknown.
    pub price: Option<Price>,
    /// What it may be asked. Default: anything.
    pub limits: Limits,
    /// The latency to assume before anything is known. The composite score starts from it (50 ms without); the adaptive one
    /// orders by it those never heard from.
    pub initial_latency: Option<Duration>,
}

/// What a deployment may be asked; an absent limit does not limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct Limits {
    /// Attempts begun within any 60 s, those included that others told of.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens of finished attempts within any 60 s, the estimate of the next one included, and those that others told of.
    pub tokens_per_minute: Option<NonZeroU64>,
    /// Attempts in flight, here alone.
    pub concurrent: Option<NonZeroU32>,
}

impl Limits {
    /// Whether one more request fits beside so many, and so many tokens, its own included.
    pub(crate) fn has_room(&self, requests: u64, tokens: u64) -> bool {
        self.requests_per_minute.is_none_or(|limit| requests < u64::from(limit.get()))
            && self.tokens_per_minute.is_none_or(|limit| tokens <= limit.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_keeps_the_parts_apart() {
        let print = |p: &str, r: &str, m: &str| Deployment::new(p, r, m).fingerprint();
        assert_ne!(print("ab", "c", "m"), print("a", "bc", "m"));
        assert_ne!(print("a", "b", "m"), print("b", "a", "m"));
        assert_eq!(print("a", "b", "m"), print("a", "b", "m"));
    }
}
