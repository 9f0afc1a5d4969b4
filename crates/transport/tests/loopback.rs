//! The reqwest transport passes the suite on real sockets, and what only bytes on a wire can ask.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

mod common;
#[path = "common/server.rs"]
mod server;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use http::{Method, StatusCode};
use outrigger_transport::{
    ErrorKind, Phase, Pool, Request, ReqwestTransport, Response, Sent, Transport, TransportError, conformance,
};
use server::{Loopback, read_request, url_of};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, yield_now},
};
use url::Url;

fn pool() -> Arc<Pool> {
    Arc::new(Pool::new("test"))
}

fn get(url: Url) -> Request {
    Request::new(Method::GET, url, pool())
}

/// Answers one request with these bytes, then closes.
async fn once(bytes: &'static str) -> (Url, JoinHandle<TcpListener>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = url_of(&listener);
    let serving = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        read_request(&mut socket, &mut BytesMut::new()).await.expect("a request");
        socket.write_all(bytes.as_bytes()).await.expect("a reader");
        listener
    });
    (url, serving)
}

async fn sent(bytes: &'static str) -> Result<Response, TransportError> {
    ReqwestTransport::new().send(get(once(bytes).await.0)).await
}

async fn body(mut response: Response) -> Result<Vec<u8>, TransportError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.body.chunk().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

#[tokio::test]
async fn the_reqwest_transport_conforms() {
    conformance::run(&ReqwestTransport::new(), &Loopback::start().await).await;
}

#[tokio::test]
async fn an_informational_answer_is_passed_over() {
    let answer =
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let response = sent(answer).await.expect("an answer");
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(body(response).await.expect("whole"), b"ok");
}

#[tokio::test]
async fn half_a_head_is_a_reset() {
    let error = sent("HTTP/1.1 200 OK\r\nconte").await.expect_err("half a head");
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Reset, Sent::Maybe), "{error:?}");
}

#[tokio::test]
async fn trailers_end_a_body_unseen() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-cost\r\n\r\n2\r\nok\r\n0\r\nx-cost: 1\r\n\r\n";
    assert_eq!(body(sent(answer).await.expect("an answer")).await.expect("whole"), b"ok");
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_cut() {
    let response = sent("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.expect("an answer");
    assert_eq!(body(response).await.expect_err("cut").kind(), ErrorKind::Cut);
}

#[tokio::test]
async fn a_broken_chunk_is_a_cut() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nnot a length\r\n";
    let response = sent(answer).await.expect("an answer");
    assert_eq!(body(response).await.expect_err("cut").kind(), ErrorKind::Cut);
}

#[tokio::test]
async fn a_body_without_length_ends_with_its_connection() {
    let response = sent("HTTP/1.0 200 OK\r\n\r\nall of it").await.expect("an answer");
    assert_eq!(body(response).await.expect("whole"), b"all of it");
}

#[tokio::test]
async fn a_connection_that_died_idle_is_no_failure() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let transport = ReqwestTransport::new();
    let (url, serving) = once(ANSWER).await;
    body(transport.send(get(url.clone())).await.expect("an answer")).await.expect("whole");
    // The server has closed by now; the client keeps a connection that nobody holds any more.
    let listener = serving.await.expect("no panic");
    let again = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a second connection");
        read_request(&mut socket, &mut BytesMut::new()).await.expect("a request");
        socket.write_all(ANSWER.as_bytes()).await.expect("a reader");
    });
    for _ in 0..8 {
        yield_now().await; // lets the runtime hear of the close
    }
    let response = transport.send(get(url)).await.expect("the request moves to a new connection");
    assert_eq!(body(response).await.expect("whole"), b"ok");
    again.await.expect("no panic");
}

#[tokio::test]
async fn one_pool_reuses_its_connection_and_two_share_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = url_of(&listener);
    let accepted = tokio::spawn(async move {
        let mut peers = Vec::new();
        for _ in 0..2 {
            let (socket, peer) = listener.accept().await.expect("a connection");
            peers.push(peer);
            tokio::spawn(answer_for_ever(socket));
        }
        peers
    });
    let transport = ReqwestTransport::new();
    let [first, other] = ["first", "other"].map(|name| Arc::new(Pool::new(name)));
    for pool in [&first, &first, &first, &other] {
        let request = Request::new(Method::GET, url.clone(), Arc::clone(pool));
        body(transport.send(request).await.expect("an answer")).await.expect("whole");
    }
    let peers: Vec<SocketAddr> = accepted.await.expect("two connections and no third");
    assert_eq!(peers.len(), 2);
}

async fn answer_for_ever(mut socket: TcpStream) {
    let mut buffer = BytesMut::new();
    while read_request(&mut socket, &mut buffer).await.is_some() {
        socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("a reader");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_fails_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let mut url = url_of(&listener);
    url.set_scheme("https").expect("a scheme");
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("a reader");
    });
    let error = ReqwestTransport::new().send(get(url)).await.expect_err("no TLS");
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Tls, Sent::No), "{error:?}");
}

#[tokio::test]
async fn a_handshake_that_hangs_ends_at_the_connect_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let mut url = url_of(&listener);
    url.set_scheme("https").expect("a scheme");
    let mut pool = Pool::new("slow");
    pool.connect_timeout = Duration::from_millis(50);
    let request = Request::new(Method::GET, url, Arc::new(pool));
    let error = ReqwestTransport::new().send(request).await.expect_err("no handshake");
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Timeout(Phase::Connect), Sent::No), "{error:?}");
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_says_so() {
    // Longer than a label may be, so that the resolver refuses it without asking anybody.
    let url = Url::parse(&format!("http://{}.invalid/", "a".repeat(64))).expect("a url");
    let error = ReqwestTransport::new().send(get(url)).await.expect_err("no such name");
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Dns, Sent::No), "{error:?}");
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_a_connection() {
    let mut proxied = Pool::new("proxied");
    proxied.ca_file = Some("missing/ca.pem".into());
    let no_authority =
        Request::new(Method::GET, Url::parse("https://127.0.0.1:1/").expect("a url"), Arc::new(proxied));
    let no_scheme = get(Url::parse("ftp://127.0.0.1/").expect("a url"));
    for request in [no_authority, no_scheme] {
        let error = ReqwestTransport::new().send(request).await.expect_err("cannot be sent");
        assert_eq!((error.kind(), error.sent()), (ErrorKind::InvalidRequest, Sent::No), "{error:?}");
    }
}

#[tokio::test]
async fn a_proxy_is_used_where_the_pool_names_one() {
    let (proxy, serving) = once("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nproxied").await;
    let mut pool = Pool::new("proxied");
    pool.proxy = Some(proxy);
    let request =
        Request::new(Method::GET, Url::parse("http://upstream.invalid/").expect("a url"), Arc::new(pool));
    let response = ReqwestTransport::new().send(request).await.expect("an answer");
    assert_eq!(body(response).await.expect("whole"), b"proxied");
    serving.await.expect("no panic");
}
