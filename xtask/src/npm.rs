//! Libraries from the npm registry, laid below the target folder: what a `package.json` pins, and nothing of it in the checkout.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::failure::Failure;
use crate::shell::Step;

/// Fills a folder with the libraries that a list names; anew only when the list has changed. `help` says what to do without npm.
pub(crate) fn install(list: &Path, home: &Path, help: &'static str) -> Result<(), Failure> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Failure::File { path, source }
    };
    let wanted = fs::read(list).map_err(failed(list))?;
    // Written last, so that a folder which was cut off half way is not taken for a whole one.
    let stamp = home.join("package.installed");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    fs::create_dir_all(home).map_err(failed(home))?;
    let copy = home.join("package.json");
    fs::write(&copy, &wanted).map_err(failed(&copy))?;
    // The list names exact versions: it is its own lock.
    let npm = Step::program(home, OsStr::new("npm"), help);
    let words = ["install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
    npm.arguments(&words).run()?;
    fs::write(&stamp, &wanted).map_err(failed(&stamp))
}
