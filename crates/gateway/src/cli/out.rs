//! The two streams a command speaks on: results go to standard output, progress to standard error. What a server tells while it
//! serves goes through the [`log`](crate::log), because these here wait for their reader.
//!
//! A reader that went away (`outrigger check | head`) is no fault of the command, so a failed write is let go.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

/// Writes one line of a result to standard output.
pub(crate) fn result(line: impl Display) {
    write_line(io::stdout().lock(), line);
}

/// Writes one line of progress to standard error.
pub(crate) fn note(line: impl Display) {
    write_line(io::stderr().lock(), line);
}

/// How far long work has come: one line on standard error that is written over, where that is a terminal.
///
/// # Drop
/// Dropping it clears the line.
#[derive(Debug)]
pub(crate) struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Progress that is shown to people only.
    pub(crate) fn new() -> Self {
        Self { is_shown: io::stderr().is_terminal() }
    }

    /// Shows this in place of what was shown before.
    pub(crate) fn show(&self, what: impl Display) {
        if self.is_shown {
            write_over(what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.show("");
    }
}

/// Begins the line anew and clears what is left of it.
fn write_over(what: impl Display) {
    let mut to = io::stderr().lock();
    let written = write!(to, "\r{what}\u{1b}[K").and_then(|()| to.flush());
    drop(written);
}

fn write_line(mut to: impl Write, line: impl Display) {
    let written = writeln!(to, "{line}").and_then(|()| to.flush());
    drop(written);
}
