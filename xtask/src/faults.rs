//! The matrix of faults: measured by an example of the facade, written to docs/faults.md.

use std::fs;

use crate::failure::Failure;
use crate::shell::Step;
use crate::workspace::Workspace;

/// Where the page stands.
const PAGE: &str = "docs/faults.md";

/// Measures, prints the page and writes it. A matrix with a broken promise is told on standard error and not written.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let words = ["run", "--quiet", "--package", "outrigger", "--example", "facade-faults"];
    let page = Step::cargo(&workspace.root, &words).output()?;
    println!("{}", String::from_utf8_lossy(&page));
    let path = workspace.root.join(PAGE);
    fs::write(&path, page).map_err(|source| Failure::File { path, source })
}
