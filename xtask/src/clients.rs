//! Real client libraries against the real gateway.
//!
//! What a mock of ours takes for a good answer says little about what a vendor's SDK makes of it. So the gateway is built,
//! environments for Python and for Node are made below the target folder with the libraries that `requirements.txt` and
//! `package.json` pin, and each script of that folder is run with the program's path as its one argument. A script fails by its exit
//! status. What the scripts share is in files whose names begin with an underscore.
//!
//! Node looks for libraries beside the file that imports them, so its scripts are copied to where they are installed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, verdict};
use crate::npm;
use crate::python;
use crate::shell::Step;
use crate::tidy::source::{relative, text_files};
use crate::workspace::Workspace;

/// Where the scripts and their requirements are.
const FOLDER: &str = "crates/gateway/tests/clients";
/// What to do where Python cannot be started.
const HELP: &str = "the clients' tests need Python 3.10 or later with its venv module as `python3`";
/// What to do where Node cannot be started.
const NODE_HELP: &str = "the clients' tests need Node.js 20 or later, with npm, as `node` and `npm`";

/// Builds the gateway and runs every script.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    run_against(workspace, &build_program(workspace)?)
}

/// Builds the program, and says where it is.
pub(crate) fn build_program(workspace: &Workspace) -> Result<PathBuf, Failure> {
    Step::cargo(&workspace.root, &["build", "-p", "outrigger-gateway", "--bin", "outrigger"]).run()?;
    Ok(built_program(workspace))
}

/// Where cargo leaves the program.
pub(crate) fn built_program(workspace: &Workspace) -> PathBuf {
    workspace.target.join("debug").join(format!("outrigger{}", std::env::consts::EXE_SUFFIX))
}

/// Runs every script against a program that is already built.
pub(crate) fn run_against(workspace: &Workspace, program: &Path) -> Result<(), Failure> {
    let folder = workspace.root.join(FOLDER);
    let (pythons, nodes) = (scripts(&folder, "py")?, scripts(&folder, "mjs")?);
    if pythons.is_empty() || nodes.is_empty() {
        return verdict("clients", &[], vec![format!("{FOLDER}: no script to run")]);
    }
    let list = folder.join("requirements.txt");
    let list = fs::read_to_string(&list).map_err(|source| Failure::File { path: list, source })?;
    let python =
        python::environment(&workspace.target.join("clients").join("venv"), &list, HELP)?.join("python");
    for script in &pythons {
        let step = Step::program(&workspace.root, python.as_os_str(), HELP);
        // Without bytecode of what the scripts share: the folder stays as it is.
        step.arguments(&[OsStr::new("-B"), script.as_os_str(), program.as_os_str()]).run()?;
    }
    let home = node_environment(workspace, &folder)?;
    for script in nodes.iter().filter_map(|script| script.file_name()) {
        let step = Step::program(&workspace.root, OsStr::new("node"), NODE_HELP);
        step.arguments(&[home.join(script).as_os_str(), program.as_os_str()]).run()?;
    }
    let looked_at: Vec<String> =
        pythons.iter().chain(&nodes).map(|script| relative(&workspace.root, script)).collect();
    verdict("clients", &[format!("passed: {}", looked_at.join(", "))], Vec::new())
}

/// The scripts of a folder in one language, sorted, save those that others import.
fn scripts(folder: &Path, language: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut files = if folder.is_dir() { text_files(folder)? } else { Vec::new() };
    let is_script = |file: &Path| {
        let shared = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"_"));
        let beside = file.parent() == Some(folder);
        beside && !shared && file.extension().is_some_and(|extension| extension == language)
    };
    files.retain(|file| is_script(file));
    Ok(files)
}

/// A folder with the Node scripts and the libraries that they import.
fn node_environment(workspace: &Workspace, folder: &Path) -> Result<PathBuf, Failure> {
    let home = workspace.target.join("clients").join("node");
    npm::install(&folder.join("package.json"), &home, NODE_HELP)?;
    for file in text_files(folder)? {
        let name = file.file_name().unwrap_or_default();
        // Scripts, and the tables that they share with others.
        let is_table = name.as_encoded_bytes().starts_with(b"_") && file.extension() == Some("json".as_ref());
        if !is_table && file.extension() != Some("mjs".as_ref()) {
            continue;
        }
        fs::copy(&file, home.join(name)).map_err(|source| Failure::File { path: file.clone(), source })?;
    }
    Ok(home)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{FOLDER, built_program, run_against, scripts};
    use crate::workspace::made_up::workspace;

    #[test]
    fn a_folder_without_scripts_is_a_fault() {
        let made_up = workspace(&[], &[]);
        let failure = run_against(&made_up, &built_program(&made_up)).unwrap_err();
        assert!(failure.to_string().contains("no script to run"), "{failure}");
    }

    #[test]
    fn only_python_files_are_scripts() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        assert!(scripts(&source, "py").unwrap().is_empty());
    }

    #[test]
    fn what_scripts_share_is_no_script() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FOLDER);
        let names: Vec<_> =
            scripts(&folder, "py").unwrap().iter().map(|file| file.file_name().unwrap().to_owned()).collect();
        assert!(folder.join("_world.py").is_file() && !names.contains(&"_world.py".into()));
        assert!(names.contains(&"openai_sdk.py".into()));
    }
}
