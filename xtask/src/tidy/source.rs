//! Files as the checks see them: a path, and lines that rustfmt has laid out.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Folders that hold nothing of ours.
const SKIPPED: &[&str] = &["target", ".git", "node_modules", ".venv"];

/// A file's text and its path from the workspace's root.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    lines: Vec<String>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), lines: text.lines().map(str::to_owned).collect() }
    }

    pub(crate) fn read(root: &Path, file: &Path) -> Result<Self, Failure> {
        let text =
            fs::read_to_string(file).map_err(|source| Failure::File { path: file.to_owned(), source })?;
        Ok(Self::new(&relative(root, file), &text))
    }

    /// The lines and their numbers, counted from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines.iter().enumerate().map(|(index, line)| (index + 1, line.as_str()))
    }

    /// The lines without inline test modules: `#[cfg(test)]` and a `mod` below it, up to its closing brace.
    pub(crate) fn body(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut in_tests = false;
        let mut after_attribute = false;
        self.lines().filter(move |(_, line)| {
            let opens = after_attribute && line.contains("mod ") && line.ends_with('{');
            after_attribute = *line == "#[cfg(test)]" || after_attribute && line.starts_with("#[");
            in_tests |= opens;
            let is_body = !in_tests;
            in_tests &= *line != "}";
            is_body
        })
    }
}

/// The path from the root, with `/` on every platform.
pub(crate) fn relative(root: &Path, file: &Path) -> String {
    let path = file.strip_prefix(root).unwrap_or(file);
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The Rust files at or below `path`, sorted; none when there is nothing at that path.
pub(crate) fn rust_files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = if path.exists() { text_files(path)? } else { Vec::new() };
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    Ok(files)
}

/// Every file at or below `path`, sorted, without what is built or fetched.
pub(crate) fn text_files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Failure::File { path, source }
    };
    let mut files = Vec::new();
    let mut ahead = vec![path.to_owned()];
    while let Some(path) = ahead.pop() {
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        for entry in fs::read_dir(&path).map_err(failed(&path))? {
            let entry = entry.map_err(failed(&path))?;
            let is_skipped = SKIPPED.iter().any(|name| entry.file_name() == *name);
            let is_link = entry.file_type().map_err(failed(&path))?.is_symlink();
            if !is_skipped && !is_link {
                ahead.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Source, relative, rust_files};

    fn body(text: &str) -> Vec<String> {
        Source::new("a.rs", text).body().map(|(_, line)| line.to_owned()).collect()
    }

    #[test]
    fn the_body_leaves_out_inline_tests_alone() {
        let text = "fn a() {\n}\n#[cfg(test)]\nmod tests {\n    fn b() {\n    }\n}\nfn c() {}";
        assert_eq!(body(text), ["fn a() {", "}", "#[cfg(test)]", "fn c() {}"]);
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_no_inline_one() {
        assert_eq!(body("#[cfg(test)]\nmod tests;\nfn a() {}").len(), 3);
    }

    #[test]
    fn a_module_without_the_attribute_is_body() {
        assert_eq!(body("mod tests {\n}").len(), 2);
    }

    #[test]
    fn files_are_found_and_named_from_the_root() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let files = rust_files(&root.join("src")).unwrap();
        let names: Vec<String> = files.iter().map(|file| relative(root, file)).collect();
        assert!(names.contains(&"src/tidy/source.rs".to_owned()), "{names:?}");
        assert!(rust_files(&root.join("nowhere")).unwrap().is_empty());
    }
}
