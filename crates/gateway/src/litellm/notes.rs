//! What has no counterpart, each thing once, with everybody whom it concerns.

/// Why a number is left out.
pub(super) const NO_NUMBER: &str =
    "its value is no number; one cannot come from the environment here, so write it into the file";

/// The notes, in the order in which they came up.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Note>);

#[derive(Debug)]
struct Note {
    what: String,
    why: String,
    whom: Vec<String>,
}

impl Notes {
    /// Something of the whole file.
    pub(super) fn add(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.push(what.into(), why.into(), None);
    }

    /// Something of a model of that name.
    pub(super) fn of(&mut self, model: &str, what: impl Into<String>, why: impl Into<String>) {
        self.push(what.into(), why.into(), Some(model.to_owned()));
    }

    fn push(&mut self, what: String, why: String, whom: Option<String>) {
        match self.0.iter_mut().find(|note| note.what == what && note.why == why) {
            Some(note) => note.whom.extend(whom.filter(|model| !note.whom.contains(model))),
            None => self.0.push(Note { what, why, whom: whom.into_iter().collect() }),
        }
    }

    /// A line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |Note { what, why, whom }: &Note| match whom.as_slice() {
            [] => format!("{what}: {why}"),
            whom => format!("{what} ({}): {why}", whom.join(", ")),
        };
        // A line of a comment ends where a text has a line break.
        self.0.iter().map(|note| line(note).replace(char::is_control, " ")).collect()
    }
}
