//! What all calls of a client share: the engine behind a short lock, the transport, the clock, the dice, the watchers.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime},
};

use breaker::Gate;
use tokio::sync::Notify;
use transport::Transport;

use crate::{
    config::Config,
    engine::{Action, CallId, Engine, Event, Plan},
    error::BuildError,
    memory::Memory,
    nudges::{Listener, Nudges},
    observe::{Notice, Observer},
    room::Holding,
};

/// Makes a gate of the user's own.
pub(crate) type MakeGate = dyn Fn() -> Box<dyn Gate> + Send + Sync;

/// The state behind a [`Client`](crate::Client) and all its calls and streams.
pub(crate) struct Shared {
    engine: Mutex<Engine>,
    memory: Mutex<Memory>,
    /// What new calls and new attempts go by. Swapped while the engine is locked, so that it is never older than the engine's.
    plan: Mutex<Arc<Plan>>,
    pub transport: Arc<dyn Transport>,
    pub holding: Holding,
    pub max_in_progress: usize,
    observers: Vec<Arc<dyn Observer>>,
    nudges: Nudges,
    draws: AtomicU64,
    calls: AtomicU64,
    /// One instant in both times. The wall clock is read once; later readings are this plus the monotonic time since, so
    /// that paused time steers both.
    epoch: (Instant, SystemTime),
    closing: AtomicBool,
    in_progress: AtomicUsize,
    idle: Notify,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("in_progress", &self.in_progress).finish_non_exhaustive()
    }
}

/// The runtime's clock: `tokio::time::pause` steers it, and through it every machine.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Shared {
    pub(crate) fn new(
        engine: Engine,
        transport: Arc<dyn Transport>,
        observers: Vec<Arc<dyn Observer>>,
        seed: u64,
        holding: Holding,
        max_in_progress: usize,
        epoch: (Instant, SystemTime),
    ) -> Self {
        Self {
            plan: Mutex::new(Arc::clone(engine.plan())),
            engine: Mutex::new(engine),
            memory: Mutex::default(),
            transport,
            holding,
            max_in_progress,
            observers,
            nudges: Nudges::default(),
            draws: AtomicU64::new(seed),
            calls: AtomicU64::new(0),
            epoch,
            closing: AtomicBool::new(false),
            in_progress: AtomicUsize::new(0),
            idle: Notify::new(),
        }
    }

    /// The engine. The lock is short and never held across an await.
    pub(crate) fn engine(&self) -> MutexGuard<'_, Engine> {
        // The engine's methods do not panic; should one, its state is still the best there is.
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan that holds now. Whoever keeps numbers keeps the plan that they are of: they are nobody else's for as long.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes by another configuration, or by the old one as before when the new one is refused.
    pub(crate) fn reload(&self, config: &Config, gate: Option<&MakeGate>) -> Result<(), BuildError> {
        let mut actions = Vec::new();
        let gate = gate.map(|gate| gate as &dyn Fn() -> Box<dyn Gate>);
        let mut engine = self.engine();
        engine.reload(config, gate, now(), &mut actions)?;
        let plan = Arc::clone(engine.plan());
        // A number that is given to something new is not who gave those answers.
        let fresh = &plan.deployment_numbers.fresh;
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).forget(|place| fresh.contains(&place));
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
        drop(engine);
        self.notify(&mut actions, 0, None);
        Ok(())
    }

    /// A deployment gave a stored answer, whose names stand in this data.
    pub(crate) fn remember(&self, data: &[u8], deployment: usize) {
        let names = wire::stored_names(data);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            memory.remember(&name, deployment, now());
        }
    }

    /// Who gave a stored answer, as far as that is known.
    pub(crate) fn recall(&self, name: &str) -> Option<usize> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).recall(name, now())
    }

    /// Tells the engine, hands its notices to those who watch (the client, or the one call) and its nudges to those who wait, and
    /// leaves the rest of what is to be done in `actions`.
    pub(crate) fn tell(&self, event: Event, watcher: Option<&dyn Observer>, actions: &mut Vec<Action>) {
        let from = actions.len();
        self.decide(event, actions);
        self.notify(actions, from, watcher);
    }

    /// Tells the engine, and leaves all that is to be done in `actions`.
    pub(crate) fn decide(&self, event: Event, actions: &mut Vec<Action>) {
        let draw = self.draw();
        self.engine().on(event, now(), draw, actions);
    }

    /// Hands the notices among `actions[from..]` to those who watch, and the nudges to the calls that wait, outside the lock.
    pub(crate) fn notify(&self, actions: &mut Vec<Action>, from: usize, watcher: Option<&dyn Observer>) {
        let mut index = 0;
        actions.retain(|action| {
            index += 1;
            match action {
                Action::Notice(notice) if index > from => {
                    self.observe(notice, watcher);
                    false
                }
                Action::Nudge { call } if index > from => {
                    self.nudges.nudge(*call);
                    false
                }
                _ => true,
            }
        });
    }

    pub(crate) fn observe(&self, notice: &Notice, watcher: Option<&dyn Observer>) {
        for observer in &self.observers {
            observer.notice(notice);
        }
        if let Some(watcher) = watcher {
            watcher.notice(notice);
        }
    }

    /// A number for one decision. Distinct for every call of this function; the engine mixes it.
    pub(crate) fn draw(&self) -> u64 {
        self.draws.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
    }

    /// Listens for the nudges of a call that waits for a place.
    pub(crate) fn listen(&self, call: CallId) -> Listener {
        self.nudges.listen(call)
    }

    pub(crate) fn next_call(&self) -> CallId {
        CallId(self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// Calendar time now.
    pub(crate) fn wall(&self) -> SystemTime {
        self.epoch.1 + now().saturating_duration_since(self.epoch.0)
    }

    /// Notes that a call or a stream is in progress until the returned token is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> InProgress {
        self.in_progress.fetch_add(1, Ordering::SeqCst);
        InProgress { shared: Arc::clone(self) }
    }

    /// Whether more is in progress than may be.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.in_progress.load(Ordering::SeqCst) > self.max_in_progress
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Takes no new calls from now on, and returns when those in progress have ended.
    pub(crate) async fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.idle.notify_waiters();
        loop {
            let ended = self.idle.notified();
            if self.in_progress.load(Ordering::SeqCst) == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Returns when the client begins to close.
    pub(crate) async fn closing(&self) {
        loop {
            let woken = self.idle.notified();
            if self.is_closing() {
                return;
            }
            woken.await;
        }
    }
}

/// A call or a stream in progress.
///
/// # Drop
/// The call is no longer in progress; a client that is closing is woken by the last.
#[derive(Debug)]
pub(crate) struct InProgress {
    shared: Arc<Shared>,
}

impl InProgress {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        if self.shared.in_progress.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.shared.idle.notify_waiters();
        }
    }
}
