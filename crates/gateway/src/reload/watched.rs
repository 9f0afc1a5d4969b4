//! Whether a file of the configuration may have changed.
//!
//! Folders are watched and not the files themselves: editors put a new file in the old one's place, and the files of Kubernetes'
//! ConfigMaps and Secrets are links by way of `..data`, which is put in place as a whole. So each folder is watched in which a link
//! on the way to a file stands, and the one in which the file lies; after each look at the files anew, since a link may lead
//! elsewhere by then. Of what changes there only the names on the way count, or a log beside the file would be news without end; what they
//! say is not looked at here: whoever hears of it reads the files, and compares.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Component, Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
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

/// More links than the system itself would follow.
const MOST_LINKS: usize = 40;

/// The folders of files, watched.
///
/// # Drop
/// Ends the watch.
#[derive(Debug)]
pub(super) struct Watched {
    changed: Arc<Notify>,
    /// The names on the way to the files.
    names: Arc<RwLock<BTreeSet<PathBuf>>>,
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    /// Those that cannot be watched, which is said once.
    refused: BTreeSet<PathBuf>,
}

impl Watched {
    /// Watches nothing yet, and knows nothing: the first look is due at once, since nobody has told what has changed since the start.
    pub(super) fn start() -> Self {
        let changed = Arc::new(Notify::new());
        let names = Arc::<RwLock<BTreeSet<PathBuf>>>::default();
        let (heard, known) = (Arc::clone(&changed), Arc::clone(&names));
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // A failure may have cost events: then it is worth a look too.
            if event.is_err()
                || event
                    .is_ok_and(|event| is_news(&event, &known.read().unwrap_or_else(PoisonError::into_inner)))
            {
                heard.notify_one();
            }
        });
        if let Err(error) = &watcher {
            warn!(%error, "the configuration's files cannot be watched; reload by SIGHUP or POST /reload");
        }
        changed.notify_one();
        Self { changed, names, watcher: watcher.ok(), folders: BTreeSet::new(), refused: BTreeSet::new() }
    }

    /// Watches these names from now on, each in its folder, and no others.
    pub(super) fn follow(&mut self, names: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<PathBuf> =
            names.iter().filter_map(|name| name.parent().map(Path::to_owned)).collect();
        let before = std::mem::replace(
            &mut *self.names.write().unwrap_or_else(PoisonError::into_inner),
            names.clone(),
        );
        if !names.is_subset(&before) {
            // What has become of a new one since the last look, nobody has told.
            self.changed.notify_one();
        }
        for folder in self.folders.difference(&wanted) {
            // One that has gone is watched no more.
            drop(watcher.unwatch(folder));
        }
        self.folders.retain(|folder| wanted.contains(folder));
        for folder in wanted {
            if self.folders.contains(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    // What has changed there since the last look, nobody has told.
                    self.changed.notify_one();
                    self.folders.insert(folder);
                }
                // Where a file lay a moment ago it may lie no more, and its name has news of that.
                Err(error) if folder.exists() && self.refused.insert(folder.clone()) => {
                    let folder = folder.display().to_string();
                    warn!(%folder, %error, "a folder of the configuration cannot be watched; reload by SIGHUP or POST /reload");
                }
                Err(_) => {}
            }
        }
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

/// The names that may change their meaning: each link on the way to a file, and the file itself.
pub(super) fn on_the_way(file: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let Ok(file) = std::path::absolute(file) else { return found };
    let (mut at, mut links) = (PathBuf::new(), 0);
    let mut rest: Vec<OsString> = names(&file);
    while let Some(name) = rest.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        let folder = at.clone();
        at.push(name);
        let Some(target) = at.read_link().ok().filter(|_| links < MOST_LINKS) else {
            if rest.is_empty() {
                found.insert(at.clone());
            }
            continue;
        };
        links += 1;
        // An absolute one begins anew: pushed onto a path, a root replaces it.
        found.insert(std::mem::replace(&mut at, folder));
        rest.extend(names(&target));
    }
    found
}

