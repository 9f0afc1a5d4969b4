//! What stands for `otel` in a program that is built without that feature: nothing is exported, and whoever asks for it is told so.

use std::convert::Infallible;

use outrigger::Config;
use tracing::warn;

use crate::{clerk::Clerk, cli::Env};

/// Exports spans; there is none in this build.
#[derive(Debug)]
pub(crate) struct Tracing(Infallible);

impl Tracing {
    pub(crate) fn start(env: Env<'_>, _config: &Config) -> Result<Option<Self>, Infallible> {
        let asked = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]
            .into_iter()
            .find(|name| env(name).is_some_and(|value| !value.trim().is_empty()));
        if let Some(variable) = asked {
            warn!(variable, "this program is built without the feature `otel`, so no traces are exported");
        }
        Ok(None)
    }

    pub(crate) fn follow(&self, _config: &Config) {
        match self.0 {}
    }

    pub(crate) fn finish(&self) {
        match self.0 {}
    }
}

impl Clerk for Tracing {}
