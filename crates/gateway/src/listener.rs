//! A port and its connections: HTTP/1.1 and HTTP/2 without TLS, told apart by their first bytes.
//!
//! # When is a connection let go?
//! When it brings no request within the header timeout, whichever protocol it does not speak: the version's detection and HTTP/2
//! have no such bound of their own; and when it does not end a further head that it has begun ([`outflow`](crate::outflow)). When it
//! rests too long between requests, or rests while others need its place ([`connections`](crate::connections)). When it takes nothing of
//! what there is for it; on HTTP/2 it is one answer that is given up then ([`untaken`](crate::untaken)). When the gateway drains: at once where
//! it rests, else after its answer.
//!
//! A peer is told that its connection ends, and may take its leave. Where nothing is under way it is not waited for long: half a head, or a
//! peer of HTTP/2 that answers nothing, would hold up the end of a drain, or a place that others need.
//!
//! # What is held for one?
//! At most [`HEAD_SPARE`] more than a request's head may have, twice: what came in and is not read, and what is to go out and is
//! not taken. On HTTP/2 so much goes out for each of [`STREAMS`].

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::body::Body;
use http::{HeaderValue, Request, Version, header::CONNECTION};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

use crate::{
    activity::Activity,
    clerk::Peer,
    connections::{Connections, Place},
    entrance::Entrance,
    outflow::{Patience, Watched},
    phase::{Phase, Phases},
    refusal,
    routes::FLUSH,
    untaken::Taken,
};

/// Whether a silent HTTP/2 peer is still there.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 250;
/// Bytes of one HTTP/2 stream that wait to be taken.
const STREAM_OUT: usize = 64 << 10;
/// Requests of one HTTP/2 connection that were reset before they were looked at: a peer that does this all the time is cut off.
const RESETS: usize = 20;
/// Beyond the largest head that is answered in words; the protocol's own refusal has none.
const HEAD_SPARE: usize = 64 << 10;
/// Time for streams to say that they break off, when the time to finish is over: what their last frames may take, and a little.
const LAST_FRAMES: Duration = FLUSH.saturating_add(Duration::from_millis(500));
/// Time for a connection without a request to take its leave: a peer's last ping and back, or a request that was on its way.
const LEAVE: Duration = Duration::from_secs(2);
/// A process out of descriptors gets them back when connections end, not by asking again at once.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);
/// Connections beyond the bound that are heard at once; a further one is dropped.
const WAITING: usize = 64;
/// How long one of them waits for a place.
const WAIT: Duration = Duration::from_millis(500);
/// Time to take leave for one that has rested. Somebody may wait for its place.
const LEAVE_OF_RESTED: Duration = Duration::from_millis(250);

/// What a port takes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Time for a connection to bring its first request, and for the head of a further one that it has begun.
    pub(crate) header_timeout: Duration,
    /// How long a connection may rest between requests.
    pub(crate) idle_timeout: Duration,
    /// How long a caller may take nothing of what there is for it.
    pub(crate) stall_timeout: Duration,
    /// Connections at once.
    pub(crate) max_connections: u32,
    /// Bytes of a request's head.
    pub(crate) max_head: usize,
}

/// A bound port.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    limits: Limits,
}

impl Listener {
    /// Binds the port; 0 takes any.
    ///
    /// # Errors
    /// The operating system's, when the address is taken or not this machine's.
    pub(crate) async fn bind(address: SocketAddr, limits: Limits) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, limits })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `until` is reached. The port is closed then; its connections finish what they are at, and can be waited for
    /// by what is returned.
    pub(crate) async fn serve(
        self,
        entrance: Arc<Entrance>,
        phases: Phases,
        until: Phase,
    ) -> Arc<Connections> {
        let connections = Connections::new(self.limits.max_connections);
        let waiting = Arc::new(Semaphore::new(WAITING));
        let connection = Connection {
            entrance,
            builder: Arc::new(protocols(&self.limits)),
            connections: Arc::clone(&connections),
            phases: phases.clone(),
            until,
            limits: self.limits,
        };
        let mut stop = Box::pin(phases.reached(until));
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => return connections,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match connections.enter() {
                    Some(place) => drop(tokio::spawn(connection.clone().serve(stream, peer, place))),
                    None => {
                        if let Ok(chair) = Arc::clone(&waiting).try_acquire_owned() {
                            drop(tokio::spawn(connection.clone().wait(stream, peer, chair)));
                        }
                    }
                },
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => {
                    connections.press();
                    sleep(OUT_OF_DESCRIPTORS).await;
                }
            }
        }
    }
}

fn protocols(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let buffer = limits.max_head.saturating_add(HEAD_SPARE);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // Its clock would run through the rest between requests as well.
        .header_read_timeout(None)
        .max_buf_size(buffer);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(buffer).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS)
        .max_send_buf_size(STREAM_OUT);
    builder
}

