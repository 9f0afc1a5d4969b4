//! Which deployment gave which stored answer, so that a request that leans on one goes where it is known.
//!
//! Only names are remembered, as hashes, and only for a while: what is forgotten is refused, never guessed, since another
//! deployment would answer that it never heard of it.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

/// How long a name is remembered: OpenAI keeps a response for thirty days.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Names at most, some forty bytes each; the oldest goes first.
const MOST: usize = 100_000;

/// Names and their places.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    hasher: RandomState,
    places: HashMap<u64, Place>,
    /// In the order in which they were given, the newest last. A name given again stands here twice.
    order: VecDeque<(u64, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    deployment: usize,
    since: Instant,
}

impl Memory {
    /// A deployment gave an answer of this name.
    pub(crate) fn remember(&mut self, name: &str, deployment: usize, now: Instant) {
        let key = self.hasher.hash_one(name);
        self.places.insert(key, Place { deployment, since: now });
        self.order.push_back((key, now));
        while let Some(&(key, since)) = self.order.front()
            && (self.order.len() > MOST || now.saturating_duration_since(since) > KEPT)
        {
            self.order.pop_front();
            if self.places.get(&key).is_some_and(|place| place.since <= since) {
                self.places.remove(&key);
            }
        }
    }

    /// Forgets who is not who it was.
    pub(crate) fn forget(&mut self, is_other: impl Fn(usize) -> bool) {
        self.places.retain(|_, place| !is_other(place.deployment));
    }

    /// Who gave an answer of this name, as far as that is known.
    pub(crate) fn recall(&self, name: &str, now: Instant) -> Option<usize> {
        let place = self.places.get(&self.hasher.hash_one(name))?;
        (now.saturating_duration_since(place.since) <= KEPT).then_some(place.deployment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::now;

    #[test]
    fn a_name_is_known_until_its_time_is_over() {
        let (mut memory, t0) = (Memory::default(), now());
        memory.remember("resp_1", 3, t0);
        assert_eq!(memory.recall("resp_1", t0 + KEPT), Some(3));
        assert_eq!(memory.recall("resp_1", t0 + KEPT + Duration::from_secs(1)), None);
        assert_eq!(memory.recall("resp_2", t0), None);
        memory.remember("resp_1", 4, t0 + KEPT);
        memory.remember("resp_2", 5, t0 + 2 * KEPT);
        assert_eq!(memory.recall("resp_1", t0 + 2 * KEPT), Some(4), "given again, it is known for longer");
        assert_eq!(memory.places.len(), 2);
    }

    #[test]
    fn the_page_of_defaults_tells_its_bounds() {
        const PAGE: &str = include_str!("../../../docs/defaults.md");
        for (key, value) in
            [("most", MOST.to_string()), ("kept", format!("\"{}d\"", KEPT.as_secs() / 86_400))]
        {
            let row = format!("| `stateful.{key}` | `{value}` |");
            assert!(PAGE.contains(&row), "{row}");
        }
    }

    /// **Memory is bounded.** Fails if names pile up, or if the newest go first.
    #[test]
    fn the_oldest_names_make_room() {
        let (mut memory, t0) = (Memory::default(), now());
        for number in 0..=MOST {
            memory.remember(&number.to_string(), number, t0);
        }
        assert_eq!((memory.places.len(), memory.order.len()), (MOST, MOST));
        assert_eq!(memory.recall("0", t0), None);
        assert_eq!(memory.recall(&MOST.to_string(), t0), Some(MOST));
    }
}
