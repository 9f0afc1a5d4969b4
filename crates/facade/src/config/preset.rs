//! Providers whose hosts are public, so that a region is one line: data/presets.txt, and docs/presets.md for
//! people.
//!
//! A preset says which dialect is spoken and where; it never says what a host serves, which differs from
//! region to region and from week to week. So a region that exists and lacks a model is found by a call (or
//! by `outrigger check --probe`), not here.

use std::{fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use url::Url;
use wire::Dialect;

use super::{
    Fault, Faults, Path, Provider, Region,
    nearest::{self, quoted},
    provider::GLOBAL,
};

const DATA: &str = include_str!("../../data/presets.txt");

/// The word in a base URL that stands for the region's name.
const REGION: &str = "region";

/// A provider whose hosts are public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    name: &'static str,
    rows: Vec<Row>,
    /// What stands for the words in braces.
    with: Vec<(String, String)>,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    dialect: Dialect,
    regions: Vec<&'static str>,
    base_url: &'static str,
    source: &'static str,
    read_on: &'static str,
}

impl Preset {
    /// All presets, in the order of the table.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for (name, row) in lines().filter_map(parse) {
            match all.last_mut() {
                Some(last) if last.name == name => last.rows.push(row),
                _ => all.push(Self { name, rows: vec![row], with: Vec::new() }),
            }
        }
        all
    }

    /// The preset of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self, Faults> {
        Ok(Self::find(name, &Path::new(["preset"]))?)
    }

    fn find(name: &str, path: &Path) -> Result<Self, Fault> {
        let all = Self::all();
        let known: Vec<&str> = all.iter().map(|preset| preset.name).collect();
        let help = nearest::help(name, known);
        let unknown = || Fault::new(path.clone(), format!("there is no preset `{name}`")).help(help);
        all.into_iter().find(|preset| preset.name == name).ok_or_else(unknown)
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The dialect that it speaks.
    pub fn dialect(&self) -> Dialect {
        self.rows.first().map_or(Dialect::OpenAi, |row| row.dialect)
    }

    /// Its regions, in the order of the table.
    pub fn regions(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.rows.iter().flat_map(|row| row.regions.iter().copied())
    }

    /// The words of its base URLs that are still to be filled in, such as `workspace`.
    pub fn blanks(&self) -> Vec<&'static str> {
        let mut blanks: Vec<&'static str> = self.rows.iter().flat_map(|row| words(row.base_url)).collect();
        blanks.retain(|word| *word != REGION && self.with.iter().all(|(known, _)| known != word));
        blanks.dedup();
        blanks
    }

    /// Fills in a word of its base URLs.
    #[must_use]
    pub fn with(mut self, word: impl Into<String>, value: impl Into<String>) -> Self {
        self.with.push((word.into(), value.into()));
        self
    }

    /// A provider at these of its regions; at its `global` one where none is named.
    ///
    /// # Errors
    /// A region that the preset has not, or a word that is not filled in, or not well.
    pub fn provider<R: AsRef<str>>(&self, regions: impl IntoIterator<Item = R>) -> Result<Provider, Faults> {
        self.is_filled(&Path::new(["preset"]))?;
        let mut provider = Provider::new(self.dialect());
        for region in regions {
            let name = region.as_ref();
            let base_url = self.base_url(name, Path::new(["regions", name]))?;
            provider = provider.with_region(name, Region::new(base_url));
        }
        if provider.regions.is_empty() {
            let base_url = self.base_url(GLOBAL, Path::new(["regions"]))?;
            provider = provider.with_region(GLOBAL, Region::new(base_url));
        }
        Ok(provider)
    }

    /// Whether each of its words is filled in, and with what its URLs can hold; `path` leads to the preset.
    pub(super) fn is_filled(&self, path: &Path) -> Result<(), Fault> {
        if let Some(word) = self.blanks().first() {
            let message = format!("the preset `{}` needs a `{word}`", self.name);
            let help = format!("write `preset = {{ name = \"{}\", {word} = \"...\" }}`", self.name);
            return Err(Fault::new(path.clone(), message).help(help));
        }
        let mut known: Vec<&str> = self.rows.iter().flat_map(|row| words(row.base_url)).collect();
        known.retain(|known| *known != REGION);
        for (word, value) in &self.with {
            let path = path.key(word);
            if !known.contains(&word.as_str()) {
                let message = format!("the preset `{}` has nothing of this name", self.name);
                return Err(Fault::new(path, message).help(nearest::help(word, known)));
            }
            // A value goes into a host or a path, and must not reach beyond it.
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if value.is_empty() || !value.bytes().all(is_plain) {
                return Err(Fault::new(path, "expected letters, digits, `-` and `_`"));
            }
        }
        Ok(())
    }

    /// Where a region is reached, of a preset that is filled in; `path` leads to what names the region.
    pub(super) fn base_url(&self, region: &str, path: Path) -> Result<Url, Fault> {
        let Some(row) = self.rows.iter().find(|row| row.regions.contains(&region)) else {
            return Err(self.unknown(region, path));
        };
        let mut url = row.base_url.replace("{region}", region);
        for (word, value) in &self.with {
            url = url.replace(&format!("{{{word}}}"), value);
        }
        Url::parse(&url).map_err(|error| Fault::new(path, format!("not a URL: {error}")))
    }

    /// The nearest region, and all.
    fn unknown(&self, region: &str, path: Path) -> Fault {
        let known: Vec<&str> = self.regions().collect();
        let near = nearest::near(region, &known).map(|name| format!("did you mean `{name}`? "));
        let help = format!(
            "{}it has {}; a name of your own says which it is by `preset = \"...\"`, or has a `base_url`",
            near.unwrap_or_default(),
            quoted(&known)
        );
        let message = format!("the preset `{}` has no region `{region}`", self.name);
        Fault::new(path, message).help(help)
    }
}

