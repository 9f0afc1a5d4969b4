//! Two kinds of callers: those who ask the gateway, and those who ask their nearest region with what an SDK brings along.
//!
//! Both are of the same temper: a patient caller waits [`PATIENT`] and then gives up; an impatient one hangs up after its
//! patience and asks again at once, [`ASKS`] times in all.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    http::{Connections, Reply},
    schedule::{Draws, Question, Schedule},
    tally::{Done, End, Tally},
};

/// How long a caller waits that has no patience of its own, and says so as SDKs do.
pub(crate) const PATIENT: Duration = Duration::from_secs(10);
/// How often an impatient caller asks before it gives up.
pub(crate) const ASKS: u32 = 5;

/// OpenAI's SDKs retry twice, and wait between half a second and eight.
pub(crate) const SDK_RETRIES: i32 = 2;
const SDK_FIRST_WAIT: f64 = 0.5;
const SDK_LONGEST_WAIT: f64 = 8.0;
/// A wait that the provider names is kept up to here.
pub(crate) const SDK_LONGEST_NAMED: Duration = Duration::from_secs(60);

/// Whom callers ask.
#[derive(Debug)]
pub(super) enum Asked {
    /// A gateway, which is told where its caller stands.
    Gateway {
        /// Its API's root.
        base_url: String,
        /// The names of the places.
        regions: Vec<String>,
    },
    /// The region next to the caller, and never another.
    Nearest {
        /// The API's root of each place.
        base_urls: Vec<String>,
    },
}

/// Callers of one kind.
#[derive(Debug)]
pub(super) struct Callers {
    pub(super) asked: Asked,
    pub(super) model: &'static str,
    pub(super) connections: Connections,
    pub(super) tally: Tally,
}

impl Callers {
    /// Lets the callers of a schedule ask, each in its time from `start` on, and returns when the last has its answer.
    ///
    /// # Cancel safety
    /// Dropping the future hangs up for all who still wait; they are not counted.
    pub(super) async fn play(self: &Arc<Self>, schedule: Schedule<'_>, start: Instant) {
        let mut waiting = JoinSet::new();
        for question in schedule {
            let due = start + question.due;
            sleep_until(due).await;
            while waiting.try_join_next().is_some() {}
            let callers = Arc::clone(self);
            waiting.spawn(async move {
                let (end, hang_ups) = callers.insist(&question).await;
                callers.tally.add(&Done { act: question.act, end, hang_ups, took: due.elapsed() });
            });
        }
        while waiting.join_next().await.is_some() {}
    }

    /// Asks until there is an answer, or the caller gives up; and how often it hung up.
    async fn insist(&self, question: &Question) -> (End, u32) {
        let (patience, asks) = match question.patience {
            Some(patience) => (patience, ASKS),
            None => (PATIENT, 1),
        };
        for hang_ups in 0..asks {
            if let Ok(reply) = timeout(patience, self.ask(question)).await {
                return (judge(reply), hang_ups);
            }
        }
        (End::Failed { why: format!("no answer within {patience:?}, asked {asks} times") }, asks)
    }

    async fn ask(&self, question: &Question) -> Reply {
        match &self.asked {
            Asked::Gateway { base_url, regions } => {
                let near = regions.get(question.place).map(String::as_str);
                self.connections.ask(base_url, self.model, question, near).await
            }
            Asked::Nearest { base_urls } => {
                let base_url = base_urls.get(question.place).map_or("", String::as_str);
                self.ask_like_an_sdk(base_url, question).await
            }
        }
    }

    async fn ask_like_an_sdk(&self, base_url: &str, question: &Question) -> Reply {
        let mut draws = Draws::new(question.draw);
        let mut retries = 0;
        loop {
            let reply = self.connections.ask(base_url, self.model, question, None).await;
            let Some(named) = may_retry(&reply).filter(|_| retries < SDK_RETRIES) else { return reply };
            sleep(named.unwrap_or_else(|| sdk_wait(retries, draws.unit()))).await;
            retries += 1;
        }
    }
}

/// Whether an SDK would retry, and the wait that the provider named.
fn may_retry(reply: &Reply) -> Option<Option<Duration>> {
    match reply {
        Reply::Refused { status, retry_after, .. } => {
            let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS];
            (passing.contains(status) || status.is_server_error())
                .then(|| retry_after.filter(|wait| !wait.is_zero() && *wait <= SDK_LONGEST_NAMED))
        }
        Reply::Broken { .. } => Some(None),
        Reply::Whole { .. } | Reply::Truncated { .. } => None,
    }
}

/// The wait before a retry: doubling, and up to a quarter less by `draw`, a number in `[0, 1)`.
pub(crate) fn sdk_wait(retries: i32, draw: f64) -> Duration {
    Duration::from_secs_f64(
        (SDK_FIRST_WAIT * 2_f64.powi(retries)).min(SDK_LONGEST_WAIT) * (1.0 - 0.25 * draw),
    )
}

fn judge(reply: Reply) -> End {
    match reply {
        Reply::Whole { region } => End::Answered { region },
        Reply::Truncated { why } => End::Truncated { why },
        Reply::Refused { status, body, .. } => End::Failed { why: format!("{status}: {body}") },
        Reply::Broken { why } => End::Failed { why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, wait: Option<u64>) -> Reply {
        let status = StatusCode::from_u16(status).unwrap();
        Reply::Refused { status, retry_after: wait.map(Duration::from_secs), body: String::new() }
    }

    #[test]
    fn the_naive_client_retries_what_an_sdk_retries() {
        for status in [408, 409, 429, 500, 503, 529] {
            assert_eq!(may_retry(&refused(status, Some(2))), Some(Some(Duration::from_secs(2))), "{status}");
        }
        assert_eq!(may_retry(&refused(429, Some(61))), Some(None));
        assert_eq!(may_retry(&Reply::Broken { why: String::new() }), Some(None));
        assert_eq!(may_retry(&refused(400, None)), None);
        assert_eq!(may_retry(&Reply::Truncated { why: String::new() }), None);
    }

    #[test]
    fn its_waits_double_up_to_eight_seconds_less_a_quarter() {
        let waits = [0, 1, 4, 9].map(|retries| sdk_wait(retries, 0.0));
        assert_eq!(waits, [0.5, 1.0, 8.0, 8.0].map(Duration::from_secs_f64));
        assert!(sdk_wait(0, 0.999) > Duration::from_millis(375));
    }
}
