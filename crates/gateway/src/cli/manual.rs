//! `outrigger completions` and `outrigger man`: what the command line says of itself, for shells and for `man`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Args, Command, error::ErrorKind};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Failed, command};

/// Print the completions for a shell
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Print the manual page, of the program or of a verb (`outrigger man | man -l -`)
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The verb, and what stands below it: `keys new`
    #[arg(value_name = "VERB")]
    verbs: Vec<String>,
}

/// What clap does not know of the program.
const MORE: &str = r#".SH "EXIT STATUS"
0: done. 1: it failed, or \fBcheck\fR found faults. 2: wrong usage.
.SH ENVIRONMENT
Every flag has a variable, \fB\-\-some\-flag\fR is \fBOUTRIGGER_SOME_FLAG\fR. A flag goes before its variable, and that before the configuration file.
\fBNO_COLOR\fR turns colour off, which is for terminals only.
.SH FILES
\fBoutrigger.toml\fR: the configuration, by \fBoutrigger init\fR. \fBoutrigger schema\fR prints its JSON Schema.
"#;

pub(super) fn completions(args: &CompletionsArgs) -> Result<ExitCode, Failed> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command::whole(), "outrigger", &mut text);
    Ok(write(&text))
}

pub(super) fn man(args: &ManArgs) -> Result<ExitCode, Failed> {
    let mut whole = command::whole();
    whole.build();
    let page = args.verbs.iter().fold(whole, |above, verb| below(&above, verb));
    let mut text = Vec::new();
    // A verb has no version of its own.
    Man::new(page).source(concat!("outrigger ", env!("CARGO_PKG_VERSION"))).render(&mut text)?;
    text.extend_from_slice(MORE.as_bytes());
    Ok(write(&text))
}

/// A verb as a page of its own, `outrigger-check`, `outrigger-keys-new`.
fn below(above: &Command, verb: &str) -> Command {
    let Some(found) = above.find_subcommand(verb).cloned() else {
        let names = above.get_subcommands().map(Command::get_name).collect::<Vec<_>>().join(", ");
        let message = match names.as_str() {
            "" => format!("there is no verb `{verb}` below {}", above.get_name()),
            names => format!("there is no verb `{verb}`; there are {names}"),
        };
        command::whole().error(ErrorKind::InvalidValue, message).exit()
    };
    let title = found.get_display_name().unwrap_or(verb).to_owned();
    found.name(title)
}

/// A reader that went away is no fault of ours.
fn write(text: &[u8]) -> ExitCode {
    let mut to = io::stdout().lock();
    let written = to.write_all(text).and_then(|()| to.flush());
    drop(written);
    ExitCode::SUCCESS
}
