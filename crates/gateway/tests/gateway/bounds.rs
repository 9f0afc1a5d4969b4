//! Callers that are slow, silent, or too many: each bound of `[server]` from outside, with the answer that it gives.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use sim::{Fault, Step, When};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    process::Command,
    task::JoinHandle,
};

use crate::support::{Gateway, exchange, find, post, question, send, soon};

const CHAT: &str = "/v1/chat/completions";
const MODELS: &[u8] = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A connection that has had an answer and stays.
pub(crate) async fn resting(gateway: &Gateway) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(MODELS).await.unwrap();
    let mut bytes = Vec::new();
    while find(&bytes, b"]}").is_none() {
        assert_ne!(soon(stream.read_buf(&mut bytes)).await.unwrap(), 0);
    }
    stream
}

/// A connection whose request waits for a provider that says nothing.
async fn waiting(gateway: &Gateway) -> TcpStream {
    let asked = || ["us-east", "eu-west"].map(|region| gateway.world().count(region).unwrap());
    let before = asked();
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(post(CHAT, "", &question(false)).as_bytes()).await.unwrap();
    soon(async {
        while asked() == before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stream
}

/// Asks until there is an answer.
async fn answered(gateway: &Gateway) {
    while !exchange(gateway.listen, &post(CHAT, "", &question(false))).await.starts_with(b"HTTP/1.1 200 ") {}
}

/// An HTTP/2 client without any manners of its own.
async fn h2(gateway: &Gateway) -> (h2::client::SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(gateway.listen).await.unwrap();
    let (sender, connection) = soon(h2::client::handshake(stream)).await.unwrap();
    (soon(sender.ready()).await.unwrap(), tokio::spawn(connection))
}

fn get(path: &str) -> http::Request<()> {
    http::Request::get(format!("http://localhost{path}")).body(()).unwrap()
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_408() {
    let gateway = Gateway::start("[server]\nbody_timeout = \"100ms\"").await;
    let request = post(CHAT, "", &question(false));
    let reply = send(gateway.listen, &request[..request.len() - 5]).await;
    assert_eq!((reply.status, reply.code().as_str()), (408, "request_timeout"));
}

#[tokio::test]
async fn a_connection_that_rests_too_long_is_closed_whatever_it_speaks() {
    let gateway = Gateway::start("[server]\nidle_timeout = \"200ms\"").await;
    let mut stream = resting(&gateway).await;
    assert_eq!(soon(stream.read(&mut [0; 64])).await.unwrap(), 0);
    let (mut sender, connection) = h2(&gateway).await;
    let response = sender.send_request(get("/v1/models"), true).unwrap().0;
    assert_eq!(soon(response).await.unwrap().status(), 200);
    soon(connection).await.expect("its task ends").unwrap();
}

#[tokio::test]
async fn a_head_too_large_is_431_whatever_it_speaks() {
    let gateway = Gateway::start("[server]\nmax_head = \"4KiB\"").await;
    let padded =
        |bytes: usize| post(CHAT, &format!("x-padding: {}\r\n", "x".repeat(bytes)), &question(false));
    assert_eq!(send(gateway.listen, &padded(3000)).await.status, 200);
    let reply = send(gateway.listen, &padded(5000)).await;
    assert_eq!((reply.status, reply.code().as_str()), (431, "headers_too_large"));
    assert!(reply.text().contains("4096"), "{}", reply.text());
    // What is larger by far, or of too many parts, is refused by the protocol, in no words.
    assert_eq!(send(gateway.listen, &padded(100 << 10)).await.status, 431);
    let many = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    assert_eq!(send(gateway.listen, &post(CHAT, &many, &question(false))).await.status, 431);

    let (mut sender, _connection) = h2(&gateway).await;
    for bytes in [5000, 100 << 10] {
        let mut request = get("/v1/models");
        request.headers_mut().insert("x-padding", HeaderValue::try_from("x".repeat(bytes)).unwrap());
        sender = soon(sender.ready()).await.unwrap();
        let response = sender.send_request(request, true).unwrap().0;
        assert_eq!(soon(response).await.unwrap().status(), 431, "{bytes}");
    }
    assert_eq!(gateway.ask("").await.status, 200);
}

/// **A connection too many is told so.** Fails if it is left to wait, or closed without a word, or if it is never let in again.
#[tokio::test]
async fn more_connections_than_are_taken_are_overload_until_one_ends() {
    let gateway = Gateway::start("[server]\nmax_connections = 2").await;
    for region in ["us-east", "eu-west"] {
        gateway.world().inject(region, Fault::Silent, When::always()).unwrap();
    }
    let held = [waiting(&gateway).await, waiting(&gateway).await];
    let reply = send(gateway.listen, &post(CHAT, "", &question(false))).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "overloaded"));
    assert_eq!((reply.header("retry-after"), reply.header("connection")), (Some("1"), Some("close")));
    let page = gateway.metrics().await;
    for counted in [
        "outrigger_requests_total{model=\"_unknown\",outcome=\"refused\"} 1\n",
        "outcome=\"refused\",code=\"overloaded\",due_to=\"gateway\"} 1\n",
    ] {
        assert!(page.contains(counted), "operators have their own, and see it:\n{page}");
    }
    let line = "outcome=\"refused\" status=503 code=\"overloaded\"";
    soon(async {
        while !gateway.log().contains(line) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(held);
    gateway.world().clear_all();
    soon(answered(&gateway)).await;
}

/// **Idle connections keep nobody out.** Fails if they are not asked to make room.
#[tokio::test]
async fn resting_connections_make_room_for_callers() {
    let gateway = Gateway::start("[server]\nmax_connections = 20\nidle_timeout = \"1h\"").await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(resting(&gateway).await);
    }
    soon(answered(&gateway)).await;
    let ended = idle.iter().filter(|stream| stream.try_read(&mut [0; 64]).is_ok()).count();
    assert!((1..20).contains(&ended), "{ended} of 20 made room");
}

/// **Half a head keeps nobody out**, though it comes in drops for ever. Fails if a byte of it counts as much as a request.
#[tokio::test]
async fn connections_whose_heads_come_in_drops_make_room_for_callers() {
    let gateway = Gateway::start("[server]\nmax_connections = 4\nheader_timeout = \"1h\"").await;
    for _ in 0..4 {
        let mut stream = resting(&gateway).await;
        tokio::spawn(async move {
            let mut drops = tokio::time::interval(Duration::from_millis(50));
            while stream.write_all(b"x").await.is_ok() {
                drops.tick().await;
            }
        });
    }
    soon(answered(&gateway)).await;
}

/// **A ping is no request.** Fails if a connection of HTTP/2 that only pings stays for ever.
#[tokio::test]
async fn an_http_2_connection_that_only_pings_rests() {
    let gateway = Gateway::start("[server]\nidle_timeout = \"1s\"").await;
    let stream = TcpStream::connect(gateway.listen).await.unwrap();
    let (sender, mut connection) = soon(h2::client::handshake(stream)).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let connection = tokio::spawn(connection);
    let mut sender = soon(sender.ready()).await.unwrap();
    let response = sender.send_request(get("/v1/models"), true).unwrap().0;
    assert_eq!(soon(response).await.unwrap().status(), 200);
    soon(async { while pings.ping(h2::Ping::opaque()).await.is_ok() {} }).await;
    drop(soon(connection).await.unwrap());
}

/// **Descriptors do not run out.** Fails if connections are taken on that leave none for asking a provider.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_with_few_descriptors_takes_on_what_it_can_and_answers() {
    let mut program = Command::new("sh");
    program.args(["-c", "ulimit -n 128; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_outrigger")]);
    let gateway = Gateway::started_by(program, "[server]\nheader_timeout = \"1h\"").await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(gateway.listen).await.unwrap());
    }
    soon(answered(&gateway)).await;
    assert_eq!(gateway.operate("GET", "/healthz", "").await.status, 200);
    let open = std::fs::read_dir(format!("/proc/{}/fd", gateway.child.id().unwrap())).unwrap().count();
    assert!(open <= 128, "{open}");
    assert!(idle.len() == 300, "they were there to the end");
}

