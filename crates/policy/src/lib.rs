//! Retry budgets, backoff, deadlines, concurrency limits: the small machines of a call that fails over.

mod backoff;
mod budget;
mod call;
mod config;
mod deadline;
mod error;
mod limit;

pub use backoff::Backoff;
pub use budget::{Budget, FIRST_TRY_REWARD, RETRY_COST_BILLED, RETRY_COST_UNPROCESSED};
pub use call::{Call, CallPlan, Failed, Finish, Key, Picked, Price, Step};
pub use config::{AimdConfig, BackoffConfig, BudgetConfig};
pub use deadline::Deadline;
pub use error::ConfigError;
pub use limit::AimdLimit;
