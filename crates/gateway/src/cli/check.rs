//! `outrigger check`: is a configuration sound, and if not, where and why.

use std::{path::PathBuf, process::ExitCode};

use clap::Args as ClapArgs;
use outrigger::config::Fault;
use serde::Serialize;

use super::{Env, Failed, out, read};
use crate::file::File;

/// Validate a configuration file
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The file
    file: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Verdict<'a> {
    file: &'a str,
    ok: bool,
    faults: &'a [Fault],
    warnings: &'a [Fault],
}

pub(super) fn run(args: &Args, env: Env<'_>) -> Result<ExitCode, Failed> {
    let text = read(&args.file)?;
    let name = args.file.display().to_string();
    let checked = File::read(&text, &name, env);
    let (faults, warnings): (&[Fault], &[Fault]) = match &checked {
        // What `serve` would refuse is not sound.
        Ok(file) => (file.open_listen.as_slice(), &file.warnings),
        Err(faults) => (faults.as_slice(), &[]),
    };
    let verdict = Verdict { file: &name, ok: faults.is_empty(), faults, warnings };
    if args.json {
        out::result(serde_json::to_string(&verdict)?);
    } else {
        verdict.tell();
    }
    Ok(if verdict.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Verdict<'_> {
    /// One line a fault, in the form that editors jump to.
    fn tell(&self) {
        for fault in self.faults {
            out::result(fault);
        }
        for warning in self.warnings {
            out::result(format_args!("warning: {warning}"));
        }
        let sound = if self.ok { "sound" } else { "not sound" };
        let (faults, warnings) = (count(self.faults.len(), "fault"), count(self.warnings.len(), "warning"));
        out::result(format_args!("{}: {sound}, {faults}, {warnings}", self.file));
    }
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
