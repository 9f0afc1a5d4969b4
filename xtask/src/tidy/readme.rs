//! That the README tells the truth: each crate is named and no other, the Rust version and the dependency lines are the
//! manifests' own.

use crate::workspace::Workspace;

/// The chores are no crate that a reader could choose.
const NOT_FOR_READERS: &str = "xtask";
/// What the names of our packages start with.
const PREFIX: &str = "outrigger";

/// Where the README and the manifests disagree.
pub(super) fn faults(readme: &str, workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    let named: Vec<&str> = words(readme).collect();
    for package in workspace.packages.values().filter(|package| package.name != NOT_FOR_READERS) {
        if !named.contains(&package.name.as_str()) {
            faults.push(format!("README.md: does not name the crate `{}`", package.name));
        }
    }
    for word in named.iter().filter(|word| word.starts_with("outrigger-")) {
        if !workspace.packages.contains_key(*word) {
            faults.push(format!("README.md: names `{word}`, and there is no such crate"));
        }
    }
    let versions: Vec<&str> =
        workspace.packages.values().map(|package| package.rust_version.as_str()).collect();
    let mut mentions = rust_versions(readme).peekable();
    if mentions.peek().is_none() {
        faults.push("README.md: does not say `Rust 1.x`, the version that it needs".to_owned());
    }
    for mention in mentions.filter(|mention| versions.iter().any(|version| version != mention)) {
        faults.push(format!("README.md: says Rust {mention}, the manifests {}", versions.join(", ")));
    }
    for (package, version) in dependency_lines(readme) {
        if !workspace.packages.get(package).is_some_and(|found| found.version.starts_with(version)) {
            faults.push(format!("README.md: `{package} = \"{version}\"` is not what the manifests say"));
        }
    }
    faults
}

/// Whole words that could be a package's name.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-'));
    words.filter(|word| word.starts_with(PREFIX))
}

/// The numbers of all mentions of the form `Rust 1.95`.
fn rust_versions(text: &str) -> impl Iterator<Item = &str> {
    text.split("Rust ").skip(1).filter_map(|rest| {
        let end = rest.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')).unwrap_or(rest.len());
        rest.get(..end).map(|version| version.trim_end_matches('.')).filter(|version| version.contains('.'))
    })
}

/// Lines of a dependency table on our own packages, `outrigger-breaker = "0.1"`.
fn dependency_lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(['\n', '`']).filter_map(|line| {
        let (package, rest) = line.trim().split_once(" = ")?;
        let (_, quoted) = rest.split_once('"')?;
        let version = quoted.split('"').next()?;
        let is_version = version.starts_with(|letter: char| letter.is_ascii_digit());
        (package.starts_with(PREFIX) && is_version).then_some((package, version))
    })
}

#[cfg(test)]
mod tests {
    use super::faults;
    use crate::workspace::made_up::workspace;

    const GOOD: &str = "# Outrigger\nNeeds Rust 1.95.\n| `outrigger-leaf = \"0.1\"` | one crate |\n";

    fn check(readme: &str, expected: &[&str]) {
        let made_up = workspace(&[("outrigger-leaf", &[]), ("xtask", &[])], &[]);
        assert_eq!(faults(readme, &made_up), expected);
    }

    #[test]
    fn a_readme_that_agrees_with_the_manifests_has_no_fault() {
        check(GOOD, &[]);
    }

    #[test]
    fn a_crate_left_out_is_a_fault() {
        check("Rust 1.95", &["README.md: does not name the crate `outrigger-leaf`"]);
    }

    #[test]
    fn a_crate_that_is_not_there_is_a_fault() {
        let readme = format!("{GOOD}See outrigger-twig.");
        check(&readme, &["README.md: names `outrigger-twig`, and there is no such crate"]);
    }

    #[test]
    fn another_rust_version_is_a_fault() {
        let readme = GOOD.replace("1.95", "1.80");
        check(&readme, &["README.md: says Rust 1.80, the manifests 1.95, 1.95"]);
        let readme = GOOD.replace("Rust 1.95", "Rust");
        check(&readme, &["README.md: does not say `Rust 1.x`, the version that it needs"]);
    }

    #[test]
    fn a_dependency_line_of_another_version_is_a_fault() {
        let readme = GOOD.replace("0.1\"", "0.2\"");
        check(&readme, &["README.md: `outrigger-leaf = \"0.2\"` is not what the manifests say"]);
    }
}
