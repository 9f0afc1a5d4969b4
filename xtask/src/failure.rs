//! Why a chore failed.

use std::fmt;
use std::path::PathBuf;

/// Why a chore failed. It changes nothing: chores read the tree and start programs.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The check ran, and these are the faults that it found, at least one.
    Faults { check: &'static str, faults: Vec<String> },
    /// The program ran and said no; its own words stand above.
    Refused { command: String },
    /// The program could not be started.
    Missing { program: String, help: String, source: std::io::Error },
    /// A file could not be read or written.
    File { path: PathBuf, source: std::io::Error },
    /// `cargo metadata` said something that we do not understand.
    Metadata { what: String },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faults { check, faults } => {
                write!(f, "{check}: {} fault(s)", faults.len())?;
                faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
            }
            Self::Refused { command } => write!(f, "failed: {command}"),
            Self::Missing { program, help, source } => write!(f, "cannot start {program}: {source}; {help}"),
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Metadata { what } => write!(f, "cargo metadata: {what}"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Missing { source, .. } | Self::File { source, .. } => Some(source),
            Self::Faults { .. } | Self::Refused { .. } | Self::Metadata { .. } => None,
        }
    }
}

/// The end of a check: what it looked at, or its faults.
pub(crate) fn verdict(check: &'static str, looked_at: &[String], faults: Vec<String>) -> Result<(), Failure> {
    for line in looked_at {
        println!("{check}: {line}");
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::Faults { check, faults }) }
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn each_fault_is_named() {
        let failure = verdict("tidy", &[], vec!["a.rs: one".into(), "b.rs: two".into()]).unwrap_err();
        assert_eq!(failure.to_string(), "tidy: 2 fault(s)\n  a.rs: one\n  b.rs: two");
        assert!(verdict("tidy", &[], Vec::new()).is_ok());
    }
}
