//! Another configuration while the gateway runs: on SIGHUP, on `POST /reload`, and when the file changes.
//!
//! One task does it, one reload after the other. The file and the files of secrets that it names are read again, and watched; flags lie
//! over the file as they did at the start. What has a fault changes nothing: the old configuration stays, and the faults are told to whoever
//! asked, to the log, to the metrics and to `/events`.

mod watched;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use outrigger::{Client, config::read_file};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info, warn};

use self::watched::Watched;
#[cfg(feature = "otel")]
use crate::otel::Tracing;
#[cfg(not(feature = "otel"))]
use crate::untraced::Tracing;
use crate::{
    auth::{Keys, digest::Digest},
    cli,
    file::File,
    fleet::Fleet,
    live::Live,
    settings::Settings,
    signals::HangUps,
    supervisor::Supervisor,
    watch::Watch,
};

/// How many faults and warnings are told on `/events`.
const TOLD: usize = 20;

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// The flags that lie over it.
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
}

/// A configuration that was read, and what it was made of.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) made_of: Parts,
    pub(crate) file: File,
}

/// The files that a configuration is made of, by what was in each: its own, and those of secrets. None: it could not be read.
pub(crate) type Parts = BTreeMap<PathBuf, Option<Digest>>;

impl Source {
    /// Reads it.
    ///
    /// # Errors
    /// Each fault, with its place where it has one.
    pub(crate) fn read(&self, env: cli::Env<'_>) -> Result<Read, Vec<String>> {
        let parts = RefCell::default();
        let file = self.read_noting(env, &parts)?;
        Ok(Read { made_of: parts.into_inner(), file })
    }

    /// Reads it, and notes down which files that took, whatever comes of it.
    fn read_noting(&self, env: cli::Env<'_>, parts: &RefCell<Parts>) -> Result<File, Vec<String>> {
        let note = |path: &Path, content: Option<&str>| {
            parts.borrow_mut().insert(path.to_owned(), content.map(|content| Digest::of(content.as_bytes())));
        };
        note(&self.path, None);
        let text = cli::read(&self.path).map_err(|failed| vec![failed.message().to_owned()])?;
        note(&self.path, Some(&text));
        let secret = |path: &Path| {
            let content = read_file(path);
            note(path, content.as_deref().ok());
            content
        };
        let mut file = File::read_with(&text, &self.path.display().to_string(), env, &secret)
            .map_err(|faults| faults.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>())?;
        file.settings.listen = self.listen.unwrap_or(file.settings.listen);
        file.settings.admin = self.admin.unwrap_or(file.settings.admin);
        Ok(file)
    }

    /// Reads it to the end of what there is to know: also by which names its files are reached.
    fn look(&self, env: cli::Env<'_>) -> Looked {
        let parts = RefCell::default();
        let file = self.read_noting(env, &parts);
        let made_of = parts.into_inner();
        let names = made_of.keys().flat_map(|path| watched::on_the_way(path)).collect();
        Looked { names, read: file.map(|file| Read { made_of, file }) }
    }
}

/// What a look at the files came to.
struct Looked {
    /// How they are named, and each link on the way to them.
    names: BTreeSet<PathBuf>,
    read: Result<Read, Vec<String>>,
}

/// What was refused last.
#[derive(Debug, Default)]
struct Refused {
    faults: Vec<String>,
    /// What it was made of, where it could be read and could not be gone by.
    made_of: Option<Parts>,
}

/// What asks for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    Signal,
    Request,
    File,
}

impl Trigger {
    fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Request => "request",
            Self::File => "file",
        }
    }
}

/// What came of a reload: warnings when it was done, faults when it was not.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reloaded {
    pub(crate) result: &'static str,
    pub(crate) warnings: Vec<String>,
    pub(crate) faults: Vec<String>,
}

impl Reloaded {
    pub(crate) fn is_ok(&self) -> bool {
        self.faults.is_empty()
    }
}

/// A wish of the operators' port, to be answered.
pub(crate) type Order = oneshot::Sender<Reloaded>;

/// Takes wishes; a few at a time, since each is answered before the next is read.
pub(crate) fn orders() -> (mpsc::Sender<Order>, mpsc::Receiver<Order>) {
    mpsc::channel(16)
}

