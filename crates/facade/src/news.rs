//! What another client of the same deployments has learned first-hand, to be heard here.

use std::time::Duration;

use crate::observe::Route;

/// News of a deployment. [`Client::hear`](crate::Client::hear) says what it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// The provider asked that a deployment be left alone.
    CoolDown {
        /// Which.
        route: Route,
        /// For how long from now.
        wait: Duration,
    },
    /// A circuit tripped elsewhere.
    Tripped {
        /// Where. The model `*` is for the circuit of a whole endpoint.
        route: Route,
        /// How long ago.
        ago: Duration,
    },
}

impl News {
    /// Where it is from.
    pub fn route(&self) -> &Route {
        let (Self::CoolDown { route, .. } | Self::Tripped { route, .. }) = self;
        route
    }
}
