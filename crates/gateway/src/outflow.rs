//! What has left for a caller, and whether the caller takes it: a connection's socket, watched.
//!
//! A server's body learns neither when its last bytes have left, nor that nobody reads them any more. The socket sees both:
//! the server flushes it when all that was buffered is written, and its writes stand still when the peer has stopped reading.
//! A caller that takes nothing for the stall timeout, while there are bytes for it, is let go; TCP itself would wait for days.
//! So is one that begins a further request after a rest, and does not bring its head within the header timeout: the server's own
//! clock would have to run through the rest as well.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Instant, Sleep},
};

use crate::activity::Activity;

/// How often all that was written to a connection has left. Clones speak of the same connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outflow(Arc<Flushes>);

#[derive(Debug, Default)]
struct Flushes {
    count: AtomicU64,
    more: Notify,
}

impl Outflow {
    /// The flushes so far.
    pub(crate) fn mark(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }

    /// Returns when there has been a flush after `mark`.
    pub(crate) async fn flushed_since(&self, mark: u64) {
        loop {
            let mut more = std::pin::pin!(self.0.more.notified());
            // A flush between the look and the wait must not be missed.
            more.as_mut().enable();
            if self.mark() > mark {
                return;
            }
            more.await;
        }
    }

    fn flushed(&self) {
        self.0.count.fetch_add(1, Ordering::Release);
        self.0.more.notify_waiters();
    }
}

/// How long a caller may keep a connection waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a request's head, from its first byte.
    pub(crate) header_timeout: Duration,
    /// For the caller to take something of what there is for it.
    pub(crate) stall_timeout: Duration,
}

/// A caller's socket that counts its flushes, and fails when its peer has stopped reading, or does not end what it began to ask.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    socket: T,
    outflow: Outflow,
    activity: Arc<Activity>,
    patience: Patience,
    /// Runs while a write waits. Made at the first wait: most connections never do.
    stall: Option<Pin<Box<Sleep>>>,
    is_stalled: bool,
    /// Runs from a head's first byte after a rest.
    head: Option<Pin<Box<Sleep>>>,
    /// The rest that it ends.
    rest: Option<u64>,
}

impl<T> Watched<T> {
    pub(crate) fn new(socket: T, activity: Arc<Activity>, patience: Patience) -> Self {
        Self {
            socket,
            outflow: Outflow::default(),
            activity,
            patience,
            stall: None,
            is_stalled: false,
            head: None,
            rest: None,
        }
    }

    pub(crate) fn outflow(&self) -> Outflow {
        self.outflow.clone()
    }