/// Who reloads.
pub(crate) struct Reloader {
    pub(crate) source: Source,
    pub(crate) client: Client,
    pub(crate) keys: Arc<Keys>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) live: Arc<Live>,
    pub(crate) watch: Watch,
    /// Who exports spans, if anybody does.
    pub(crate) tracing: Option<Arc<Tracing>>,
    pub(crate) supervisor: Supervisor,
    /// What holds.
    pub(crate) made_of: Parts,
    /// What was fixed at the start, as the file and the flags had it.
    pub(crate) fixed: Settings,
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Reloader {
    /// Reloads whenever it is asked to, for as long as the process lives.
    pub(crate) async fn run(mut self, mut hang_ups: HangUps, mut orders: mpsc::Receiver<Order>) {
        let mut watched = Watched::start();
        let mut refused = Refused::default();
        loop {
            let (trigger, order) = tokio::select! {
                () = hang_ups.next() => (Trigger::Signal, None),
                Some(order) = orders.recv() => (Trigger::Request, Some(order)),
                () = watched.changed() => (Trigger::File, None),
            };
            let Looked { names, read } = self.look().await;
            watched.follow(names);
            if trigger == Trigger::File && self.is_known(&read, &refused) {
                debug!("a file of the configuration was touched, and says what it said");
                if read.is_ok_and(|read| read.made_of == self.made_of) {
                    refused = Refused::default();
                }
                continue;
            }
            self.supervisor.reloading();
            let changed = self.changed(&read);
            let made_of = read.as_ref().ok().map(|read| read.made_of.clone());
            let reloaded = self.take(read);
            self.supervisor.ready();
            self.tell(trigger, changed.as_deref(), &reloaded);
            refused =
                Refused { faults: reloaded.faults.clone(), made_of: made_of.filter(|_| !reloaded.is_ok()) };
            if let Some(order) = order {
                // Whoever asked may have gone away meanwhile.
                drop(order.send(reloaded));
            }
        }
    }

    /// Files may hang (a network's), so they are read where that keeps nobody waiting.
    async fn look(&self) -> Looked {
        let source = self.source.clone();
        let look = tokio::task::spawn_blocking(move || source.look(&|name| std::env::var(name).ok()));
        look.await.unwrap_or_else(|error| Looked {
            names: watched::on_the_way(&self.source.path),
            read: Err(vec![error.to_string()]),
        })
    }

    /// Whether this is what holds already, or was refused a moment ago.
    fn is_known(&self, read: &Result<Read, Vec<String>>, refused: &Refused) -> bool {
        match read {
            Ok(read) => read.made_of == self.made_of || refused.made_of.as_ref() == Some(&read.made_of),
            Err(faults) => *faults == refused.faults,
        }
    }

    /// The names of the files that say something else than those which hold, for the log.
    fn changed(&self, read: &Result<Read, Vec<String>>) -> Option<String> {
        let made_of = &read.as_ref().ok()?.made_of;
        let differ = made_of.iter().filter(|&(path, said)| self.made_of.get(path) != Some(said));
        let names: Vec<String> = differ.map(|(path, _)| path.display().to_string()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    fn take(&mut self, read: Result<Read, Vec<String>>) -> Reloaded {
        match read.and_then(|read| self.swap(read).map_err(|fault| vec![fault])) {
            Ok(warnings) => Reloaded { result: "ok", warnings, faults: Vec::new() },
            Err(faults) => Reloaded { result: "error", warnings: Vec::new(), faults },
        }
    }

    /// Goes by it, whole or not at all. Returns what is worth knowing.
    fn swap(&mut self, Read { made_of, mut file }: Read) -> Result<Vec<String>, String> {
        let mut warnings: Vec<String> = file.warnings.iter().map(ToString::to_string).collect();
        let name = self.source.path.display();
        for key in self.fixed.fixed_that_differ(&file.settings) {
            warnings.push(format!("{name}: server.{key}: it has changed, and takes effect at a restart"));
        }
        file.settings.keep_what_is_fixed(&self.fixed);
        file.may_follow(!self.keys.is_empty())?;
        let reload = || self.client.reload(file.config.clone()).map_err(|error| error.to_string());
        self.keys.swap_with(file.keys, reload)?;
        if let Some(tracing) = &self.tracing {
            tracing.follow(&file.config);
        }
        self.fleet.swap(file.fleet);
        self.live.swap(file.settings);
        self.made_of = made_of;
        Ok(warnings)
    }

    fn tell(&self, trigger: Trigger, changed: Option<&str>, reloaded: &Reloaded) {
        let trigger = trigger.as_str();
        for warning in &reloaded.warnings {
            warn!("{warning}");
        }
        if reloaded.is_ok() {
            info!(trigger, changed, "the configuration is reloaded");
        }
        for fault in &reloaded.faults {
            error!(trigger, %fault, "the configuration is not taken, the one before stays");
        }
        let facts = json!({
            "result": reloaded.result, "trigger": trigger,
            "warnings": first(&reloaded.warnings), "faults": first(&reloaded.faults),
        });
        self.watch.reloaded(reloaded.result, &facts);
    }
}

/// As many as somebody reads; the log and whoever asked have all.
fn first(all: &[String]) -> &[String] {
    all.get(..TOLD).unwrap_or(all)
}
