//! What Prometheus itself says of our metrics and alerts: `promtool` reads the page of a busy gateway, checks the rules of docs/ops, and
//! runs their tests.
//!
//! The busy gateway is the demo's: after its acts everything has happened there. Where `promtool` is not on the machine, Debian's package
//! is fetched and unpacked below the target folder; nothing is installed.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::clients::build_program;
use crate::debian;
use crate::failure::{Failure, verdict};
use crate::running::Running;
use crate::shell::Step;
use crate::workspace::Workspace;

const RULES: &str = "docs/ops/alerts.yml";
const TESTS: &str = "docs/ops/alerts_test.yml";
/// What to do where `promtool` cannot be had.
const HELP: &str =
    "promtool is part of Debian's package `prometheus`; install it, or put promtool on the PATH";

/// Builds the gateway, and asks.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    run_against(workspace, &build_program(workspace)?)
}

/// Asks about a program that is already built.
pub(crate) fn run_against(workspace: &Workspace, program: &Path) -> Result<(), Failure> {
    let promtool = promtool(workspace)?;
    let ask =
        |words: &[&str]| Step::program(&workspace.root, promtool.as_os_str(), HELP).arguments(words).run();
    ask(&["check", "rules", RULES])?;
    ask(&["test", "rules", TESTS])?;
    let page = busy_page(program).map_err(|source| Failure::File { path: program.to_owned(), source })?;
    let said = check(&promtool, &page).map_err(|source| Failure::File { path: promtool.clone(), source })?;
    let looked_at = format!("promtool check metrics, on a page of {} lines", page.lines().count());
    verdict("metrics", &[looked_at], said.lines().map(str::to_owned).collect())
}

/// The tool of the machine, or one of our own.
fn promtool(workspace: &Workspace) -> Result<PathBuf, Failure> {
    if let Some(installed) = debian::path_of("promtool") {
        return Ok(installed);
    }
    let folder = workspace.target.join("prometheus");
    let own = folder.join("usr").join("bin").join("promtool");
    if !debian::works(&own) {
        debian::unpack("prometheus", &folder, HELP)?;
    }
    Ok(own)
}

/// The metrics after the demo's acts.
fn busy_page(program: &Path) -> io::Result<String> {
    const WORDS: [&str; 9] =
        ["demo", "--seconds", "8", "--json", "--keep", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    eprintln!("==> {} {}", program.display(), WORDS.join(" "));
    let child = Command::new(program).args(WORDS).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut busy = Running(child);
    let silent = || io::Error::other("the demo ended before it said where it listens");
    let progress = BufReader::new(busy.0.stderr.take().ok_or_else(silent)?);
    let report = BufReader::new(busy.0.stdout.take().ok_or_else(silent)?);
    let mut progress = progress.lines();
    let admin = progress
        .find_map(|line| Some(line.ok()?.strip_prefix("admin http://")?.to_owned()))
        .ok_or_else(silent)?;
    // Nobody is to wait for a reader of the progress.
    std::thread::spawn(move || progress.for_each(drop));
    report.lines().next().ok_or_else(silent)??;
    let mut stream = TcpStream::connect(&admin)?;
    write!(stream, "GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let page = answer.split_once("\r\n\r\n").map(|(_, page)| page.to_owned());
    page.ok_or_else(|| io::Error::other("its metrics have no head"))
}

/// What `promtool` has to say of a page: nothing, where all is well.
fn check(promtool: &Path, page: &str) -> io::Result<String> {
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(page.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Ok(if output.status.success() || !said.is_empty() { said } else { "it failed without a word".to_owned() })
}
