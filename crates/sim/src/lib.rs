//! Simulated AI providers and regions with scripted faults, in virtual time and on real sockets.

mod acts;
mod answer;
mod fault;
mod latency;
mod plan;
mod play;
mod quota;
mod region;
mod request;
mod scenario;
mod script;
mod server;
mod transport;
mod world;

pub use answer::{LAST_WORD, answer_text};
pub use fault::{Fault, UnknownFault, When};
pub use latency::Latency;
pub use quota::Quota;
pub use region::Region;
pub use scenario::{Act, Chaos, Limit, Scenario, ScenarioError};
pub use script::Step;
pub use server::Server;
pub use transport::SimTransport;
pub use world::{Outcome, Received, World, WorldBuilder, WorldError};
