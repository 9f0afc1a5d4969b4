//! A pattern of names: of hosts, and of models where a surcharge is for some of them.
//!
//! One `*` stands for any run of characters, none included. That is all that prefixes and suffixes need, and it cannot be slow.

/// A name, or a prefix and a suffix of one. Hosts know no upper case, so none counts here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// This name alone.
    Exact(Box<str>),
    /// What begins and ends so, without overlap.
    Around(Box<str>, Box<str>),
}

impl Pattern {
    /// Reads a pattern; none when it is empty, has a blank within or a second `*`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.contains(char::is_whitespace) {
            return None;
        }
        let Some((prefix, suffix)) = text.split_once('*') else { return Some(Self::Exact(text.into())) };
        (!suffix.contains('*')).then(|| Self::Around(prefix.into(), suffix.into()))
    }

    /// Whether a name is meant.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => name.eq_ignore_ascii_case(exact),
            Self::Around(prefix, suffix) => {
                let (name, prefix, suffix) = (name.as_bytes(), prefix.as_bytes(), suffix.as_bytes());
                let Some((head, rest)) = name.split_at_checked(prefix.len()) else { return false };
                let Some(cut) = rest.len().checked_sub(suffix.len()) else { return false };
                head.eq_ignore_ascii_case(prefix)
                    && rest.get(cut..).is_some_and(|tail| tail.eq_ignore_ascii_case(suffix))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let parsed = Pattern::parse(pattern).unwrap();
        for name in matching {
            assert!(parsed.matches(name), "`{pattern}` is for `{name}`");
        }
        for name in others {
            assert!(!parsed.matches(name), "`{pattern}` is not for `{name}`");
        }
    }

    #[test]
    fn a_name_without_a_star_is_only_itself() {
        check("eu.api.openai.com", &["eu.api.openai.com", "EU.api.openai.com"], &["api.openai.com", ""]);
    }

    #[test]
    fn a_star_is_a_prefix_a_suffix_or_both() {
        check(
            "*.openai.azure.com",
            &["my.openai.azure.com"],
            &["openai.azure.com", "my.openai.azure.com.evil"],
        );
        check(
            "bedrock-runtime.us-gov-*",
            &["bedrock-runtime.us-gov-west-1.amazonaws.com"],
            &["bedrock-runtime.us-"],
        );
        check("a*a", &["aa", "aba"], &["a", "ab", "é"]);
        check("*", &["", "anything"], &[]);
    }

    #[test]
    fn a_name_cut_within_a_character_is_no_match() {
        check("a*", &["aé"], &["éa"]);
    }

    #[test]
    fn a_second_star_or_a_blank_is_no_pattern() {
        for wrong in ["", "*a*", "**", "a b"] {
            assert_eq!(Pattern::parse(wrong), None, "{wrong}");
        }
    }
}
