//! What is asked of one pick.

use crate::config::Scoring;
use crate::deployment::DeploymentId;
use std::fmt;
use std::sync::Arc;

/// Which latency matters: like is compared with like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete by nature: an answer comes in parts, or whole")]
pub enum Kind {
    /// A stream: the time to its first content. The default.
    #[default]
    Stream,
    /// A whole plain answer: the time to its end.
    Whole,
}

/// One question: who of these shall be asked? Change fields after [`new`](Self::new).
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Query<'a> {
    /// The candidates, of one tier, each once. Prepare the list once, not for each pick.
    pub candidates: &'a [DeploymentId],
    /// Which latency matters. Default a stream's.
    pub kind: Kind,
    /// The region whose deployments are taken for somewhat nearer than measured.
    pub preferred_region: Option<&'a str>,
    /// Regions in the order of nearness: the first is preferred like [`preferred_region`](Self::preferred_region), each
    /// further one half as much as the one before it.
    pub near: &'a [Arc<str>],
    /// Regions where the request may go, a hard constraint; `None` means anywhere, an empty list nowhere.
    pub residency: Option<&'a [Arc<str>]>,
    /// Deployments that were tried already.
    pub excluded: &'a [DeploymentId],
    /// A hash of what the call belongs to (a session, a prompt's prefix); calls with one keep their deployment while it
    /// costs little more than the best. Finding it looks at all candidates.
    pub affinity: Option<u64>,
    /// Whether a deployment's circuits admit. Default: all do. It is asked last, and only of those that may be chosen.
    pub admits: &'a dyn Fn(DeploymentId) -> bool,
    /// How many attempts a deployment may have in flight, where that is fewer than its own limit. Default: any number.
    pub places: &'a dyn Fn(DeploymentId) -> u32,
    /// Tokens that the request will use, estimated, for limits per minute.
    pub tokens: u32,
    /// Whether an inferred cooldown may be waived when nobody else is left. Default yes; no for one who has others to ask,
    /// another tier, before that.
    pub waive_cooldowns: bool,
    /// Another scoring than the registry's own (or its selector).
    pub scoring: Option<Scoring>,
    /// Another [`composite_failover`](crate::RegistryConfig::composite_failover) than the registry's own.
    pub composite_failover: Option<bool>,
}

impl<'a> Query<'a> {
    /// Any of these, for a stream, from anywhere.
    #[must_use]
    pub const fn new(candidates: &'a [DeploymentId]) -> Self {
        Self {
            candidates,
            kind: Kind::Stream,
            preferred_region: None,
            near: &[],
            residency: None,
            excluded: &[],
            affinity: None,
            admits: &|_| true,
            places: &|_| u32::MAX,
            tokens: 0,
            waive_cooldowns: true,
            scoring: None,
            composite_failover: None,
        }
    }

    /// How strongly a region is preferred, 0 to 1.
    pub(crate) fn nearness(&self, region: &str) -> f64 {
        if self.preferred_region == Some(region) {
            return 1.0;
        }
        let place = self.near.iter().position(|near| **near == *region);
        place.map_or(0.0, |place| 0.5_f64.powi(i32::try_from(place).unwrap_or(i32::MAX)))
    }

    /// Whether the request may go to a region.
    pub(crate) fn resides(&self, region: &str) -> bool {
        self.residency.is_none_or(|regions| regions.iter().any(|allowed| **allowed == *region))
    }
}

impl fmt::Debug for Query<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("candidates", &self.candidates)
            .field("kind", &self.kind)
            .field("preferred_region", &self.preferred_region)
            .field("near", &self.near)
            .field("residency", &self.residency)
            .field("excluded", &self.excluded)
            .field("affinity", &self.affinity)
            .field("tokens", &self.tokens)
            .field("waive_cooldowns", &self.waive_cooldowns)
            .field("scoring", &self.scoring)
            .field("composite_failover", &self.composite_failover)
            .finish_non_exhaustive()
    }
}
