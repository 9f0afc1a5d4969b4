//! The two streams a command speaks on: results go to standard output, progress to standard error. What a server tells while it
//! serves goes through the [`log`](super::log), because these here wait for their reader.
//!
//! A reader that went away (`outrigger check | head`) is no fault of the command, so a failed write is let go.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Writes one line of a result to standard output.
pub(crate) fn result(line: impl Display) {
    write_line(io::stdout().lock(), line);
}

/// Writes one line of progress to standard error.
pub(crate) fn note(line: impl Display) {
    write_line(io::stderr().lock(), line);
}

fn write_line(mut to: impl Write, line: impl Display) {
    let written = writeln!(to, "{line}").and_then(|()| to.flush());
    drop(written);
}
