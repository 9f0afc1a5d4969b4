//! What has left for a caller, and whether the caller takes it: a connection's socket, watched.
//!
//! A server's body learns neither when its last bytes have left, nor that nobody reads them any more. The socket sees both:
//! the server flushes it when all that was buffered is written, and its writes stand still when the peer has stopped reading.
//! A caller that takes nothing for the stall timeout, while there are bytes for it, is let go; TCP itself would wait for days.

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

use crate::connections::Activity;

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

/// A caller's socket that counts its flushes, and fails when its peer has stopped reading.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    socket: T,
    outflow: Outflow,
    activity: Arc<Activity>,
    stall_timeout: Duration,
    /// Runs while a write waits. Made at the first wait: most connections never do.
    stall: Option<Pin<Box<Sleep>>>,
    is_stalled: bool,
}

impl<T> Watched<T> {
    pub(crate) fn new(socket: T, activity: Arc<Activity>, stall_timeout: Duration) -> Self {
        Self { socket, outflow: Outflow::default(), activity, stall_timeout, stall: None, is_stalled: false }
    }

    pub(crate) fn outflow(&self) -> Outflow {
        self.outflow.clone()
    }

    /// Bytes went through; a flush alone, which finds nothing to do, is no sign of life.
    fn note(&self, has_moved: bool) {
        if has_moved {
            self.activity.moved();
        }
    }

    /// Passes on what a write came to, or its failure when it has waited too long.
    fn bounded<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.is_stalled = false;
            return written;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.stall_timeout)));
        if !self.is_stalled {
            stall.as_mut().reset(Instant::now() + self.stall_timeout);
            self.is_stalled = true;
        }
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the caller has stopped reading")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        self.note(read.is_ready());
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.note(written.is_ready());
        self.bounded(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.note(written.is_ready());
        self.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        let flushed = ready!(self.bounded(cx, flushed));
        if flushed.is_ok() {
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

    fn watched<T>(socket: T) -> Watched<T> {
        Watched::new(socket, Arc::default(), STALL)
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
