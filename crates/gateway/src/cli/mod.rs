//! The command line: one verb a module. Flags go before the environment (`OUTRIGGER_*`), and that before the file.
//!
//! Exit status 0: done. 1: it failed, or `check` found faults. 2: wrong usage.

mod check;
mod command;
mod cordon;
mod demo;
mod explain;
mod failed;
mod import_litellm;
mod init;
mod keys;
mod manual;
mod operator;
pub(crate) mod out;
pub(crate) mod paint;
mod replay;
mod scenario;
mod schema;
mod serve;
mod sim;
mod simulate;
mod table;

use std::{
    fs,
    future::Future,
    io::{self, Read as _},
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use clap::{FromArgMatches as _, Parser, Subcommand};
use outrigger::config::MOST_BYTES;
use tracing::Level;

pub(crate) use self::failed::Failed;
use crate::{
    file::File,
    log::{self, beside},
    settings::open_admin,
};

/// Looks up a variable of the environment.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// An OpenAI-compatible gateway that stays upright when a region, a provider or a quota goes over.
#[derive(Debug, Parser)]
#[command(name = "outrigger", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Args),
    Serve(serve::Args),
    Init(init::Args),
    Check(check::Args),
    Keys(keys::Args),
    Sim(sim::Args),
    ImportLitellm(import_litellm::Args),
    /// Print the JSON Schema of the configuration file
    Schema,
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
    Explain(explain::Args),
    Replay(replay::Args),
    Simulate(simulate::Args),
    Cordon(cordon::CordonArgs),
    Uncordon(cordon::UncordonArgs),
}

/// The command line that the process was started with, and whether documents are wished; what is wrong with it ends the process here.
fn parse(env: Env<'_>) -> (Cli, bool) {
    let matches = command::whole().try_get_matches();
    let matches = matches.unwrap_or_else(|error| failed::refuse(&error, env));
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| failed::refuse(&error, env));
    (cli, failed::wants_json(&matches))
}

/// Runs the verb that the process was started with.
pub(crate) fn run(env: Env<'_>) -> ExitCode {
    let (cli, as_json) = parse(env);
    let done = match cli.verb {
        Verb::Demo(args) => demo::run(&args, env),
        Verb::Serve(args) => serve::run(&args, env),
        Verb::Init(args) => init::run(&args),
        Verb::Check(args) => check::run(&args, env),
        Verb::Keys(args) => keys::run(&args),
        Verb::Sim(args) => sim::run(&args, env),
        Verb::ImportLitellm(args) => import_litellm::run(&args),
        Verb::Schema => schema::run(),
        Verb::Completions(args) => manual::completions(&args),
        Verb::Man(args) => manual::man(&args),
        Verb::Explain(args) => explain::run(&args, env),
        Verb::Replay(args) => replay::run(&args, env),
        Verb::Simulate(args) => simulate::run(&args, env),
        Verb::Cordon(args) => cordon::cordon(&args),
        Verb::Uncordon(args) => cordon::uncordon(&args),
    };
    log::finish();
    match done {
        Ok(code) => code,
        Err(failed) => {
            failed.tell(as_json);
            ExitCode::FAILURE
        }
    }
}

/// A text file, whole.
pub(crate) fn read(path: &Path) -> Result<String, Failed> {
    Ok(text(bytes(path)?).map_err(|fault| format!("{}{fault}", path.display()))?)
}

/// A file's bytes.
fn bytes(path: &Path) -> Result<Vec<u8>, Failed> {
    all(fs::File::open(path), &path.display().to_string())
}

/// The same, and those of standard input where it is called `-`. Also the name that messages have for it.
fn bytes_or_stdin(path: &Path) -> (Result<Vec<u8>, Failed>, String) {
    if path.as_os_str() == "-" {
        let name = "stdin".to_owned();
        return (all(Ok(io::stdin()), &name), name);
    }
    (bytes(path), path.display().to_string())
}

/// All of it: what has no end is given up where no file of ours is as long.
fn all(from: io::Result<impl io::Read>, name: &str) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    from.and_then(|from| from.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read {name}: {error}"))?;
    if bytes.len() > MOST_BYTES {
        return Err(format!("{name}: it is over {} MiB, and no such file", MOST_BYTES >> 20).into());
    }
    Ok(bytes)
}

/// A configuration that a verb needs to be sound.
fn configuration(path: &Path, env: Env<'_>) -> Result<File, Failed> {
    File::read(&read(path)?, &path.display().to_string(), env).map_err(|faults| Failed::over(&faults))
}

/// The text of a file's bytes, or what is wrong with them, from behind the file's name.
fn text(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(": the file is UTF-16; save it as UTF-8".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let sound = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let sound = String::from_utf8_lossy(sound);
        let line = sound.matches('\n').count() + 1;
        let column = sound.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
        format!(":{line}:{column}: not UTF-8 from here on")
    })
}

/// Where to listen: `ADDRESS:PORT`, or the URL that it makes, so that one variable says where a gateway serves and where to ask it.
fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix("http://").unwrap_or(text);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    bare.parse().map_err(|_| "it is no address with its port, such as `127.0.0.1:8081`".to_owned())
}

/// A length of time, as flags and files write it.
fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is no length of time: `30s`, `10m`, `2h`, `1day`"))
}

/// Says it when a port without keys is open to the network.
fn warn_of_open_admin(admin: SocketAddr) {
    if let Some(open) = open_admin(admin) {
        beside::tell(Level::WARN, open);
    }
}

/// Runs a future to its end on a runtime of all cores.
///
/// What is left then is dropped and not waited for: a name's resolution may hang in the system for a minute.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}
