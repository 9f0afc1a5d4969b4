//! The settings that hold now. They may change while the gateway runs.

use std::sync::{Arc, PoisonError, RwLock};

use crate::{load::Load, settings::Settings};

/// Settings, and the load that they bound.
#[derive(Debug)]
pub(crate) struct Live {
    settings: RwLock<Arc<Settings>>,
    pub(crate) load: Arc<Load>,
}

impl Live {
    pub(crate) fn new(settings: Settings, load: Arc<Load>) -> Arc<Self> {
        Arc::new(Self { settings: RwLock::new(Arc::new(settings)), load })
    }

    /// Those that hold now. Whoever answers a request asks once.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes by others. What runs keeps what it has taken, even if it is more than may be taken now.
    pub(crate) fn swap(&self, settings: Settings) {
        self.load.set_limits(u64::from(settings.max_concurrent), settings.max_buffered.0);
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }
}
