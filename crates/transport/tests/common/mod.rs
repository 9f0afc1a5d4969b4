//! What both upstreams keep: the script, what was received, who hung up, how much went out.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use outrigger_transport::conformance::{Next, Received};
use tokio::sync::{Notify, Semaphore};

/// The book of one upstream.
#[derive(Debug)]
pub(crate) struct Log {
    script: Mutex<VecDeque<Next>>,
    received: Mutex<VecDeque<Received>>,
    arrived: Semaphore,
    hung_up: Semaphore,
    waiting: AtomicUsize,
    written: AtomicU64,
    /// Told at each write.
    pub(crate) more: Notify,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            script: Mutex::default(),
            received: Mutex::default(),
            arrived: Semaphore::new(0),
            hung_up: Semaphore::new(0),
            waiting: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            more: Notify::new(),
        }
    }
}

impl Log {
    pub(crate) fn prepare(&self, next: Next) {
        self.script.lock().expect("no test panics here").push_back(next);
    }

    /// What to do now; silence where nothing was prepared, so that a stray request is seen and not answered.
    pub(crate) fn next(&self) -> Next {
        self.script.lock().expect("no test panics here").pop_front().unwrap_or(Next::Silence)
    }

    pub(crate) fn receive(&self, request: Received) {
        self.received.lock().expect("no test panics here").push_back(request);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.arrived.add_permits(1);
    }

    pub(crate) async fn received(&self) -> Received {
        self.arrived.acquire().await.expect("never closed").forget();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.received.lock().expect("no test panics here").pop_front().expect("one arrived")
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub(crate) fn hang_up(&self) {
        self.hung_up.add_permits(1);
    }

    pub(crate) async fn hung_up(&self) {
        self.hung_up.acquire().await.expect("never closed").forget();
    }

    pub(crate) fn wrote(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::SeqCst);
        self.more.notify_one();
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }
}
