//! The rules of the house that no compiler knows: how files open and how long they grow, what each crate brings along,
//! that links lead somewhere, and that the README tells the truth about the manifests.

mod links;
mod manifest;
mod readme;
mod rules;
pub(crate) mod source;

use std::fs;

use crate::failure::{Failure, verdict};
use crate::workspace::Workspace;
use source::{Source, text_files};

/// Runs the check on the real tree.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let root = workspace.root.as_path();
    let mut faults = Vec::new();
    let mut sources = Vec::new();
    let mut pages = 0;
    let files = text_files(root)?;
    for file in &files {
        // A file that is not text holds no words.
        let Ok(text) = fs::read_to_string(file) else { continue };
        let source = Source::new(&source::relative(root, file), &text);
        faults.extend(rules::places(&source));
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => sources.push(source),
            Some("md") => {
                pages += 1;
                faults.extend(links::faults(&source, |place| root.join(place).exists()));
            }
            _ => {}
        }
    }
    faults.extend(sources.iter().flat_map(rules::layout));
    faults.extend(rules::lengths(&sources, rules::LONG_FILES, rules::LONG_FUNCTIONS));
    for package in workspace.packages.values() {
        faults.extend(manifest::faults(package, |name| fs::read_to_string(package.folder.join(name)).ok()));
    }
    let readme = fs::read_to_string(root.join("README.md")).unwrap_or_default();
    faults.extend(readme::faults(&readme, workspace));
    let looked_at = [
        format!("{} files, of them {} Rust and {pages} pages of Markdown", files.len(), sources.len()),
        format!("{} manifests, and README.md beside them", workspace.packages.len()),
    ];
    verdict("tidy", &looked_at, faults)
}
