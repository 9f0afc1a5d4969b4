//! A file that has been parsed: its tables, and the line and column of everything in it.
//!
//! One file serves several owners: the client reads its tables, the gateway its own, and both tell faults the
//! same way. So the document is shared, and each owner reads the tables that it knows.

use std::fmt;

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    fault::{Fault, Faults, Path, Place, Step},
    files::read_file,
    interpolate::{self, Env, Files},
    read::{self, Keys, Marks, Node, Placed, Spot},
};

/// The largest file that is read: 4 MiB, thousands of times what the largest known configuration takes.
pub const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Where values come from that are not written: the environment, other files.
type Elsewhere<'a> = (Env<'a>, Files<'a>);

/// A parsed configuration file. Its `Debug` shows its name alone: the rest holds credentials.
pub struct Document<'a> {
    name: String,
    text: &'a str,
    /// Reads the files that values name.
    files: Files<'a>,
    /// Where each line begins.
    lines: Vec<usize>,
    root: DeTable<'a>,
    marks: Marks,
    /// Values from elsewhere with what is written for them, so that no message shows the value.
    foreign: Vec<(String, String)>,
    /// Faults of values that could not be fetched, told by whoever reads the table they are in.
    unresolved: Vec<Placed>,
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> Document<'a> {
    /// Parses a file. `name` is what messages call it; `env` looks up variables for `${VAR}`; values that are
    /// files are read by [`read_file`].
    ///
    /// # Errors
    /// As those of [`parse_with`](Self::parse_with).
    pub fn parse(text: &'a str, name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        Self::parse_with(text, name, env, &read_file)
    }

    /// Parses a file without touching anything but its arguments: `files` reads those that values name, some of them when the table
    /// they stand in is read.
    ///
    /// A variable that is not set, and a file that cannot be read or is empty, is a fault of the table it
    /// stands in, told when that is read.
    ///
    /// # Errors
    /// The text is over [`MOST_BYTES`], or is not TOML; every error of syntax that the parser can tell apart
    /// is told.
    pub fn parse_with(
        text: &'a str,
        name: &str,
        env: &dyn Fn(&str) -> Option<String>,
        files: &'a dyn Fn(&std::path::Path) -> std::io::Result<String>,
    ) -> Result<Self, Faults> {
        let mut document = Self {
            name: name.to_owned(),
            text,
            files,
            lines: Vec::new(),
            root: DeTable::new(),
            marks: Marks::default(),
            foreign: Vec::new(),
            unresolved: Vec::new(),
        };
        if text.len() > MOST_BYTES {
            let message = format!("the file has {} bytes, the most is {MOST_BYTES}", text.len());
            return Err(Faults::from(document.placed((0, Fault::new(Path::default(), message)))));
        }
        let breaks = text.match_indices('\n').map(|(offset, _)| offset + 1);
        document.lines = std::iter::once(0).chain(breaks).collect();
        let (root, errors) = DeTable::parse_recoverable(text);
        let faults = errors.iter().take(20).map(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            document.placed((offset, Fault::new(Path::default(), error.message())))
        });
        if let Some(faults) = Faults::of(faults.collect()) {
            return Err(faults);
        }
        document.root = root.into_inner();
        document.resolve((env, files));
        Ok(document)
    }

    /// Reads a table at the top of the file; `None` when it is absent. Keys that `T` does not know are
    /// faults, whatever it says of them itself.
    ///
    /// # Errors
    /// Every fault of the table.
    pub fn table<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Faults> {
        let mut tables = self.tables();
        let value = tables.read(&[key]);
        match Faults::of(tables.faults(&[key])) {
            Some(faults) => Err(faults),
            None => Ok(value),
        }
    }

    /// Gives a fault its place: that of its path, or of the nearest table around it that the file has. Values
    /// that came from the environment or another file are replaced by what is written for them.
    #[must_use]
    pub fn place(&self, fault: Fault) -> Fault {
        let offset = self.find(fault.path.steps()).map_or(0, |(_, offset)| offset);
        self.placed((offset, fault))
    }

    /// Reads the files that values name.
    pub(super) const fn files(&self) -> Files<'a> {
        self.files
    }

    /// Gives a fault the place at an offset of the text, where no path leads to it.
    #[must_use]
    pub fn place_at(&self, offset: usize, fault: Fault) -> Fault {
        self.placed((offset, fault))
    }

    /// Names of the tables at the top, with where they are, in the order of the file.
    pub(super) fn top(&self) -> Vec<(&str, usize)> {
        let mut keys: Vec<_> =
            self.root.keys().map(|key| (key.get_ref().as_ref(), key.span().start)).collect();
        keys.sort_by_key(|(_, offset)| *offset);
        keys
    }

    /// Starts a reading that gathers the faults of several tables.
    pub(super) fn tables(&self) -> Tables<'_> {
        Tables { document: self, marks: self.marks.clone(), faults: Vec::new() }
    }

    fn placed(&self, (offset, mut fault): Placed) -> Fault {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or_default();
        let before = self.text.get(start..offset).unwrap_or_default();
        fault.place = Some(Place { file: self.name.clone(), line, column: before.chars().count() + 1 });
        for (value, written) in &self.foreign {
            fault.message = without(&fault.message, value, written);
            fault.help = fault.help.map(|help| without(&help, value, written));
        }
        fault
    }

    /// Follows a path as far as the file goes: how many steps, and the offset there.
    fn find(&self, steps: &[Step]) -> Option<(usize, usize)> {
        let (first, rest) = steps.split_first()?;
        let Step::Key(first) = first else { return None };
        let (key, mut value) = self.root.get_key_value(first.as_str())?;
        let mut found = (1, read::place_of(value, key.span().start));
        for step in rest {
            let (inner, spot) = match (step, value.get_ref()) {
                (Step::Key(name), DeValue::Table(table)) => match table.get_key_value(name.as_str()) {
                    Some((key, inner)) => (inner, key.span().start),
                    None => break,
                },
                (Step::Index(index), DeValue::Array(list)) => match list.get(*index) {
                    Some(inner) => (inner, inner.span().start),
                    None => break,
                },
                _ => break,
            };
            value = inner;
            found = (found.0 + 1, read::place_of(value, spot));
        }
        Some(found)
    }

    /// How many steps of a path the file has.
    pub(super) fn depth(&self, path: &Path) -> usize {
        self.find(path.steps()).map_or(0, |(depth, _)| depth)
    }

    /// Puts in what `${VAR}` and `file:/path` stand for.
    fn resolve(&mut self, from: Elsewhere<'_>) {
        let mut root = std::mem::take(&mut self.root);
        self.resolve_table(&mut root, &Path::default(), from);
        self.root = root;
    }

    fn resolve_table(&mut self, table: &mut DeTable<'a>, path: &Path, from: Elsewhere<'_>) {
        for (key, value) in table.iter_mut() {
            self.resolve_value(value, key.span().start, &path.key(key.get_ref()), from);
        }
    }

    fn resolve_value(
        &mut self,
        value: &mut Spanned<DeValue<'a>>,
        spot: Spot,
        path: &Path,
        from: Elsewhere<'_>,
    ) {
        let offset = value.span().start;
        match value.get_mut() {
            DeValue::Table(table) => self.resolve_table(table, path, from),
            DeValue::Array(list) => {
                for (index, element) in list.iter_mut().enumerate() {
                    let spot = element.span().start;
                    self.resolve_value(element, spot, &path.index(index), from);
                }
            }
            DeValue::String(text) => match interpolate::resolve(text, from.0, from.1) {
                Ok(None) => {}
                Ok(Some(resolved)) => {
                    self.marks.foreign.insert(spot, text.to_string());
                    self.foreign.push((resolved.clone(), text.to_string()));
                    *text = resolved.into();
                }
                Err(message) => {
                    self.marks.aside.insert(spot);
                    self.unresolved.push((offset, Fault::new(path.clone(), message)));
                }
            },
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
        }
    }
}

