//! Prometheus' text form, version 0.0.4, written line by line.
//!
//! A page is a few hundred short lines, read every few seconds; the form has two kinds of comment and one kind of line. That is
//! less than what a library for it asks in return (its own handles, its own registry, the other text form), so it is written
//! here. Source: the exposition formats page of Prometheus' documentation.

use std::fmt::{Display, Write};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows.
    Counter,
    /// Is what it is now.
    Gauge,
    /// Counts values by size.
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A page of metrics.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    /// Begins a metric. Its samples follow at once.
    pub(crate) fn begin(&mut self, name: &str, kind: Kind, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {}", kind.as_str()));
    }

    /// One sample of the metric begun.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            self.escaped(text);
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    /// The text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    fn escaped(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                letter => self.0.push(letter),
            }
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_help_type_and_one_line_a_sample() {
        let mut page = Page::default();
        page.begin("calls_total", Kind::Counter, "Calls.");
        page.sample("calls_total", &[], 3);
        page.sample("calls_total", &[("model", "chat"), ("outcome", "ok")], 0.5);
        let expected = "# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total 3\n\
                        calls_total{model=\"chat\",outcome=\"ok\"} 0.5\n";
        assert_eq!(page.into_text(), expected);
    }

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let mut page = Page::default();
        page.sample("x", &[("model", "a\"} 1\n\\")], 1);
        assert_eq!(page.into_text(), "x{model=\"a\\\"} 1\\n\\\\\"} 1\n");
    }
}
