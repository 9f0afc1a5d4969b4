//! The matrix of faults: every cell keeps its promise, and docs/faults.md shows what is measured.

#[path = "../examples/faults/matrix/mod.rs"]
mod matrix;

/// **Every fault, no failed request.** Plain and streamed, one region or several or another tier, one call or two hundred at
/// once: with a healthy deployment left callers get whole answers and the sick region is asked at most once by each; with none
/// left they get an honest error, early, and there is no storm. The page in docs shows these very numbers.
#[test]
fn every_fault_keeps_its_promise_and_the_page_shows_it() {
    let table = matrix::measured().unwrap();
    let broken = matrix::broken(&table);
    assert!(broken.is_empty(), "{} cells break their promise:\n{}", broken.len(), broken.join("\n"));
    let page = include_str!("../../../docs/faults.md");
    assert!(matrix::page(&table) == page, "docs/faults.md is not what is measured; run `cargo xtask faults`");
}
