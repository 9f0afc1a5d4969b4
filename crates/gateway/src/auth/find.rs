//! From a request's headers to its key.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use subtle::ConditionallySelectable;

use super::{Key, digest::Digest};

/// The keys that a request shows, in the three headers that SDKs know. A program may send a key of its own in one of them and
/// a stub in another, which its SDK insists on; so all are looked at, and the first that is known counts.
pub(super) fn shown(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(bearer);
    let plain = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    [bearer, plain("x-api-key"), plain("api-key")]
        .into_iter()
        .flatten()
        .map(<[u8]>::trim_ascii)
        .filter(|key| !key.is_empty())
}

/// The credential after the word `Bearer`, which is written in any case.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, key) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(key)
}

/// The key with this hash. All are compared, each in full, and the one that fits is taken without a branch: the time tells
/// how many keys there are, and nothing of which one fits or how nearly.
pub(super) fn among(keys: &[Arc<Key>], shown: &Digest) -> Option<Arc<Key>> {
    let mut found = u64::MAX;
    for (number, key) in (0_u64..).zip(keys) {
        found.conditional_assign(&number, key.entry.hash.is(shown));
    }
    keys.get(usize::try_from(found).ok()?).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::entry::Entry;

    fn shown_by(pairs: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        shown(&headers).map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }

    #[test]
    fn a_key_stands_in_any_of_three_headers() {
        assert_eq!(shown_by(&[("authorization", "Bearer or-1")]), ["or-1"]);
        assert_eq!(shown_by(&[("authorization", "bearer  or-1 ")]), ["or-1"]);
        assert_eq!(shown_by(&[("x-api-key", "or-2")]), ["or-2"]);
        assert_eq!(shown_by(&[("api-key", "or-3"), ("x-api-key", "or-2")]), ["or-2", "or-3"]);
    }

    #[test]
    fn what_is_no_key_is_not_taken_for_one() {
        let none: [&[(&str, &str)]; 6] = [
            &[],
            &[("authorization", "Basic b3ItMQ==")],
            &[("authorization", "or-1")],
            &[("authorization", "Bearer ")],
            &[("authorization", "Bearer")],
            &[("x-api-key", " "), ("cookie", "or-1")],
        ];
        for pairs in none {
            assert_eq!(shown_by(pairs), [""; 0], "{pairs:?}");
        }
    }

    #[test]
    fn the_key_with_the_hash_is_found_wherever_it_stands() {
        let entries = ["a", "b", "c"].map(|name| (name.to_owned(), Entry::of(Digest::of(name.as_bytes()))));
        let keys = Key::all(entries.into_iter().collect(), &[]);
        for name in ["a", "b", "c"] {
            assert_eq!(*among(&keys, &Digest::of(name.as_bytes())).unwrap().name, *name);
        }
        assert!(among(&keys, &Digest::of(b"d")).is_none());
        assert!(among(&[], &Digest::of(b"a")).is_none());
    }
}
