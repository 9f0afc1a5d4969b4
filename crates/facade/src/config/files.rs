//! The one place where the configuration touches the file system: `file:/path` values and `ca_file`. Whoever reads a
//! configuration elsewhere hands in a function of their own.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// The longest file that a value may be: far above any key, and four times what a system's bundle of authorities takes.
const MOST_BYTES: u64 = 1024 * 1024;

/// Reads a text file of at most 1 MiB, for `file:/path` values and `ca_file`.
///
/// # Errors
/// It is not there, is not to be read, is no regular file (a pipe would be waited for), is too long, or is
/// not UTF-8.
pub fn read_file(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut content = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut content)?;
    if content.len() as u64 > MOST_BYTES {
        return Err(io::Error::other("it is over 1 MiB"));
    }
    Ok(content)
}
