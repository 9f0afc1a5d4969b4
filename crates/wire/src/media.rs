//! How much of a request is no text: the pictures, sounds and files in it, which stand there as base64.
//!
//! Whoever takes bytes for tokens takes a photograph for a library. So long runs of base64 are told apart: a kilobyte and more
//! without any sign that text cannot do without. They are looked for in steps of a few bytes and not in the JSON's tree, so a shorter
//! one, and the ends of a long one, pass for text.

/// The step.
const CHUNK: usize = 64;
/// A shorter run may be a word, a URL or a hash.
const LEAST: usize = 1024;

/// The bytes of a body in long runs of base64.
pub(crate) fn media_bytes(body: &[u8]) -> usize {
    let (mut all, mut run) = (0, 0);
    for chunk in body.chunks(CHUNK) {
        if is_base64(chunk) {
            run += chunk.len();
        } else {
            all += counted(run);
            run = 0;
        }
    }
    all + counted(run)
}

fn counted(run: usize) -> usize {
    if run >= LEAST { run } else { 0 }
}

/// Whether nothing in it is what base64 never has and text has soon: a space, a quotation mark, a comma, a letter beyond ASCII, an
/// escaped sign other than the `/` that some escape.
fn is_base64(chunk: &[u8]) -> bool {
    // Without an early way out this is a few instructions for all of them.
    let others =
        chunk.iter().fold(false, |others, &byte| others | matches!(byte, b' ' | b'"' | b',' | 0x80..));
    !others && !escapes_another(chunk)
}

fn escapes_another(chunk: &[u8]) -> bool {
    memchr::memchr_iter(b'\\', chunk).any(|at| chunk.get(at + 1).is_some_and(|&sign| sign != b'/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// So many bytes of base64, of every sign that it has.
    fn base64(bytes: usize) -> String {
        const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        (0..bytes).map(|at| char::from(SIGNS[at * 7 % SIGNS.len()])).collect()
    }

    fn check(content: &str, expected: usize) {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{content}"}}]}}"#);
        let found = media_bytes(body.as_bytes());
        assert!(expected.abs_diff(found) <= 4 * CHUNK, "{found} and not {expected} of {:.60}", content);
        assert!(expected > 0 || found == 0, "{found} of {content:.60}");
    }

    #[test]
    fn pictures_and_sounds_are_no_text() {
        let picture = base64(100_000);
        check(&format!("data:image/png;base64,{picture}=="), 100_000);
        check(&format!("what is this? {picture} and this? {picture}"), 200_000);
        check(&picture.replace('/', "\\/"), 100_000 + picture.matches('/').count());
    }

    #[test]
    fn whatever_is_text_is_text() {
        check(&"The swell is high today. ".repeat(1_000), 0);
        check(&"潮が高い。".repeat(1_000), 0);
        check(&"\\u6f6e\\u304c\\u9ad8\\u3044".repeat(1_000), 0);
        check(&"line\\nafter\\nline".repeat(1_000), 0);
        check(&base64(900), 0);
        let ids: Vec<String> = (0..5_000).map(|id| id.to_string()).collect();
        assert_eq!(media_bytes(format!(r#"{{"model":"m","input":[{}]}}"#, ids.join(",")).as_bytes()), 0);
    }

    proptest! {
        /// **No more than there is**, of whatever bytes. Fails if a run is counted twice.
        #[test]
        fn no_more_is_found_than_there_is(parts in prop::collection::vec(("[ -~]{0,80}", 0..4_000_usize), 0..6)) {
            let body: String = parts.iter().flat_map(|(text, bytes)| [text.clone(), base64(*bytes)]).collect();
            prop_assert!(media_bytes(body.as_bytes()) <= body.len());
        }
    }
}