/// What one connection is served with.
#[derive(Clone)]
struct Connection {
    entrance: Arc<Entrance>,
    builder: Arc<auto::Builder<TokioExecutor>>,
    connections: Arc<Connections>,
    phases: Phases,
    until: Phase,
    limits: Limits,
}

impl Connection {
    /// Serves a connection beyond the bound as soon as another one makes room, or tells it that there is none.
    async fn wait(self, stream: TcpStream, peer: SocketAddr, _chair: OwnedSemaphorePermit) {
        let began = Instant::now();
        match timeout(WAIT, self.connections.enter_soon()).await {
            Ok(Some(place)) => drop(tokio::spawn(self.serve(stream, peer, place))),
            _ => {
                self.entrance.turned_away(peer, began.elapsed());
                refusal::tell(stream).await;
            }
        }
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr, _place: Place) {
        // Without it a small frame waits for the peer's delayed acknowledgement: 40 ms. Where it cannot be set, all else works.
        drop(stream.set_nodelay(true));
        let activity = Arc::<Activity>::default();
        let Limits { header_timeout, idle_timeout, stall_timeout, .. } = self.limits;
        let patience = Patience { header_timeout, stall_timeout };
        let watched = Watched::new(stream, Arc::clone(&activity), patience);
        let outflow = watched.outflow();
        let service = {
            let (activity, entrance) = (Arc::clone(&activity), self.entrance);
            let (phases, until) = (self.phases.clone(), self.until);
            service_fn(move |mut request: Request<Incoming>| {
                let is_http2 = request.version() > Version::HTTP_11;
                let turn = activity.begin(is_http2);
                request.extensions_mut().insert(outflow.clone());
                request.extensions_mut().insert(Peer(peer));
                let (entrance, phases) = (Arc::clone(&entrance), phases.clone());
                async move {
                    let answered = entrance.admit(request).await;
                    let mut answered = answered.map(|response| response.map(|body| turn.around(body)));
                    if is_http2 {
                        let taken = |body| Body::new(Taken::new(body, stall_timeout));
                        answered = answered.map(|response| response.map(taken));
                    }
                    if let (false, true, Ok(response)) = (is_http2, phases.now() >= until, &mut answered) {
                        // The answer may be there before the connection has heard that it is to go.
                        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    answered
                }
            })
        };
        let mut served = pin!(self.builder.serve_connection(TokioIo::new(watched), service));
        let mut cut_off = pin!(async {
            tokio::select! {
                () = said_nothing(&activity, header_timeout) => {}
                () = async { self.phases.reached(Phase::Over).await; sleep(LAST_FRAMES).await } => {}
                () = self.phases.reached(Phase::Gone) => {}
            }
        });
        let is_to_go = async {
            tokio::select! {
                () = self.phases.reached(self.until) => LEAVE,
                () = self.connections.rested(&activity, idle_timeout) => LEAVE_OF_RESTED,
            }
        };
        // How a connection ended is its peer's affair: it hung up, or sent what is not HTTP and was told so.
        let leave = tokio::select! {
            ended = &mut served => return drop(ended),
            () = &mut cut_off => return,
            leave = is_to_go => leave,
        };
        served.as_mut().graceful_shutdown();
        tokio::select! {
            ended = served => drop(ended),
            () = cut_off => {}
            () = took_no_leave(&activity, leave) => {}
        }
    }
}

/// Returns when no request has come in time; never, once one has.
async fn said_nothing(activity: &Activity, header_timeout: Duration) {
    sleep(header_timeout).await;
    if !activity.is_fresh() {
        std::future::pending::<()>().await;
    }
}

/// Returns when nothing was under way for so long, and nothing went out.
async fn took_no_leave(activity: &Activity, leave: Duration) {
    loop {
        let before = (activity.turns(), activity.writes());
        sleep(leave).await;
        if before == (activity.turns(), activity.writes()) && !activity.is_busy() {
            return;
        }
    }
}

/// Whether only the connection about to be accepted is affected.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// **An answer is waited for, and bytes on their way.** Fails if a stream that is silent for a while counts as nothing, or if a peer
    /// that takes what is left for it does.
    #[tokio::test(start_paused = true)]
    async fn who_is_still_answered_is_not_hurried() {
        let activity = Arc::<Activity>::default();
        let mut left = tokio::spawn({
            let activity = Arc::clone(&activity);
            async move { took_no_leave(&activity, LEAVE).await }
        });
        let answer = activity.begin(false).around(Body::from("ahoy"));
        assert!(timeout(LEAVE * 10, &mut left).await.is_err());
        drop(answer);
        for _ in 0..10 {
            activity.wrote();
            assert!(timeout(LEAVE / 2, &mut left).await.is_err());
        }
        timeout(LEAVE * 2, left).await.unwrap().unwrap();
    }
}
