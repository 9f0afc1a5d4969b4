//! The project's chores, as `cargo xtask VERB`.
//!
//! Rust and not shell: the chores run wherever the project builds, and they are tested like the rest of it. A verb appears
//! with its first user. Standard output holds what a check looked at, standard error the progress of the run.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod browser;
mod ci;
mod clients;
mod debian;
mod deploy;
mod failure;
mod faults;
mod fleet;
mod fuzz;
mod layers;
mod metrics;
mod npm;
mod python;
mod running;
mod shell;
mod tidy;
mod workspace;

use std::process::ExitCode;

use failure::Failure;
use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask VERB
  ci [--long]   the gate: fmt, tidy, layers, clippy, docs, real clients, a real browser, tests; --long adds licences, bans, sources, cases, fuzz
  test [--long] all tests; --long draws sixteen times as many cases for those that draw them
  tidy          the rules of the house that no compiler knows
  layers        who may depend on whom
  docs          the documentation, warnings refused
  clients       real client libraries against the real gateway
  browser       the dashboard in a real Chromium; browser --screenshot takes the README's picture
  metrics       what Prometheus' promtool says of the metrics and the alerts
  fleet         two gateways and a real Redis: what is shared, and what happens when it is killed
  deploy        what hadolint, systemd and Kubernetes' schemas say of deploy/
  faults        what comes of every fault, measured and written to docs/faults.md
  fuzz          the fuzz targets of wire, a minute each";

/// Runs the verb: status 0, or 1 when it failed, or 2 when there is no such verb.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(failure)) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// `None` when the words name no verb.
fn run(words: &[&str]) -> Option<Result<(), Failure>> {
    let chore: fn(&Workspace) -> Result<(), Failure> = match words {
        ["ci"] => |workspace| ci::run(workspace, ci::Length::Short),
        ["ci", "--long"] => |workspace| ci::run(workspace, ci::Length::Long),
        ["test"] => |workspace| ci::tests(workspace, ci::Length::Short),
        ["test", "--long"] => |workspace| ci::tests(workspace, ci::Length::Long),
        ["tidy"] => tidy::run,
        ["layers"] => layers::run,
        ["docs"] => ci::docs,
        ["clients"] => clients::run,
        ["browser"] => browser::run,
        ["browser", "--screenshot"] => browser::screenshot,
        ["metrics"] => metrics::run,
        ["fleet"] => fleet::run,
        ["deploy"] => deploy::run,
        ["faults"] => faults::run,
        ["fuzz"] => fuzz::run,
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return Some(Ok(()));
        }
        _ => return None,
    };
    Some(Workspace::load().and_then(|workspace| chore(&workspace)))
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn an_unknown_verb_is_wrong_usage() {
        for words in [&[][..], &["tidi"], &["ci", "--log"], &["tidy", "--long"]] {
            assert!(run(words).is_none(), "{words:?} was taken for a verb");
        }
    }
}
