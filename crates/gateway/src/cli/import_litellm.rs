//! `outrigger import-litellm`: a LiteLLM configuration in, ours out.

use std::{path::PathBuf, process::ExitCode};

use clap::Args as ClapArgs;

use super::{Failed, bytes_or_stdin, out, text};
use crate::{file::File, litellm};

/// Turn a LiteLLM configuration into one of ours, on standard output
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The YAML file; `-` for standard input
    file: PathBuf,
    /// Print one JSON document: the configuration, and what has no counterpart
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failed> {
    let (bytes, name) = bytes_or_stdin(&args.file);
    let yaml = text(bytes?).map_err(|fault| format!("{name}{fault}"))?;
    let imported = litellm::import(&yaml, &name)?;
    if args.json {
        out::result(serde_json::to_string(&imported)?);
    } else {
        out::result(imported.config.trim_end());
    }
    // Read back as `check` would, with every variable set: what was read loosely may hold what no file of ours can.
    let doubt = File::read(&imported.config, "the result", &|name| Some(stand_in(name))).err();
    if let Some(faults) = &doubt {
        out::note(format_args!("the result wants a hand:\n{faults}"));
    }
    let noted = imported.notes.len();
    if noted > 0 {
        out::note(format_args!(
            "{noted} things have no counterpart or are to be done by hand: see the comments at the end"
        ));
    }
    out::note("next: set the variables that it names, then `outrigger check FILE --probe`");
    Ok(if doubt.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A value that could be the variable's.
fn stand_in(name: &str) -> String {
    let is_url = ["BASE", "URL", "ENDPOINT", "HOST"].iter().any(|word| name.contains(word));
    if is_url { "https://example.invalid".to_owned() } else { "x".to_owned() }
}
