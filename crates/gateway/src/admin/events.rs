//! `GET /events`: what has changed last, and then what changes, as it changes, as an event stream.
//!
//! What is told from memory is marked `past`. Alike events share a `line`; each says how many there have been (`times`), since when, and when
//! this one was, so that a listener that comes again puts each in its place.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, header};
use tokio::sync::broadcast::error::RecvError;

use super::Admin;
use crate::phase::Phase;

/// A first comment, so that a listener knows that it listens.
const HELLO: Bytes = Bytes::from_static(b": listening\n\n");

pub(super) async fn events(State(admin): State<Arc<Admin>>) -> Response {
    let (past, events) = admin.watch.listen();
    let events = stream::unfold(events, |mut events| async move {
        let frame = match events.recv().await {
            Ok(frame) => frame,
            Err(RecvError::Lagged(missed)) => format!(": {missed} events missed\n\n").into(),
            Err(RecvError::Closed) => return None,
        };
        Some((frame, events))
    });
    let hello = stream::once(std::future::ready(HELLO));
    let frames =
        hello.chain(stream::iter(past)).chain(events).take_until(Box::pin(admin.phases.reached(Phase::Over)));
    let mut response = Response::new(Body::from_stream(frames.map(Ok::<_, std::convert::Infallible>)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