    /// Passes on what a write came to, or its failure when it has waited too long.
    fn bounded<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.is_stalled = false;
            return written;
        }
        self.activity.block(true);
        if !std::mem::replace(&mut self.is_stalled, true) {
            restart(&mut self.stall, self.patience.stall_timeout);
        }
        ready!(elapsed(&mut self.stall, cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the caller has stopped reading")))
    }

    /// Passes on what a read came to, or its failure when a head that was begun has not come whole in time.
    fn timely(
        &mut self,
        cx: &mut Context<'_>,
        read: Poll<io::Result<()>>,
        has_come: bool,
    ) -> Poll<io::Result<()>> {
        let Some(rest) = self.activity.rest_before_a_head() else { return read };
        if has_come && self.rest != Some(rest) {
            self.rest = Some(rest);
            restart(&mut self.head, self.patience.header_timeout);
        }
        if read.is_ready() || self.rest != Some(rest) {
            return read;
        }
        ready!(elapsed(&mut self.head, cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the caller does not end its head")))
    }

    /// Passes on what a write came to; one that moved something is a sign of life.
    fn noted(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.activity.wrote();
        }
        self.bounded(cx, written)
    }
}

fn restart(clock: &mut Option<Pin<Box<Sleep>>>, time: Duration) {
    clock.get_or_insert_with(|| Box::pin(tokio::time::sleep(time))).as_mut().reset(Instant::now() + time);
}

/// Whether a clock that was started has run down.
fn elapsed(clock: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<()> {
    clock.as_mut().map_or(Poll::Pending, |clock| clock.as_mut().poll(cx))
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        let has_come = buffer.filled().len() > before;
        self.timely(cx, read, has_come)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.noted(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.noted(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        let flushed = ready!(self.bounded(cx, flushed));
        if flushed.is_ok() {
            self.activity.block(false);
            self.outflow.flushed();
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const STALL: Duration = Duration::from_secs(60);
    const HEAD: Duration = Duration::from_secs(10);
    const PATIENCE: Patience = Patience { header_timeout: HEAD, stall_timeout: STALL };

    fn watched<T>(socket: T) -> Watched<T> {
        Watched::new(socket, Arc::default(), PATIENCE)
    }

    /// **Half a head in drops is let go as well.** Each has the whole time, a rest is no part of it, and an answer neither. Fails if the
    /// clock starts anew with each byte, or runs before the first one, or on after the head.
    #[tokio::test(start_paused = true)]
    async fn a_head_after_a_rest_is_to_come_in_time() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let activity = Arc::<Activity>::default();
        let mut watched = Watched::new(ours, Arc::clone(&activity), PATIENCE);
        let drops = tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEAD / 4).await;
                if theirs.write_u8(b'x').await.is_err() {
                    break;
                }
            }
        });
        for _ in 0..10 {
            watched.read_u8().await.expect("the first head has a clock of its own");
        }
        let turn = activity.begin(false);
        for _ in 0..10 {
            watched.read_u8().await.expect("it is a body");
        }
        drop(turn);
        let began = Instant::now();
        let error = loop {
            if let Err(error) = watched.read_u8().await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), HEAD / 4 + HEAD);
        drop(watched);
        drops.await.unwrap();
    }

    /// **What waits for the peer is no rest.** Fails if it is not said, or never taken back.
    #[tokio::test(start_paused = true)]
    async fn a_connection_is_busy_until_its_peer_has_taken_all() {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let activity = Arc::<Activity>::default();
        let mut watched = Watched::new(ours, Arc::clone(&activity), PATIENCE);
        let writer = tokio::spawn(async move {
            watched.write_all(b"more than four").await.unwrap();
            watched.flush().await.unwrap();
            watched
        });
        tokio::time::sleep(STALL / 2).await;
        assert!(activity.is_busy());
        theirs.read_exact(&mut [0; 14]).await.unwrap();
        drop(writer.await.unwrap());
        assert!(!activity.is_busy());
    }

    /// **Who stops reading is let go.** Fails if the clock of a stall is not started, or never looked at.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_for_a_minute_fails_the_write() {
        let (ours, _theirs) = tokio::io::duplex(4);
        let mut watched = watched(ours);
        let began = Instant::now();
        let error = watched.write_all(b"more than four").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((STALL..STALL * 2).contains(&began.elapsed()));
    }

    /// **Slow is not stopped.** Fails if the clock runs on through progress.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_little_now_and_then_is_waited_for() {
        let (ours, mut theirs) = tokio::io::duplex(1);
        let reader = tokio::spawn(async move {
            let mut bytes = Vec::new();
            while bytes.len() < 8 {
                tokio::time::sleep(STALL / 2).await;
                bytes.push(theirs.read_u8().await.unwrap());
            }
            bytes
        });
        let mut watched = watched(ours);
        watched.write_all(b"patience").await.unwrap();
        assert_eq!(reader.await.unwrap(), b"patience");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_is_told_to_who_waits_and_to_who_comes_late() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let mut watched = watched(ours);
        let outflow = watched.outflow();
        let mark = outflow.mark();
        let waits = tokio::spawn({
            let outflow = outflow.clone();
            async move { outflow.flushed_since(mark).await }
        });
        tokio::task::yield_now().await;
        watched.flush().await.unwrap();
        waits.await.unwrap();
        outflow.flushed_since(mark).await;
        let second = outflow.flushed_since(outflow.mark());
        assert!(tokio::time::timeout(STALL, second).await.is_err(), "no flush came after it");
    }
}