/// A text in which a value from elsewhere gives way to what is written for it.
///
/// Messages quote whole values in backticks; those always give way. Elsewhere a value of less than six
/// characters is left: it would be found inside common words, and is no key.
fn without(text: &str, value: &str, written: &str) -> String {
    let quoted = text.replace(&format!("`{value}`"), &format!("`{written}`"));
    if value.len() < 6 { quoted } else { quoted.replace(value, written) }
}

/// A reading of several tables that shares what has been set aside, so that no fault is told twice.
#[derive(Debug)]
pub(super) struct Tables<'d> {
    document: &'d Document<'d>,
    marks: Marks,
    faults: Vec<Placed>,
}

impl<'d> Tables<'d> {
    /// Reads the value at `path`; `None` when it is absent or faulty.
    pub(super) fn read<T: DeserializeOwned>(&mut self, path: &[&str]) -> Option<T> {
        let node = self.node(path)?;
        read::read(node, &Path::new(path.iter().copied()), &mut self.marks, &mut self.faults)
    }

    /// Reads `only` these keys of the table at `path`.
    pub(super) fn part<T: DeserializeOwned>(&mut self, path: &[&str], only: Keys) -> Option<T> {
        let node = Node { only: Some(only), ..self.node(path)? };
        read::read(node, &Path::new(path.iter().copied()), &mut self.marks, &mut self.faults)
    }

