//! What AI providers say: failure classes, waits, limits, event streams, usage and prices.
//!
//! Every module is a reader: bytes or headers in, a few facts out. Nothing here does I/O, keeps a clock or decides what to do
//! next.

mod answer;
mod calendar;
mod class;
mod dialect;
mod duration;
mod error_body;
mod frame;
mod loose;
mod price;
mod rate_limit;
mod request;
mod sse;
mod usage;

pub use answer::{AnswerFacts, read_chat_answer};
pub use class::{Class, Failure, Level, UnknownClass};
pub use dialect::{Dialect, UnknownDialect};
pub use error_body::{MAX_ERROR_BODY, classify};
pub use frame::{FinishReason, FrameFacts, read_chat_frame};
pub use price::{BadPrices, Price, PriceTable};
pub use rate_limit::{Headroom, Limit, MAX_RETRY_AFTER, retry_after};
pub use request::{BadRequest, RequestFacts, RequestFault, skim_request};
pub use sse::{Fed, FrameTooLong, SseEvent, SseFramer};
pub use usage::Usage;
