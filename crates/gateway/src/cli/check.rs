//! `outrigger check`: is a configuration sound, and if not, where and why; with `--probe`, is everybody there.

use std::{
    path::{Path as FilePath, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args as ClapArgs;
use outrigger::{
    Config,
    config::{Document, Fault, Path},
    reach::{Credential, Finding, reach},
    transport::ReqwestTransport,
};
use serde::Serialize;

use super::{Env, Failed, block_on, bytes_or_stdin, duration, out, paint::Paint, text};
use crate::{file::File, fleet};

/// Validate a configuration file
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The file; `-` for standard input
    #[arg(env = "OUTRIGGER_CONFIG")]
    file: PathBuf,
    /// Ask every endpoint too: is it there, does it take the key, has it the models; nothing is billed
    #[arg(long)]
    probe: bool,
    /// How long each endpoint has to answer
    #[arg(long, env = "OUTRIGGER_PROBE_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Verdict<'a> {
    file: &'a str,
    ok: bool,
    faults: &'a [Fault],
    warnings: Vec<&'a Fault>,
    /// What was found where; absent unless it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints: Option<Vec<Finding>>,
    /// What was found of the Redis that replicas share; absent unless there is one and it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<fleet::Finding>,
}

pub(super) fn run(args: &Args, env: Env<'_>) -> Result<ExitCode, Failed> {
    let (bytes, name) = bytes_or_stdin(&args.file);
    let checked = match text(bytes?) {
        Ok(text) => File::read(&text, &name, env).and_then(|file| match unkept(&file.settings.state_dir) {
            Some(fault) => Err(Document::parse(&text, &name, env)?.place(fault).into()),
            None => Ok(file),
        }),
        Err(fault) => Err(Fault::new(Path::default(), format!("{name}{fault}")).into()),
    };
    let (faults, warnings): (&[Fault], Vec<&Fault>) = match &checked {
        // What `serve` would refuse is not sound, and what it warns of is said.
        Ok(file) => (file.open_listen.as_slice(), file.open_admin.iter().chain(&file.warnings).collect()),
        Err(faults) => (faults.as_slice(), Vec::new()),
    };
    let endpoints = match &checked {
        Ok(file) if args.probe => Some(block_on(probe(&file.config, args.timeout))?),
        Ok(_) | Err(_) => None,
    };
    let fleet = match &checked {
        Ok(File { fleet: Some(settings), .. }) if args.probe => {
            block_on(async { Ok(fleet::probe(settings, args.timeout).await) })?
        }
        Ok(_) | Err(_) => None,
    };
    let shares = fleet.as_ref().is_none_or(|finding| finding.ok);
    let all_well = shares && endpoints.iter().flatten().all(|finding| finding.ok);
    let verdict =
        Verdict { file: &name, ok: faults.is_empty() && all_well, faults, warnings, endpoints, fleet };
    if args.json {
        out::result(serde_json::to_string(&verdict)?);
    } else {
        verdict.tell(Paint::new(env));
    }
    Ok(if verdict.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `serve` cannot keep spend in: what is there is no folder, or lies below none.
fn unkept(state_dir: &str) -> Option<Fault> {
    let there = FilePath::new(state_dir).ancestors().find(|path| path.exists())?;
    (!there.is_dir()).then(|| {
        let message = format!("`{}` is no folder, so spend cannot be kept here", there.display());
        Fault::new(Path::new(["server", "state_dir"]), message)
    })
}

async fn probe(config: &Config, patience: Duration) -> Result<Vec<Finding>, Failed> {
    let all: usize = config.providers.iter().map(|(_, provider)| provider.regions.len()).sum();
    let progress = out::Progress::new();
    progress.show(format_args!("asking {all} endpoints"));
    let told = |done| progress.show(format_args!("asked {done} of {all} endpoints"));
    Ok(reach(config, &ReqwestTransport::new(), patience, told).await)
}

impl Verdict<'_> {
    /// One line a fault, in the form that editors jump to.
    fn tell(&self, paint: Paint) {
        for fault in self.faults {
            out::result(fault);
        }
        for warning in &self.warnings {
            out::result(format_args!("{}: {warning}", paint.odd("warning")));
        }
        for finding in self.endpoints.iter().flatten() {
            out::result(line(finding, paint));
        }
        if let Some(fleet::Finding { redis, ok, took_ms, message }) = &self.fleet {
            let verdict = if *ok { paint.good("ok") } else { paint.bad("failed") };
            let message = message.as_ref().map_or_else(String::new, |message| format!(", {message}"));
            out::result(format_args!("fleet {redis}: {verdict}, {took_ms} ms{message}"));
        }
        let sound = match (self.faults, self.ok) {
            ([], _) => paint.good("sound"),
            _ => paint.bad("not sound"),
        };
        let (faults, warnings) = (count(self.faults.len(), "fault"), count(self.warnings.len(), "warning"));
        let endpoints = match &self.endpoints {
            Some(findings) => {
                let failed = findings.iter().filter(|finding| !finding.ok).count();
                let said = format!("{} of {} failed", failed, count(findings.len(), "endpoint"));
                format!(", {}", if failed == 0 { paint.good(said) } else { paint.bad(said) })
            }
            None => String::new(),
        };
        out::result(format_args!("{}: {sound}, {faults}, {warnings}{endpoints}", self.file));
    }
}

/// An endpoint on a line.
fn line(finding: &Finding, paint: Paint) -> String {
    let Finding { provider, region, url, ok, tls, status, credential, models, took_ms, message, .. } =
        finding;
    let mut facts = vec![if *ok { paint.good("ok") } else { paint.bad("failed") }];
    facts.extend(status.map(|status| format!("status {status}")));
    facts.extend(took_ms.map(|took| format!("{took} ms")));
    facts.extend(tls.filter(|tls| *tls).map(|_| "tls ok".to_owned()));
    facts.extend(match credential {
        Credential::Accepted => Some("key accepted".to_owned()),
        Credential::Refused => Some("key refused".to_owned()),
        _ => None,
    });
    let there =
        models.iter().filter(|model| model.there == Some(true)).map(|model| format!("`{}`", model.model));
    let there: Vec<String> = there.collect();
    if !there.is_empty() {
        facts.push(format!("has {}", there.join(", ")));
    }
    facts.extend(message.clone());
    format!("{provider}/{region} {url}: {}", facts.join(", "))
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