/// The lines that are not empty and no comment.
fn lines() -> impl Iterator<Item = &'static str> {
    DATA.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// One row; `None` where it has not the form of one, which a test finds.
fn parse(line: &'static str) -> Option<(&'static str, Row)> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [name, dialect, regions, base_url, source, read_on] = cells.try_into().ok()?;
    let dialect = Dialect::from_str(dialect).ok()?;
    let regions = regions.split(',').map(str::trim).collect();
    Some((name, Row { dialect, regions, base_url, source, read_on }))
}

/// The words in braces.
fn words(base_url: &'static str) -> impl Iterator<Item = &'static str> {
    base_url.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(word, _)| word))
}

/// `preset = "openai"`, or `preset = { name = "alibaba", workspace = "..." }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) with: Vec<(String, String)>,
}

impl Named {
    /// The preset, filled in; `path` leads to it.
    pub(super) fn preset(&self, path: &Path) -> Result<Preset, Fault> {
        let is_table = !self.with.is_empty();
        let preset = Preset::find(&self.name, &if is_table { path.key("name") } else { path.clone() })?;
        let preset = self.with.iter().fold(preset, |preset, (word, value)| preset.with(word, value));
        preset.is_filled(path)?;
        Ok(preset)
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrTable;

        impl<'de> Visitor<'de> for NameOrTable {
            type Value = Named;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a preset's name, or a table with its `name`")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Named, E> {
                Ok(Named { name: name.to_owned(), with: Vec::new() })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
                let (mut name, mut with) = (None, Vec::new());
                while let Some((word, value)) = map.next_entry::<String, String>()? {
                    if word == "name" {
                        name = Some(value);
                    } else {
                        with.push((word, value));
                    }
                }
                let name = name.ok_or_else(|| A::Error::missing_field("name"))?;
                Ok(Named { name, with })
            }
        }

        deserializer.deserialize_any(NameOrTable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// **The table has its form**: every line is a row, every row's URL is one, rows of a preset stand together and
    /// speak one dialect, and each says where it was read and when.
    #[test]
    fn the_table_has_its_form() {
        for line in lines() {
            let (name, row) = parse(line).unwrap_or_else(|| panic!("no row: {line}"));
            assert!(row.base_url.starts_with("https://"), "{line}");
            assert!(!row.source.is_empty(), "{line}");
            let digits = |range: std::ops::Range<usize>| {
                row.read_on.get(range).and_then(|part| part.parse::<u16>().ok())
            };
            assert!(
                digits(0..4) >= Some(2026) && digits(5..7).is_some() && digits(8..10).is_some(),
                "{line}"
            );
            let has_many = row.regions.len() > 1;
            assert!(!has_many || words(row.base_url).any(|word| word == REGION), "{line}");
            assert_eq!(name, name.to_lowercase());
        }
        let all = Preset::all();
        let mut seen = std::collections::HashSet::new();
        for preset in &all {
            assert!(seen.insert(preset.name), "{} is in two places", preset.name);
            assert!(preset.rows.iter().all(|row| row.dialect == preset.dialect()), "{}", preset.name);
            let filled =
                preset.blanks().into_iter().fold(preset.clone(), |preset, word| preset.with(word, "w-1"));
            let mut regions = std::collections::HashSet::new();
            for region in preset.regions() {
                assert!(regions.insert(region), "{} has {region} twice", preset.name);
                let url = filled.base_url(region, Path::default()).unwrap();
                assert!(!url.as_str().contains(['{', '}']) && !url.as_str().ends_with('/'), "{url}");
            }
        }
    }

    /// **The page is the table.** Each row stands in docs/presets.md, and no other does.
    #[test]
    fn the_page_of_presets_is_the_table() {
        let rows: Vec<String> = lines()
            .filter_map(parse)
            .map(|(name, Row { dialect, regions, base_url, source, read_on })| {
                let regions = quoted(&regions);
                format!("| `{name}` | {dialect} | {regions} | `{base_url}` | {source}, {read_on} |")
            })
            .collect();
        let page: Vec<&str> = include_str!("../../../../docs/presets.md")
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        assert_eq!(page, rows, "docs/presets.md is to hold:\n{}", rows.join("\n"));
    }
}
