//! A request's body, read once into one piece and within bounds.
//!
//! A body that says its length is refused before a byte of it is read when that is too long. One that comes in a single
//! frame, as most do, is passed on without a copy.

use std::{pin::pin, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::error::ApiError;
use crate::load::Seat;

/// How long a caller may be silent within its body.
const SILENCE: Duration = Duration::from_secs(30);
/// What is set aside on a caller's word alone; the rest as it arrives.
const SET_ASIDE: usize = 1 << 20;

/// The whole body, at most `limit` bytes of it and within `time`: a byte now and then is no silence, and no request either. The
/// seat holds them.
///
/// # Errors
/// 413 above the limit, 503 when all callers together hold too much, 408 when it is silent for long or takes too long, 400 when the body breaks off.
pub(crate) async fn read(body: Body, limit: u64, time: Duration, seat: &mut Seat) -> Result<Bytes, ApiError> {
    let declared = body.size_hint().lower();
    if declared > limit {
        return Err(ApiError::too_large(limit));
    }
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    let mut length = 0_u64;
    let latest = Instant::now() + time;
    let patience = || latest.min(Instant::now() + SILENCE);
    while let Some(frame) = timeout_at(patience(), body.frame()).await.map_err(|_| silent())? {
        let Ok(data) = frame.map_err(|_| broken())?.into_data() else { continue };
        length = length.saturating_add(data.len() as u64);
        if length > limit {
            return Err(ApiError::too_large(limit));
        }
        if !seat.hold(data.len()) {
            return Err(ApiError::overloaded());
        }
        match &mut rest {
            None if first.is_empty() => first = data,
            None => {
                let expected = usize::try_from(declared).unwrap_or(SET_ASIDE).min(SET_ASIDE);
                let mut all = BytesMut::with_capacity(expected.max(first.len() + data.len()));
                all.extend_from_slice(&first);
                all.extend_from_slice(&data);
                rest = Some(all);
            }
            Some(all) => all.extend_from_slice(&data),
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(rest.map_or(first, BytesMut::freeze))
}

fn silent() -> ApiError {
    ApiError::caller(
        StatusCode::REQUEST_TIMEOUT,
        "request_timeout",
        "the rest of the body did not come in time",
    )
}

fn broken() -> ApiError {
    ApiError::caller(StatusCode::BAD_REQUEST, "invalid_body", "the body broke off")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Load;

    const WHOLE: Duration = Duration::from_secs(60);

    fn of_frames(frames: &'static [&'static str]) -> Body {
        let frames = frames.iter().map(|frame| Ok::<_, std::io::Error>(Bytes::from_static(frame.as_bytes())));
        Body::from_stream(futures_util::stream::iter(frames))
    }

    #[tokio::test]
    async fn frames_are_joined_in_order() {
        let mut seat = Load::new(1, 100).enter().unwrap();
        let bytes = read(of_frames(&["ab", "", "cd", "e"]), 5, WHOLE, &mut seat).await.unwrap();
        assert_eq!(bytes, "abcde");
    }

    #[tokio::test]
    async fn a_body_of_one_frame_is_not_copied() {
        let mut seat = Load::new(1, 100).enter().unwrap();
        let whole = Bytes::from_static(b"{\"model\":\"chat\"}");
        let read = read(Body::from(whole.clone()), 100, WHOLE, &mut seat).await.unwrap();
        assert_eq!(read.as_ptr(), whole.as_ptr());
    }

    #[tokio::test]
    async fn a_body_past_the_limit_is_refused_declared_or_not() {
        for body in [Body::from("abcdef"), of_frames(&["abc", "def"])] {
            let mut seat = Load::new(1, 100).enter().unwrap();
            let error = read(body, 5, WHOLE, &mut seat).await.unwrap_err();
            assert!(format!("{error:?}").contains("request_too_large"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_falls_silent_is_let_go() {
        let mut seat = Load::new(1, 100).enter().unwrap();
        let stream = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let error = read(Body::from_stream(stream), 5, WHOLE, &mut seat).await.unwrap_err();
        assert!(format!("{error:?}").contains("request_timeout"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_sends_a_byte_now_and_then_is_let_go_too() {
        let mut seat = Load::new(1, 100).enter().unwrap();
        let drops = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(SILENCE / 2).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
        });
        let began = Instant::now();
        let error = read(Body::from_stream(drops), 100, WHOLE, &mut seat).await.unwrap_err();
        assert!(format!("{error:?}").contains("request_timeout"));
        assert_eq!(began.elapsed(), WHOLE);
    }
}