/// The parts of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    parts.rev().map(|part| part.as_os_str().to_owned()).collect()
}

/// Whether the files may say something else now. An event without a name is of a folder, or of some that were lost.
fn is_news(event: &notify::Event, names: &BTreeSet<PathBuf>) -> bool {
    let is_of_folder = |path: &PathBuf| names.iter().any(|name| name.parent() == Some(path));
    may_change(event.kind)
        && (event.paths.is_empty()
            || event.paths.iter().any(|path| names.contains(path) || is_of_folder(path)))
}

/// Reading changes nothing; else our own looks would be news.
fn may_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

#[cfg(all(test, unix))]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    /// **Each link on the way counts.** Fails if one of them is left out: a link put there anew would not be heard of.
    #[test]
    fn every_name_that_can_change_what_a_name_means_is_watched() {
        let here = std::env::temp_dir().canonicalize().unwrap();
        let here = here.join(format!("outrigger-links-{}", std::process::id()));
        for folder in ["named", "releases/1", "real"] {
            fs::create_dir_all(here.join(folder)).unwrap();
        }
        fs::write(here.join("real/x.toml"), "").unwrap();
        symlink("../../real/x.toml", here.join("releases/1/x.toml")).unwrap();
        symlink("1", here.join("releases/current")).unwrap();
        symlink(here.join("releases/current/x.toml"), here.join("named/x.toml")).unwrap();
        let of = |name: &str| on_the_way(&here.join(name));
        let expected = |names: &[&str]| names.iter().map(|name| here.join(name)).collect::<BTreeSet<_>>();
        let ways = ["named/x.toml", "releases/current", "releases/1/x.toml", "real/x.toml"];
        assert_eq!(of("named/x.toml"), expected(&ways));
        assert_eq!(of("real/x.toml"), expected(&["real/x.toml"]));
        assert_eq!(of("real/gone.toml"), expected(&["real/gone.toml"]), "it may come");
        symlink("loop", here.join("loop")).unwrap();
        assert_eq!(of("loop"), expected(&["loop"]));
        fs::remove_dir_all(here).unwrap();
    }

    /// **A folder that goes while it is looked at is no fault**, and the others are watched all the same.
    #[tokio::test]
    async fn where_it_lay_may_be_gone() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
        let mut watched = Watched::start();
        watched.follow(BTreeSet::from([here.join("gone/x"), here.join("x")]));
        assert_eq!(watched.folders, BTreeSet::from([here]));
        assert!(watched.refused.is_empty());
        watched.follow(BTreeSet::new());
        assert!(watched.folders.is_empty());
    }

    /// **What lies beside the files is no news**, however often it is written. Fails if a log there is heard of, or a folder that goes is not.
    #[test]
    fn what_lies_beside_is_no_news() {
        use notify::event::{ModifyKind, RemoveKind};

        let names = BTreeSet::from([PathBuf::from("/etc/o/x.toml"), PathBuf::from("/etc/o/..data")]);
        let written = EventKind::Modify(ModifyKind::Any);
        let event = |kind, paths: &[&str]| {
            let event = notify::Event::new(kind);
            paths.iter().fold(event, |event, path| event.add_path(PathBuf::from(path)))
        };
        assert!(!is_news(&event(written, &["/etc/o/x.log"]), &names));
        assert!(!is_news(&event(EventKind::Access(AccessKind::Read), &["/etc/o/x.toml"]), &names));
        for path in ["/etc/o/x.toml", "/etc/o/..data", "/etc/o"] {
            assert!(is_news(&event(written, &[path]), &names), "{path}");
        }
        assert!(
            is_news(&event(written, &["/etc/o/new", "/etc/o/x.toml"]), &names),
            "a new file in its place"
        );
        assert!(is_news(&event(EventKind::Remove(RemoveKind::Folder), &["/etc/o"]), &names));
        assert!(is_news(&event(EventKind::Other, &[]), &names), "some were lost");
    }
}
