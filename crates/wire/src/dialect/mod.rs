//! The dialects: which form of the API a provider speaks, and what that means for requests.

use std::{fmt, str::FromStr};

mod anthropic;
mod place;

pub use anthropic::{
    ANTHROPIC_VERSION, ChatFromMessages, DEFAULT_MAX_TOKENS, Unreadable, Untranslatable,
    chat_is_translatable, chat_to_messages, error_to_chat, messages_to_chat,
};

pub use place::Place;

/// The form of the API that a provider speaks.
///
/// Errors, waits, limits and usage are read alike in all of them; the dialect says where requests and their keys go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// OpenAI's, which most providers and every local server speak as well.
    #[default]
    OpenAi,
    /// Azure OpenAI's: the same bodies, another header for the key, paths of its own.
    Azure,
    /// Anthropic's messages.
    Anthropic,
}

impl Dialect {
    /// Every dialect, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::OpenAi, Self::Azure, Self::Anthropic];

    /// The dialect's name in configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Azure => "azure",
            Self::Anthropic => "anthropic",
        }
    }

    /// The header that carries the key, and what stands before the key in it.
    #[must_use]
    pub const fn credential_header(self) -> (&'static str, &'static str) {
        match self {
            Self::OpenAi => ("authorization", "Bearer "),
            Self::Azure => ("api-key", ""),
            Self::Anthropic => ("x-api-key", ""),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// No dialect bears this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownDialect;

impl fmt::Display for UnknownDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such dialect; known are openai, azure and anthropic")
    }
}

impl std::error::Error for UnknownDialect {}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(name: &str) -> Result<Self, UnknownDialect> {
        Self::ALL.into_iter().find(|dialect| dialect.as_str() == name).ok_or(UnknownDialect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_is_found_by_its_name() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.to_string().parse(), Ok(dialect));
        }
        assert_eq!("OpenAI".parse::<Dialect>(), Err(UnknownDialect));
    }
}
