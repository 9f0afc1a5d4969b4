//! The dashboard in a real browser.
//!
//! What a page does only a browser can say. So the gateway is built, the pinned libraries are laid below the target folder, and the script
//! of `tests/browser` drives Debian's Chromium against the real program. Node, npm and Chromium are installed by `apt-get` where they are
//! missing and that is allowed. With `screenshot` the script takes the picture that the README shows instead.

use std::ffi::OsStr;
use std::path::Path;

use crate::clients::build_program;
use crate::debian::{self, path_of};
use crate::failure::{Failure, verdict};
use crate::npm;
use crate::shell::Step;
use crate::workspace::Workspace;

/// Where the script and the list of its libraries are.
const FOLDER: &str = "crates/gateway/tests/browser";
const SCRIPT: &str = "dashboard.mjs";
/// Where the README looks for it.
const PICTURE: &str = "docs/dashboard.png";
/// What to do where the tools cannot be had.
const HELP: &str = "the browser's tests need node 18 or later, npm and chromium; on Debian: apt-get install chromium nodejs npm";

/// Builds the gateway and runs the tests.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    run_against(workspace, &build_program(workspace)?)
}

/// Runs the tests against a program that is already built.
pub(crate) fn run_against(workspace: &Workspace, program: &Path) -> Result<(), Failure> {
    drive(workspace, program, &[])?;
    verdict("browser", &[format!("passed: {FOLDER}/{SCRIPT}")], Vec::new())
}

/// Takes the README's picture anew.
pub(crate) fn screenshot(workspace: &Workspace) -> Result<(), Failure> {
    drive(workspace, &build_program(workspace)?, &["--screenshot", PICTURE])
}

fn drive(workspace: &Workspace, program: &Path, words: &[&str]) -> Result<(), Failure> {
    let chromium = tools(workspace)?;
    let (folder, modules) = (workspace.root.join(FOLDER), workspace.target.join("browser"));
    npm::install(&folder.join("package.json"), &modules, HELP)?;
    let script = folder.join(SCRIPT);
    let step = Step::program(&workspace.root, OsStr::new("node"), HELP);
    let step = step.arguments(&[script.as_os_str(), program.as_os_str()]).arguments(words);
    let step = step.variable("OUTRIGGER_BROWSER_MODULES", &modules.to_string_lossy());
    step.variable("OUTRIGGER_CHROMIUM", &chromium).run()
}

/// The browser's path, once all tools are there.
fn tools(workspace: &Workspace) -> Result<String, Failure> {
    let mut packages = Vec::new();
    packages.extend(CHROMIUM.iter().all(|program| path_of(program).is_none()).then_some("chromium"));
    packages.extend(path_of("node").is_none().then_some("nodejs"));
    packages.extend(path_of("npm").is_none().then_some("npm"));
    debian::provide(workspace, found, &packages, HELP)
}

/// The names under which the browser goes.
const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The browser's path, when all tools are there.
fn found() -> Option<String> {
    path_of("node")?;
    path_of("npm")?;
    let path = CHROMIUM.iter().find_map(|program| path_of(program))?;
    Some(path.to_string_lossy().into_owned())
}
