//! The matrix of faults: every cell keeps its promise.

#[path = "../examples/faults/matrix/mod.rs"]
mod matrix;

/// **Every fault, no failed request.** Plain and streamed, one region or several or another tier, one call or two hundred at
/// once: with a healthy deployment left callers get whole answers and the sick region is asked at most once by each; with none
/// left they get an honest error, early, and there is no storm. docs/faults.md shows the numbers.
#[test]
fn every_fault_keeps_its_promise() {
    let table = matrix::measured().unwrap();
    assert!(matrix::page(&table).lines().count() > table.len() / 2, "two cells stand in a row");
    let broken = matrix::broken(&table);
    assert!(broken.is_empty(), "{} cells break their promise:\n{}", broken.len(), broken.join("\n"));
}
