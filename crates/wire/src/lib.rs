//! What AI providers say: failure classes, waits, limits, event streams, usage and prices.
//!
//! Nearly every item is a reader: bytes or headers in, a few facts out. All input is hostile, and none of it panics, recurses or
//! allocates without bound.
//!
//! ```
//! use outrigger_wire::{AnswerFacts, Api, FinishReason, SseEvent, SseFramer, read_frame};
//!
//! let mut framer = SseFramer::new(1 << 20);
//! let mut answer = AnswerFacts::of_stream();
//! let chunk = b"data: {\"choices\":[{\"delta\":{\"content\":\"ahoy\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DO";
//! let fed = framer.feed(chunk, |event| {
//!     if let SseEvent::Data { event, data } = event {
//!         answer.absorb(&read_frame(Api::Chat, event, data));
//!     }
//! })?;
//! assert_eq!(fed.complete, chunk.len() - b"data: [DO".len()); // up to here the bytes may be forwarded
//! assert_eq!(answer.finish, Some(FinishReason::Stop));
//! assert_eq!(answer.failure(), None);
//! # Ok::<(), outrigger_wire::FrameTooLong>(())
//! ```
//!
//! # Grammar
//! `read_*` takes any bytes and gives facts, among them that the bytes are nonsense; [`skim_request`] takes a caller's bytes and
//! says what is wrong with them; `x_to_y` writes one dialect's bytes as another's, or says why not; [`classify`] and
//! [`retry_after`] look headers up through a function, by lower-case name. Calendar time is an argument, `wall`. [`Rewrite`] and
//! [`continue_chat`] mend what broke: they write a chunk or a request anew, and only what must differ.
//!
//! # What is left out
//! Deciding, waiting, sending. Prices of batch, flex and priority tiers.
//!
//! # Features
//! None.

mod answer;
mod api;
mod calendar;
mod class;
mod continuation;
mod delta;
mod dialect;
mod duration;
mod error_body;
mod frame;
mod loose;
mod media;
mod price;
mod rate_limit;
mod request;
mod splice;
mod sse;
mod stored;
mod usage;

pub use answer::{AnswerFacts, Uncounted, read_answer};
pub use api::{Api, UnknownApi};
pub use class::{Class, Failure, Level, UnknownClass};
pub use continuation::{GoOn, continue_chat};
pub use delta::{Delta, read_delta};
pub use dialect::{
    ANTHROPIC_VERSION, ChatFromMessages, DEFAULT_MAX_TOKENS, Dialect, Place, UnknownDialect, Unreadable,
    Untranslatable, chat_is_translatable, chat_to_messages, error_to_chat, messages_to_chat,
};
pub use error_body::{MAX_ERROR_BODY, classify};
pub use frame::{FinishReason, FrameFacts, read_frame};
pub use price::{BadPrices, Price, PriceTable, Rates, Step};
pub use rate_limit::{Headroom, Limit, MAX_RESET, MAX_RETRY_AFTER, retry_after};
pub use request::{BadRequest, RequestFacts, RequestFault, RequestState, skim_request};
pub use splice::{Identity, Rewrite};
pub use sse::{Fed, FrameTooLong, SseEvent, SseFramer};
pub use stored::{Leaning, leans_on, stored_names};
pub use usage::Usage;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
