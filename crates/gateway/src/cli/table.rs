//! A table for a terminal: columns as wide as they must be, words to the left and numbers to the right.

use super::{out, paint::Paint};

/// To which side a column's cells go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Rows under one heading.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<(Vec<String>, bool)>,
}

impl Table {
    pub(super) fn new(columns: impl IntoIterator<Item = (&'static str, Side)>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// One more row; `bright` makes it stand out where there are colours.
    pub(super) fn row(&mut self, cells: Vec<String>, bright: bool) {
        self.rows.push((cells, bright));
    }

    /// Its lines, without spaces at their ends.
    pub(super) fn lines(&self, paint: Paint) -> Vec<String> {
        let width = |(column, (head, _)): (usize, &(&str, Side))| {
            let cells = self.rows.iter().filter_map(|(cells, _)| cells.get(column));
            cells.map(|cell| cell.chars().count()).chain([head.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = self.columns.iter().enumerate().map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let columns = self.columns.iter().zip(&widths);
            let padded = cells.zip(columns).map(|(cell, ((_, side), width))| match side {
                Side::Left => format!("{cell:<width$}"),
                Side::Right => format!("{cell:>width$}"),
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let head = paint.faint(line(&mut self.columns.iter().map(|(head, _)| *head)));
        let rows = self.rows.iter().map(|(cells, bright)| {
            let line = line(&mut cells.iter().map(String::as_str));
            if *bright { paint.bright(line) } else { line }
        });
        std::iter::once(head).chain(rows).collect()
    }

    pub(super) fn tell(&self, paint: Paint) {
        for line in self.lines(paint) {
            out::result(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([("name", Side::Left), ("ms", Side::Right), ("why", Side::Left)]);
        table.row(vec!["a".into(), "1000".into(), "so".into()], true);
        table.row(vec!["longer".into(), "2".into(), String::new()], false);
        assert_eq!(
            table.lines(Paint::wanted(false, &|_| None)),
            ["name      ms  why", "a       1000  so", "longer     2"]
        );
        assert_eq!(table.lines(Paint::wanted(true, &|_| None))[1], "\u{1b}[1ma       1000  so\u{1b}[0m");
    }
}
