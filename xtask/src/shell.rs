//! Starting programs: cargo above all, each announced and timed on standard error.
//!
//! Flags that reach every compilation (`RUSTFLAGS`) are never set here: a step that changes them builds the world anew, and
//! a gate on two cores cannot pay for that twice.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::failure::Failure;

/// One program to run, from the workspace's root.
#[derive(Debug)]
pub(crate) struct Step {
    command: Command,
    words: String,
    help: &'static str,
}

impl Step {
    /// The very cargo that runs this chore, so that a chosen toolchain stays chosen.
    pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut step = Self::program(root, &cargo, "is the Rust toolchain installed?").arguments(arguments);
        step.words = format!("cargo {}", arguments.join(" "));
        step
    }

    /// Any program; `help` says what to do when it is not there.
    pub(crate) fn program(root: &Path, program: &OsStr, help: &'static str) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root);
        Self { words: program.to_string_lossy().into_owned(), command, help }
    }

    /// Adds arguments.
    pub(crate) fn arguments<A: AsRef<OsStr>>(mut self, arguments: &[A]) -> Self {
        for argument in arguments {
            let argument = argument.as_ref();
            let _ = write!(self.words, " {}", argument.to_string_lossy());
            self.command.arg(argument);
        }
        self
    }

    /// Sets one variable of the program's environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it with our own standard streams.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (start, words) = (Instant::now(), self.words.clone());
        let end = self.run_last();
        eprintln!("    {:.1} s: {words}", start.elapsed().as_secs_f64());
        end
    }

    /// Runs it and says nothing after it: its own closing lines end the run.
    pub(crate) fn run_last(mut self) -> Result<(), Failure> {
        eprintln!("==> {}", self.words);
        let status = self.command.status().map_err(|source| Self::missing(&self.words, self.help, source))?;
        if status.success() { Ok(()) } else { Err(Failure::Refused { command: self.words }) }
    }

    /// Runs it in silence; its standard output, its errors passed on.
    pub(crate) fn output(mut self) -> Result<Vec<u8>, Failure> {
        self.command.stderr(std::process::Stdio::inherit());
        let output = self.command.output().map_err(|source| Self::missing(&self.words, self.help, source))?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(Failure::Refused { command: self.words })
        }
    }

    fn missing(words: &str, help: &str, source: std::io::Error) -> Failure {
        Failure::Missing { program: words.into(), help: help.into(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::Path;

    use super::Step;
    use crate::failure::Failure;

    #[test]
    fn a_program_that_is_not_there_fails_with_its_help() {
        let step = Step::program(Path::new("."), OsStr::new("no-such-program-here"), "install it");
        let failure = step.arguments(&["--version"]).run().unwrap_err();
        assert!(
            failure.to_string().starts_with("cannot start no-such-program-here --version: "),
            "{failure}"
        );
        assert!(failure.to_string().ends_with("; install it"), "{failure}");
    }

    /// `false` says no and nothing else: a cargo that fails would put its error into a passing run.
    #[cfg(unix)]
    #[test]
    fn a_program_that_says_no_fails_the_step() {
        let failure = Step::program(Path::new("."), OsStr::new("false"), "").run().unwrap_err();
        assert!(matches!(failure, Failure::Refused { .. }), "{failure}");
    }

    #[test]
    fn output_is_what_the_program_said() {
        let said = Step::cargo(Path::new("."), &["--version"]).output().unwrap();
        assert!(said.starts_with(b"cargo "));
    }
}
