//! Why a verb did not do what it was asked: for people a line on standard error, and under `--json` a document on standard output too,
//! `{"error": {"message", "faults"?}}`, the same for every verb.
//!
//! What `check` finds in a file is no failure but its result. Another verb that needs the file fails over the same faults, and tells them in the
//! same form.

use clap::{
    ArgMatches,
    builder::{FalseyValueParser, TypedValueParser as _},
};
use outrigger::config::{Fault, Faults};
use serde::Serialize;
use tracing::Level;

use super::{Env, command, out};
use crate::log::beside;

/// Why a verb failed, for whoever started it.
#[derive(Debug, Serialize)]
pub(crate) struct Failed {
    message: String,
    /// What is wrong with a file that it was given, each with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Fault>,
}

impl Failed {
    /// A file is not sound.
    pub(super) fn over(faults: &Faults) -> Self {
        Self { message: faults.to_string(), faults: faults.as_slice().to_vec() }
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn tell(&self, as_json: bool) {
        if as_json {
            self.document();
        }
        beside::tell(Level::ERROR, &self.message);
    }

    fn document(&self) {
        out::result(serde_json::json!({ "error": self }));
    }
}

impl<E: std::fmt::Display> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { message: error.to_string(), faults: Vec::new() }
    }
}

/// Whether the verb is to print documents. Asked of what was parsed, so that no verb can forget it.
pub(super) fn wants_json(matches: &ArgMatches) -> bool {
    let here = matches.try_get_one::<bool>("json").ok().flatten();
    here.is_some_and(|json| *json) || matches.subcommand().is_some_and(|(_, below)| wants_json(below))
}

/// Ends the process over wrong usage, or with the help that was asked for.
pub(super) fn refuse(error: &clap::Error, env: Env<'_>) -> ! {
    // Nothing is parsed, so what is asked for is looked up here.
    let says_yes = |value: String| {
        FalseyValueParser::new().parse_ref(&command::whole(), None, value.as_ref()).unwrap_or_default()
    };
    let asks = std::env::args_os().any(|arg| arg == "--json") || env("OUTRIGGER_JSON").is_some_and(says_yes);
    if asks && error.use_stderr() {
        Failed::from(sentence(&error.to_string())).document();
    }
    error.exit()
}

/// What is wrong, of a text that goes on with the usage.
fn sentence(text: &str) -> String {
    let text = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<_> = text.trim_start_matches("error: ").split_whitespace().collect();
    words.join(" ")
}
