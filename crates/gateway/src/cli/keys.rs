//! `outrigger keys`: callers' keys are made here, and kept nowhere.

use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};
use serde::Serialize;

use super::{Failed, out};
use crate::auth::{entry::check_name, mint::Minted};

/// Make keys for callers
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print a new key, once, and its entry for the configuration file
    New(New),
}

#[derive(Debug, ClapArgs)]
struct New {
    /// The name that the key has in the file, in logs and in accounts
    #[arg(value_parser = name)]
    name: String,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn name(text: &str) -> Result<String, &'static str> {
    check_name(text).map(|()| text.to_owned())
}

#[derive(Serialize)]
struct Made<'a> {
    name: &'a str,
    key: &'a str,
    hash: String,
    entry: String,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failed> {
    let Verb::New(New { name, json }) = &args.verb;
    let minted = Minted::new()?;
    let hash = minted.digest().to_string();
    let entry = entry(name, &hash);
    let made = Made { name, key: minted.expose(), hash, entry };
    if *json {
        out::result(serde_json::to_string(&made)?);
        return Ok(ExitCode::SUCCESS);
    }
    out::note("the key, for its caller alone; it is shown this once and kept nowhere:");
    out::result(format_args!("{}\n", made.key));
    out::note("its entry for the configuration file:");
    out::result(made.entry.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// The table for the file, with what may be said of it.
fn entry(name: &str, hash: &str) -> String {
    // A checked name needs no escapes; a dot or an at sign needs quotes.
    let quote = if name.contains(['.', '@']) { "\"" } else { "" };
    format!(
        "[keys.{quote}{name}{quote}]\nhash = \"{hash}\"\n# models = [\"chat\"]\n# requests_per_minute = 600\n\
         # tokens_per_minute = 200000\n# budget_usd = {{ amount = 50.0, every = \"30d\" }}\n"
    )
}
