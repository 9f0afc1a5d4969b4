//! What is told whatever the levels say: where the process serves, what is doubtful at its start, why it ends. A reader that takes
//! each line for one JSON document gets these so too.

use std::{fmt::Display, sync::OnceLock};

use tracing::Level;

use super::{Format, now};
use crate::cli::out;

/// How the lines of this process look.
static FORMAT: OnceLock<Format> = OnceLock::new();

pub(super) fn look(format: Format) {
    // The first one stays, as the log's own does.
    let _ = FORMAT.set(format);
}

/// Tells it at once, on standard error.
pub(crate) fn tell(level: Level, message: impl Display) {
    let format = FORMAT.get().copied().unwrap_or_default();
    out::note(line(format, level, &message.to_string()));
}

fn line(format: Format, level: Level, message: &str) -> String {
    match (format, level) {
        (Format::Json, level) => serde_json::json!({
            "timestamp": now(), "level": level.as_str(), "message": message, "target": "outrigger",
        })
        .to_string(),
        (Format::Human, Level::ERROR) => format!("outrigger: {message}"),
        (Format::Human, Level::WARN) => format!("warning: {message}"),
        (Format::Human, _) => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_sentences_and_machines_documents() {
        assert_eq!(line(Format::Human, Level::INFO, "listening x"), "listening x");
        assert_eq!(line(Format::Human, Level::WARN, "x"), "warning: x");
        assert_eq!(line(Format::Human, Level::ERROR, "x"), "outrigger: x");
        let hostile = "two\nlines";
        let told = line(Format::Json, Level::WARN, hostile);
        assert_eq!(told.lines().count(), 1);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!((&told["level"], &told["message"]), (&"WARN".into(), &hostile.into()));
        assert!(told["timestamp"].is_string());
    }
}
