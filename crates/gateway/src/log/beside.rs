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

/// Tells an address. One on a port that the system chose is a bare line `WHAT URL` whatever the log looks like: whoever started the process
/// with port 0 reads it there. A log of documents has it as one all the same.
pub(crate) fn tell_address(what: &str, url: &str, is_any_port: bool) {
    let format = FORMAT.get().copied().unwrap_or_default();
    lines_of(format, &format!("{what} {url}"), is_any_port).into_iter().for_each(out::note);
}

fn lines_of(format: Format, address: &str, is_any_port: bool) -> Vec<String> {
    let bare = is_any_port && matches!(format, Format::Json);
    bare.then(|| address.to_owned()).into_iter().chain([line(format, Level::INFO, address)]).collect()
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

    /// **Both kinds of reader find the address.** Fails if a script that starts the process with port 0 has to know how it logs, or if a log of
    /// documents has another line where nobody needs it.
    #[test]
    fn an_address_is_a_bare_line_only_where_the_system_chose_its_port() {
        assert_eq!(lines_of(Format::Human, "listening x", true), ["listening x"]);
        assert_eq!(lines_of(Format::Human, "listening x", false), ["listening x"]);
        let both = lines_of(Format::Json, "listening x", true);
        assert_eq!((both.len(), both[0].as_str()), (2, "listening x"));
        let told = lines_of(Format::Json, "listening x", false);
        assert_eq!(told.len(), 1);
        for told in [&both[1], &told[0]] {
            let told: serde_json::Value = serde_json::from_str(told).unwrap();
            assert_eq!(told["message"], "listening x");
        }
    }

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
