//! What each crate brings along: a README, a changelog, and the workspace's lints.

use crate::workspace::Package;

/// The faults of one package; `read` gives the text of a file in its folder.
pub(super) fn faults(package: &Package, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: &str| faults.push(format!("{}: {what}", package.name));
    if read("README.md").is_none_or(|text| !text.starts_with(&format!("# {}\n", package.name))) {
        fault("README.md is not there, or does not open with the package's name");
    }
    match read("CHANGELOG.md") {
        None => fault("CHANGELOG.md is not there"),
        Some(text) if first_section(&text) != Some("Unreleased") => {
            fault("CHANGELOG.md has no Unreleased on top");
        }
        Some(_) => {}
    }
    if !takes_lints(&read("Cargo.toml").unwrap_or_default()) {
        fault("Cargo.toml does not take the workspace's lints");
    }
    if package.rust_version.is_empty() {
        fault("Cargo.toml does not take the workspace's rust-version");
    }
    faults
}

/// The first `## ` heading.
fn first_section(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("## "))
}

/// Whether the table `[lints]` says `workspace = true`.
fn takes_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    let table = lines.by_ref().take_while(|line| !line.starts_with('['));
    table.into_iter().any(|line| line == "workspace = true")
}

#[cfg(test)]
mod tests {
    use super::faults;
    use crate::workspace::made_up::workspace;

    const README: &str = "# leaf\n\nA leaf.\n";
    const CHANGELOG: &str = "# Changelog of leaf\n\n## Unreleased\n- new\n\n## 0.1.0\n";
    const MANIFEST: &str = "[package]\nname = \"leaf\"\n\n[lints]\nworkspace = true\n";

    fn check(readme: &str, changelog: &str, manifest: &str, expected: &[&str]) {
        let made_up = workspace(&[("leaf", &[])], &[]);
        let read = |name: &str| match name {
            "README.md" => Some(readme.to_owned()),
            "CHANGELOG.md" => Some(changelog.to_owned()),
            "Cargo.toml" => Some(manifest.to_owned()),
            _ => None,
        };
        assert_eq!(faults(&made_up.packages["leaf"], read), expected);
    }

    #[test]
    fn a_crate_with_all_its_papers_has_no_fault() {
        check(README, CHANGELOG, MANIFEST, &[]);
    }

    #[test]
    fn each_missing_paper_is_a_fault() {
        let readme = "leaf: README.md is not there, or does not open with the package's name";
        check("# twig\n", CHANGELOG, MANIFEST, &[readme]);
        check(README, "## 0.1.0\n", MANIFEST, &["leaf: CHANGELOG.md has no Unreleased on top"]);
        let made_up = workspace(&[("leaf", &[])], &[]);
        assert_eq!(faults(&made_up.packages["leaf"], |_| None).len(), 3);
    }

    #[test]
    fn lints_of_its_own_are_a_fault() {
        let expected = ["leaf: Cargo.toml does not take the workspace's lints"];
        check(README, CHANGELOG, "[lints]\n[other]\nworkspace = true\n", &expected);
        check(README, CHANGELOG, "[package]\nworkspace = true\n", &expected);
        check(README, CHANGELOG, "[lints]\nworkspace = false\n", &expected);
    }
}
