//! The configuration of a client: plain data, checked once.
//!
//! A [`Config`] is made in code or read from TOML; both pass the same check when a client is built from it,
//! so no client runs with a target that leads nowhere. Reading tells all faults of a file at once, each with
//! file, line, column, the way to the value and the word that was probably meant. Nothing here touches the
//! environment or a clock: variables are looked up through an argument. So are the files that values name
//! (`file:/run/secrets/key`); [`read_file`] is what reads them where nothing else is said.
//!
//! ```
//! use outrigger::config::{Config, Model, Provider, Target};
//!
//! let openai = Provider::openai().api_key("sk-...").region("us-east", "https://us.api.openai.com/v1")?;
//! let config = Config::new()
//!     .provider("openai", openai)
//!     .model("chat", Model::new([Target::new("openai", "gpt-4.1-mini")]));
//! assert!(config.check()?.is_empty(), "no warnings");
//! # Ok::<(), outrigger::config::Faults>(())
//! ```

mod authorities;
mod check;
mod fault;
mod file;
mod files;
mod interpolate;
mod model;
mod nearest;
mod preset;
mod provider;
mod provider_table;
mod read;
mod retry;
mod routing;
mod rules;
pub mod schema;
mod secret;
mod source;
mod timeouts;
mod values;

pub use fault::{Fault, Faults, Path, Place, Warning};
pub use files::read_file;
pub use model::{Model, Price, Target};
pub use nearest::help as did_you_mean;
pub use preset::Preset;
pub use provider::{CheckKind, GLOBAL, HealthCheck, Limits, Provider, Region};
pub use retry::{Hedge, MOST_ATTEMPTS, Retry};
pub use routing::{Routing, Strategy};
pub use secret::Secret;
pub use source::{Document, MOST_BYTES};
pub use timeouts::{LEAST_FIRST_TOKEN, LONGEST, Limit, Timeouts};
pub use wire::Dialect;

use breaker::BreakerConfig;

/// All that a client is told. Reasons for each default: docs/defaults.md.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Limits, for the models that have none of their own.
    pub timeouts: Timeouts,
    /// Attempts and budget, likewise.
    pub retry: Retry,
    /// Hedges, likewise.
    pub hedge: Hedge,
    /// Circuits, likewise.
    pub breaker: BreakerConfig,
    /// The choice among deployments, likewise.
    pub routing: Routing,
    /// Providers by name, in the order of the file.
    pub providers: Vec<(String, Provider)>,
    /// Models by the name that callers use, in the order of the file.
    pub models: Vec<(String, Model)>,
    /// Names that callers may use for places, each with its regions in order of preference.
    pub near: Vec<(String, Vec<String>)>,
}

impl Config {
    /// Defaults, no provider, no model.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a provider.
    #[must_use]
    pub fn provider(mut self, name: impl Into<String>, provider: Provider) -> Self {
        self.providers.push((name.into(), provider));
        self
    }

    /// Adds a model. Of its tables, those that are still the defaults become this configuration's, as they
    /// are now; so set these first. A model pushed onto [`models`](Self::models) is taken as it is.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>, mut model: Model) -> Self {
        inherit(&mut model.timeouts, &self.timeouts);
        inherit(&mut model.retry, &self.retry);
        inherit(&mut model.hedge, &self.hedge);
        inherit(&mut model.breaker, &self.breaker);
        inherit(&mut model.routing, &self.routing);
        self.models.push((name.into(), model));
        self
    }

    /// Adds a name for a place: regions in order of preference.
    #[must_use]
    pub fn near(
        mut self,
        name: impl Into<String>,
        regions: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.near.push((name.into(), regions.into_iter().map(Into::into).collect()));
        self
    }

    /// Reads a configuration. `name` is what messages call the file, `env` looks up variables, `others` are
    /// the tables of the file that belong to somebody else.
    ///
    /// # Errors
    /// Every fault of the file.
    pub fn from_toml(
        text: &str,
        name: &str,
        env: &dyn Fn(&str) -> Option<String>,
        others: &[&str],
    ) -> Result<(Self, Vec<Warning>), Faults> {
        Self::from_document(&Document::parse(text, name, env)?, others)
    }

    /// Reads a configuration from a parsed file, as [`from_toml`](Self::from_toml) does.
    ///
    /// # Errors
    /// Every fault of the tables that are the client's.
    pub fn from_document(document: &Document<'_>, others: &[&str]) -> Result<(Self, Vec<Warning>), Faults> {
        file::config(document, others)
    }

    /// Checks what no single type can carry: names that must lead somewhere, numbers that must fit together.
    ///
    /// # Errors
    /// Every fault, without file and line.
    pub fn check(&self) -> Result<Vec<Warning>, Faults> {
        let (mut faults, mut warnings) = check::names(self);
        let (wrong, odd) = check::numbers(self);
        faults.extend(wrong);
        warnings.extend(odd);
        match Faults::of(faults) {
            Some(faults) => Err(faults),
            None => Ok(warnings),
        }
    }

    /// The models with a target of which no price is known, neither its own nor the built-in table's: a call of theirs may cost
    /// what nobody counts.
    pub fn unpriced_models(&self) -> Vec<&str> {
        let mut models: Vec<&str> = check::unpriced(self).into_iter().map(|(model, ..)| model).collect();
        models.dedup();
        models
    }
}

/// A table left at its defaults becomes the configuration's.
fn inherit<T: Clone + Default + PartialEq>(of_model: &mut T, of_config: &T) {
    if *of_model == T::default() {
        of_model.clone_from(of_config);
    }
}