/// **Who stops reading is let go**, and its upstream with it. Fails if a stream waits for a caller for ever.
#[tokio::test]
async fn a_caller_that_takes_nothing_of_its_stream_is_let_go() {
    let gateway = Gateway::start("[server]\nstall_timeout = \"200ms\"\n[timeouts]\nidle = \"10m\"").await;
    let events = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))]);
    let frame = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
        "long ".repeat(8000)
    );
    let steps = vec![
        Step::Head { status: StatusCode::OK, headers: events },
        Step::Repeat { every: Duration::ZERO, bytes: frame.into() },
    ];
    gateway.world().answer_next("us-east", steps).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(gateway.listen).await.unwrap();
    stream.write_all(post(CHAT, "", &question(true)).as_bytes()).await.unwrap();
    soon(async {
        while gateway.world().count("us-east").unwrap() == 0
            || gateway.world().in_flight("us-east").unwrap() > 0
        {
            gateway.get("/v1/models").await;
        }
    })
    .await;
    assert!(gateway.world().received("us-east").unwrap()[0].cancelled_by_caller);
}

/// **On HTTP/2 as well**: a peer that opens no window for its answer keeps no place, though its connection lives. Fails if a whole answer or a stream
/// waits for it for ever.
#[tokio::test]
async fn an_http_2_peer_that_takes_nothing_of_its_answer_loses_its_place() {
    let gateway = Gateway::start("[server]\nstall_timeout = \"200ms\"\nmax_concurrent = 1").await;
    let stream = TcpStream::connect(gateway.listen).await.unwrap();
    let handshake = h2::client::Builder::new().initial_window_size(0).handshake::<_, Bytes>(stream);
    let (mut sender, connection) = soon(handshake).await.unwrap();
    let connection = tokio::spawn(connection);
    for is_stream in [false, true] {
        sender = soon(sender.ready()).await.expect("its connection lives");
        let request =
            http::Request::post(format!("http://localhost{CHAT}")).header(CONTENT_TYPE, "application/json");
        let (response, mut body) = sender.send_request(request.body(()).unwrap(), false).unwrap();
        body.send_data(question(is_stream).into(), true).unwrap();
        let response = soon(response).await.unwrap();
        assert_eq!(response.status(), 200);
        soon(answered(&gateway)).await;
        assert!(!connection.is_finished());
        drop(response);
    }
}

