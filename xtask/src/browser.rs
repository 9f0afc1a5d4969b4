//! The dashboard in a real browser.
//!
//! What a page does only a browser can say. So the gateway is built, the pinned libraries are laid below the target folder, and the script
//! of `tests/browser` drives Debian's Chromium against the real program. Node, npm and Chromium are installed by `apt-get` where they are
//! missing and that is allowed. With `screenshot` the script takes the picture that the README shows instead.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clients::built_program;
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
    build(workspace)?;
    run_against(workspace, &built_program(workspace))
}

/// Runs the tests against a program that is already built.
pub(crate) fn run_against(workspace: &Workspace, program: &Path) -> Result<(), Failure> {
    drive(workspace, program, &[])?;
    verdict("browser", &[format!("passed: {FOLDER}/{SCRIPT}")], Vec::new())
}

/// Takes the README's picture anew.
pub(crate) fn screenshot(workspace: &Workspace) -> Result<(), Failure> {
    build(workspace)?;
    drive(workspace, &built_program(workspace), &["--screenshot", PICTURE])
}

fn build(workspace: &Workspace) -> Result<(), Failure> {
    Step::cargo(&workspace.root, &["build", "-p", "outrigger-gateway", "--bin", "outrigger"]).run()
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
    if let Some(chromium) = found() {
        return Ok(chromium);
    }
    let apt = |words: &[&str]| {
        let step = Step::program(&workspace.root, OsStr::new("apt-get"), HELP).arguments(words);
        step.variable("DEBIAN_FRONTEND", "noninteractive").run()
    };
    // The lists may be there already, and only root may renew them; whether that sufficed is seen in the next step.
    drop(apt(&["update", "-qq"]));
    let mut packages = vec!["install", "-qq", "-y", "--no-install-recommends"];
    packages.extend(CHROMIUM.iter().all(|program| path_of(program).is_none()).then_some("chromium"));
    packages.extend(path_of("node").is_none().then_some("nodejs"));
    packages.extend(path_of("npm").is_none().then_some("npm"));
    apt(&packages)?;
    found().ok_or_else(|| Failure::Missing {
        program: "chromium".into(),
        help: HELP.into(),
        source: std::io::ErrorKind::NotFound.into(),
    })
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

/// Where the search path has a program that starts.
fn path_of(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(program));
    places.find(|place| {
        Command::new(place).arg("--version").output().is_ok_and(|output| output.status.success())
    })
}
