//! The gate: everything that must hold before a change is kept, in one run.
//!
//! The order is by price, so that a slip of the pen costs seconds: format, rules, layers, lints, documentation, the build,
//! real clients, a real browser, Prometheus' own tool, a fleet and its Redis, and last the tests, whose closing lines end the run. Lints go crate by crate: in one go cargo would unify
//! the features, and a crate that only builds because its neighbour turned something on would pass. All steps share one
//! target folder and one profile, and none sets flags for all compilations, so nothing is built twice for the flags' sake.

use crate::browser;
use crate::clients;
use crate::deploy;
use crate::failure::Failure;
use crate::fleet;
use crate::fuzz;
use crate::layers;
use crate::metrics;
use crate::shell::Step;
use crate::tidy;
use crate::workspace::{Package, Workspace};

/// How much is checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Length {
    /// What a fresh machine with the toolchain, a C compiler, Python, Node.js and Chromium can do.
    Short,
    /// And what needs a tool that takes minutes to build, or the time for many random scenarios.
    Long,
}

/// Runs the gate; the first step that fails ends it.
pub(crate) fn run(workspace: &Workspace, length: Length) -> Result<(), Failure> {
    let cargo = |words: &[&str]| Step::cargo(&workspace.root, words).run();
    cargo(&["fmt", "--all", "--check"])?;
    tidy::run(workspace)?;
    layers::run(workspace)?;
    if length == Length::Long {
        let deny =
            Step::cargo(&workspace.root, &["deny", "--all-features", "check", "bans", "licenses", "sources"]);
        deny.run()?;
        fuzz::run(workspace)?;
    }
    for words in workspace.packages.values().flat_map(lints) {
        cargo(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    docs(workspace)?;
    // All that the tests need, the program for the clients among it: the last step then has nothing left to build.
    cargo(&["build", "--workspace", "--lib", "--bins", "--tests", "--examples"])?;
    clients::run_against(workspace, &clients::built_program(workspace))?;
    browser::run_against(workspace, &clients::built_program(workspace))?;
    metrics::run_against(workspace, &clients::built_program(workspace))?;
    fleet::run_against(workspace, &clients::built_program(workspace))?;
    deploy::run(workspace)?;
    // What is behind a feature is not among the tests of the workspace; all else of it is built as for those.
    cargo(&[
        "test",
        "--workspace",
        "--features",
        "outrigger-gateway/otel",
        "--bin",
        "outrigger",
        "--test",
        "gateway",
        "--",
        "traces::",
        "otel::",
    ])?;
    tests(workspace, length)
}

/// Cases of a property in the long form: sixteen times proptest's own number. Those that set a number of their own keep it.
const CASES: &str = "4096";

/// Runs all tests; the long form plays many more random scenarios.
pub(crate) fn tests(workspace: &Workspace, length: Length) -> Result<(), Failure> {
    let tests = Step::cargo(&workspace.root, &["test", "--workspace"]);
    match length {
        Length::Short => tests.run_last(),
        Length::Long => tests.variable("PROPTEST_CASES", CASES).run_last(),
    }
}

/// Builds the documentation of all crates and refuses its warnings.
pub(crate) fn docs(workspace: &Workspace) -> Result<(), Failure> {
    let doc = Step::cargo(&workspace.root, &["doc", "--workspace", "--no-deps", "--all-features"]);
    doc.variable("RUSTDOCFLAGS", "-D warnings").run()
}

/// The runs of clippy for one package: as it comes, then with all features, none, and each by itself, where that is not
/// the same again.
fn lints(package: &Package) -> Vec<Vec<String>> {
    let features: Vec<&String> = package.features.keys().filter(|feature| *feature != "default").collect();
    let mut sets: Vec<Vec<&str>> = vec![vec!["--all-targets"]];
    if !features.is_empty() {
        sets.push(vec!["--all-targets", "--all-features"]);
        // Without its tests, which may turn features on for themselves.
        sets.push(vec!["--no-default-features"]);
    }
    if features.len() > 1 {
        sets.extend(
            features.iter().map(|feature| vec!["--no-default-features", "--features", feature.as_str()]),
        );
    }
    let line = |set: Vec<&str>| {
        let words =
            ["clippy", "-p", package.name.as_str()].into_iter().chain(set).chain(["--", "-D", "warnings"]);
        words.map(str::to_owned).collect()
    };
    sets.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::lints;
    use crate::workspace::made_up::workspace;

    fn check(features: &[(&str, &[&str])], expected: &[&str]) {
        let mut made_up = workspace(&[("leaf", &[])], &[]);
        let package = made_up.packages.get_mut("leaf").unwrap();
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        package.features =
            features.iter().map(|(name, on)| ((*name).to_owned(), owned(on))).collect::<BTreeMap<_, _>>();
        let found: Vec<String> = lints(package).iter().map(|words| words.join(" ")).collect();
        let expected: Vec<String> =
            expected.iter().map(|set| format!("clippy -p leaf {set} -- -D warnings")).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_crate_without_features_is_linted_once() {
        check(&[], &["--all-targets"]);
        check(&[("default", &[])], &["--all-targets"]);
    }

    #[test]
    fn a_feature_is_linted_off_and_on() {
        let expected = ["--all-targets", "--all-targets --all-features", "--no-default-features"];
        check(&[("serde", &[])], &expected);
    }

    #[test]
    fn several_features_are_linted_together_and_apart() {
        let expected = [
            "--all-targets",
            "--all-targets --all-features",
            "--no-default-features",
            "--no-default-features --features reqwest",
            "--no-default-features --features testing",
        ];
        check(&[("default", &["reqwest"]), ("reqwest", &[]), ("testing", &[])], &expected);
    }
}
