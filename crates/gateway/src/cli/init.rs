//! `outrigger init`: a configuration to begin with.

use std::{fs::OpenOptions, io::Write, path::PathBuf, process::ExitCode};

use clap::Args as ClapArgs;
use serde::Serialize;

use super::{Failed, out};

/// What is written: every table and option, with its default and a word on it.
const TEMPLATE: &str = include_str!("init.toml");

/// Write a commented configuration to begin with
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The file to write; `-` for standard output
    #[arg(default_value = "outrigger.toml")]
    file: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    /// Print one JSON document: the file, and what was written into it
    #[arg(long)]
    json: bool,
}

/// What was written, and where.
#[derive(Serialize)]
struct Written<'a> {
    /// None where it was only to be shown.
    file: Option<&'a str>,
    config: &'static str,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failed> {
    let name = args.file.display().to_string();
    let file = Some(name.as_str()).filter(|name| *name != "-");
    if let Some(file) = file {
        write(args, file)?;
    }
    match file {
        _ if args.json => out::result(serde_json::to_string(&Written { file, config: TEMPLATE })?),
        Some(file) => tell_next(file),
        None => out::result(TEMPLATE.trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

fn write(args: &Args, file: &str) -> Result<(), Failed> {
    let mut options = OpenOptions::new();
    options.write(true);
    if args.force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let written = options.open(&args.file).and_then(|mut to| to.write_all(TEMPLATE.as_bytes()));
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(format!("{file} is there already; name another file, or write over it with --force").into())
        }
        Err(error) => Err(format!("cannot write {file}: {error}").into()),
    }
}

fn tell_next(file: &str) {
    out::note(format_args!(
        "wrote {file}; next:\n  \
         export OPENAI_API_KEY=...                  the key, or change the provider\n  \
         outrigger check {file} --probe\n  \
         outrigger serve --config {file}\n  \
         curl localhost:8080/v1/chat/completions -H 'content-type: application/json' \\\n    \
         -d '{{\"model\": \"chat\", \"messages\": [{{\"role\": \"user\", \"content\": \"ahoy\"}}]}}'"
    ));
}

#[cfg(test)]
mod tests {
    use outrigger::Config;

    use super::TEMPLATE;
    use crate::{file::File, settings::Settings};

    fn read(text: &str) -> File {
        File::read(text, "outrigger.toml", &|_| None).unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// With every option taken in.
    fn uncommented() -> String {
        let line = |line: &str| match line.strip_prefix('#') {
            Some(option) if option.starts_with(|first: char| first.is_ascii_lowercase() || first == '[') => {
                option.to_owned()
            }
            Some(target) if target.starts_with("  {") => target.to_owned(),
            _ => line.to_owned(),
        };
        TEMPLATE.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn it_is_sound_without_any_variable_and_has_nothing_to_warn_of() {
        assert_eq!(read(TEMPLATE).warnings, []);
    }

    #[test]
    fn each_option_that_it_shows_is_one() {
        let text = uncommented();
        assert!(
            !text.lines().any(|line| line.starts_with('#') && !line.starts_with("# ") && line != "#"),
            "{text}"
        );
        let all = read(&text);
        assert!(
            all.config.providers.len() == 2 && all.config.models.len() == 1 && all.config.near.len() == 1
        );
    }

    /// Fails if a default is changed and not told here.
    #[test]
    fn the_defaults_that_it_shows_are_the_defaults() {
        let all = read(&uncommented().replace("region = \"us\"", ""));
        assert_eq!(all.settings, Settings::default());
        let (shown, default) = (all.config, Config::default());
        assert_eq!(shown.timeouts, default.timeouts);
        assert_eq!((shown.retry, shown.hedge), (default.retry, default.hedge));
        assert_eq!((shown.breaker, shown.routing), (default.breaker, default.routing));
    }
}
