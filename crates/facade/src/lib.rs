//! A client for AI APIs that fails over between regions and providers before the caller notices.
//!
//! **Every call gets the best healthy deployment, goes elsewhere when that one fails, never storms a provider that is ill, and
//! says what it did and what it cost.**
//!
//! ```
//! use outrigger::{Client, Config, config::{Model, Provider, Target}};
//! use sim::{Fault, When, World};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let world = World::article(7); // three simulated regions
//! world.inject("us-east", Fault::Reset, When::always())?; // one of them dead
//! let mut provider = Provider::openai();
//! for region in world.regions() {
//!     provider = provider.region(region, world.base_url(region)?.as_str())?;
//! }
//! let model = Model::new([Target::new("holysheep", "gpt-4.1")]);
//! let config = Config::new().provider("holysheep", provider).model("chat", model);
//! let client = Client::builder().config(config).transport(world.transport()).build()?;
//!
//! let answer = client.chat("chat").user("How high is the swell?").region("us-east").send().await?;
//! assert!(answer.text.ends_with(sim::LAST_WORD)); // whole, though its region was dead
//! assert_ne!(&*answer.route.region, "us-east");
//! # Ok(())
//! # }
//! ```
//!
//! # The grammar of the crate
//! - [`Client::chat`] is the common case, typed; [`Client::send`] takes any [`Request`] whose body is JSON and gives the
//!   provider's bytes.
//! - [`config`] is what a client is told, from code or from TOML.
//! - [`engine`] is the pure machine that decides: `on(event, now, draw) -> actions`. The rest of the crate is the tokio shell
//!   that executes its actions.
//! - [`observe`] is what a client tells: one [`Notice`] per thing that happened.
//! - [`reach`] asks every endpoint of a configuration whether it is there, before anybody depends on it.
//! - [`breaker`], [`registry`], [`policy`], [`wire`] and [`transport`] are the crates that it composes, each usable alone.
//!
//! # Every piece can be swapped
//! [`ClientBuilder::transport`], [`ClientBuilder::selector`] and [`ClientBuilder::gate`] take anybody's implementation of
//! [`transport::Transport`], [`registry::Selector`] and [`breaker::Gate`].
//!
//! # What is left out
//! Answer caches, choosing a model by the prompt, prompt management, storing prompts.

pub mod answer;
mod ask;
mod attempt;
mod attempts;
pub mod chat;
mod client;
pub mod config;
mod driver;
pub mod engine;
mod error;
mod estimate;
mod fallback;
mod form;
mod given;
mod health;
mod memory;
mod news;
mod nudges;
pub mod observe;
mod outgoing;
pub mod reach;
mod reader;
mod request;
mod rescue;
mod room;
mod shared;
mod splice;
mod stream;
pub mod trace;

pub use answer::{Answer, AnswerBody, AttemptRecord, Summary, Timing};
pub use chat::{ChatAnswer, ChatCall, ChatStream};
pub use client::{Client, ClientBuilder};
pub use config::Config;
pub use error::{BuildError, CallError, ChatError, RequestError};
pub use estimate::CostEstimate;
pub use fallback::Fallback;
pub use news::News;
pub use observe::{
    Bill, CordonWord, FallbackResult, HedgeResult, Notice, Observer, Outcome, RescueResult, Route,
};
pub use request::Request;
pub use room::Room;
pub use stream::AnswerStream;
pub use trace::{SpanId, TraceContext};

pub use breaker;
pub use policy;
pub use registry;
pub use transport;
pub use wire;
pub use wire::Api;

/// The prose that shows code, compiled.
#[cfg(doctest)]
mod prose {
    #[doc = include_str!("../../../README.md")]
    mod readme {}
    #[doc = include_str!("../README.md")]
    mod own_readme {}
    #[doc = include_str!("../../../docs/article.md")]
    mod article {}
}
