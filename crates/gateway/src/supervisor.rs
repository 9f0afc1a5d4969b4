//! What a service manager is told of this process: systemd's `sd_notify`, a datagram to the socket that it names.
//!
//! Ready means that both ports are served, so that what depends on the gateway starts when it answers, and a gateway whose
//! configuration is wrong fails at its start. The watchdog is fed by a task of the same runtime that answers callers: when that
//! one no longer runs its tasks, the manager hears nothing and starts the process anew.
//!
//! Without a manager nothing is said. A manager that does not listen changes nothing: its datagrams are lost.

use std::{io, sync::Arc, time::Duration};

#[cfg(unix)]
use std::os::unix::net::UnixDatagram;

use tracing::warn;

use crate::cli::Env;

/// Beyond the time to drain, before a manager may kill: the last frames and the way out.
const WAY_OUT: Duration = Duration::from_secs(5);

/// The service manager that started this process, if one did. Clones speak to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supervisor {
    #[cfg(unix)]
    socket: Option<Arc<UnixDatagram>>,
    /// How long it may hear nothing.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The manager that the environment names.
    pub(crate) fn of(env: Env<'_>) -> Self {
        let Some(address) = env("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
            return Self::default();
        };
        let watchdog = watchdog(env, std::process::id());
        #[cfg(unix)]
        match reach(&address) {
            Ok(socket) => return Self { socket: Some(Arc::new(socket)), watchdog },
            Err(error) => {
                warn!(%address, %error, "the service manager's socket (NOTIFY_SOCKET) cannot be reached, so it is told nothing");
            }
        }
        Self { watchdog, ..Self::default() }
    }

    /// Both ports are served; or a reload is done.
    pub(crate) fn ready(&self) {
        self.tell("READY=1\nSTATUS=serving");
    }

    /// A reload begins. [`ready`](Self::ready) is to follow, whatever came of it.
    pub(crate) fn reloading(&self) {
        self.tell(&format!(
            "RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reading its configuration",
            monotonic_us()
        ));
    }

    /// The process drains, which takes so long at most; it is not to be killed before.
    pub(crate) fn stopping(&self, drain: Duration) {
        let us = drain.saturating_add(WAY_OUT).as_micros();
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={us}\nSTATUS=draining"));
    }

    /// Says that the process lives, twice within the time that the manager gives, for as long as the runtime runs what it is
    /// given. Returns only where nothing watches.
    pub(crate) async fn feed_watchdog(self) {
        let Some(limit) = self.watchdog else { return };
        let mut ticks = tokio::time::interval(limit / 2);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // A timer that fires is one thing, a task that gets its turn among callers' is another.
            if tokio::spawn(async {}).await.is_ok() {
                self.tell("WATCHDOG=1");
            }
        }
    }

    fn tell(&self, words: &str) {
        #[cfg(unix)]
        if let Some(socket) = &self.socket {
            // A manager whose queue is full, or that is gone, is not waited for.
            drop(socket.send(words.as_bytes()));
        }
        #[cfg(not(unix))]
        let _ = words;
    }
}

/// How long the manager may hear nothing from the process of this id; none where it does not watch it.
fn watchdog(env: Env<'_>, id: u32) -> Option<Duration> {
    let is_another = env("WATCHDOG_PID").is_some_and(|text| text.trim().parse() != Ok(id));
    let us = env("WATCHDOG_USEC")?.trim().parse().ok().filter(|&us: &u64| us > 1)?;
    (!is_another).then(|| Duration::from_micros(us))
}

/// Connects to a path, or to a name of Linux's abstract namespace, which begins with `@`.
#[cfg(unix)]
fn reach(address: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match address.strip_prefix('@') {
        None if address.starts_with('/') => socket.connect(address)?,
        None => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "it is neither a path nor an abstract name",
            ));
        }
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
            socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "abstract names are Linux's alone"));
        }
    }
    Ok(socket)
}

/// The clock by which systemd orders a reload and what is said of it.
fn monotonic_us() -> u64 {
    #[cfg(unix)]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
        seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1000)
    }
    #[cfg(not(unix))]
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_of_one_process() {
        let with = |usec: &'static str, pid: Option<&'static str>| {
            let env = move |name: &str| match name {
                "WATCHDOG_USEC" => Some(usec.to_owned()),
                "WATCHDOG_PID" => pid.map(str::to_owned),
                _ => None,
            };
            watchdog(&env, 7)
        };
        assert_eq!(with("20000000", None), Some(Duration::from_secs(20)));
        assert_eq!(with("20000000", Some("7")), Some(Duration::from_secs(20)));
        assert_eq!(with("20000000", Some("8")), None);
        assert_eq!(with("0", None), None);
        assert_eq!(with("soon", None), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_manager_that_cannot_be_reached_is_no_reason_to_stop() {
        for address in ["vsock:2:1", "/no/such/socket", "@no such name"] {
            let env = move |name: &str| (name == "NOTIFY_SOCKET").then(|| address.to_owned());
            let supervisor = Supervisor::of(&env);
            assert!(supervisor.socket.is_none(), "{address}");
            supervisor.ready();
        }
    }
}
