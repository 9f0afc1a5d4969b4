//! TLS and HTTP/2: an upstream with its own authority, on loopback.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use h2::{Reason, server::SendResponse};
use http::{Method, StatusCode};
use outrigger_transport::{ErrorKind, Pool, Request, ReqwestTransport, Sent, Transport};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_rustls::TlsAcceptor;
use url::Url;

type Stream = (http::Request<h2::RecvStream>, SendResponse<Bytes>);

/// An HTTP/2 upstream: where it is, whom to trust, and its streams as they come.
struct Secure {
    url: Url,
    ca_file: PathBuf,
    streams: mpsc::UnboundedReceiver<Stream>,
}

impl Secure {
    /// Listens on a free port; `name` keeps the files of two tests apart.
    async fn start(name: &str) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let ca_file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pem"));
        std::fs::write(&ca_file, cert.pem()).expect("a writable folder");
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks them")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a matching pair");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let (sender, streams) = mpsc::unbounded_channel();
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), sender));
        let url = Url::parse(&format!("https://localhost:{port}/")).expect("a url");
        Self { url, ca_file, streams }
    }

    fn request(&self) -> Request {
        let mut pool = Pool::new("secure");
        pool.ca_file = Some(self.ca_file.clone());
        let mut request = Request::new(Method::POST, self.url.clone(), Arc::new(pool));
        request.body = "{}".into();
        request
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, streams: mpsc::UnboundedSender<Stream>) {
    while let Ok((socket, _)) = listener.accept().await {
        let Ok(socket) = acceptor.accept(socket).await else { continue };
        let streams = streams.clone();
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(socket).await.expect("an HTTP/2 peer");
            while let Some(Ok(stream)) = connection.accept().await {
                let _listened = streams.send(stream);
            }
        });
    }
}

#[tokio::test]
async fn a_ca_file_is_trusted_and_http2_is_spoken() {
    let mut upstream = Secure::start("trusted").await;
    let request = upstream.request();
    let client = tokio::spawn(async move { ReqwestTransport::new().send(request).await });
    let (request, mut respond) = upstream.streams.recv().await.expect("a stream");
    assert_eq!(request.version(), http::Version::HTTP_2);
    assert_eq!(request.headers()["content-length"], "2");
    let mut body = respond.send_response(http::Response::new(()), false).expect("an open stream");
    body.send_data(Bytes::from_static(b"ok"), true).expect("an open stream");
    let mut response = client.await.expect("no panic").expect("an answer");
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.body.chunk().await.expect("a chunk").expect("no error"), "ok");
    assert!(response.body.chunk().await.is_none());
}

#[tokio::test]
async fn an_authority_that_nobody_named_is_not_trusted() {
    let upstream = Secure::start("strange").await;
    let other = Secure::start("other").await;
    let mut request = upstream.request();
    request.pool = other.request().pool;
    let error = ReqwestTransport::new().send(request).await.expect_err("a stranger");
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Tls, Sent::No), "{error:?}");
}

/// **Authorities that were written anew are another pool's.** Fails if a pool of another edition is served by the connections, and
/// the trust, of the one before.
#[tokio::test]
async fn another_edition_of_a_ca_file_is_trusted_anew() {
    let mut upstream = Secure::start("rotated").await;
    let others = Secure::start("others").await.ca_file;
    let own = std::fs::read(&upstream.ca_file).expect("written above");
    std::fs::copy(&others, &upstream.ca_file).expect("a writable folder");
    let transport = ReqwestTransport::new();
    let error = transport.send(upstream.request()).await.expect_err("a stranger");
    assert_eq!(error.kind(), ErrorKind::Tls);
    std::fs::write(&upstream.ca_file, own).expect("a writable folder");
    let mut request = upstream.request();
    Arc::make_mut(&mut request.pool).ca_edition = 1;
    let client = tokio::spawn(async move { transport.send(request).await });
    let (_request, mut respond) = upstream.streams.recv().await.expect("a stream");
    respond.send_response(http::Response::new(()), true).expect("an open stream");
    assert_eq!(client.await.expect("no panic").expect("an answer").status, StatusCode::OK);
}

#[tokio::test]
async fn a_refused_stream_sent_nothing_and_is_not_retried() {
    let mut upstream = Secure::start("refusing").await;
    let request = upstream.request();
    let client = tokio::spawn(async move { ReqwestTransport::new().send(request).await });
    let (_request, mut respond) = upstream.streams.recv().await.expect("a stream");
    respond.send_reset(Reason::REFUSED_STREAM);
    let error = client.await.expect("no panic").expect_err("refused");
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Reset, Sent::No), "{error:?}");
    assert!(upstream.streams.try_recv().is_err(), "the stream came again");
}

#[tokio::test]
async fn a_reset_stream_may_have_been_sent() {
    let mut upstream = Secure::start("resetting").await;
    let request = upstream.request();
    let client = tokio::spawn(async move { ReqwestTransport::new().send(request).await });
    let (_request, mut respond) = upstream.streams.recv().await.expect("a stream");
    respond.send_reset(Reason::INTERNAL_ERROR);
    let error = client.await.expect("no panic").expect_err("reset");
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Reset, Sent::Maybe), "{error:?}");
}

#[tokio::test]
async fn dropping_a_body_resets_its_stream_and_keeps_the_connection() {
    let mut upstream = Secure::start("dropped").await;
    let transport = Arc::new(ReqwestTransport::new());
    let send = |request| {
        let transport = Arc::clone(&transport);
        tokio::spawn(async move { transport.send(request).await })
    };
    let client = send(upstream.request());
    let (_request, mut respond) = upstream.streams.recv().await.expect("a stream");
    let mut body = respond.send_response(http::Response::new(()), false).expect("an open stream");
    body.send_data(Bytes::from_static(b"once upon"), false).expect("an open stream");
    let mut response = client.await.expect("no panic").expect("an answer");
    assert!(matches!(response.body.chunk().await, Some(Ok(_))));
    drop(response);
    let reason = std::future::poll_fn(|cx| body.poll_reset(cx)).await.expect("a reset");
    assert_eq!(reason, Reason::CANCEL);

    let client = send(upstream.request());
    let (_request, mut respond) = upstream.streams.recv().await.expect("the same connection");
    respond.send_response(http::Response::new(()), true).expect("an open stream");
    assert_eq!(client.await.expect("no panic").expect("an answer").status, StatusCode::OK);
}
