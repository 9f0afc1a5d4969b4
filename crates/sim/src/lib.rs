//! Simulated AI providers and regions with scripted faults, in virtual time and on real sockets.
//!
//! A [`World`] holds regions that answer like an AI provider does and fail as they are told. What one request gets is
//! decided once, in pure code, and written down as steps; two players act the steps out. [`SimTransport`] does it in
//! memory, on tokio's clock, so that under `start_paused` an hour of faults takes a moment. [`Server`] does it on loopback
//! sockets, one port a region, for clients in any language. Both give the same bytes at the same times.
//!
//! ```
//! use outrigger_sim::{Fault, LAST_WORD, When, World};
//! # use std::sync::Arc;
//! # use transport::{Pool, Request, Transport};
//! # async fn my_app(transport: impl Transport, base: url::Url) -> String {
//! #     let mut request = Request::new(http::Method::POST, format!("{base}/chat/completions").parse().unwrap(), Arc::new(Pool::new("p")));
//! #     request.body = br#"{"model":"m","messages":[{"role":"user","content":"ahoy"}]}"#.as_slice().into();
//! #     let Ok(mut response) = transport.send(request).await else { return String::new() };
//! #     let chunk = response.body.chunk().await.unwrap().unwrap();
//! #     String::from_utf8_lossy(&chunk).into_owned()
//! # }
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
//! # runtime.block_on(async {
//! let world = World::article(7); // us-east, eu-west, ap-southeast; everything that is chance comes from the seed
//! world.inject("us-east", Fault::Reset, When::always().first(1))?;
//!
//! let first = my_app(world.transport(), world.base_url("us-east")?).await;
//! let second = my_app(world.transport(), world.base_url("us-east")?).await;
//! assert!(!first.contains(LAST_WORD) && second.contains(LAST_WORD)); // a whole answer ends with a known word
//! assert_eq!(world.count("us-east")?, 2); // what the provider saw: no storm
//! # Ok::<(), outrigger_sim::WorldError>(())
//! # }).unwrap();
//! ```
//!
//! # The grammar
//! Furnish: [`World::builder`], [`Region`], [`Quota`], [`Latency`]. Break: [`World::inject`] a [`Fault`] for [`When`],
//! [`World::limit`] a quota for a while, [`World::answer_next`] with [`Step`]s of your own, [`World::clear`]. Ask:
//! [`World::received`] gives one [`Received`] a request, [`World::count`] their number. A whole run is a [`Scenario`]; one
//! fault as text, in its files and in JSON, is a [`Chaos`].
//!
//! # What it serves
//! `POST /v1/chat/completions`, `/v1/completions`, `/v1/responses`, `/v1/messages` (Anthropic's form), each plain and
//! streamed, with a tool called where the request forces one; `POST /v1/embeddings`; `GET /v1/models` and
//! `/v1/models/{id}`; all without `/v1` too, and below `/openai/v1` or Azure's classic `/openai/deployments/{name}` with its
//! `api-version`. What a provider would refuse is refused with its 4xx, in the words of its family. Answers follow from the
//! question alone ([`answer_text`]), unless the region is one whose answers vary ([`Region::varies_after`]). A response is
//! known to the region that gave it, and to no other.
//!
//! # What is left out
//! TLS and HTTP/2; stored responses but as something to go on from; the dates at which Anthropic's limits are full again;
//! models that differ in more than their names. A fault on a socket closes, resets and cuts connections, but it loses no
//! packets.
//!
//! There are no features.

mod acts;
mod answer;
mod error;
mod fault;
mod latency;
mod limits;
mod log;
mod plan;
mod play;
mod quota;
mod refusal;
mod region;
mod request;
mod scenario;
mod script;
mod server;
mod shape;
mod transport;
mod world;

pub use answer::{LAST_WORD, answer_text};
pub use error::{ScenarioError, WorldError};
pub use fault::{Fault, UnknownFault, When};
pub use latency::Latency;
pub use log::{Outcome, Received};
pub use quota::Quota;
pub use region::Region;
pub use scenario::{Act, Chaos, Limit, Scenario};
pub use script::Step;
pub use server::Server;
pub use transport::SimTransport;
pub use world::{World, WorldBuilder};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
