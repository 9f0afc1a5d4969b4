//! What a replica's letter says, as JSON.
//!
//! Times are durations (how long something still counts, how long ago it was), so no two clocks are compared. What a later version adds
//! is passed over; a letter that cannot be read is one that was not sent.

use std::collections::BTreeMap;

use outrigger::{Route, registry::Used};
use serde::{Deserialize, Serialize};

use super::news::Item;
use crate::auth::{self, millis_left};

/// A longer letter is not read.
pub(super) const LONGEST: usize = 4 << 20;

/// All that a replica says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    /// Another number at each start of a replica: its news are counted anew.
    pub(super) life: u64,
    /// What keys have used of their minute, by their names.
    pub(super) keys: BTreeMap<String, auth::Used>,
    /// What was used of places that have a limit per minute.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) places: Vec<Place>,
    /// What happened there.
    pub(super) news: Vec<Item>,
}

/// What was used of a place within a minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    provider: String,
    region: String,
    model: String,
    /// For how many more milliseconds each part counts, and how many requests and tokens it is.
    pub(super) used: Vec<(u64, u64, u64)>,
}

impl Place {
    pub(super) fn new(route: &Route, used: &[Used]) -> Self {
        let Route { provider, region, model, .. } = route;
        Self {
            provider: provider.to_string(),
            region: region.to_string(),
            model: model.to_string(),
            used: used.iter().map(|part| (millis_left(part.left), part.requests, part.tokens)).collect(),
        }
    }

    pub(super) fn route(&self) -> Route {
        Route::new(self.provider.as_str(), self.region.as_str(), self.model.as_str())
    }
}

impl Told {
    pub(super) fn written(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What such a text says, if it is a letter at all.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        (text.len() <= LONGEST).then(|| serde_json::from_slice(text).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_letter_says_what_was_written() {
        let used = auth::Used { requests: vec![(59_000, 3)], tokens: Vec::new(), held: 7 };
        let mut told = Told { life: 9, keys: [("a".to_owned(), used)].into(), ..Told::default() };
        // What versions wrote that did not know of places.
        assert_eq!(told.written(), r#"{"life":9,"keys":{"a":{"requests":[[59000,3]],"held":7}},"news":[]}"#);
        assert_eq!(Told::read(told.written().as_bytes()).as_ref(), Some(&told));
        let (route, left) = (Route::new("p", "r", "m"), Duration::from_micros(58_999_001));
        told.places = vec![Place::new(&route, &[Used::new(left, 3, 40)])];
        let places = r#""places":[{"provider":"p","region":"r","model":"m","used":[[59000,3,40]]}]"#;
        assert!(told.written().contains(places), "{}", told.written());
        assert_eq!(told.places[0].route(), route);
        assert_eq!(Told::read(told.written().as_bytes()), Some(told));
    }

    /// **A letter of another version is read as far as it is known, and nonsense is no letter.**
    #[test]
    fn what_is_not_known_is_passed_over() {
        let later = br#"{"life":1,"moods":[1],"keys":{"a":{"requests":[],"colour":"red"}}}"#;
        assert_eq!(Told::read(later).map(|told| (told.life, told.keys.len())), Some((1, 1)));
        for nonsense in [&b""[..], b"PONG", b"[]]", b"{\"keys\":[1]}", &vec![b' '; LONGEST + 1]] {
            assert_eq!(Told::read(nonsense), None);
        }
    }
}
