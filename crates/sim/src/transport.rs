//! The player in memory: a [`Transport`] whose other end is a [`World`].
//!
//! It keeps every promise of the trait and uses no socket, no thread and no task, only tokio's clock. Under
//! `start_paused` a test of minutes of slowness takes milliseconds, and the same seed gives the same run.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep, timeout};
use transport::{ErrorKind, Phase, Request, Response, ResponseBody, Transport, TransportError};
use url::Position;

use crate::{
    play::{Event, Playback},
    request::Call,
    world::World,
};

/// Sends requests into a [`World`], each to the region that its URL's host names (`http://us-east.sim.invalid/v1/...`).
///
/// Any other host has no address. The scheme may be `http` or `https`; nothing is encrypted either way.
#[derive(Clone, Debug)]
pub struct SimTransport {
    world: World,
}

impl SimTransport {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }

    fn begin(&self, request: &Request) -> Result<Playback, ErrorKind> {
        if !matches!(request.url.scheme(), "http" | "https") {
            return Err(ErrorKind::InvalidRequest);
        }
        let region = request.url.host_str().and_then(|host| host.strip_suffix(".sim.invalid"));
        let index = region.and_then(|region| self.world.index(region).ok()).ok_or(ErrorKind::Dns)?;
        let call = Call {
            method: request.method.clone(),
            target: request.url[Position::BeforePath..Position::AfterQuery].to_owned(),
            headers: request.headers.clone(),
            body: request.body.to_bytes(),
        };
        Ok(self.world.begin(index, call))
    }
}

#[async_trait]
impl Transport for SimTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let mut playback = self.begin(&request).map_err(TransportError::new)?;
        let head = match request.timeouts.head {
            Some(limit) => timeout(limit, playback.next())
                .await
                .map_err(|_| TransportError::new(ErrorKind::Timeout(Phase::Head)))?,
            None => playback.next().await,
        };
        match head {
            Event::Head { status, headers } => {
                let idle = request.timeouts.idle.map(|limit| (limit, Box::pin(sleep(limit))));
                Ok(Response::new(status, headers, ResponseBody::new(Body { playback: Some(playback), idle })))
            }
            Event::Refused => Err(TransportError::new(ErrorKind::Refused)),
            Event::Reset => Err(TransportError::new(ErrorKind::Reset)),
            // No script begins so.
            Event::Chunk(_) | Event::Cut | Event::End => Err(TransportError::new(ErrorKind::Protocol)),
        }
    }
}

/// An answer's body; empty-handed once it has ended or failed.
struct Body {
    playback: Option<Playback>,
    idle: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl Body {
    /// Fails when the silence has lasted too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.idle.as_mut().map_or(Poll::Pending, |(_, sleep)| sleep.as_mut().poll(cx))
    }

    fn restart_idle(&mut self) {
        if let Some((limit, sleep)) = &mut self.idle {
            sleep.as_mut().reset(Instant::now() + *limit);
        }
    }
}

impl Stream for Body {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(playback) = &mut self.playback else { return Poll::Ready(None) };
        let failed = match playback.poll_next(cx) {
            Poll::Ready(Event::Chunk(bytes)) => {
                self.restart_idle();
                return Poll::Ready(Some(Ok(bytes)));
            }
            Poll::Ready(Event::End) => None,
            Poll::Ready(_) => Some(ErrorKind::Cut),
            Poll::Pending => match self.poll_idle(cx) {
                Poll::Ready(()) => Some(ErrorKind::Timeout(Phase::Body)),
                Poll::Pending => return Poll::Pending,
            },
        };
        self.playback = None;
        Poll::Ready(failed.map(|kind| Err(TransportError::new(kind))))
    }
}
