//! What the manifest cannot show of purity: that clippy guards the clock, and that the engine, a pure module in a crate
//! which is not, holds no word of a runtime or a clock.
//!
//! The engine is read as lines. Comments and inline tests may say what they like; a string that holds one of the words
//! would be a false alarm, and none has needed one.

use std::path::Path;

use crate::failure::Failure;
use crate::tidy::source::{Source, rust_files};

/// The pure module of the facade.
pub(super) const MODULE: &str = "crates/facade/src/engine";

/// What a pure crate's clippy.toml forbids. `thread::sleep` stands for waiting.
const CLOCK: &[&str] = &[
    "std::time::Instant::now",
    "std::time::Instant::elapsed",
    "std::time::SystemTime::now",
    "std::time::SystemTime::elapsed",
    "std::thread::sleep",
];

/// What the pure module does without.
const IMPURE: &[&str] = &[
    "tokio",
    "reqwest",
    "tracing::",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    ".elapsed()",
    "async ",
    ".await",
];

/// The text of a folder's clippy.toml, empty when there is none.
pub(super) fn clippy_toml(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("clippy.toml")).unwrap_or_default()
}

/// The methods that a pure package's clippy.toml leaves allowed.
pub(super) fn clock_faults(package: &str, clippy_toml: &str) -> Vec<String> {
    let lines = || clippy_toml.lines().filter(|line| !line.trim_start().starts_with('#'));
    let missing = CLOCK.iter().filter(|method| !lines().any(|line| line.contains(&format!("\"{method}\""))));
    missing.map(|method| format!("{package}: clippy.toml does not forbid {method}")).collect()
}

/// The number of files in the pure module, and their faults. A module that is not there is a fault as well.
pub(super) fn module_faults(root: &Path) -> Result<(usize, Vec<String>), Failure> {
    let mut sources = Vec::new();
    for path in [root.join(MODULE), root.join(format!("{MODULE}.rs"))] {
        for file in rust_files(&path)? {
            sources.push(Source::read(root, &file)?);
        }
    }
    if sources.is_empty() {
        return Ok((0, vec![format!("{MODULE}: the pure module is not there")]));
    }
    Ok((sources.len(), sources.iter().flat_map(impure_lines).collect()))
}

/// The lines of the pure module that hold a word of a runtime or a clock.
fn impure_lines(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in source.body().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        for word in IMPURE.iter().filter(|word| line.contains(**word)) {
            faults.push(format!("{}:{number}: `{}` in a pure module", source.path, word.trim()));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::{clock_faults, impure_lines};
    use crate::tidy::source::Source;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(impure_lines(&Source::new("engine/mod.rs", text)), expected);
    }

    #[test]
    fn a_clock_or_a_runtime_in_the_pure_module_is_a_fault() {
        check(
            "//! Engine.\nfn f() { Instant::now(); }\n",
            &["engine/mod.rs:2: `Instant::now` in a pure module"],
        );
        check("async fn f() {}\n", &["engine/mod.rs:1: `async` in a pure module"]);
        check("use tokio::time;\n", &["engine/mod.rs:1: `tokio` in a pure module"]);
    }

    #[test]
    fn comments_and_inline_tests_may_speak_of_clocks() {
        check("//! Never calls Instant::now.\n    // tokio does\nfn f() {}\n", &[]);
        check("fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn t0() { Instant::now(); }\n}\n", &[]);
    }

    #[test]
    fn code_below_inline_tests_is_read_again() {
        let text = "#[cfg(test)]\nmod tests {\n    use tokio;\n}\nuse tokio;\n";
        check(text, &["engine/mod.rs:5: `tokio` in a pure module"]);
    }

    #[test]
    fn a_clock_that_clippy_leaves_open_is_a_fault() {
        let all = super::CLOCK.map_lines();
        assert!(clock_faults("leaf", &all).is_empty());
        let without = all.replace("  { path = \"std::thread::sleep\" },\n", "");
        assert_eq!(clock_faults("leaf", &without), ["leaf: clippy.toml does not forbid std::thread::sleep"]);
        let commented = all.replace("  { path", "# { path");
        assert_eq!(clock_faults("leaf", &commented).len(), super::CLOCK.len());
    }

    trait Lines {
        fn map_lines(&self) -> String;
    }

    impl Lines for [&str] {
        fn map_lines(&self) -> String {
            self.iter().map(|method| format!("  {{ path = \"{method}\" }},\n")).collect()
        }
    }
}
