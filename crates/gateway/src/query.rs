//! The query of a URL: a few names and values, percent-decoded.

/// The value of a name, if the query has it and it is not empty.
pub(crate) fn value(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| decode(value)).find(|value| !value.is_empty())
}

/// The first part that says nothing under one of these names: another name, or no value. What narrows a command must not be passed over.
pub(crate) fn stray<'q>(query: &'q str, names: &[&str]) -> Option<&'q str> {
    let says = |part: &str| {
        part.split_once('=').is_some_and(|(key, value)| names.contains(&key) && !value.is_empty())
    };
    query.split('&').find(|part| !part.is_empty() && !says(part))
}

/// A query of these names and values, percent-encoded; a value that is absent is left out.
pub(crate) fn of(pairs: &[(&str, Option<&str>)]) -> String {
    let mut query = String::new();
    for (name, value) in pairs.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(name);
        query.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                query.push(char::from(byte));
            } else {
                query.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    query
}

/// What is not a valid escape stays as it is; bytes that are no UTF-8 become the replacement character.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.split_first_chunk::<2>().filter(|_| first == b'%').and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits)
                .ok()
                .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = match escaped {
            Some(decoded) => decoded,
            None if first == b'+' => (b' ', after),
            None => (first, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_values_decoded() {
        let query = "a=1&model=gpt%2D4.1%2Fmini+x&region=&b";
        assert_eq!(value(query, "model").as_deref(), Some("gpt-4.1/mini x"));
        assert_eq!(value(query, "region"), None);
        assert_eq!(value(query, "b"), None);
    }

    #[test]
    fn a_part_that_says_nothing_is_found() {
        let stray = |query| stray(query, &["model", "region"]);
        assert_eq!([stray(""), stray("region=a&model=b&")], [None, None]);
        assert_eq!(
            [stray("region=a&modle=b"), stray("region="), stray("region")],
            [Some("modle=b"), Some("region="), Some("region")]
        );
    }

    #[test]
    fn what_is_encoded_is_decoded_again() {
        let names = ["a/b c", "100 % &=+?#", "\u{e9}\u{4e2d}"];
        let query =
            of(&[("x", Some(names[0])), ("none", None), ("y", Some(names[1])), ("z", Some(names[2]))]);
        let pairs = query.strip_prefix('?').unwrap();
        assert_eq!(["x", "y", "z"].map(|name| value(pairs, name).unwrap()), names);
        assert_eq!((of(&[]), of(&[("x", None)])), (String::new(), String::new()));
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(value("a=%zz%4&b=%ff%+1", "a").as_deref(), Some("%zz%4"));
        assert_eq!(value("a=%zz%4&b=%ff%+1", "b").as_deref(), Some("\u{fffd}% 1"));
    }
}