#[tokio::test]
async fn one_http_2_connection_has_a_bound_of_requests_at_once() {
    let gateway = Gateway::start("").await;
    let stream = TcpStream::connect(gateway.listen).await.unwrap();
    let (sender, mut connection) = soon(h2::client::handshake(stream)).await.unwrap();
    let mut sender = soon(async {
        tokio::select! {
            sender = sender.ready() => sender.unwrap(),
            ended = &mut connection => panic!("{ended:?}"),
        }
    })
    .await;
    let answered = sender.send_request(get("/v1/models"), true).unwrap().0;
    soon(async {
        tokio::select! {
            answered = answered => assert_eq!(answered.unwrap().status(), 200),
            ended = &mut connection => panic!("{ended:?}"),
        }
    })
    .await;
    assert_eq!(connection.max_concurrent_send_streams(), 250);
}

/// **Rapid reset.** Who opens requests only to take them back is cut off, and costs others nothing. Fails if the bound of such
/// streams is lifted.
#[tokio::test]
async fn a_peer_that_resets_its_requests_without_end_is_cut_off() {
    let gateway = Gateway::start("").await;
    let (mut sender, connection) = h2(&gateway).await;
    let body = Bytes::from(question(false));
    let flood = async {
        loop {
            sender = sender.ready().await?;
            let request = http::Request::post(format!("http://localhost{CHAT}"))
                .header(CONTENT_TYPE, "application/json")
                .body(())
                .unwrap();
            let (_answer, mut stream) = sender.send_request(request, false)?;
            drop(stream.send_data(body.clone(), false));
            stream.send_reset(h2::Reason::CANCEL);
            // The connection is to get its turn.
            tokio::task::yield_now().await;
        }
        #[allow(unreachable_code, reason = "the type of the errors before")]
        Ok::<(), h2::Error>(())
    };
    soon(flood).await.unwrap_err();
    // The reason may be lost by what this peer still sends: the end of the connection counts.
    soon(connection).await.unwrap().unwrap_err();
    assert_eq!(gateway.ask("").await.status, 200);
    let asked = gateway.world().count("us-east").unwrap();
    assert!(asked < 300, "{asked} requests went to the provider");
}

/// **A process without descriptors goes on.** A caller that cannot be taken on is taken on as soon as one who rests has made room. Fails if a
/// failed accept ends the port, or if nobody is asked to make room.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_port_that_cannot_accept_makes_room_and_goes_on() {
    use std::collections::BTreeSet;

    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

    let gateway = Gateway::start("").await;
    let mut callers = vec![resting(&gateway).await];
    let id = gateway.child.id().unwrap();
    let open: BTreeSet<u64> = std::fs::read_dir(format!("/proc/{id}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    let free = (0..).find(|number| !open.contains(number));
    let limit = Rlimit { current: free, maximum: getrlimit(Resource::Nofile).maximum };
    prlimit(Pid::from_raw(id.try_into().unwrap()), Resource::Nofile, limit).unwrap();
    // A file that was open then and is not now leaves room for one or two.
    for _ in 0..4 {
        callers.push(resting(&gateway).await);
    }
    for caller in &mut callers[..2] {
        assert_eq!(soon(caller.read(&mut [0; 1])).await.unwrap(), 0, "it made room");
    }
}
