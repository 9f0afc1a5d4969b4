//! OpenAI's chat, served by Anthropic: the request into Anthropic's form, its answer, its stream and its errors back.
//!
//! A request either says in Anthropic's words all that its caller can rely on, or is untranslatable ([`request`] has the table);
//! an answer either is whole or is an error. In between nothing is guessed.

mod answer;
mod body;
mod chat;
mod error;
mod fields;
mod json;
mod parts;
mod request;
mod stream;
mod tools;
mod turns;

pub use answer::messages_to_chat;
pub use chat::Unreadable;
pub use error::error_to_chat;
pub use fields::Untranslatable;
pub use request::{DEFAULT_MAX_TOKENS, chat_is_translatable, chat_to_messages};
pub use stream::ChatFromMessages;

/// The version of Anthropic's API that translated requests are written for: the value of the header `anthropic-version`.
///
/// They are good requests of the later 2026-10-21 as well, which takes less (no sampling parameters); this one is known to every
/// server that speaks Anthropic's form.
pub const ANTHROPIC_VERSION: &str = "2023-06-01";
