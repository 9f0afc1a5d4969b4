//! That a page's links lead somewhere: a relative link in a Markdown file names a file or folder of this tree.

use crate::tidy::source::Source;

/// The dead links of one page; `exists` knows the paths from the workspace's root.
pub(super) fn faults(source: &Source, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    let mut in_code = false;
    for (number, line) in source.lines() {
        in_code ^= line.trim_start().starts_with("```");
        for link in links(line).filter(|link| !in_code && is_relative(link)) {
            let place = resolve(&source.path, link);
            if !place.as_deref().is_some_and(&exists) {
                faults.push(format!("{}:{number}: the link `{link}` leads nowhere", source.path));
            }
        }
    }
    faults
}

/// The targets of `[text](target)` on one line, without their `#fragment`; a link within the page is none.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    targets.filter_map(|target| target.split('#').next()).filter(|target| !target.is_empty())
}

/// Neither another site's, nor an item's in rustdoc.
fn is_relative(link: &str) -> bool {
    !link.contains("://") && !link.starts_with("mailto:") && !link.contains("::")
}

/// The link's path from the root; `None` when it leaves the tree.
fn resolve(page: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::faults;
    use crate::tidy::source::Source;

    fn check(line: &str, expected: &[&str]) {
        let page = Source::new("docs/page.md", line);
        let exists = |path: &str| ["README.md", "docs/other.md", "crates/leaf"].contains(&path);
        assert_eq!(faults(&page, exists), expected);
    }

    #[test]
    fn a_link_that_leads_somewhere_is_no_fault() {
        check("[a](other.md), [b](../README.md#top), [c](./other.md \"title\"), [d](../crates/leaf/)", &[]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_a_fault() {
        check("[a](README.md)", &["docs/page.md:1: the link `README.md` leads nowhere"]);
        check("ok\n[a](other.md) [b](gone.md#x)", &["docs/page.md:2: the link `gone.md` leads nowhere"]);
        check("[a](../../other.md)", &["docs/page.md:1: the link `../../other.md` leads nowhere"]);
    }

    #[test]
    fn other_sites_items_places_on_the_page_and_code_are_not_followed() {
        check("[a](https://example.org/x) [b](crate::Thing) [c](#here)\n```\n[d](gone.md)\n```", &[]);
    }
}
