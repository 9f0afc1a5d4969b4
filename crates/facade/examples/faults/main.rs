//! Prints docs/faults.md: what callers get and what providers receive under each fault, measured in virtual time.
//!
//! `cargo xtask faults` writes the page. A cell that breaks its promise is told, and the exit status says so.

mod matrix;

#[expect(clippy::print_stdout, reason = "the page is what this program is for")]
fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let table = matrix::measured()?;
    print!("{}", matrix::page(&table));
    let broken = matrix::broken(&table);
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n").into()) }
}
