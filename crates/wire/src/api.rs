//! The kinds of request that callers send, and which of them a provider's dialect can serve.

use std::{fmt, str::FromStr};

use crate::dialect::Dialect;

/// A kind of request: one path of the APIs that callers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Api {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's older text completions.
    Completions,
    /// OpenAI's embeddings.
    Embeddings,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
}

impl Api {
    /// Every kind, in the order of their declaration.
    pub const ALL: [Self; 5] =
        [Self::Chat, Self::Completions, Self::Embeddings, Self::Responses, Self::Messages];

    /// The path below a provider's base URL.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "chat/completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
            Self::Messages => "messages",
        }
    }

    /// The frame that ends a stream of this kind and says nothing but that, so that it can be supplied where a provider left it
    /// out; none where the last frame says something, or nothing streams.
    #[must_use]
    pub const fn closing_frame(self) -> Option<&'static str> {
        match self {
            Self::Chat | Self::Completions => Some("data: [DONE]\n\n"),
            Self::Messages => Some("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
            // `response.completed` holds the whole answer, which only its provider can give.
            Self::Responses | Self::Embeddings => None,
        }
    }

    /// The kind of request that a deployment of `dialect` is sent for this one; none when it cannot serve it.
    ///
    /// The same kind means that bytes pass through; another one means a translation.
    #[must_use]
    pub const fn at(self, dialect: Dialect) -> Option<Self> {
        match (dialect, self) {
            (Dialect::OpenAi | Dialect::Azure, Self::Messages) => None,
            (Dialect::OpenAi | Dialect::Azure, same) => Some(same),
            (Dialect::Anthropic, Self::Chat | Self::Messages) => Some(Self::Messages),
            (Dialect::Anthropic, _) => None,
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.path())
    }
}

/// No kind of request has this path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownApi;

impl fmt::Display for UnknownApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no kind of request has this path")
    }
}

impl std::error::Error for UnknownApi {}

impl FromStr for Api {
    type Err = UnknownApi;

    fn from_str(path: &str) -> Result<Self, UnknownApi> {
        Self::ALL.into_iter().find(|api| api.path() == path).ok_or(UnknownApi)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_path() {
        for api in Api::ALL {
            assert_eq!(api.to_string().parse(), Ok(api));
        }
        assert_eq!("chat".parse::<Api>(), Err(UnknownApi));
    }

    #[test]
    fn each_dialect_serves_its_own_and_anthropics_chats_too() {
        let served = |dialect| Api::ALL.map(|api| api.at(dialect));
        let open_ai =
            [Some(Api::Chat), Some(Api::Completions), Some(Api::Embeddings), Some(Api::Responses), None];
        assert_eq!(served(Dialect::OpenAi), open_ai);
        assert_eq!(served(Dialect::Azure), open_ai);
        assert_eq!(served(Dialect::Anthropic), [Some(Api::Messages), None, None, None, Some(Api::Messages)]);
    }
}
