//! A gateway whose Redis is not what it should be: it serves, says what is wrong once, and shows no password. What a fleet shares through
//! a real one: `cargo xtask fleet`.

use std::{net::SocketAddr, time::Duration};

use sim::Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    commands::check,
    support::{Gateway, folder, outrigger, soon, two_regions},
};

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// One that answers everything with these words, as many as may be asked for, or not at all.
async fn answering(words: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {
                    if let Some(words) = words
                        && stream.write_all(words.repeat(4).as_bytes()).await.is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn shared_at(address: SocketAddr) -> String {
    format!("[fleet]\nredis = \"redis://:hunter2@{address}\"\n")
}

async fn logs(gateway: &Gateway, what: &str) {
    soon(async {
        while !gateway.log().contains(what) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// **A Redis that is gone, silent, rude or mad costs nobody an answer**, and is told once and without its password. Fails if anything waits
/// for it, each exchange is told anew, or an engine that repeats the command that it refuses is quoted as it is.
#[tokio::test]
async fn a_gateway_serves_whatever_becomes_of_its_redis() {
    let rude = "-ERR unknown command 'AUTH', with args beginning with: 'hunter2'\r\n";
    for (address, says) in [
        (nobody().await, ""),
        (answering(None).await, ""),
        (answering(Some(rude)).await, "Password authentication failed"),
        (answering(Some("-WRONGPASS invalid username-password pair\r\n")).await, ""),
        (answering(Some("HTTP/1.1 400 Bad Request\r\n\r\n")).await, ""),
        (answering(Some("+OK\r\n")).await, ""),
        (answering(Some("*2\r\n*0\r\n*1\r\n:7\r\n")).await, ""),
    ] {
        let gateway = Gateway::start(&shared_at(address)).await;
        let reply = gateway.ask("").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        soon(async {
            while gateway.operate("GET", "/status", "").await.json()["fleet"]["replicas"] != 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let status = gateway.operate("GET", "/status", "").await.json();
        assert_eq!(status["fleet"], serde_json::json!({"connected": false, "replicas": 1}));
        assert_eq!(gateway.operate("GET", "/readyz", "").await.status, 200);
        assert_eq!(gateway.ask("").await.status, 200);
        let log = gateway.log();
        assert!(log.matches("cannot share").count() <= 1 && !log.contains("hunter2"), "{log}");
        let text = shared_at(address) + &Gateway::text(&gateway.server);
        let found = check(&text, &["--probe", "--timeout", "2s"]).await;
        assert_eq!(found.code, Some(1), "{}", found.out);
        let said = found.out.lines().find(|line| line.starts_with(&format!("fleet {address}: failed")));
        assert!(said.is_some_and(|said| said.contains(says)), "{}", found.out);
        assert!(!(found.out + &found.err).contains("hunter2"));
    }
}

/// **A reload takes another fleet on, and lets it go.** Fails if the task goes by what it was started with.
#[tokio::test]
async fn a_reload_takes_another_fleet_on() {
    let server = Server::start(two_regions()).await.unwrap();
    let text = Gateway::text(&server);
    let path = folder().join("outrigger.toml");
    std::fs::write(&path, &text).unwrap();
    let gateway = Gateway::reading(outrigger(), server, &path).await;
    assert!(gateway.operate("GET", "/status", "").await.json().get("fleet").is_none());
    let address = nobody().await;
    std::fs::write(&path, shared_at(address) + &text).unwrap();
    assert_eq!(gateway.operate("POST", "/reload", "").await.status, 200);
    logs(&gateway, &format!("redis={address}")).await;
    assert_eq!(gateway.operate("GET", "/status", "").await.json()["fleet"]["connected"], false);
    std::fs::write(&path, &text).unwrap();
    assert_eq!(gateway.operate("POST", "/reload", "").await.status, 200);
    assert!(gateway.operate("GET", "/status", "").await.json().get("fleet").is_none());
}
