//! The command line as a tree: what clap makes of the verbs' arguments, and a variable of the environment for every flag.
//!
//! The rule is kept in one place, so that a new flag has its variable without a thought: `--some-flag` is `OUTRIGGER_SOME_FLAG`
//! unless the flag names another.

use clap::{ArgAction, Command, CommandFactory as _, builder::FalseyValueParser};

use super::Cli;

/// Flags that read the environment themselves, because which of two is meant depends on both: verb, flag.
const OWN_WAY: [(&str, &str); 2] = [("explain", "config"), ("explain", "admin")];

/// The whole command line.
pub(super) fn whole() -> Command {
    with_environment(Cli::command())
}

fn with_environment(verb: Command) -> Command {
    let name = verb.get_name().to_owned();
    let below: Vec<String> = verb.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    let verb = below.into_iter().fold(verb, |verb, below| verb.mut_subcommand(below, with_environment));
    verb.mut_args(|arg| {
        let Some(flag) = arg.get_long().map(str::to_owned) else { return arg.hide_env_values(true) };
        if OWN_WAY.contains(&(name.as_str(), flag.as_str())) || matches!(flag.as_str(), "help" | "version") {
            return arg;
        }
        let has_one = arg.get_env().is_some();
        let arg = match arg.get_action() {
            // `OUTRIGGER_JSON=0` says no.
            ArgAction::SetTrue => arg.value_parser(FalseyValueParser::new()),
            _ => arg,
        };
        let arg = if has_one {
            arg
        } else {
            arg.env(format!("OUTRIGGER_{}", flag.replace('-', "_").to_uppercase()))
        };
        arg.hide_env_values(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        whole().debug_assert();
    }

    #[test]
    fn every_flag_has_its_variable() {
        fn visit(verb: &Command) {
            for arg in verb.get_arguments() {
                let Some(flag) = arg.get_long() else { continue };
                let is_own = OWN_WAY.contains(&(verb.get_name(), flag)) || matches!(flag, "help" | "version");
                let variable = arg.get_env().and_then(|name| name.to_str()).unwrap_or_default();
                assert!(
                    is_own || variable.starts_with("OUTRIGGER_"),
                    "{} --{flag}: `{variable}`",
                    verb.get_name()
                );
            }
            verb.get_subcommands().for_each(visit);
        }
        visit(&whole());
    }
}
