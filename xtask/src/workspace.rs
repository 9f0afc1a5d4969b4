//! What `cargo metadata` says of the workspace, cut down to what the chores ask.
//!
//! All features are on, and the graph is that of the host: asking for every platform would download crates that this
//! machine never builds. What a package *declares* ([`Package::dependencies`]) is for all platforms.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::failure::Failure;
use crate::shell::Step;

/// The packages of the workspace, and the graph of everything that they lean on.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the root manifest.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// The members, by name.
    pub(crate) packages: BTreeMap<String, Package>,
    nodes: BTreeMap<String, Node>,
}

/// A member of the workspace, as its manifest has it.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) rust_version: String,
    pub(crate) folder: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    /// Each feature and what it turns on.
    pub(crate) features: BTreeMap<String, Vec<String>>,
    id: String,
}

/// One line of a manifest's dependency tables.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// The package's own name, whatever the manifest renames it to.
    pub(crate) package: String,
    pub(crate) is_dev: bool,
    pub(crate) is_optional: bool,
}

/// A package in the resolved graph, with the edges that are built into a user's program.
#[derive(Debug)]
struct Node {
    name: String,
    edges: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> Result<Self, Failure> {
        let here = Path::new(".");
        let version =
            Step::program(here, "rustc".as_ref(), "is the Rust toolchain installed?").arguments(&["-vV"]);
        let version = String::from_utf8_lossy(&version.output()?).into_owned();
        let host = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .ok_or_else(|| Failure::Metadata { what: "rustc -vV names no host".into() })?;
        let words = ["metadata", "--format-version", "1", "--all-features", "--filter-platform", host];
        let said = Step::cargo(here, &words).output()?;
        let value =
            serde_json::from_slice(&said).map_err(|error| Failure::Metadata { what: error.to_string() })?;
        Self::read(&value)
    }

    /// Reads what cargo said.
    pub(crate) fn read(metadata: &Value) -> Result<Self, Failure> {
        let members: BTreeSet<&str> =
            list(metadata, "workspace_members")?.iter().filter_map(Value::as_str).collect();
        let mut packages = BTreeMap::new();
        let mut names = BTreeMap::new();
        for value in list(metadata, "packages")? {
            let (id, name) = (text(value, "id")?, text(value, "name")?);
            names.insert(id, name);
            if members.contains(id) {
                packages.insert(name.to_owned(), Package::read(value)?);
            }
        }
        let resolve = metadata.get("resolve").unwrap_or(&Value::Null);
        let mut nodes = BTreeMap::new();
        for value in list(resolve, "nodes")? {
            let id = text(value, "id")?;
            let name = names.get(id).ok_or_else(|| Failure::Metadata { what: format!("no package {id}") })?;
            let edges = list(value, "deps")?.iter().filter(|edge| is_built_in(edge));
            let edges =
                edges.map(|edge| Ok(text(edge, "pkg")?.to_owned())).collect::<Result<_, Failure>>()?;
            nodes.insert(id.to_owned(), Node { name: (*name).to_owned(), edges });
        }
        let root = PathBuf::from(text(metadata, "workspace_root")?);
        let target = PathBuf::from(text(metadata, "target_directory")?);
        Ok(Self { root, target, packages, nodes })
    }

    /// The names of all that `package` builds into a user's program, itself left out. The walk does not enter `aids`.
    pub(crate) fn tree(&self, package: &Package, aids: &[&str]) -> BTreeSet<&str> {
        let mut seen = BTreeSet::from([package.id.as_str()]);
        let mut names = BTreeSet::new();
        let mut ahead = vec![package.id.as_str()];
        while let Some(id) = ahead.pop() {
            for edge in self.nodes.get(id).into_iter().flat_map(|node| &node.edges) {
                let name = self.nodes.get(edge).map_or(edge.as_str(), |node| node.name.as_str());
                if !aids.contains(&name) && seen.insert(edge) {
                    names.insert(name);
                    ahead.push(edge);
                }
            }
        }
        names
    }
}

impl Package {
    fn read(value: &Value) -> Result<Self, Failure> {
        let manifest = PathBuf::from(text(value, "manifest_path")?);
        let dependencies = list(value, "dependencies")?.iter().map(|dependency| {
            Ok(Dependency {
                package: text(dependency, "name")?.to_owned(),
                is_dev: dependency.get("kind").and_then(Value::as_str) == Some("dev"),
                is_optional: dependency.get("optional").and_then(Value::as_bool) == Some(true),
            })
        });
        let mut features = BTreeMap::new();
        for (feature, turns_on) in value.get("features").and_then(Value::as_object).into_iter().flatten() {
            let words = turns_on.as_array().into_iter().flatten().filter_map(Value::as_str);
            features.insert(feature.clone(), words.map(str::to_owned).collect());
        }
        Ok(Self {
            name: text(value, "name")?.to_owned(),
            version: text(value, "version")?.to_owned(),
            rust_version: value.get("rust_version").and_then(Value::as_str).unwrap_or_default().to_owned(),
            folder: manifest.parent().map(Path::to_path_buf).unwrap_or_default(),
            dependencies: dependencies.collect::<Result<_, Failure>>()?,
            features,
            id: text(value, "id")?.to_owned(),
        })
    }
}

