//! `POST /v1/chat/completions`: a request's way through the gateway, and its answer's way back.

use std::{sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use outrigger::{Answer, AnswerBody, AttemptRecord, CallError};

use super::{
    Gateway, body,
    error::{self, ApiError},
    provenance::{Provenance, own_time},
    stream::StreamBody,
    wishes,
};
use crate::{load::Seat, phase::Phase};

/// Answers a chat request.
///
/// # Cancel safety
/// A caller that hangs up drops this future or the body it returned, and with it every upstream request.
pub(crate) async fn chat(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let received = receive(&gateway, &head.headers, body).await;
    // How long a caller takes to send its body is not our time.
    let began = Instant::now();
    let answered = match received {
        Ok((body, seat)) => answer(&gateway, &head.headers, body, began).await.map(|answer| (answer, seat)),
        Err(error) => Err(error.into()),
    };
    match answered {
        Ok((answer, seat)) => pass_on(&gateway, answer, seat, began),
        Err(failure) => {
            let Failure { mut response, attempts } = *failure;
            Provenance::of_failure(&attempts, began.elapsed()).stamp(&mut response);
            response
        }
    }
}

/// A request without an answer: what its caller gets instead, in our words or as a provider refused it.
struct Failure {
    response: Response,
    attempts: Vec<AttemptRecord>,
}

impl From<ApiError> for Box<Failure> {
    fn from(error: ApiError) -> Self {
        Self::new(Failure { response: error.response(), attempts: error.into_attempts() })
    }
}

impl From<CallError> for Box<Failure> {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Rejected { status, headers, body, attempts, .. } => {
                let mut response = Response::new(Body::from(body));
                *response.status_mut() = status;
                *response.headers_mut() = *headers;
                error::refuse_retry(&mut response);
                Self::new(Failure { response, attempts })
            }
            error => ApiError::from(error).into(),
        }
    }
}

/// The whole body, and a place among those who are served.
async fn receive(gateway: &Gateway, headers: &HeaderMap, body: Body) -> Result<(Bytes, Seat), ApiError> {
    must_be_json(headers)?;
    let mut seat = gateway.load.enter().ok_or_else(ApiError::overloaded)?;
    let body = body::read(body, gateway.max_body, &mut seat).await?;
    Ok((body, seat))
}

async fn answer(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: Bytes,
    began: Instant,
) -> Result<Answer, Box<Failure>> {
    let request = outrigger::Request::chat(body).map_err(ApiError::from)?;
    let request = wishes::apply(request, headers, &gateway.forwarded, began)?;
    let model = request.model().to_owned();
    let call = gateway.client.send(request);
    let answered = tokio::select! {
        answered = call => answered,
        () = gateway.phases.reached(Phase::Over) => return Err(ApiError::draining().into()),
    };
    answered.map_err(|error| {
        gateway.watch.metrics().unrouted(&gateway.client, &model, &error);
        error.into()
    })
}

/// The provider's status, headers and bytes, with where they came from.
fn pass_on(gateway: &Gateway, answer: Answer, seat: Seat, began: Instant) -> Response {
    let own = own_time(began.elapsed(), &answer.attempts);
    gateway.watch.metrics().overhead(own);
    let body = match answer.body {
        AnswerBody::Whole { bytes, .. } => Body::from(bytes),
        AnswerBody::Stream(stream) => Body::new(StreamBody::new(stream, &gateway.phases, seat)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    let provenance = Provenance {
        route: Some(&answer.route),
        attempts: answer.attempts.len(),
        gateway: own,
        upstream: answer.timing.upstream,
    };
    provenance.stamp(&mut response);
    response
}

/// A form that a web page can send without asking first is not taken, whatever it holds.
fn must_be_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let essence = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        let essence = text.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    };
    if headers.get(header::CONTENT_TYPE).is_some_and(essence) {
        return Ok(());
    }
    Err(ApiError::caller(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "the content-type must be application/json",
    )
    .at("content-type"))
}