    /// Reads the table at `path` over the one at `under`, of which `only` these keys show through. `None`
    /// when neither is there, or a fault leaves nothing.
    pub(super) fn over<T: DeserializeOwned>(
        &mut self,
        path: &[&str],
        under: &[&str],
        only: Option<Keys>,
    ) -> Option<T> {
        let Some(node) = self.node(path) else { return self.read(under) };
        let lower = self.node(under).and_then(|lower| lower.value.get_ref().as_table());
        let node = Node { under: lower.map(|table| (table, only)), ..node };
        let path = Path::new(path.iter().copied());
        let told = self.faults.len();
        let value = read::read(node, &path, &mut self.marks, &mut self.faults);
        for (_, fault) in self.faults.iter_mut().skip(told) {
            // What is not in the upper table has come from the lower one, and is told as its.
            let below = fault.path.steps().get(path.steps().len()..).unwrap_or_default();
            if self.document.depth(&fault.path) <= path.steps().len() && !below.is_empty() {
                let mut lower = Path::new(under.iter().copied());
                lower.extend(below.iter().cloned());
                fault.path = lower;
            }
        }
        value
    }

    /// The keys of the table at `path`, in the order of the file; a fault when it is something else.
    pub(super) fn keys(&mut self, path: &[&str]) -> Vec<String> {
        let Some(node) = self.node(path) else { return Vec::new() };
        let DeValue::Table(table) = node.value.get_ref() else {
            let found = match node.value.get_ref() {
                DeValue::Array(_) => "a list",
                other => other.type_str(),
            };
            let message = format!("expected a table, found {found}");
            self.fault(Fault::new(Path::new(path.iter().copied()), message));
            return Vec::new();
        };
        let mut keys: Vec<_> =
            table.keys().map(|key| (key.span().start, key.get_ref().to_string())).collect();
        keys.sort();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// Tells a fault that the types cannot know.
    pub(super) fn fault(&mut self, fault: Fault) {
        let offset = self.document.find(fault.path.steps()).map_or(0, |(_, offset)| offset);
        self.faults.push((offset, fault));
    }

    /// Whether the value at `path` is in the file.
    pub(super) fn has(&self, path: &[&str]) -> bool {
        self.node(path).is_some()
    }

    /// All faults of these top tables, those of unresolved values included.
    pub(super) fn faults(self, tables: &[&str]) -> Vec<Fault> {
        let document = self.document;
        let unresolved = document.unresolved.iter().filter(|(_, fault)| {
            matches!(fault.path.steps().first(), Some(Step::Key(top)) if tables.contains(&top.as_str()))
        });
        unresolved.cloned().chain(self.faults).map(|fault| document.placed(fault)).collect()
    }

    fn node(&self, path: &[&str]) -> Option<Node<'d>> {
        let (first, rest) = path.split_first()?;
        let (mut key, mut value) = self.document.root.get_key_value(*first)?;
        for name in rest {
            (key, value) = value.get_ref().as_table()?.get_key_value(*name)?;
        }
        Some(Node::new(value, key.span().start))
    }
}
