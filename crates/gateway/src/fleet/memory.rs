//! An engine in memory that keeps the promises of a [port](super::port), for tests: replicas of one process share it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};

use super::{
    SILENCE,
    port::{Letter, Port, PortFault, Post, Received},
};

/// The engine. Clones are connections to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    /// Its clock.
    now: Duration,
    is_gone: bool,
    letters: BTreeMap<String, (Duration, String)>,
    accounts: BTreeMap<String, (BTreeMap<String, u64>, u64)>,
}

impl Memory {
    pub(super) fn wait(&self, time: Duration) {
        self.0.lock().unwrap().now += time;
    }

    pub(super) fn is_gone(&self, is_gone: bool) {
        self.0.lock().unwrap().is_gone = is_gone;
    }

    /// Loses everything.
    pub(super) fn forget(&self) {
        let mut held = self.0.lock().unwrap();
        (held.letters, held.accounts) = Default::default();
    }

    /// Has a letter that no replica wrote.
    pub(super) fn put(&self, replica: &str, text: &str) {
        let mut held = self.0.lock().unwrap();
        let now = held.now;
        held.letters.insert(replica.to_owned(), (now, text.to_owned()));
    }

    fn take(&self, letter: &Letter) -> Result<Post, PortFault> {
        let mut held = self.0.lock().unwrap();
        if held.is_gone {
            return Err(PortFault("it is gone".to_owned()));
        }
        let now = held.now;
        held.letters.insert(letter.replica.clone(), (now, letter.text.clone()));
        held.letters.retain(|_, (at, _)| now - *at < SILENCE);
        let others = held.letters.iter().filter(|(replica, _)| **replica != letter.replica);
        let letters = others.map(|(replica, (at, text))| Received {
            replica: replica.clone(),
            silent: now - *at,
            text: text.clone().into_bytes(),
        });
        let letters = letters.collect();
        let totals = letter.accounts.iter().map(|account| {
            let (own, total) = held.accounts.entry(account.name.clone()).or_default();
            let sum = own.entry(letter.replica.clone()).or_default();
            let more = account.own.saturating_sub(*sum);
            *sum += more;
            *total += more;
            *total
        });
        let totals = totals.collect();
        drop(held);
        Ok(Post { letters, totals })
    }
}

impl Port for Memory {
    fn exchange<'a>(&'a mut self, letter: &'a Letter) -> BoxFuture<'a, Result<Post, PortFault>> {
        async move { self.take(letter) }.boxed()
    }
}
