//! One region, described: how fast it is, what it serves, what it allows.

use std::time::Duration;

use crate::{latency::Latency, quota::Quota};

/// The article's models, as its provider names them.
pub(crate) const ARTICLE_MODELS: [&str; 4] =
    ["gpt-4.1", "claude-sonnet-4.5", "gemini-2.5-flash", "deepseek-v3.2"];

/// A region as it is when nothing is wrong with it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Region {
    /// Its name, a label of a host name: letters, digits, hyphens.
    pub name: String,
    /// Time to the first byte of an answer. Default 35 ms.
    pub latency: Latency,
    /// Time a token after the first. Default 1 ms.
    pub pace: Duration,
    /// Tokens in an answer whose request sets no lower limit. Default 20.
    pub tokens: u32,
    /// Models that it serves; empty for any, the default. Then it lists the article's four.
    pub models: Vec<String>,
    /// The key that it accepts; absent, the default: any, and none.
    pub key: Option<String>,
    /// How many requests it admits; absent, the default: any number.
    pub quota: Option<Quota>,
    /// Requests that it serves at full speed at one time: with twice as many all take twice as long. Absent, the default:
    /// load slows nothing.
    pub slots: Option<u32>,
    /// Answers to one question are the same for so many tokens, and each its own from there on. Absent, the default: they
    /// are the same to the end.
    pub varies_after: Option<u32>,
}

impl Region {
    /// A region of this name with the defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            latency: Latency::Fixed(Duration::from_millis(35)),
            pace: Duration::from_millis(1),
            tokens: 20,
            models: Vec::new(),
            key: None,
            quota: None,
            slots: None,
            varies_after: None,
        }
    }

    /// Time to the first byte: a [`Latency`], or a [`Duration`] for always the same.
    #[must_use]
    pub fn latency(mut self, latency: impl Into<Latency>) -> Self {
        self.latency = latency.into();
        self
    }

    /// Time a token after the first.
    #[must_use]
    pub fn pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Tokens in an answer.
    #[must_use]
    pub fn tokens(mut self, tokens: u32) -> Self {
        self.tokens = tokens;
        self
    }

    /// The models served; any other name is a 404.
    #[must_use]
    pub fn models<M: Into<String>>(mut self, models: impl IntoIterator<Item = M>) -> Self {
        self.models = models.into_iter().map(Into::into).collect();
        self
    }

    /// The one key accepted; any other is a 401.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// How many requests are admitted; more are a 429.
    #[must_use]
    pub fn quota(mut self, quota: Quota) -> Self {
        self.quota = Some(quota);
        self
    }

    /// Requests served at full speed at one time.
    #[must_use]
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = Some(slots);
        self
    }

    /// Answers like a model at work: asked the same twice, it says the same for so many tokens and then something else.
    #[must_use]
    pub fn varies_after(mut self, tokens: u32) -> Self {
        self.varies_after = Some(tokens);
        self
    }

    /// Whether it serves this model.
    pub(crate) fn serves(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|served| served == model)
    }

    /// Whether the name can stand in a host name.
    pub(crate) fn has_valid_name(&self) -> bool {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let edge = self.name.starts_with('-') || self.name.ends_with('-');
        (1..=63).contains(&self.name.len()) && !edge && self.name.chars().all(inner)
    }
}
