//! The log of a server: events with fields, a line each, on standard error, that nobody waits for.
//!
//! Code tells what happens by the macros of `tracing`; here it is decided what is told, and how it looks: for people, or as one JSON
//! document a line. The lines leave by a [`queue`]. The [`access`] log is part of it, one line a request; [`changes`] tells what became of places.
//!
//! A line never holds an answer or a key: no event here is given one. It holds a [`prompt`] only where the operator asked for that.

pub(crate) mod access;
pub(crate) mod beside;
pub(crate) mod changes;
mod level;
pub(crate) mod prompt;
mod queue;

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::OnceLock,
    time::Duration,
};

use clap::{Args as ClapArgs, ValueEnum};
use tracing::Subscriber;
use tracing_subscriber::{
    filter::Targets,
    fmt::{
        MakeWriter,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt,
};

use self::{level::Levels, queue::Queue};
use crate::cli::{Env, paint::Paint};

/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Standard error belongs to the process, and so does its one writer.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// What is told, and how it looks.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct Options {
    /// How the log looks
    #[arg(long, env = "OUTRIGGER_LOG_FORMAT", value_enum, default_value_t)]
    log_format: Format,
    /// What it tells: off, error, warn, info, debug or trace; of a part too, as in `info,access=off`
    #[arg(long, env = "OUTRIGGER_LOG", default_value = "info", value_name = "LEVELS")]
    log_level: Levels,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A sentence and its facts; coloured on a terminal.
    #[default]
    Human,
    /// One JSON document.
    Json,
}

/// Begins the log of this process. Before, and in a process that never does, nothing is told.
pub(crate) fn start(options: &Options, env: Env<'_>) {
    let is_coloured = Paint::wanted(io::stderr().is_terminal(), env).is_on();
    let format = options.log_format;
    beside::look(format);
    let queue = QUEUE.get_or_init(|| Queue::start(io::stderr(), move |missed| dropped(format, missed)));
    let levels = options.log_level.targets().clone();
    // A second one in the same process would be a mistake of ours; the first one goes on.
    let _ = match format {
        Format::Human => tracing::subscriber::set_global_default(human(queue, levels, is_coloured)),
        Format::Json => tracing::subscriber::set_global_default(json(queue, levels)),
    };
}

/// Returns when all lines are written, or will not be.
pub(crate) fn finish() {
    if let Some(queue) = QUEUE.get() {
        queue.finish(LAST_LINES);
    }
}

fn human<W>(to: W, levels: Targets, is_coloured: bool) -> impl Subscriber
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(to).with_ansi(is_coloured);
    tracing_subscriber::registry().with(levels).with(lines)
}

fn json<W>(to: W, levels: Targets) -> impl Subscriber
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(to);
    tracing_subscriber::registry().with(levels).with(lines)
}

/// The time, as lines have it.
fn now() -> String {
    let mut time = String::new();
    // Without a time it is a line still.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    time
}

/// The line about lines that are not there: it cannot go the way of the others, which is full.
fn dropped(format: Format, missed: u64) -> String {
    const WHY: &str = "lines of this log were dropped: its reader is too slow";
    let time = now();
    match format {
        Format::Human => format!("{time}  WARN outrigger::log: {missed} {WHY}"),
        Format::Json => serde_json::json!({
            "timestamp": time, "level": "WARN", "message": WHY, "dropped": missed, "target": "outrigger::log",
        })
        .to_string(),
    }
}

impl<'a> MakeWriter<'a> for &'static Queue {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> LineWriter {
        LineWriter(self)
    }
}

/// Takes one line, which comes in one piece.
pub(crate) struct LineWriter(&'static Queue);

impl fmt::Debug for LineWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineWriter").finish_non_exhaustive()
    }
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is told while `work` runs on this thread.
    pub(crate) fn told(format: Format, levels: &str, work: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Paper(Arc<Mutex<Vec<u8>>>);
        impl Write for Paper {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let paper = Paper::default();
        let pen = paper.clone();
        let levels = levels.parse::<Levels>().unwrap().targets().clone();
        match format {
            Format::Human => {
                tracing::subscriber::with_default(human(move || pen.clone(), levels, false), work);
            }
            Format::Json => tracing::subscriber::with_default(json(move || pen.clone(), levels), work),
        }
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// **A line is a line.** Fails if what a caller wrote can begin one of its own, or colour a terminal.
    #[test]
    fn what_callers_write_cannot_break_out_of_its_line() {
        let hostile = "chat\n2026-01-01 INFO access: \u{1b}[31mforged";
        for format in [Format::Human, Format::Json] {
            let told = told(format, "info", || tracing::info!(model = hostile, "request"));
            assert_eq!(told.lines().count(), 1, "{told}");
            assert!(!told.contains('\u{1b}'), "{told:?}");
        }
    }

    #[test]
    fn a_part_can_be_silenced_alone() {
        let both = || {
            tracing::info!(target: "access", "request");
            tracing::info!("a circuit opens");
        };
        let heard = told(Format::Human, "info,access=off", both);
        assert!(heard.contains("circuit") && !heard.contains("request"), "{heard}");
        assert_eq!(told(Format::Human, "warn", both), "");
    }

    #[test]
    fn the_line_about_missing_lines_has_the_form_of_the_others() {
        let line: serde_json::Value = serde_json::from_str(&dropped(Format::Json, 7)).unwrap();
        assert_eq!(line["dropped"], 7);
        assert!(dropped(Format::Human, 7).contains(" 7 lines"));
    }
}
