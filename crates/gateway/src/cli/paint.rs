//! Colour, for people at a terminal who have not asked for none (`NO_COLOR`). The log asks here too.

use std::{
    fmt::Display,
    io::{self, IsTerminal},
};

use super::Env;

/// Whether what is written is coloured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    /// For standard output, as it is.
    pub(super) fn new(env: Env<'_>) -> Self {
        Self::wanted(io::stdout().is_terminal(), env)
    }

    pub(crate) fn wanted(is_terminal: bool, env: Env<'_>) -> Self {
        let is_forbidden = env("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = env("TERM").is_some_and(|terminal| terminal == "dumb");
        Self(is_terminal && !is_forbidden && !is_dumb)
    }

    /// Whether there is any.
    pub(crate) fn is_on(self) -> bool {
        self.0
    }

    /// What is well.
    pub(super) fn good(self, text: impl Display) -> String {
        self.with("32", text)
    }

    /// What is wrong.
    pub(super) fn bad(self, text: impl Display) -> String {
        self.with("31", text)
    }

    /// What deserves a look.
    pub(super) fn odd(self, text: impl Display) -> String {
        self.with("33", text)
    }

    /// What stands out.
    pub(super) fn bright(self, text: impl Display) -> String {
        self.with("1", text)
    }

    /// What only helps to read the rest.
    pub(super) fn faint(self, text: impl Display) -> String {
        self.with("2", text)
    }

    fn with(self, code: &str, text: impl Display) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::Paint;

    #[test]
    fn colour_is_for_terminals_whose_owner_has_not_refused_it() {
        let painted = |is_terminal, name: &'static str, value: &'static str| {
            Paint::wanted(is_terminal, &|asked| (asked == name).then(|| value.to_owned())).good("x")
        };
        assert_eq!(painted(true, "", ""), "\u{1b}[32mx\u{1b}[0m");
        assert_eq!(painted(false, "", ""), "x");
        assert_eq!(painted(true, "NO_COLOR", "1"), "x");
        assert_eq!(painted(true, "NO_COLOR", ""), "\u{1b}[32mx\u{1b}[0m");
        assert_eq!(painted(true, "TERM", "dumb"), "x");
    }
}
