//! Whoever watches the client from here: the metrics, and the listeners of `/events`.
//!
//! It must exist before the client, which takes its observers when it is built.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use outrigger::{News, Notice, Observer, Route};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::{
    chronicle::Chronicle,
    clerk::{Clerk, Subject},
    metrics::Metrics,
    story::Story,
};

/// A listener that is further behind than this misses events, and is told how many.
const BACKLOG: usize = 1024;

/// Metrics and events of one client. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    metrics: Arc<Metrics>,
    events: broadcast::Sender<Bytes>,
    /// Held while an event is entered and sent, so that whoever comes hears each once.
    chronicle: Arc<Mutex<Chronicle>>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            metrics: Arc::new(Metrics::new()),
            events: broadcast::Sender::new(BACKLOG),
            // No program begins a thousand lines in each millisecond, so the next start's numbers are above this one's.
            chronicle: Arc::new(Mutex::new(Chronicle::new(wall_ms().saturating_mul(1000)))),
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn chronicle(&self) -> MutexGuard<'_, Chronicle> {
        self.chronicle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered, and all events from now on; each a whole frame of an event stream.
    pub(crate) fn listen(&self) -> (Vec<Bytes>, broadcast::Receiver<Bytes>) {
        let chronicle = self.chronicle();
        let past = chronicle.lines().map(|line| line.frame(true).into()).collect();
        let live = self.events.subscribe();
        drop(chronicle);
        (past, live)
    }

    /// Counts a reload by its result, and tells of it.
    pub(crate) fn reloaded(&self, result: &'static str, facts: &Value) {
        self.metrics.reloaded(result);
        self.tell("reload", facts);
    }

    /// Remembers what happened, and tells it to those who listen, whatever the client knows of it.
    pub(crate) fn tell(&self, name: &'static str, data: &Value) {
        let facts = data.to_string();
        let mut chronicle = self.chronicle();
        let line = chronicle.enter(name, facts, wall_ms());
        if self.events.receiver_count() > 0 {
            // Nobody listens any more: then nobody misses it.
            drop(self.events.send(line.frame(false).into()));
        }
        drop(chronicle);
    }
}

impl Observer for Watch {
    fn notice(&self, notice: &Notice) {
        self.metrics.notice(notice);
        if let Some((name, data)) = event(notice) {
            self.tell(name, &data);
        }
    }
}

impl Clerk for Watch {
    fn closed(&self, subject: &Subject, story: &Story) {
        self.metrics.closed(subject, story);
    }

    fn turned_away(&self, _: SocketAddr, _: Duration) {
        self.metrics.turned_away();
    }
}

/// Milliseconds since 1970.
fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What operators want to see as it happens: changes, not every call.
pub(crate) fn event(notice: &Notice) -> Option<(&'static str, Value)> {
    match notice {
        Notice::Transition { route, from, to, reason, .. } => {
            let Route { provider, region, model, .. } = route;
            let facts = json!({
                "provider": **provider, "region": **region, "model": **model,
                "from": from.as_str(), "to": to.as_str(), "reason": reason.map(|reason| reason.as_str()),
            });
            Some(("transition", facts))
        }
        Notice::Failover { model, from, to, class, .. } => {
            let (from, to) = (from.to_string(), to.to_string());
            Some(("failover", json!({"model": **model, "from": from, "to": to, "class": class.as_str()})))
        }
        Notice::TakenOut { route, class, back_in, .. } => {
            let Route { provider, region, model, .. } = route;
            let facts = json!({
                "provider": **provider, "region": **region, "model": **model,
                "class": class.as_str(), "back_in_s": back_in.map(|wait| wait.as_secs()),
            });
            Some(("taken_out", facts))
        }
        Notice::Rescue { model, from, to, class, result, .. } => {
            let (from, to) = (from.to_string(), to.as_ref().map(Route::to_string));
            let facts = json!({
                "model": **model, "from": from, "to": to, "class": class.as_str(), "result": result.as_str(),
            });
            Some(("rescue", facts))
        }
        Notice::Hearsay { news, .. } => {
            let Route { provider, region, model, .. } = news.route();
            let (news, wait) = match news {
                News::CoolDown { wait, .. } => ("cooldown", Some(wait.as_secs_f64())),
                _ => ("tripped", None),
            };
            let facts = json!({
                "provider": **provider, "region": **region, "model": **model, "news": news, "cooldown_s": wait,
            });
            Some(("hearsay", facts))
        }
        Notice::FailoverAdvised { route, .. } => {
            let Route { provider, region, model, .. } = route;
            Some(("failover_advised", json!({"provider": **provider, "region": **region, "model": **model})))
        }
        _ => None,
    }
}
