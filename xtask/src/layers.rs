//! Who may depend on whom: the table of the layers, checked against the manifests and the resolved graph.
//!
//! A reviewer sees one new line in a manifest and finds it reasonable; a year later the breaker drags a runtime behind it.
//! So the table stands in code ([`table`]) and the build refuses what it does not hold. Four questions are asked:
//! 1. Is each member a row, and each row a member?
//! 2. Does each member lean only on the members that its row names, in its tests too?
//! 3. Is what a row forbids absent, named in the manifest or anywhere below?
//! 4. Where a row claims purity, does its clippy.toml forbid the clock, and does the pure module hold no word of a runtime?

mod pure;
mod table;

use crate::failure::{Failure, verdict};
use crate::workspace::{Package, Workspace};
use table::{AIDS, ROWS, Row};

/// Runs the check on the real workspace.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let mut faults = faults(workspace, ROWS);
    let mut looked_at: Vec<String> =
        workspace.packages.values().map(|package| describe(workspace, package)).collect();
    for row in ROWS.iter().filter(|row| row.is_pure) {
        let Some(package) = workspace.packages.get(row.package) else { continue };
        faults.extend(pure::clock_faults(row.package, &pure::clippy_toml(&package.folder)));
    }
    let (modules, found) = pure::module_faults(&workspace.root)?;
    looked_at.push(format!("{}: {modules} files of the pure module", pure::MODULE));
    faults.extend(found);
    verdict("layers", &looked_at, faults)
}

/// Every way in which the workspace departs from the rows.
fn faults(workspace: &Workspace, rows: &[Row]) -> Vec<String> {
    let mut faults = Vec::new();
    for row in rows.iter().filter(|row| !workspace.packages.contains_key(row.package)) {
        faults.push(format!("{}: a row of the table, but no member of the workspace", row.package));
    }
    for package in workspace.packages.values() {
        match rows.iter().find(|row| row.package == package.name) {
            None => faults.push(format!("{}: no row of the table says what it may lean on", package.name)),
            Some(row) => {
                faults.extend(edge_faults(workspace, package, row));
                faults.extend(never_faults(workspace, package, row));
            }
        }
    }
    faults
}

/// Members that the package leans on and its row does not name.
fn edge_faults(workspace: &Workspace, package: &Package, row: &Row) -> Vec<String> {
    let inside = package.dependencies.iter().filter(|other| workspace.packages.contains_key(&other.package));
    let beyond = inside.filter(|other| {
        let name = other.package.as_str();
        // A package may name itself for its tests: so they turn its features on.
        !(row.may.contains(&name)
            || other.is_dev && (row.may_in_tests.contains(&name) || name == package.name))
    });
    let fault = |name: &str, is_dev| {
        let place = if is_dev { " in its tests" } else { "" };
        format!("{}: may not lean on {name}{place}; a new edge is a page in docs/decisions", package.name)
    };
    beyond.map(|other| fault(&other.package, other.is_dev)).collect()
}

/// What the row forbids and the package has.
fn never_faults(workspace: &Workspace, package: &Package, row: &Row) -> Vec<String> {
    let mut faults = Vec::new();
    let built_in = || package.dependencies.iter().filter(|other| !other.is_dev);
    for other in built_in().filter(|other| row.never_named.contains(&other.package.as_str())) {
        faults.push(format!("{}: may not name {} in its manifest", package.name, other.package));
    }
    for other in built_in().filter(|other| row.is_bare && !other.is_optional) {
        faults.push(format!(
            "{}: {} must be optional: without features it has no dependency",
            package.name, other.package
        ));
    }
    for aid in built_in().filter(|other| AIDS.contains(&other.package.as_str()) && !other.is_optional) {
        faults.push(format!("{}: {} must be optional: it helps with tests", package.name, aid.package));
    }
    let tree = workspace.tree(package, AIDS);
    for name in row.never_below.iter().copied().flatten().filter(|name| tree.contains(*name)) {
        faults.push(format!("{}: {name} is in its dependency tree", package.name));
    }
    faults
}

/// One line of what was looked at.
fn describe(workspace: &Workspace, package: &Package) -> String {
    let inside = |is_dev: bool| {
        let all = package.dependencies.iter().filter(move |other| other.is_dev == is_dev);
        let mut names: Vec<&str> = all.map(|other| other.package.as_str()).collect();
        names.retain(|name| workspace.packages.contains_key(*name));
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    };
    let (tree, here, in_tests) = (workspace.tree(package, AIDS).len(), inside(false), inside(true));
    format!("{}: leans on {here}; in tests on {in_tests}; {tree} crates below", package.name)
}

