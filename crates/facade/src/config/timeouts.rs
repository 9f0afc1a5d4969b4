//! How long to wait for what. Why each default is what it is: docs/defaults.md.

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

/// The longest duration that a configuration may name: a year. It keeps every `Instant + Duration` in range.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The least that a learned limit to the first token may become; `first_token_max` cannot be below it.
pub const LEAST_FIRST_TOKEN: Duration = Duration::from_secs(1);

/// The limits of a call and of its attempts: table `[timeouts]`, and `[models.NAME.timeouts]` for one model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Timeouts {
    /// The longest that a connection may take to be made, name look-up and TLS included. Default 2 s.
    #[serde(deserialize_with = "super::values::duration")]
    pub connect: Duration,
    /// From the start of an attempt to a stream's first content. Default: learned per deployment.
    pub first_token: Limit,
    /// Cap of the learned limit to the first token. Default 30 s.
    #[serde(deserialize_with = "super::values::duration")]
    pub first_token_max: Duration,
    /// From the start of an attempt to the whole plain answer. Default: learned per deployment.
    pub answer: Limit,
    /// The longest silence between two content events of a stream. Default 15 s.
    #[serde(deserialize_with = "super::values::duration")]
    pub idle: Duration,
    /// From the request to its whole plain answer, or to its stream's first content, all attempts together.
    /// The caller's own deadline shortens it. Default 600 s.
    #[serde(deserialize_with = "super::values::duration")]
    pub total: Duration,
    /// The longest that a stream may last. Default 1 h.
    #[serde(deserialize_with = "super::values::duration")]
    pub stream_max: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            first_token: Limit::Auto,
            first_token_max: Duration::from_secs(30),
            answer: Limit::Auto,
            idle: Duration::from_secs(15),
            total: Duration::from_secs(600),
            stream_max: Duration::from_secs(60 * 60),
        }
    }
}

/// A limit that is learned from a deployment's own past, or is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete: a limit is either learned or given")]
pub enum Limit {
    /// Learned; in a file `"auto"`.
    #[default]
    Auto,
    /// Given.
    Fixed(Duration),
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Limit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\" or a duration such as \"500ms\", \"30s\" or \"5m\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Limit, E> {
                if text == "auto" {
                    return Ok(Limit::Auto);
                }
                humantime::parse_duration(text)
                    .map(Limit::Fixed)
                    .map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Text)
    }
}
