//! The program `outrigger`.
fn main() {}