#[cfg(test)]
mod tests {
    use super::table::{ROWS, Row};
    use super::{describe, faults};
    use crate::workspace::made_up::{Member, workspace};

    const RUNTIMES: &[&str] = &["tokio", "rand"];
    const ROW: Row = Row {
        package: "leaf",
        may: &[],
        may_in_tests: &[],
        never_named: &["reqwest"],
        never_below: &[RUNTIMES],
        is_pure: true,
        is_bare: false,
    };
    const TOP: Row = Row { package: "top", may: &["leaf"], may_in_tests: &["sim"], is_pure: false, ..ROW };
    const SIM: Row = Row { package: "sim", may: &["leaf"], is_pure: false, ..ROW };

    fn check(leaf: &[&str], top: &[&str], expected: &[&str]) {
        let members: [Member<'_>; 3] = [("leaf", leaf), ("top", top), ("sim", &["leaf"])];
        let strangers: [Member<'_>; 6] = [
            ("tokio", &[]),
            ("rand", &[]),
            ("reqwest", &[]),
            ("middle", &["tokio"]),
            ("serde", &[]),
            ("proptest", &["rand"]),
        ];
        let found = faults(&workspace(&members, &strangers), &[ROW, TOP, SIM]);
        assert_eq!(found, expected);
    }

    #[test]
    fn a_workspace_that_keeps_the_table_has_no_fault() {
        check(&["serde", "?proptest", "#tokio", "#leaf"], &["leaf", "#sim"], &[]);
    }

    #[test]
    fn a_leaf_that_leans_on_a_neighbour_is_a_fault() {
        check(&["sim"], &[], &["leaf: may not lean on sim; a new edge is a page in docs/decisions"]);
        check(
            &["#sim"],
            &[],
            &["leaf: may not lean on sim in its tests; a new edge is a page in docs/decisions"],
        );
    }

    #[test]
    fn what_is_for_tests_may_not_be_built_in() {
        check(&[], &["sim"], &["top: may not lean on sim; a new edge is a page in docs/decisions"]);
    }

    #[test]
    fn a_forbidden_crate_is_found_however_deep_and_however_optional() {
        check(
            &["middle"],
            &[],
            &["leaf: tokio is in its dependency tree", "sim: tokio is in its dependency tree"],
        );
        check(&[], &["?tokio"], &["top: tokio is in its dependency tree"]);
    }

    #[test]
    fn a_crate_that_may_not_be_named_may_still_lie_below() {
        check(&[], &["reqwest"], &["top: may not name reqwest in its manifest"]);
        check(&[], &["#reqwest"], &[]);
    }

    #[test]
    fn an_aid_for_tests_must_be_optional() {
        check(&["proptest"], &[], &["leaf: proptest must be optional: it helps with tests"]);
    }

    #[test]
    fn a_bare_crate_has_no_dependency_without_features() {
        let made_up = workspace(&[("leaf", &["serde", "?proptest"])], &[("serde", &[]), ("proptest", &[])]);
        let found = faults(&made_up, &[Row { is_bare: true, ..ROW }]);
        assert_eq!(found, ["leaf: serde must be optional: without features it has no dependency"]);
    }

    #[test]
    fn members_and_rows_are_the_same_packages() {
        let found = faults(&workspace(&[("leaf", &[]), ("stray", &[])], &[]), &[ROW, TOP]);
        let expected = [
            "top: a row of the table, but no member of the workspace",
            "stray: no row of the table says what it may lean on",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_of_what_was_looked_at_names_the_edges() {
        let made_up =
            workspace(&[("leaf", &[]), ("top", &["leaf", "serde", "#sim"]), ("sim", &[])], &[("serde", &[])]);
        let line = describe(&made_up, &made_up.packages["top"]);
        assert_eq!(line, "top: leans on leaf; in tests on sim; 2 crates below");
    }

    #[test]
    fn the_rows_lean_only_on_rows() {
        for name in ROWS.iter().flat_map(|row| row.may.iter().chain(row.may_in_tests)) {
            assert!(ROWS.iter().any(|row| row.package == *name), "{name} is no row");
        }
    }
}
