//! A trace read whole and put in the order of its times, and what it says of who was sick when.

use std::{collections::HashMap, io::BufRead};

use outrigger::wire::{Class, Level};

use super::trace::{Ended, Line};

/// A trace in the order of its times.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) lines: Vec<Line>,
}

impl Trace {
    /// Reads a trace; `name` is what messages call it. Empty lines are let be.
    ///
    /// # Errors
    /// The first line that is no line of a trace: where it is, and what is wrong.
    pub(crate) fn read(file: impl BufRead, name: &str) -> Result<Self, String> {
        let mut lines = Vec::new();
        for (number, text) in (1..).zip(file.lines()) {
            let text = text.map_err(|error| format!("{name}:{number}: {error}"))?;
            if text.trim().is_empty() {
                continue;
            }
            lines.push(Line::parse(&text).map_err(|fault| match fault.column {
                Some(column) => format!("{name}:{number}:{column}: {}", fault.what),
                None => format!("{name}:{number}: {}", fault.what),
            })?);
        }
        lines.sort_by(|one, other| one.at_ms().total_cmp(&other.at_ms()));
        Ok(Self { lines })
    }

    /// The ends of attempts.
    pub(crate) fn ended(&self) -> impl Iterator<Item = &Ended> {
        self.lines.iter().filter_map(|line| match line {
            Line::Ended(ended) => Some(ended),
            Line::Pick(_) | Line::Cordon(_) => None,
        })
    }

    /// The earliest time that it speaks of: the beginning of an attempt, or of a call.
    pub(crate) fn began_ms(&self) -> f64 {
        let began = self.lines.iter().map(|line| match line {
            Line::Ended(ended) => ended.at_ms - ended.took_ms(),
            Line::Pick(_) | Line::Cordon(_) => line.at_ms(),
        });
        began.min_by(f64::total_cmp).unwrap_or(0.0)
    }
}

/// Who was sick when, as far as the trace tells.
///
/// A place is sick at a time when what became of its attempts just before and just after was bad, or, where one was bad and the
/// other was good, when the bad one is nearer. Between two failures half a minute apart nobody asked it, so nobody knows better.
#[derive(Debug)]
pub(crate) struct Sickness {
    /// By place: times in order, each with whether it was bad.
    news: HashMap<String, Vec<(f64, bool)>>,
}

impl Sickness {
    pub(crate) fn of(trace: &Trace) -> Self {
        let mut news: HashMap<String, Vec<(f64, bool)>> = HashMap::new();
        for ended in trace.ended() {
            if let Some(bad) = verdict(ended.class) {
                news.entry(place(ended)).or_default().push((ended.at_ms, bad));
            }
        }
        Self { news }
    }

    /// Whether a place was sick at a time.
    pub(crate) fn is_sick(&self, place: &str, at_ms: f64) -> bool {
        let Some(news) = self.news.get(place) else { return false };
        let (before, after) = news.split_at(news.partition_point(|(at, _)| *at <= at_ms));
        match (before.last(), after.first()) {
            (Some((since, bad)), Some((until, will_be))) if bad != will_be => {
                if at_ms - since <= until - at_ms { *bad } else { *will_be }
            }
            (Some((_, bad)), _) | (None, Some((_, bad))) => *bad,
            (None, None) => false,
        }
    }
}

/// What an end says of its place: bad, good, or nothing.
fn verdict(class: Option<Class>) -> Option<bool> {
    match class {
        None => Some(false),
        Some(class) if class.level() == Level::Nobody => None,
        Some(_) => Some(true),
    }
}

/// A deployment's name.
pub(crate) fn place(ended: &Ended) -> String {
    format!("{}/{}/{}", ended.provider, ended.region, ended.model)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(lines: &[(u32, &str)]) -> Trace {
        let text: String = lines
            .iter()
            .map(|(at, class)| {
                format!("{{\"at_ms\":{at},\"provider\":\"a\",\"region\":\"b\",\"model\":\"c\",\"class\":\"{class}\"}}\n")
            })
            .collect();
        Trace::read(text.as_bytes(), "t").unwrap()
    }

    #[test]
    fn lines_are_put_in_the_order_of_their_times() {
        let trace = trace(&[(30, "success"), (10, "reset"), (20, "cut")]);
        let classes: Vec<_> = trace.ended().map(Ended::class_name).collect();
        assert_eq!(classes, ["reset", "cut", "success"]);
    }

    #[test]
    fn a_malformed_line_is_named_with_its_place() {
        let text = "{\"at_ms\":1,\"pick\":\"chat\"}\n\n{\"at_ms\":2,\"pick\":7}\n";
        let told = Trace::read(text.as_bytes(), "night.jsonl").unwrap_err();
        assert!(told.starts_with("night.jsonl:3:19: invalid type"), "{told}");
        let told = Trace::read("{\"at_ms\":1}".as_bytes(), "night.jsonl").unwrap_err();
        assert!(told.starts_with("night.jsonl:1: `class` is missing"), "{told}");
    }

    #[test]
    fn a_place_is_sick_between_bad_news_and_near_them() {
        let trace = trace(&[
            (0, "success"),
            (100, "timeout"),
            (500, "unreachable"),
            (510, "caller_fault"),
            (600, "success"),
        ]);
        let sickness = Sickness::of(&trace);
        let sick = |at| sickness.is_sick("a/b/c", at);
        assert!(!sick(0.0) && !sick(40.0) && sick(60.0), "before");
        assert!(sick(100.0) && sick(300.0) && sick(500.0), "between");
        assert!(sick(540.0) && !sick(560.0) && !sick(600.0) && !sick(9e9), "after");
        assert!(!sickness.is_sick("a/b/other", 300.0), "of whom nothing is known");
    }
}
