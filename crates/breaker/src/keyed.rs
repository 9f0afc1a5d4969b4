//! A breaker per key (a host, a tenant), with a bound on their number.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::{BreakerConfig, ConfigError, SharedBreaker, State};

/// Breakers made at first use. When a new key finds the set full, the least recently used closed breaker goes, and
/// only without one the least recently used of all: an open circuit is knowledge. Finding it looks at every entry.
///
/// A handle already given out lives on; the key's next user gets a fresh breaker.
#[derive(Debug)]
pub struct KeyedBreakers<K> {
    config: BreakerConfig,
    limit: NonZeroUsize,
    entries: Mutex<Entries<K>>,
}

#[derive(Debug)]
struct Entries<K> {
    map: HashMap<K, (SharedBreaker, u64)>,
    /// Grows with each use; orders them.
    uses: u64,
}

impl<K: Hash + Eq + Clone> KeyedBreakers<K> {
    /// An empty set.
    ///
    /// # Errors
    /// What [`BreakerConfig::validate`] finds.
    pub fn new(config: BreakerConfig, limit: NonZeroUsize) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config, limit, entries: Mutex::new(Entries { map: HashMap::new(), uses: 0 }) })
    }

    /// The key's breaker. One short lock; it allocates for a new key only.
    ///
    /// # Errors
    /// None in practice: the config was checked by [`new`](Self::new).
    pub fn get<Q>(&self, key: &Q, now: Instant) -> Result<SharedBreaker, ConfigError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.uses += 1;
        let used = entries.uses;
        if let Some((breaker, last)) = entries.map.get_mut(key) {
            *last = used;
            return Ok(breaker.clone());
        }
        if entries.map.len() >= self.limit.get() {
            let rank = |breaker: &SharedBreaker, last: u64| (breaker.state(now) != State::Closed, last);
            let oldest = entries.map.iter().min_by_key(|(_, (breaker, last))| rank(breaker, *last));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                entries.map.remove(oldest.borrow());
            }
        }
        let breaker = SharedBreaker::new(self.config.clone(), now)?;
        entries.map.insert(key.to_owned(), (breaker.clone(), used));
        drop(entries);
        Ok(breaker)
    }

    /// How many breakers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).map.len()
    }

    /// Whether there is none yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
