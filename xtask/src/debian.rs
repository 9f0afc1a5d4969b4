//! Programs that are Debian's: those of the machine, or installed by `apt-get` where they are missing and that is allowed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::shell::Step;
use crate::workspace::Workspace;

/// Whether a program starts.
pub(crate) fn works(program: &Path) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Where the search path has a program that starts.
pub(crate) fn path_of(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|place| works(place))
}

/// What `found` finds, after an installation of the packages where it finds nothing. `help` says what to do where they cannot be had.
pub(crate) fn provide<T>(
    workspace: &Workspace,
    found: impl Fn() -> Option<T>,
    packages: &[&str],
    help: &'static str,
) -> Result<T, Failure> {
    if let Some(found) = found() {
        return Ok(found);
    }
    renew_lists(&workspace.root, help);
    let install = apt_get(&workspace.root, help);
    install.arguments(&["install", "-qq", "-y", "--no-install-recommends"]).arguments(packages).run()?;
    found().ok_or_else(|| Failure::Missing {
        program: packages.join(" "),
        help: help.into(),
        source: std::io::ErrorKind::NotFound.into(),
    })
}

/// Unpacks a package below a folder, and installs nothing.
pub(crate) fn unpack(package: &str, folder: &Path, help: &'static str) -> Result<(), Failure> {
    let failed = |source| Failure::File { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    renew_lists(folder, help);
    apt_get(folder, help).arguments(&["download", "-qq", package]).run()?;
    for entry in std::fs::read_dir(folder).map_err(failed)?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "deb") {
            let unpack = Step::program(folder, OsStr::new("dpkg-deb"), help);
            unpack.arguments(&[OsStr::new("-x"), entry.path().as_os_str(), OsStr::new(".")]).run()?;
        }
    }
    Ok(())
}

/// The lists may be there already, and only root may renew them; whether that sufficed is seen in the next step.
fn renew_lists(folder: &Path, help: &'static str) {
    drop(apt_get(folder, help).arguments(&["update", "-qq"]).run());
}

/// Asks nobody, and starts no service that a package brings.
fn apt_get(folder: &Path, help: &'static str) -> Step {
    let step = Step::program(folder, OsStr::new("apt-get"), help);
    step.variable("DEBIAN_FRONTEND", "noninteractive").variable("RUNLEVEL", "1")
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn a_program_is_found_where_it_starts() {
        assert!(path_of("cargo").is_some_and(|path| path.is_absolute()));
        assert_eq!(path_of("no-such-program"), None);
    }
}
