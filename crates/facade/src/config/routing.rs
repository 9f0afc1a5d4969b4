//! Who is asked first, and whom a call stays with.

use serde::Deserialize;

/// The choice among deployments: table `[routing]`, and `[models.NAME.routing]` for one model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Routing {
    /// How deployments are compared. Default adaptive.
    pub strategy: Strategy,
    /// The region to prefer, or a name of `[near]`. Default: where the gateway stands; none for a client.
    pub preferred_region: Option<String>,
    /// Composite only: three failures in a row override the preference. Default no.
    pub composite_failover: bool,
    /// Whether calls of one session keep their deployment, for its prompt cache. Default yes.
    pub affinity: bool,
    /// Whether a stream that breaks after its first content is rescued where that is sound. Default yes.
    pub rescue_streams: bool,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            preferred_region: None,
            composite_failover: false,
            affinity: true,
            rescue_streams: true,
        }
    }
}

/// How deployments are compared; in a file the name in lower case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Strategy {
    /// By expected latency, load and failures; a preferred region is a bounded bias.
    #[default]
    Adaptive,
    /// The article's health score; a preferred region is a gate.
    Composite,
    /// The lowest price first.
    Cheapest,
    /// By weight alone.
    Weighted,
}
