//! The player on sockets: each region of a [`World`] listens on a port of its own.
//!
//! HTTP/1.1 by hyper, because a fault on a socket is a matter of connections: a closed port, an RST (SO_LINGER of zero), a
//! body without its end. A caller that leaves is noticed at once, as hyper watches the connection while an answer runs.
//!
//! While a region refuses, its port is closed and its idle connections are ended; answers that are running finish. The
//! port opens again when the fault ends, at the same number, unless another program took it in between: then the region
//! keeps trying.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

use crate::{
    error::WorldError,
    play::{Event, Playback},
    request::Call,
    world::World,
};

/// The longest request that is read; more is a 413.
const MAX_BODY: usize = 32 * 1024 * 1024;

/// How long to wait before trying again for a port that another program holds.
const PORT_RETRY: Duration = Duration::from_millis(20);

/// The regions of a world, listening.
///
/// # Drop
/// Dropping it closes every port and breaks every connection, without waiting for that.
#[derive(Debug)]
pub struct Server {
    world: World,
    addrs: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Listens on free ports of the loopback address, one a region.
    ///
    /// # Errors
    /// What the system says when it gives no port.
    pub async fn start(world: World) -> io::Result<Self> {
        Self::bind(world, (Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// Listens on `addr` for the first region, and on the ports that follow for the others; on free ports for port 0.
    ///
    /// # Errors
    /// What the system says when a port cannot be had, or there are none left.
    pub async fn bind(world: World, addr: SocketAddr) -> io::Result<Self> {
        let (stop, _) = watch::channel(false);
        let mut server = Self { world, addrs: Vec::new(), stop, tasks: JoinSet::new() };
        for index in 0..server.world.regions().len() {
            let step = if addr.port() == 0 { Some(0) } else { u16::try_from(index).ok() };
            let port = step.and_then(|step| addr.port().checked_add(step));
            let port = port.ok_or_else(|| io::Error::other("no port left for a region"))?;
            let listener = listen(SocketAddr::new(addr.ip(), port))?;
            let addr = listener.local_addr()?;
            server.addrs.push(addr);
            let region =
                RegionPort { world: server.world.clone(), index, addr, stop: server.stop.subscribe() };
            server.tasks.spawn(region.run(listener));
        }
        Ok(server)
    }

    /// Where a region listens.
    ///
    /// # Errors
    /// [`WorldError::UnknownRegion`].
    pub fn addr(&self, region: &str) -> Result<SocketAddr, WorldError> {
        let index = self.world.index(region)?;
        // There is an address a region, or `bind` failed.
        Ok(self.addrs.get(index).copied().unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into()))
    }

    /// The base URL of a region, `http://127.0.0.1:PORT/v1`.
    ///
    /// # Errors
    /// [`WorldError::UnknownRegion`].
    pub fn base_url(&self, region: &str) -> Result<String, WorldError> {
        Ok(format!("http://{}/v1", self.addr(region)?))
    }

    /// The world that is served.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Closes every port, breaks every connection, and returns when nothing of it runs.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// A listener whose port can be had again while connections of its last life linger.
fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(1024)
}

/// One region's port and its connections.
struct RegionPort {
    world: World,
    index: usize,
    addr: SocketAddr,
    stop: watch::Receiver<bool>,
}

impl RegionPort {
    async fn run(mut self, listener: TcpListener) {
        let mut changes = self.world.changes();
        let (drain, _) = watch::channel(());
        let mut connections = JoinSet::new();
        let mut listener = Some(listener);
        loop {
            let (refusing, next_change) = self.world.port(self.index);
            if refusing && listener.take().is_some() {
                drain.send_replace(()); // a server that is gone keeps no idle connection either
            }
            let mut retry = None;
            if !refusing && listener.is_none() {
                listener = listen(self.addr).ok();
                retry = listener.is_none().then_some(PORT_RETRY);
            }
            tokio::select! {
                () = stopped(&mut self.stop) => break,
                _ = changes.changed() => {}
                () = pause(retry.into_iter().chain(next_change).min()) => {}
                Some(_) = connections.join_next() => {}
                accepted = accept(listener.as_ref()) => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(serve(self.world.clone(), self.index, stream, drain.subscribe()));
                    }
                    // A want of descriptors passes; trying again at once would only burn time.
                    Err(_) => sleep(PORT_RETRY).await,
                },
            }
        }
        connections.shutdown().await;
    }
}

/// Returns when the server stops, or is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The error is that nobody is left to say stop.
    let _gone = stop.wait_for(|stop| *stop).await.is_err();
}

async fn pause(duration: Option<Duration>) {
    match duration {
        Some(duration) => sleep(duration).await,
        None => std::future::pending().await,
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Serves one connection until either side ends it, or it idles while the region drains.
async fn serve(world: World, index: usize, stream: TcpStream, mut drain: watch::Receiver<()>) {
    // Without it a small frame may wait for the acknowledgement of the last one; with no such option nothing is lost.
    let _ignored = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let io = TokioIo::new(Socket { stream, reset: Arc::clone(&reset) });
    let service = service_fn(move |request| answer(world.clone(), index, request, Arc::clone(&reset)));
    let mut builder = http1::Builder::new();
    builder.auto_date_header(false).header_read_timeout(None);
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    // A connection that ends with an error has ended, and that is all there is to know of it.
    let _ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = drain.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
}

type Answered = Response<Either<PlayedBody, Full<Bytes>>>;

/// Answers one request. The error says nothing: it makes hyper drop the connection.
async fn answer(
    world: World,
    index: usize,
    request: http::Request<Incoming>,
    reset: Arc<AtomicBool>,
) -> Result<Answered, Broken> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        let mut response = Response::new(Either::Right(Full::default()));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(response);
    };
    let target = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let call = Call { method: parts.method, target, headers: parts.headers, body: body.to_bytes() };
    let mut playback = world.begin(index, call);
    let Event::Head { status, headers } = playback.next().await else {
        reset.store(true, Ordering::Relaxed);
        return Err(Broken);
    };
    let mut response = Response::new(Either::Left(PlayedBody { playback, flushed: false }));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The connection is broken on purpose.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("broken on purpose")]
struct Broken;

/// A script's body on its way into a socket.
struct PlayedBody {
    playback: Playback,
    /// Whether the socket has been given the time to take all that comes before a break.
    flushed: bool,
}

impl Body for PlayedBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.playback.is_cut() && !std::mem::replace(&mut self.flushed, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending; // hyper writes out what it holds before it asks again
        }
        Poll::Ready(match ready!(self.playback.poll_next(cx)) {
            Event::Chunk(bytes) => Some(Ok(Frame::data(bytes))),
            Event::End => None,
            Event::Head { .. } | Event::Refused | Event::Reset | Event::Cut => Some(Err(Broken)),
        })
    }
}

/// A connection that can end with an RST.
///
/// # Drop
/// Resets the connection when it was told to, else closes it.
struct Socket {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // Where the system refuses, the caller sees a plain close before the head: the same fault to any client.
            let _ignored = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
