//! Packages of Python in an environment of their own below the target folder, and nothing of it in the checkout.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::shell::Step;

/// Fills an environment with what a list requires, a line each; anew only when the list has changed. Returns the folder of its programs.
/// `help` says what to do without Python.
pub(crate) fn environment(home: &Path, list: &str, help: &'static str) -> Result<PathBuf, Failure> {
    let programs = home.join(if cfg!(windows) { "Scripts" } else { "bin" });
    // Written last, so that an environment which was cut off half way is not taken for a whole one.
    let stamp = home.join("requirements.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == list) {
        return Ok(programs);
    }
    let write =
        |path: &Path| fs::write(path, list).map_err(|source| Failure::File { path: path.to_owned(), source });
    fs::create_dir_all(home).map_err(|source| Failure::File { path: home.to_owned(), source })?;
    let make = Step::program(home, OsStr::new("python3"), help);
    make.arguments(&["-m", "venv", "--clear"]).arguments(&[home.as_os_str()]).run()?;
    let wanted = home.join("requirements.txt");
    write(&wanted)?;
    let install = Step::program(home, programs.join("python").as_os_str(), help);
    let words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    install.arguments(&words).arguments(&[wanted.as_os_str()]).run()?;
    write(&stamp)?;
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::environment;

    #[test]
    fn an_environment_that_has_what_is_wanted_is_left_alone() {
        let home = std::env::temp_dir().join(format!("outrigger-xtask-python-{}", std::process::id()));
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("requirements.installed"), "a==1\n").unwrap();
        let programs = environment(&home, "a==1\n", "it is there");
        assert!(programs.unwrap().starts_with(&home));
        std::fs::remove_dir_all(&home).unwrap();
    }
}
