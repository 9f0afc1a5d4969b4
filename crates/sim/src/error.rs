//! Why a world cannot be made or changed, and what is wrong with a scenario.

use crate::fault::UnknownFault;

/// Why a world cannot be made, or something done in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// No region has this name.
    #[error("unknown region `{name}`; regions are {}", known.join(", "))]
    #[non_exhaustive]
    UnknownRegion {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Two regions have one name.
    #[error("two regions are called `{name}`")]
    #[non_exhaustive]
    DuplicateRegion {
        /// The name.
        name: String,
    },
    /// The name cannot stand in a host name.
    #[error("region name `{name}` must be 1 to 63 small letters, digits or inner hyphens")]
    #[non_exhaustive]
    InvalidName {
        /// The name.
        name: String,
    },
    /// There is no region.
    #[error("a world needs a region")]
    NoRegion,
}

/// What is wrong with a [`Chaos`](crate::Chaos) or a [`Scenario`](crate::Scenario).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The fault's name.
    #[error(transparent)]
    Fault(#[from] UnknownFault),
    /// The fault has no such parameter.
    #[error("fault `{fault}` takes no `{parameter}`")]
    #[non_exhaustive]
    Parameter {
        /// The fault.
        fault: &'static str,
        /// What it was given.
        parameter: &'static str,
    },
    /// A parameter is out of its range.
    #[error("`{parameter}` must be {expected}, not {given}")]
    #[non_exhaustive]
    Range {
        /// Which.
        parameter: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        given: String,
    },
    /// A region.
    #[error(transparent)]
    World(#[from] WorldError),
    /// An entry of the file; its own error says what is wrong with it.
    #[error("{table}[{index}]: {error}")]
    #[non_exhaustive]
    Entry {
        /// The table, `fault`.
        table: &'static str,
        /// Which of them, from 0.
        index: usize,
        /// What is wrong.
        error: Box<Self>,
    },
    /// The file is no scenario; the message shows line and column.
    #[error("not a scenario: {0}")]
    Toml(#[from] toml::de::Error),
}
