//! What the fleet needs of the engine that it shares: one exchange of letters, as a trait.
//!
//! # What an engine promises
//! - It keeps the letter of each replica for [`SILENCE`](super::SILENCE), and gives those of the others, each with the time since it came.
//! - It keeps an account for each name: what each replica says that it spent, and the total of that. A replica's sum only rises, and saying it again
//!   changes nothing, so a sum that was perhaps taken in is simply said again.
//! - An exchange is taken in whole or not at all.

use std::{fmt, time::Duration};

use futures_util::future::BoxFuture;

/// What a replica has to say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Letter {
    /// Who says it.
    pub(crate) replica: String,
    pub(crate) text: String,
    pub(crate) accounts: Vec<Account>,
}

/// What a replica has spent in a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// Of the key and the period.
    pub(crate) name: String,
    /// Millionths of a USD that were spent here.
    pub(crate) own: u64,
    /// How long the account is to be kept.
    pub(crate) keep: Duration,
}

/// What the others have to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Post {
    pub(crate) letters: Vec<Received>,
    /// Millionths of a USD that were spent by all, in the order of the accounts.
    pub(crate) totals: Vec<u64>,
}

/// Another replica's letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) replica: String,
    /// How long ago it came.
    pub(crate) silent: Duration,
    pub(crate) text: Vec<u8>,
}

/// Why there was no exchange. It holds nothing of the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortFault(pub(crate) String);

impl fmt::Display for PortFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An engine that replicas share.
pub(crate) trait Port: Send {
    /// Gives a letter for those of the others. After a fault, or when it is dropped half way, the next one begins anew.
    fn exchange<'a>(&'a mut self, letter: &'a Letter) -> BoxFuture<'a, Result<Post, PortFault>>;
}
