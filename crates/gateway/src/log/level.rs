//! What the log tells: a level for all of it, and others for parts of it, as in `info,access=off`.
//!
//! A level without a part is that of what this program tells. What its libraries tell is heard only when they are named: nobody here
//! answers for what they write about the bytes they see.

use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};

/// What this program tells: as itself, and of requests.
const OWN: [&str; 2] = ["outrigger", "access"];

/// Levels of all parts.
#[derive(Clone, Debug)]
pub(crate) struct Levels(Targets);

impl Levels {
    pub(super) fn targets(&self) -> &Targets {
        &self.0
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self(own(Targets::new(), LevelFilter::INFO))
    }
}

fn own(targets: Targets, level: LevelFilter) -> Targets {
    targets.with_targets(OWN.map(|part| (part, level)))
}

/// A word that is no level.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no level; levels are off, error, warn, info, debug, trace, alone or of a part, as in `info,access=off`"
)]
pub(crate) struct UnknownLevel(String);

impl FromStr for Levels {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        let Self(mut targets) = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let level = |name: &str| match name.to_ascii_lowercase().as_str() {
                "off" => Ok(LevelFilter::OFF),
                "error" => Ok(LevelFilter::ERROR),
                "warn" => Ok(LevelFilter::WARN),
                "info" => Ok(LevelFilter::INFO),
                "debug" => Ok(LevelFilter::DEBUG),
                "trace" => Ok(LevelFilter::TRACE),
                _ => Err(UnknownLevel(name.to_owned())),
            };
            targets = match word.split_once('=') {
                Some((part, name)) => targets.with_target(part.trim(), level(name.trim())?),
                None => own(targets, level(word)?),
            };
        }
        Ok(Self(targets))
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_part_may_differ_from_the_rest() {
        let Levels(targets) = "warn, access=INFO".parse().unwrap();
        assert!(targets.would_enable("access", &Level::INFO));
        assert!(!targets.would_enable("outrigger::cli", &Level::INFO));
        let Levels(targets) = "".parse().unwrap();
        assert!(targets.would_enable("outrigger::cli", &Level::INFO));
        assert!(!targets.would_enable("outrigger::cli", &Level::DEBUG));
    }

    /// **Libraries are not heard unasked.** Fails if a talkative level lets one write what passes through it.
    #[test]
    fn a_library_is_heard_only_when_it_is_named() {
        let Levels(targets) = "trace".parse().unwrap();
        assert!(!targets.would_enable("h2::codec", &Level::ERROR));
        let Levels(targets) = "info,h2=debug".parse().unwrap();
        assert!(targets.would_enable("h2::codec", &Level::DEBUG));
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for wrong in ["loud", "access=loud", "access", "info,access="] {
            assert!(wrong.parse::<Levels>().is_err(), "{wrong}");
        }
    }
}
