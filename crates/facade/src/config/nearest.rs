//! The known word that was probably meant.

/// A help line for a word that is not among the known ones: the nearest, or the few that there are.
///
/// Near is what a slip of the fingers gives: a Damerau-Levenshtein distance of at most a third of the longer
/// word. Names that only share a beginning (`us-east`, `us-west`) are a choice, not a slip, and are listed
/// instead.
pub fn help<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const LISTED: usize = 12;

    let known: Vec<&str> = known.into_iter().collect();
    match (near(word, &known), known.as_slice()) {
        (Some(candidate), _) => Some(format!("did you mean `{candidate}`?")),
        (None, []) => None,
        (None, few) if few.len() <= LISTED => Some(format!("known: {}", quoted(few))),
        (None, many) => {
            let (first, rest) = many.split_at(LISTED);
            Some(format!("known: {} and {} more", quoted(first), rest.len()))
        }
    }
}

/// The known word that a slip of the fingers would make this one of.
pub(super) fn near<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), *candidate))
        .filter(|(distance, candidate)| distance * 3 <= word.chars().count().max(candidate.chars().count()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

pub(super) fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::help;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_gets_the_list() {
        let known = ["total", "idle", "answer"];
        assert_eq!(help("totla", known).as_deref(), Some("did you mean `total`?"));
        assert_eq!(help("retries", known).as_deref(), Some("known: `total`, `idle`, `answer`"));
        assert_eq!(help("anything", []), None);
    }

    #[test]
    fn a_long_list_is_cut() {
        let known: Vec<String> = (0..40).map(|n| format!("region-{n}-of-many")).collect();
        let line = help("x", known.iter().map(String::as_str)).unwrap();
        assert!(line.ends_with("and 28 more"), "{line}");
    }
}
