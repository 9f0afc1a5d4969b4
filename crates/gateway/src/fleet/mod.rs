//! What replicas share through a Redis (or Valkey) of the operator's: what keys spend and use, what is used of
//! regions that have a limit per minute, cooldowns, and news of circuits.
//!
//! **No request waits for it.** One task exchanges a letter once a second ([`EVERY`]): what this replica has to say of itself, whole, for what
//! the others say. Admission looks at what was heard last. So a fleet may overshoot a limit by what its other replicas admit within two
//! seconds, and a Redis that is slow or gone costs nobody an answer: each replica goes on with its own view, and says so once. Why not
//! a question per request: docs/decisions/0017-told-once-a-second.md.
//!
//! A letter is a state and not a difference ([`words`]): one that is lost or comes twice changes nothing, a Redis that forgot everything
//! knows it again a second later, and no queue waits for one that is gone. What was spent has to outlive who spent it, so it stands
//! beside the letters, as a total that each replica raises to its own sum ([`port`]).
//!
//! No key's text, no hash of one, no prompt and no credential is in a letter: names of keys, of places, and numbers.

mod board;
mod exchange;
mod identity;
#[cfg(test)]
mod memory;
mod news;
mod port;
mod redis;
mod settings;
#[cfg(test)]
mod tests;
mod words;

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use outrigger::{Client, Notice, Observer};
use serde::Serialize;
use tokio::sync::watch;

use self::{board::Board, identity::Identity};
pub(crate) use self::{
    exchange::{Finding, Sharing, probe},
    settings::{FleetSettings, faults},
};
use crate::{
    auth::{
        Keys,
        spent::{Spent, period},
    },
    file::File,
};

/// How often letters are exchanged. One exchange is one round trip of some kilobytes; more often would tell hardly more, less often
/// would let a fleet overshoot further.
pub(crate) const EVERY: Duration = Duration::from_secs(1);
/// What was said by a replica that has been silent for longer counts no more: a minute, for which its use counts, and then some.
pub(crate) const SILENCE: Duration = Duration::from_secs(75);
/// Who was heard of within this time is there.
const PRESENT: Duration = Duration::from_secs(5);

/// This replica's part of the fleet. Without `[fleet]` it is alone, and this costs a look.
pub(crate) struct Fleet {
    identity: Identity,
    /// What was spent here.
    own: Arc<dyn Spent>,
    board: Mutex<Board>,
    standing: Mutex<Standing>,
    settings: watch::Sender<Option<FleetSettings>>,
}

/// How it stands with the fleet, as `/status` tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Standing {
    /// Whether the last exchange succeeded.
    pub(crate) connected: bool,
    /// Replicas that were heard of within the last 5 s, this one included.
    pub(crate) replicas: usize,
}

impl Fleet {
    /// A replica that goes by a file, and keeps its name where it keeps its spend.
    pub(crate) fn new(file: &File, own: Arc<dyn Spent>) -> Arc<Self> {
        let state_dir = &file.settings.state_dir;
        // A reload may bring a fleet, so the name is kept before there is one.
        let folder = (!state_dir.is_empty()).then(|| PathBuf::from(state_dir));
        Self::of(Identity::kept_in(folder.as_deref()), file.fleet.clone(), own)
    }

    fn of(identity: Identity, settings: Option<FleetSettings>, own: Arc<dyn Spent>) -> Arc<Self> {
        Arc::new(Self {
            identity,
            own,
            board: Mutex::default(),
            standing: Mutex::default(),
            settings: watch::Sender::new(settings),
        })
    }

    /// Goes by other settings from the next exchange on.
    pub(crate) fn swap(&self, settings: Option<FleetSettings>) {
        self.settings.send_if_modified(|now| {
            let differs = *now != settings;
            *now = settings;
            differs
        });
    }

    /// How it stands; none where there is no fleet.
    pub(crate) fn standing(&self) -> Option<Standing> {
        let is_one = self.settings.borrow().is_some();
        is_one.then(|| *self.standing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who watches what happens here, which is news elsewhere.
    pub(crate) fn observer(self: &Arc<Self>) -> impl Observer + use<> {
        let fleet = Arc::clone(self);
        move |notice: &Notice| {
            if matches!(notice, Notice::AttemptEnded { class: Some(_), .. } | Notice::Transition { .. })
                && fleet.settings.borrow().is_some()
            {
                fleet.board().newsroom.note(notice, Instant::now());
            }
        }
    }

    fn stand(&self, standing: Standing) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    /// What is known of the others. The lock is short and never held across an await.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("standing", &self.standing()).finish_non_exhaustive()
    }
}

/// What a key has spent is what it has spent at all replicas, as far as that is known.
impl Spent for Fleet {
    fn micro_usd(&self, key: &str, every: Duration, wall: SystemTime) -> u64 {
        let own = self.own.micro_usd(key, every, wall);
        own.saturating_add(self.board().spent_elsewhere(key, every, period(every, wall).0))
    }
}

/// Who hears what the others say, beside the budgets.
#[derive(Clone, Debug)]
pub(crate) struct Ears {
    pub(crate) keys: Arc<Keys>,
    pub(crate) client: Client,
}

impl Ears {
    /// Nothing is known of others any more.
    fn hear_nothing(&self) {
        self.keys.hear(BTreeMap::new());
        self.client.used_elsewhere(&BTreeMap::new());
    }
}

/// The instant, and the same in calendar time.
type Now = (Instant, SystemTime);
