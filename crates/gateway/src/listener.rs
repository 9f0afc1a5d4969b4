//! A port and its connections: HTTP/1.1 and HTTP/2 without TLS, told apart by their first bytes.
//!
//! A connection that brings no request within the header timeout is closed, whichever protocol it does not speak: the
//! version's detection and HTTP/2 have no such bound of their own. Between requests it may rest for [`REST`]. One that takes
//! nothing of what there is for it is closed as well, see [`outflow`](crate::outflow).

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    entrance::{Entrance, Greeted},
    outflow::Watched,
    phase::{Phase, Phases},
    routes::FLUSH,
};

/// How long a connection may rest between requests. Load balancers keep theirs for 60 s and must not find them closed.
const REST: Duration = Duration::from_secs(75);
/// Whether a silent HTTP/2 peer is still there.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Time for streams to say that they break off, when the time to finish is over: what their last frames may take, and a little.
const LAST_FRAMES: Duration = FLUSH.saturating_add(Duration::from_millis(500));
/// A process out of descriptors gets them back when connections end, not by asking again at once.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// A bound port.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    header_timeout: Duration,
}

impl Listener {
    /// Binds the port; 0 takes any.
    ///
    /// # Errors
    /// The operating system's, when the address is taken or not this machine's.
    pub(crate) async fn bind(address: SocketAddr, header_timeout: Duration) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, header_timeout })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `until` is reached. The port is closed then; its connections finish what they are at, and the returned
    /// guard waits for them.
    pub(crate) async fn serve(
        self,
        entrance: Arc<Entrance>,
        phases: Phases,
        until: Phase,
    ) -> GracefulShutdown {
        let connections = GracefulShutdown::new();
        let builder = Arc::new(protocols(self.header_timeout));
        let mut stop = Box::pin(phases.reached(until));
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => return connections,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let connection = Connection {
                        entrance: Arc::clone(&entrance),
                        builder: Arc::clone(&builder),
                        watcher: connections.watcher(),
                        phases: phases.clone(),
                        header_timeout: self.header_timeout,
                    };
                    tokio::spawn(connection.serve(stream));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => tokio::time::sleep(OUT_OF_DESCRIPTORS).await,
            }
        }
    }
}

fn protocols(header_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout.max(REST));
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING_EVERY);
    builder
}

/// What one connection is served with.
struct Connection {
    entrance: Arc<Entrance>,
    builder: Arc<auto::Builder<TokioExecutor>>,
    watcher: Watcher,
    phases: Phases,
    header_timeout: Duration,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Without it a small frame waits for the peer's delayed acknowledgement: 40 ms. Where it cannot be set, all else works.
        drop(stream.set_nodelay(true));
        let greeted = Greeted::default();
        let greeting = greeted.clone();
        let entrance = self.entrance;
        let watched = Watched::new(stream);
        let outflow = watched.outflow();
        let service = service_fn(move |mut request: Request<Incoming>| {
            greeting.set();
            request.extensions_mut().insert(outflow.clone());
            Arc::clone(&entrance).admit(request)
        });
        let served = self.watcher.watch(self.builder.serve_connection(TokioIo::new(watched), service));
        let over = self.phases.reached(Phase::Over);
        // How a connection ended is its peer's affair: it hung up, or sent what is not HTTP and was told so.
        tokio::select! {
            ended = served => drop(ended),
            () = said_nothing(&greeted, self.header_timeout) => {}
            () = async { over.await; tokio::time::sleep(LAST_FRAMES).await } => {}
        }
    }
}

/// Returns when no request has come in time; never, once one has.
async fn said_nothing(greeted: &Greeted, header_timeout: Duration) {
    tokio::time::sleep(header_timeout).await;
    if greeted.is_set() {
        std::future::pending::<()>().await;
    }
}

/// Whether only the connection about to be accepted is affected.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
