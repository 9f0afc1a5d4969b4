//! The rules for source files: how they open, how long they grow, what they never hold.

use crate::tidy::source::Source;

/// A file or function that may be longer than the rule, and the reason why it is better whole.
#[derive(Debug)]
pub(super) struct Long {
    /// `path`, or `path: name` for a function.
    pub(super) what: &'static str,
    #[expect(dead_code, reason = "read by people: an exception without a reason does not compile")]
    pub(super) reason: &'static str,
}

/// Files whose body is longer than [`FILE_LINES`].
pub(super) const LONG_FILES: &[Long] = &[];
/// Functions longer than [`FUNCTION_LINES`].
pub(super) const LONG_FUNCTIONS: &[Long] = &[];

/// A file holds one idea; past this many lines of body it holds two.
const FILE_LINES: usize = 400;
/// A function fits on a screen.
const FUNCTION_LINES: usize = 70;

/// Starts of absolute paths into somebody's own machine, in pieces so that this file keeps its own rule.
const OWN_PLACES: &[&str] =
    &[concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/"), concat!("C:\\", "Users")];

/// Paths of the writer's machine: they mean nothing on the reader's.
pub(super) fn places(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in source.lines() {
        for place in OWN_PLACES.iter().filter(|place| line.contains(**place)) {
            faults.push(format!("{}:{number}: `{place}` is a path of one machine", source.path));
        }
    }
    faults
}

/// How a Rust file opens, and what its tests never are.
pub(super) fn layout(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    if !source.lines().next().is_some_and(|(_, line)| line.starts_with("//! ")) {
        faults.push(format!("{}:1: does not open with `//!` and its idea", source.path));
    }
    for (number, line) in source.lines() {
        let code = line.trim_start();
        if code.starts_with(concat!("#[ign", "ore")) {
            faults.push(format!("{}:{number}: a test that is ignored proves nothing", source.path));
        }
        if name(code).is_some_and(|name| name.starts_with(concat!("te", "st_"))) {
            faults.push(format!("{}:{number}: a test's name is a rule in the present tense", source.path));
        }
    }
    faults
}

/// Files and functions that have outgrown the rule without a reason, and reasons that nothing needs any more.
pub(super) fn lengths(sources: &[Source], files: &[Long], functions: &[Long]) -> Vec<String> {
    let mut long = Vec::new();
    let mut faults = Vec::new();
    for source in sources {
        let lines = source.body().count();
        if lines > FILE_LINES {
            long.push((source.path.clone(), lines, FILE_LINES, files));
        }
        for (name, lines) in functions_of(source) {
            if lines > FUNCTION_LINES {
                long.push((format!("{}: {name}", source.path), lines, FUNCTION_LINES, functions));
            }
        }
    }
    for (what, lines, limit, exceptions) in &long {
        if !exceptions.iter().any(|exception| exception.what == what) {
            faults.push(format!("{what}: {lines} lines, and {limit} are allowed"));
        }
    }
    for exception in files.iter().chain(functions) {
        if !long.iter().any(|(what, ..)| what == exception.what) {
            faults.push(format!("{}: excused for its length, and not long", exception.what));
        }
    }
    faults
}

/// The functions of a file and their lines, from the signature to the brace in the same column.
fn functions_of(source: &Source) -> Vec<(String, usize)> {
    let mut open: Vec<(usize, usize, String)> = Vec::new();
    let mut functions = Vec::new();
    for (number, line) in source.lines() {
        let code = line.trim_start();
        let column = line.len() - code.len();
        if open.last().is_some_and(|(_, start, _)| *start == column) && (code == "}" || code.ends_with(';')) {
            // A `;` in the column of the `fn` ends a signature without a body.
            if let Some((first, _, name)) = open.pop() {
                functions.push((name, number - first + 1));
            }
        }
        if let Some(name) = name(code).filter(|_| !code.ends_with(['}', ';'])) {
            open.push((number, column, name.to_owned()));
        }
    }
    functions
}

/// The name of the function whose signature starts on this line.
fn name(code: &str) -> Option<&str> {
    const BEFORE: &[&str] = &["pub ", "pub(crate) ", "pub(super) ", "const ", "async "];
    let mut rest = code;
    while let Some(shorter) = BEFORE.iter().find_map(|word| rest.strip_prefix(word)) {
        rest = shorter;
    }
    rest.strip_prefix("fn ")?.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::{Long, functions_of, layout, lengths, name, places};
    use crate::tidy::source::Source;

    fn source(text: &str) -> Source {
        Source::new("a.rs", text)
    }

    #[test]
    fn a_file_opens_with_its_idea() {
        assert!(layout(&source("//! One idea.\n")).is_empty());
        for text in ["", "use std;\n", "// A comment.\n", "//!\n"] {
            assert_eq!(layout(&source(text)), ["a.rs:1: does not open with `//!` and its idea"], "{text:?}");
        }
    }

    #[test]
    fn a_path_of_one_machine_is_a_fault() {
        let found = places(&source(concat!("fine\nsee /ho", "me/ada/notes\n")));
        assert_eq!(found, [concat!("a.rs:2: `/ho", "me/` is a path of one machine")]);
    }

    #[test]
    fn an_ignored_test_is_a_fault() {
        let text = concat!("//! A.\n    #[ign", "ore = \"slow\"]\n");
        assert_eq!(layout(&source(text)), ["a.rs:2: a test that is ignored proves nothing"]);
    }

    #[test]
    fn a_test_that_is_named_after_itself_is_a_fault() {
        let text = concat!("//! A.\nasync fn te", "st_it() {}\nfn testing() {}\n");
        assert_eq!(layout(&source(text)), ["a.rs:2: a test's name is a rule in the present tense"]);
    }

    #[test]
    fn a_file_grows_to_its_limit_and_no_further() {
        let just = source(&"// line\n".repeat(400));
        let over = source(&"// line\n".repeat(401));
        assert!(lengths(&[just], &[], &[]).is_empty());
        assert_eq!(lengths(&[over], &[], &[]), ["a.rs: 401 lines, and 400 are allowed"]);
    }

    #[test]
    fn inline_tests_do_not_count_towards_a_files_length() {
        let text = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    // line\n".repeat(500));
        assert!(lengths(&[source(&text)], &[], &[]).is_empty());
    }

    #[test]
    fn a_function_grows_to_its_limit_and_no_further() {
        let function =
            |lines: usize| format!("    fn f(\n    ) {{\n{}    }}\n", "        g();\n".repeat(lines - 3));
        assert!(lengths(&[source(&function(70))], &[], &[]).is_empty());
        assert_eq!(lengths(&[source(&function(71))], &[], &[]), ["a.rs: f: 71 lines, and 70 are allowed"]);
    }

    #[test]
    fn a_reason_excuses_length_and_nothing_else_uses_it() {
        let over = || [source(&"// line\n".repeat(401))];
        let excuse = [Long { what: "a.rs", reason: "made up" }];
        assert!(lengths(&over(), &excuse, &[]).is_empty());
        assert_eq!(lengths(&over(), &[], &excuse).len(), 1, "a function's reason excused a file");
        assert_eq!(lengths(&[], &excuse, &[]), ["a.rs: excused for its length, and not long"]);
    }

    #[test]
    fn nested_functions_and_bare_signatures_are_told_apart() {
        let text = "trait T {\n    fn a();\n    fn b(\n    );\n}\nfn c() {\n    fn d() {\n    }\n}\n";
        let found = functions_of(&source(text));
        assert_eq!(found, [("b".to_owned(), 2), ("d".to_owned(), 2), ("c".to_owned(), 4)]);
    }

    #[test]
    fn a_signature_is_known_by_its_words() {
        assert_eq!(name("pub(crate) const fn f<T>(t: T) {"), Some("f"));
        assert_eq!(name("let fn_like = f();"), None);
    }
}
