//! What a service manager hears: systemd's side of the socket, played by the test.

use std::{
    os::unix::net::{SocketAddr, UnixDatagram},
    path::PathBuf,
    time::Duration,
};

use sim::{Fault, When};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    commands::check,
    support::{Gateway, outrigger, post, question, soon},
};

/// The manager's socket, and what names it in the environment.
struct Manager {
    socket: tokio::net::UnixDatagram,
    name: String,
}

impl Manager {
    /// At a path of this test alone.
    fn at_path(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
        // A path may be longer than a socket's name can be; one relative to /tmp is not.
        let path = if path.as_os_str().len() < 100 {
            path
        } else {
            std::env::temp_dir().join(path.file_name().unwrap())
        };
        drop(std::fs::remove_file(&path));
        Self::of(UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned())
    }

    fn of(socket: UnixDatagram, name: String) -> Self {
        socket.set_nonblocking(true).unwrap();
        Self { socket: tokio::net::UnixDatagram::from_std(socket).unwrap(), name }
    }

    async fn hears(&self) -> String {
        let mut bytes = [0; 512];
        let length = soon(self.socket.recv(&mut bytes)).await.unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// A gateway that it has started.
    async fn starts(&self, watchdog: Option<Duration>, more: &str) -> Gateway {
        let mut program = outrigger();
        program.env("NOTIFY_SOCKET", &self.name);
        if let Some(watchdog) = watchdog {
            program.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        Gateway::started_by(program, more).await
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.name));
    }
}

/// **Ready is ready.** Who is told so may send callers at once. Fails if the word comes before the ports are served, or if the
/// end is not announced with the time that it may take.
#[tokio::test]
async fn a_manager_is_told_when_it_serves_and_when_it_ends() {
    let manager = Manager::at_path("ready");
    let mut gateway = manager.starts(None, "[server]\ndrain = \"40s\"").await;
    let ready = manager.hears().await;
    assert!(ready.lines().any(|line| line == "READY=1"), "{ready}");
    assert_eq!(gateway.ask("").await.status, 200);
    assert_eq!(gateway.operate("GET", "/readyz", "").await.status, 200);
    gateway.terminate();
    let stopping = manager.hears().await;
    assert!(stopping.lines().any(|line| line == "STOPPING=1"), "{stopping}");
    assert!(stopping.lines().any(|line| line == "EXTEND_TIMEOUT_USEC=45000000"), "{stopping}");
    assert_eq!(soon(gateway.child.wait()).await.unwrap().code(), Some(0));
}

/// **A reload is announced, and so is its end**, by the clock that systemd orders them by; and when it drains, that. Fails if a word is
/// left out or comes out of turn, or if the time is another clock's.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_manager_is_told_of_a_reload_and_of_its_end() {
    let now_us = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec * 1_000_000 + now.tv_nsec / 1000
    };
    let manager = Manager::at_path("reload");
    let mut gateway = manager.starts(None, "").await;
    assert!(manager.hears().await.starts_with("READY=1"));
    let before = now_us();
    gateway.signal("HUP");
    let reloading = manager.hears().await;
    assert!(reloading.lines().any(|line| line == "RELOADING=1"), "{reloading}");
    let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    assert!((before..=now_us()).contains(&since.parse().unwrap()), "{reloading}");
    assert!(manager.hears().await.lines().any(|line| line == "READY=1"));
    gateway.terminate();
    assert!(manager.hears().await.lines().any(|line| line == "STOPPING=1"));
    assert_eq!(soon(gateway.child.wait()).await.unwrap().code(), Some(0));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_manager_may_have_an_abstract_name() {
    use std::os::linux::net::SocketAddrExt;

    let name = format!("outrigger-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::of(UnixDatagram::bind_addr(&address).unwrap(), format!("@{name}"));
    let _gateway = manager.starts(None, "").await;
    assert!(manager.hears().await.starts_with("READY=1"));
}

/// **The dog is fed while it lives**, draining included, where a stream may take long.
#[tokio::test]
async fn a_watchdog_hears_of_it_again_and_again() {
    let manager = Manager::at_path("watchdog");
    let gateway = manager.starts(Some(Duration::from_millis(200)), "").await;
    assert!(manager.hears().await.starts_with("READY=1"));
    for _ in 0..3 {
        assert_eq!(manager.hears().await, "WATCHDOG=1");
    }
    gateway.world().inject("us-east", Fault::Silent, When::always()).unwrap();
    let mut held = TcpStream::connect(gateway.listen).await.unwrap();
    held.write_all(post("/v1/chat/completions", "", &question(false)).as_bytes()).await.unwrap();
    soon(async {
        while gateway.world().count("us-east").unwrap() == 0 {
            gateway.get("/v1/models").await;
        }
    })
    .await;
    gateway.terminate();
    while !manager.hears().await.contains("STOPPING=1") {}
    for _ in 0..3 {
        assert_eq!(manager.hears().await, "WATCHDOG=1");
    }
}

#[tokio::test]
async fn the_configuration_in_the_example_for_kubernetes_is_sound() {
    let manifest = include_str!("../../../../deploy/kubernetes.yaml");
    let (_, rest) = manifest.split_once("  outrigger.toml: |\n").unwrap();
    let (text, _) = rest.split_once("\n---\n").unwrap();
    let run = check(&text.replace("${OPENAI_API_KEY}", "sk-x"), &[]).await;
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
}