/// Whether an edge of the graph is more than a tool of the tests.
fn is_built_in(edge: &Value) -> bool {
    let mut kinds = edge.get("dep_kinds").and_then(Value::as_array).into_iter().flatten();
    kinds.any(|kind| kind.get("kind").and_then(Value::as_str) != Some("dev"))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, Failure> {
    let missing = || Failure::Metadata { what: format!("no text `{key}`") };
    value.get(key).and_then(Value::as_str).ok_or_else(missing)
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a [Value], Failure> {
    let missing = || Failure::Metadata { what: format!("no list `{key}`") };
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).ok_or_else(missing)
}

/// Made-up workspaces for the tests of the checks.
#[cfg(test)]
pub(crate) mod made_up {
    use serde_json::{Value, json};

    use super::Workspace;

    /// A member, and what it leans on: `name` for a dependency, `?name` for an optional one, `#name` for one of its tests.
    pub(crate) type Member<'a> = (&'a str, &'a [&'a str]);

    /// A workspace of `members`; `strangers` are crates from elsewhere with their own dependencies.
    pub(crate) fn workspace(members: &[Member<'_>], strangers: &[Member<'_>]) -> Workspace {
        let all = || members.iter().chain(strangers);
        let packages: Vec<Value> = all().map(|(name, leans_on)| package(name, leans_on)).collect();
        let nodes: Vec<Value> = all().map(|(name, leans_on)| node(name, leans_on)).collect();
        let ids: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
        Workspace::read(&json!({
            "packages": packages, "resolve": {"nodes": nodes}, "workspace_members": ids,
            "workspace_root": "/made-up", "target_directory": "/made-up/target",
        }))
        .unwrap()
    }

    fn split(word: &str) -> (&str, Option<&str>, bool) {
        match (word.strip_prefix('?'), word.strip_prefix('#')) {
            (Some(name), _) => (name, None, true),
            (_, Some(name)) => (name, Some("dev"), false),
            _ => (word, None, false),
        }
    }

    fn package(name: &str, leans_on: &[&str]) -> Value {
        let dependencies: Vec<Value> = leans_on
            .iter()
            .map(|word| split(word))
            .map(|(name, kind, optional)| json!({"name": name, "kind": kind, "optional": optional}))
            .collect();
        json!({
            "id": name, "name": name, "version": "0.1.0", "rust_version": "1.95", "features": {},
            "manifest_path": format!("/made-up/crates/{name}/Cargo.toml"), "dependencies": dependencies,
        })
    }

    fn node(name: &str, leans_on: &[&str]) -> Value {
        let edges: Vec<Value> = leans_on
            .iter()
            .map(|word| split(word))
            .map(|(name, kind, _)| json!({"pkg": name, "dep_kinds": [{"kind": kind}]}))
            .collect();
        json!({"id": name, "deps": edges})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Workspace, made_up};

    #[test]
    fn a_tree_holds_what_is_built_in_and_nothing_of_the_tests() {
        let strangers: &[made_up::Member<'_>] =
            &[("serde", &["deep"]), ("deep", &["serde"]), ("bench", &["rand"]), ("rand", &[])];
        let workspace = made_up::workspace(&[("a", &["b", "#bench"]), ("b", &["?serde"])], strangers);
        let tree = workspace.tree(&workspace.packages["a"], &[]);
        assert_eq!(tree.into_iter().collect::<Vec<_>>(), ["b", "deep", "serde"]);
    }

    #[test]
    fn the_walk_stops_at_an_aid() {
        let workspace =
            made_up::workspace(&[("a", &["?proptest"])], &[("proptest", &["rand"]), ("rand", &[])]);
        assert!(workspace.tree(&workspace.packages["a"], &["proptest"]).is_empty());
        assert!(workspace.tree(&workspace.packages["a"], &[]).contains("rand"));
    }

    #[test]
    fn metadata_without_a_graph_is_an_error() {
        let failure = Workspace::read(&json!({"workspace_members": [], "packages": []})).unwrap_err();
        assert_eq!(failure.to_string(), "cargo metadata: no list `nodes`");
    }

    #[test]
    fn the_real_workspace_is_understood() {
        let workspace = Workspace::load().unwrap();
        let package = &workspace.packages["xtask"];
        assert!(workspace.root.join("Cargo.toml").is_file());
        assert!(workspace.tree(package, &[]).contains("serde_json"));
        assert!(!package.version.is_empty() && !package.rust_version.is_empty());
        assert!(
            workspace.packages["outrigger-transport"].features["default"].contains(&"reqwest".to_owned())
        );
    }
}
