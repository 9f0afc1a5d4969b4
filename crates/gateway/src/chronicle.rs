//! What has happened last, remembered for who comes to look afterwards: at most [`KEPT`] lines, of alike events one.
//!
//! A region that is down for an hour makes the same three events every half minute. So alike events are one line with their
//! number, the time of the first and that of the last, as long as no [`PAUSE`] lies between two of them. Where there is no place for
//! another line, the kind that has the most of them loses its oldest: a flood of failovers does not push out why it began.

use std::collections::{HashMap, VecDeque};

/// The lines that are remembered at most.
const KEPT: usize = 100;
/// Alike events that are further apart, in milliseconds, are two lines: longer than the wait between trials by default.
const PAUSE: u64 = 5 * 60 * 1000;
/// What has more to say is told once and not remembered.
const LONGEST: usize = 16 << 10;

/// The last events. Pure: the time comes as an argument, in milliseconds since 1970.
#[derive(Debug)]
pub(crate) struct Chronicle {
    /// That with the oldest last event first.
    lines: VecDeque<Line>,
    next: u64,
}

/// Alike events.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Its number: lines that begin later have higher ones.
    number: u64,
    name: &'static str,
    /// The facts, as a JSON object.
    facts: String,
    times: u64,
    since_ms: u64,
    at_ms: u64,
}

impl Chronicle {
    /// One of nothing yet, whose lines are numbered from here on. After a restart they should go on above those before, for
    /// the sake of listeners that come again.
    pub(crate) fn new(first: u64) -> Self {
        Self { lines: VecDeque::new(), next: first }
    }

    /// Takes an event in. Returns the line that it belongs to, as it stands with it.
    pub(crate) fn enter(&mut self, name: &'static str, facts: String, at_ms: u64) -> Line {
        let is_alike = |line: &Line| {
            line.name == name && line.facts == facts && at_ms.saturating_sub(line.at_ms) <= PAUSE
        };
        let known = self.lines.iter().rposition(is_alike).and_then(|place| self.lines.remove(place));
        let line = match known {
            Some(line) => Line { times: line.times.saturating_add(1), at_ms, ..line },
            None => {
                let number = self.next;
                self.next = number.saturating_add(1);
                Line { number, name, facts, times: 1, since_ms: at_ms, at_ms }
            }
        };
        if line.facts.len() <= LONGEST {
            if self.lines.len() >= KEPT {
                self.forget();
            }
            self.lines.push_back(line.clone());
        }
        line
    }

    /// Makes place: the kind with the most lines loses its oldest.
    fn forget(&mut self) {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for line in &self.lines {
            *counts.entry(line.name).or_default() += 1;
        }
        let most = counts.values().max().copied();
        let oldest = self.lines.iter().position(|line| counts.get(line.name).copied() == most);
        drop(oldest.and_then(|place| self.lines.remove(place)));
    }

    /// All that is remembered, that with the oldest last event first.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter()
    }
}

impl Line {
    /// As a frame of an event stream. What is told from memory says so.
    pub(crate) fn frame(&self, is_past: bool) -> String {
        let Self { number, name, facts, times, since_ms, at_ms } = self;
        let facts = facts.strip_suffix('}').unwrap_or(facts);
        let comma = if facts.ends_with('{') { "" } else { "," };
        let past = if is_past { r#","past":true"# } else { "" };
        format!(
            "event: {name}\ndata: {facts}{comma}\"line\":{number},\"times\":{times},\"since_ms\":{since_ms},\
             \"at_ms\":{at_ms}{past}}}\n\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(chronicle: &Chronicle) -> Vec<(&str, &str, u64)> {
        chronicle.lines().map(|line| (line.name, line.facts.as_str(), line.times)).collect()
    }

    /// **A night of the same trouble is one line.** Fails if alike events take a line each, or what lies far apart is one incident.
    #[test]
    fn alike_events_are_one_line_until_a_pause() {
        let mut chronicle = Chronicle::new(0);
        for round in 0..1000 {
            drop(chronicle.enter("failover", "{\"to\":\"b\"}".into(), round * 30_000));
            drop(chronicle.enter("transition", "{\"to\":\"open\"}".into(), round * 30_000 + 1));
        }
        assert_eq!(
            told(&chronicle),
            [("failover", "{\"to\":\"b\"}", 1000), ("transition", "{\"to\":\"open\"}", 1000)]
        );
        let last = 999 * 30_000;
        let line = chronicle.enter("failover", "{\"to\":\"b\"}".into(), last + PAUSE + 1);
        assert_eq!((line.number, line.times, line.since_ms), (2, 1, last + PAUSE + 1));
        assert_eq!(chronicle.lines().count(), 3);
    }

    /// **A flood of one kind pushes out its own kind.** Fails if the oldest line goes whatever it is, or nothing goes.
    #[test]
    fn why_it_began_outlives_a_flood() {
        let mut chronicle = Chronicle::new(0);
        drop(chronicle.enter("transition", "{\"to\":\"open\"}".into(), 0));
        for number in 0..10_000_u64 {
            drop(chronicle.enter("failover", format!("{{\"to\":{number}}}"), number));
        }
        assert_eq!(chronicle.lines().count(), KEPT);
        let first = chronicle.lines().next().unwrap();
        assert_eq!(first.name, "transition");
        assert_eq!(chronicle.lines().last().unwrap().facts, "{\"to\":9999}");
    }

    #[test]
    fn what_says_too_much_is_told_and_not_remembered() {
        let mut chronicle = Chronicle::new(0);
        let line = chronicle.enter("reload", format!("{{\"a\":\"{}\"}}", "x".repeat(LONGEST)), 7);
        assert!(line.frame(false).contains("\"at_ms\":7}\n\n"));
        assert_eq!(chronicle.lines().count(), 0);
    }

    #[test]
    fn a_frame_is_json_with_its_times() {
        let mut chronicle = Chronicle::new(0);
        for (facts, past) in [("{}", true), ("{\"a\":{\"b\":1}}", false)] {
            let frame = chronicle.enter("cordon", facts.into(), 5).frame(past);
            let data = frame.strip_prefix("event: cordon\ndata: ").unwrap().trim_end();
            let data: serde_json::Value =
                serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
            assert_eq!((&data["times"], &data["at_ms"]), (&1.into(), &5.into()));
            assert_eq!(data.get("past").is_some(), past);
        }
    }
}
