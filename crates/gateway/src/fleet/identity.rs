//! The name that a replica goes by among the others.
//!
//! It is drawn, so that nobody has to give one. It is kept beside the spend, where that is kept: then a replica that starts again raises
//! the sum that it has told before, instead of telling it a second time under another name. Without a folder both are forgotten
//! together, and what was spent under the old name goes on counting for the fleet.

use std::{fs, io, path::Path};

use tracing::warn;

/// The file within `server.state_dir`.
const FILE: &str = "replica";

/// Who this is, and which life of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: String,
    /// Another number at each start.
    pub(super) life: u64,
}

impl Identity {
    /// The name that is kept in a folder, or a new one.
    pub(super) fn kept_in(folder: Option<&Path>) -> Self {
        let name = folder.and_then(|folder| match kept(folder) {
            Ok(name) => Some(name),
            Err(error) => {
                let folder = folder.display().to_string();
                warn!(%folder, %error, "this replica's name cannot be kept; after a restart the fleet counts its spend of this period twice");
                None
            }
        });
        Self { name: name.unwrap_or_else(drawn), life: draw() }
    }
}

/// The name that stands there; a new one is written where none does.
fn kept(folder: &Path) -> io::Result<String> {
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) if is_name(text.trim()) => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let name = drawn();
    fs::create_dir_all(folder)?;
    fs::write(&path, &name)?;
    Ok(name)
}

fn is_name(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn drawn() -> String {
    format!("{:016x}{:016x}", draw(), draw())
}

/// From the operating system's randomness, by way of the standard library's where that fails.
fn draw() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    getrandom::u64().unwrap_or_else(|_| RandomState::new().hash_one(0_u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// **A replica keeps its name over a restart.** Fails if a new one is drawn each time, so that its spend counts twice.
    #[test]
    fn a_name_is_kept_with_the_state() {
        let folder = std::env::temp_dir().join(format!("outrigger-identity-{}", drawn()));
        let first = Identity::kept_in(Some(&folder));
        let again = Identity::kept_in(Some(&folder));
        assert_eq!(first.name, again.name);
        assert_ne!(first.life, again.life);
        fs::write(folder.join(FILE), "not a name").unwrap();
        assert_ne!(Identity::kept_in(Some(&folder)).name, first.name);
        fs::remove_dir_all(&folder).unwrap();
        assert_ne!(Identity::kept_in(None).name, Identity::kept_in(None).name);
    }
}
