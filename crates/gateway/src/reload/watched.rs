//! Whether the configuration file may have changed.
//!
//! Its folder is watched and not the file itself: editors put a new file in the old one's place, and a Kubernetes ConfigMap's
//! file is a link by way of `..data`, which is put in place as a whole. What changes there is not looked at here; whoever
//! hears of it reads the file, and compares.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{sync::Notify, time::Instant};
use tracing::warn;

/// So long nothing more may happen before the file is taken for whole: who writes it does so in one go.
const QUIET: Duration = Duration::from_millis(200);
/// A folder that is never quiet is looked at all the same.
const LONGEST: Duration = Duration::from_secs(2);

/// The folder of a file, watched.
///
/// # Drop
/// Ends the watch.
#[derive(Debug)]
pub(super) struct Watched {
    changed: Arc<Notify>,
    _watcher: Option<RecommendedWatcher>,
}

impl Watched {
    /// Watches from now on. Where that cannot be, it is said once, and there is SIGHUP and `POST /reload`.
    pub(super) fn start(path: &Path) -> Self {
        let changed = Arc::new(Notify::new());
        let (named, lies) = folders(path);
        let watcher = match watch(&named, lies.as_deref(), Arc::clone(&changed)) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                let folder = named.display().to_string();
                warn!(%folder, %error, "the configuration's folder cannot be watched; reload by SIGHUP or POST /reload");
                None
            }
        };
        // What has changed since the file was read for the start, nobody has told.
        changed.notify_one();
        Self { changed, _watcher: watcher }
    }

    /// Returns when something has changed and it is quiet again.
    ///
    /// # Cancel safety
    /// What was heard by then is not told again: whoever drops this is to read the file.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
        let heard = Instant::now();
        while heard.elapsed() < LONGEST {
            if tokio::time::timeout(QUIET, self.changed.notified()).await.is_err() {
                return;
            }
        }
    }
}

fn watch(named: &Path, lies: Option<&Path>, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // A failure may have cost events: then it is worth a look too.
        if event.is_err() || event.is_ok_and(|event| may_change(event.kind)) {
            changed.notify_one();
        }
    })?;
    watcher.watch(named, RecursiveMode::NonRecursive)?;
    if let Some(lies) = lies {
        let watched = watcher.watch(lies, RecursiveMode::NonRecursive);
        // Where it lay a moment ago it may lie no more, and its name has news of that.
        watched.or_else(|error| if lies.exists() { Err(error) } else { Ok(()) })?;
    }
    Ok(watcher)
}

/// Where it is named, and where it lies if it is a link to elsewhere.
fn folders(path: &Path) -> (PathBuf, Option<PathBuf>) {
    let named = super::folder(path).to_owned();
    let lies = path.canonicalize().ok().map(|real| super::folder(&real).to_owned());
    let other = lies.filter(|lies| named.canonicalize().ok().as_ref() != Some(lies));
    (named, other)
}

/// Reading changes nothing; else our own looks would be news.
fn may_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// **A link that moves while it is looked at is watched all the same.** Fails if a folder that has gone since is a reason to
    /// watch nothing.
    #[test]
    fn where_it_lay_may_be_gone() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(watch(here, Some(&here.join("gone")), Arc::default()).is_ok());
        assert!(watch(&here.join("gone"), None, Arc::default()).is_err());
    }
}
