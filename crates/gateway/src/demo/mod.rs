//! `outrigger demo`: the gateway before simulated regions that fall sick, with callers who want answers all the same.
//!
//! One process plays a scenario twice at once, on real sockets. In one world callers ask a gateway; in another one of the same
//! seed and the same faults they ask the region next to them, with the retries that an SDK brings along. The worlds are two so
//! that neither client's calls use up the other's quotas. [`schedule`] says who asks when, [`callers`] ask, [`http`] judges the
//! answers, [`tally`], [`census`] and [`ledger`] count, [`report`] tells.
//!
//! What chance decides follows from the seed: arrivals, texts, faults, latencies. The scheduling of threads does not, so two
//! runs agree in what is asked and differ a little in their times.

pub(crate) mod callers;
mod census;
mod http;
mod ledger;
mod report;
pub(crate) mod schedule;
mod stage;
mod tally;

use std::{
    convert::Infallible, io::IsTerminal, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration,
};

use sim::Scenario;
use tokio::time::{Instant, interval_at};

use self::{
    callers::{Asked, Callers},
    census::Census,
    http::Connections,
    report::{Report, Side},
    schedule::{Schedule, act_at},
    stage::Stage,
    tally::Tally,
};
use crate::{
    cli::{Failed, out},
    signals::Signals,
};

/// The public model's name, and the provider's.
const MODEL: &str = "gpt-4.1";

/// What is played, and how it is told.
#[derive(Debug)]
pub(crate) struct Play {
    /// The regions, what befalls them, and the acts.
    pub(crate) scenario: Scenario,
    /// How long callers ask.
    pub(crate) length: Duration,
    /// Where the gateway listens.
    pub(crate) listen: SocketAddr,
    /// Where its operators come in.
    pub(crate) admin: SocketAddr,
    /// One JSON document instead of a table and of progress.
    pub(crate) json: bool,
    /// Whether to go on serving after the last act.
    pub(crate) keep: bool,
}

/// Plays it, and reports. The exit status is a failure's when any caller was left without a whole answer.
///
/// # Errors
/// What keeps the stage from being set: no port, or a system out of something else.
pub(crate) async fn run(play: &Play) -> Result<ExitCode, Failed> {
    let mut signals = Signals::listen()?;
    let stage = Stage::set(play).await?;
    stage.announce(play.json);
    let scenario = &play.scenario;
    let acts = scenario.acts.len();
    let asked = Asked::Gateway { base_url: stage.base_url(), regions: stage.regions() };
    let ours = troupe(asked, acts);
    let theirs = troupe(Asked::Nearest { base_urls: stage.naive_base_urls()? }, acts);

    let start = Instant::now();
    stage.begin(scenario)?;
    let mut our_census = Census::new(stage.world().clone(), scenario, play.length);
    let mut their_census = Census::new(stage.naive_world().clone(), scenario, play.length);
    let all = async {
        tokio::join!(
            ours.play(Schedule::new(scenario, play.length), start),
            theirs.play(Schedule::new(scenario, play.length), start),
            our_census.take(start),
            their_census.take(start),
        );
    };
    let interrupted = tokio::select! {
        () = all => false,
        () = signals.next() => true,
        never = progress(play, &stage, start, [&ours.tally, &theirs.tally]) => match never {},
    };

    let lasted = start.elapsed().min(play.length);
    our_census.close();
    their_census.close();
    let ours = Side { book: ours.tally.read(), census: our_census };
    let theirs = Side { book: theirs.tally.read(), census: their_census };
    let report = Report::new(scenario, lasted, &ours, &theirs, &stage.accounts());
    if play.json {
        out::result(serde_json::to_string(&report)?);
    } else {
        out::result(&report);
    }
    for reason in &ours.book.reasons {
        out::note(format_args!("a caller got no whole answer: {reason}"));
    }
    if play.keep && !interrupted {
        out::note("all is well again, and the gateway serves until Ctrl-C");
        signals.next().await;
    }
    stage.strike(&mut signals).await;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn troupe(asked: Asked, acts: usize) -> Arc<Callers> {
    Arc::new(Callers { asked, model: MODEL, connections: Connections::new(), tally: Tally::new(acts) })
}

/// Tells once a second how it stands, to whoever sits at a terminal.
async fn progress(play: &Play, stage: &Stage, start: Instant, [ours, theirs]: [&Tally; 2]) -> Infallible {
    if play.json || !std::io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let second = Duration::from_secs(1);
    let mut ticks = interval_at(start + second, second);
    let mut told = Told::default();
    loop {
        let elapsed = (ticks.tick().await - start).min(play.length);
        let act = act_at(&play.scenario.acts, elapsed).and_then(|act| play.scenario.acts.get(act));
        let act = act.map_or("", |act| act.name.as_str());
        let (ours, theirs) = (ours.read().total, theirs.read().total);
        let (requests, lost, p99) = (ours.requests(), ours.failed + ours.truncated, ours.percentile_ms(99));
        let naive = theirs.failed + theirs.truncated;
        let seconds = elapsed.as_secs();
        let line = format!(
            "{seconds:>4} s  {act:<25}  {requests:>6} requests  {lost:>3} failed (naive {naive:>4})  p99 {p99:>7} ms  {}",
            stage.troubles()
        );
        if let Some(news) = told.news(line) {
            out::note(news);
        }
    }
}

/// The line that was told last.
#[derive(Debug, Default)]
struct Told(String);

impl Told {
    /// The line, unless it is the last one again: while the last callers wait for their answers, nothing moves.
    fn news(&mut self, line: String) -> Option<&str> {
        (line != self.0).then(|| {
            self.0 = line;
            self.0.as_str()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_once_while_nothing_moves() {
        let mut told = Told::default();
        let lines = ["7 s", "8 s", "8 s", "8 s", "8 s, 1 failed", "8 s"].map(str::to_owned);
        let news: Vec<_> = lines.into_iter().filter_map(|line| told.news(line).map(str::to_owned)).collect();
        assert_eq!(news, ["7 s", "8 s", "8 s, 1 failed", "8 s"]);
    }
}
