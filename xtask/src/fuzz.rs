//! The fuzz targets of wire, each run for a minute: bytes that nobody thought of, guided by what they reach.
//!
//! cargo-fuzz is built into the target folder at its first use. It runs without a sanitizer, so that the stable toolchain is
//! enough: there is no unsafe code to watch, and a panic, a failed assertion, a hang and a memory without bound are found
//! without one.

use std::fs;

use crate::failure::Failure;
use crate::shell::Step;
use crate::workspace::Workspace;

/// Where the targets stand, each a file of `fuzz_targets`.
const FOLDER: &str = "crates/wire/fuzz";
/// The version that was tried with the pinned toolchain.
const CARGO_FUZZ: &str = "cargo-fuzz@0.13.2";
/// Seconds a target.
const SECONDS: u32 = 60;

/// Runs every target; the first that finds something ends the run and leaves its input in `artifacts`.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let tools = workspace.root.join("target/tools");
    let program = tools.join("bin/cargo-fuzz");
    if !program.exists() {
        let root = tools.to_string_lossy();
        Step::cargo(&workspace.root, &["install", "--locked", "--root", &root, CARGO_FUZZ]).run()?;
    }
    let seconds = format!("-max_total_time={SECONDS}");
    let seeds = format!("{FOLDER}/seeds");
    for target in targets(workspace)? {
        let corpus = format!("{FOLDER}/corpus/{target}");
        let folder = workspace.root.join(&corpus);
        fs::create_dir_all(&folder).map_err(|source| Failure::File { path: folder, source })?;
        let step = Step::program(&workspace.root, program.as_os_str(), "was its installation broken off?");
        step.arguments(&[
            "fuzz",
            "run",
            "--fuzz-dir",
            FOLDER,
            "--sanitizer",
            "none",
            &target,
            &corpus,
            &seeds,
        ])
        .arguments(&["--", &seconds, "-timeout=5", "-rss_limit_mb=1024"])
        .run()?;
    }
    Ok(())
}

/// The targets' names, in order.
fn targets(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let folder = workspace.root.join(FOLDER).join("fuzz_targets");
    let missing = |source| Failure::File { path: folder.clone(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(missing)? {
        let path = entry.map_err(missing)?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::targets;
    use crate::workspace::Workspace;

    #[test]
    fn every_file_of_the_folder_is_a_target_of_the_manifest() {
        let workspace = Workspace::load().unwrap();
        let found = targets(&workspace).unwrap();
        let manifest =
            std::fs::read_to_string(workspace.root.join(super::FOLDER).join("Cargo.toml")).unwrap();
        assert!(!found.is_empty());
        for target in found {
            assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is built by nobody");
        }
    }
}
