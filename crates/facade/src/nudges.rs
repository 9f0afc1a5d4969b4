//! Calls that wait for a place are woken by whichever call frees one: through here, without polling.
//!
//! A call listens from the first time it has to wait, and asks the engine once more when it does; so a nudge that finds nobody
//! listening is not lost, only early.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::engine::CallId;

type Listeners = Mutex<HashMap<CallId, Arc<Notify>>>;

/// Who listens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nudges(Arc<Listeners>);

impl Nudges {
    fn listeners(&self) -> MutexGuard<'_, HashMap<CallId, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens for one call.
    pub(crate) fn listen(&self, call: CallId) -> Listener {
        let notify = Arc::new(Notify::new());
        self.listeners().insert(call, Arc::clone(&notify));
        Listener { nudges: self.clone(), call, notify }
    }

    /// Wakes a call that listens.
    pub(crate) fn nudge(&self, call: CallId) {
        let notify = self.listeners().get(&call).map(Arc::clone);
        if let Some(notify) = notify {
            // Kept until it is awaited, where the call is busy elsewhere.
            notify.notify_one();
        }
    }
}

/// One call that listens.
///
/// # Drop
/// It no longer does.
#[derive(Debug)]
pub(crate) struct Listener {
    nudges: Nudges,
    call: CallId,
    notify: Arc<Notify>,
}

impl Listener {
    /// Returns when the call was nudged.
    ///
    /// # Cancel safety
    /// Dropping the future before it returns loses no nudge.
    pub(crate) async fn nudged(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.nudges.listeners().remove(&self.call);
    }
}
