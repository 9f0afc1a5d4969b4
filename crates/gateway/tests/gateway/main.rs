//! The program itself, driven from outside: the real binary on loopback sockets, before simulated regions in this process.
//!
//! Every name that users' programs, files and dashboards lean on is asserted here, so that changing one breaks a test.

mod callers;
mod commands;
mod hostile;
mod lifecycle;
mod operators;
mod streams;
mod support;
