//! As much of PromQL as it takes to say which metrics and labels a query names.

/// What a query names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Each metric with the labels that select among its series.
    pub(super) metrics: Vec<(String, Vec<String>)>,
    /// The labels that series are grouped or matched by.
    pub(super) grouping: Vec<String>,
    /// Each label that is compared, with the words it is compared with.
    pub(super) words: Vec<(String, String)>,
}

const GROUPS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const WORDS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];

/// Reads a query.
pub(super) fn read(query: &str) -> Named {
    let mut named = Named::default();
    let mut rest = query;
    // Whether names are labels now: of a selector, or of a group.
    let (mut in_selector, mut in_group, mut group_begins) = (false, false, false);
    while let Some(first) = rest.chars().next() {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_:.".contains(letter);
        let length = match first {
            '"' | '\'' => {
                let text = &rest[1..1 + rest[1..].find(first).expect("a string ends")];
                if let (true, Some((_, labels))) = (in_selector, named.metrics.last()) {
                    let label = labels.last().expect("a word is compared with a label");
                    named.words.extend(text.split('|').map(|word| (label.clone(), word.to_owned())));
                }
                text.len() + 2
            }
            '$' | '0'..='9' => 1 + rest[1..].find(|letter| !is_part(letter)).unwrap_or(rest.len() - 1),
            _ if is_part(first) => {
                let length = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
                let name = rest[..length].to_owned();
                let next = rest[length..].trim_start();
                let is_call = ["(", "by ", "without "].iter().any(|after| next.starts_with(after));
                if in_selector {
                    named.metrics.last_mut().expect("a selector has a metric").1.push(name);
                } else if in_group {
                    named.grouping.push(name);
                } else if GROUPS.contains(&&*name) {
                    group_begins = true;
                } else if !is_call && !WORDS.contains(&&*name) {
                    named.metrics.push((name, Vec::new()));
                }
                length
            }
            '{' | '}' => {
                in_selector = first == '{';
                1
            }
            '(' => {
                in_group = std::mem::take(&mut group_begins);
                1
            }
            ')' => {
                in_group = false;
                1
            }
            _ => first.len_utf8(),
        };
        rest = &rest[length..];
    }
    named
}

#[test]
fn a_query_is_read_as_prometheus_reads_it() {
    let named = read(
        "histogram_quantile(0.95, sum by (le, model) (rate(a_bucket{x=~\"b|$c\", y!='z'}[$__rate_interval])))\n\
         / ignoring (k) group_left () sum(rate(other[1d] offset 1h)) > 0.5 and plain == 2",
    );
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let metrics = [("a_bucket", owned(&["x", "y"])), ("other", vec![]), ("plain", vec![])];
    assert_eq!(named.metrics, metrics.map(|(name, labels)| (name.to_owned(), labels)));
    assert_eq!(named.grouping, owned(&["le", "model", "k"]));
    let words = [("x", "b"), ("x", "$c"), ("y", "z")];
    assert_eq!(named.words, words.map(|(label, word)| (label.to_owned(), word.to_owned())));
}
