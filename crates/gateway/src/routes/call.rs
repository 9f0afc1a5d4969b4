//! A request's way through the gateway, and its answer's way back: the same for every kind of request.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Version, header, request::Parts};
use outrigger::{Answer, AnswerBody, Api, AttemptRecord, CallError};

use super::{
    Gateway, body, early,
    error::{self, ApiError},
    provenance::{Provenance, own_time},
    stream::{StreamBody, Way},
    wishes,
    words::Hearer,
};
use crate::{
    clerk::{Account, Accounted, Subject},
    load::Seat,
    log::prompt::Prompt,
    outflow::Outflow,
    phase::Phase,
    request_id::RequestId,
    untaken::Seated,
};

/// Answers a request of a kind.
///
/// # Cancel safety
/// A caller that hangs up drops this future or the body it returned, and with it every upstream request.
pub(crate) async fn answer(api: Api, State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let mut account = gateway.clerks.open(Subject::of(api, &head, Instant::now()), &mut head.headers);
    let found = gateway.keys.find(&head.headers);
    account.subject.caller = found.as_ref().ok().and_then(|key| Some(Arc::clone(key.as_ref()?.name())));
    let received = match found {
        Ok(key) => receive(&gateway, &head.headers, body).await.map(|(body, seat)| (key, body, seat)),
        Err(stranger) => Err(stranger),
    };
    // How long a caller takes to send its body is not our time.
    let began = Instant::now();
    let subject = &mut account.subject;
    subject.body_took = began.saturating_duration_since(subject.began);
    subject.began = began;
    let understood = received.and_then(|(key, body, seat)| {
        subject.bytes = Some(body.len() as u64);
        let key = gateway.keys.still(key, &head.headers)?;
        subject.caller = key.as_ref().map(|key| Arc::clone(key.name()));
        let words = gateway.tells_prompts.then(|| body.clone());
        let mut request = understand(api, &mut head, body, began)?;
        (subject.model, subject.stream) = (request.model().into(), request.is_stream());
        subject.prompt = words.and_then(|body| Prompt::of(&body));
        if let Some(key) = key {
            key.allow(request.model())?;
            let now = (began, SystemTime::now());
            let pass = gateway.keys.enter(&key, &request, &gateway.client, now)?;
            if let Some(usd) = pass.most_usd() {
                request = request.held_cost(usd);
            }
            subject.pass = Some(Arc::new(pass));
        }
        Ok((request, seat))
    });
    let mut response = match understood {
        Ok((request, seat)) => {
            let early_status = gateway.live.settings().early_status.0.filter(|_| request.is_stream());
            let asked = ask(Arc::clone(&gateway), request, account);
            let parcel = Parcel { gateway, seat, way: way(api, &mut head), began };
            match early_status {
                Some(after) => early::answer(asked, after, parcel).await,
                None => parcel.deliver(asked.await),
            }
        }
        Err(error) => {
            gateway.watch.metrics().refused(&gateway.client, &account.subject.model, error.code());
            account.failed(error.status(), error.code());
            Box::<Failure>::from(error).into_response(began)
        }
    };
    response.extensions_mut().insert(Accounted);
    response
}

/// The way back to who asked.
fn way(api: Api, head: &mut Parts) -> Way {
    let id = head.extensions.remove::<RequestId>().map_or_else(|| HeaderValue::from_static(""), |id| id.0);
    Way {
        version: head.version,
        outflow: head.extensions.get::<Outflow>().cloned(),
        hearer: Hearer { api, id },
    }
}

/// What came of a request.
pub(crate) type Answered = Result<Answer, Box<Failure>>;

/// What an answer is passed on with when it comes.
pub(crate) struct Parcel {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) seat: Seat,
    pub(crate) way: Way,
    pub(crate) began: Instant,
}

impl Parcel {
    /// The answer with its status and headers, or what there is instead.
    pub(crate) fn deliver(self, answered: Answered) -> Response {
        match answered {
            Ok(answer) => pass_on(&self.gateway, answer, self.seat, self.way, self.began),
            Err(failure) => failure.into_response(self.began),
        }
    }
}

/// A request without an answer: what its caller gets instead, in our words or as a provider refused it.
pub(crate) enum Failure {
    Ours(ApiError),
    Theirs { status: StatusCode, headers: Box<HeaderMap>, body: Bytes, attempts: Vec<AttemptRecord> },
}

impl From<ApiError> for Box<Failure> {
    fn from(error: ApiError) -> Self {
        Self::new(Failure::Ours(error))
    }
}

impl From<CallError> for Box<Failure> {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Rejected { status, headers, body, attempts, .. } => {
                Self::new(Failure::Theirs { status, headers, body, attempts })
            }
            error => ApiError::from(error).into(),
        }
    }
}

impl Failure {
    /// What was tried.
    pub(crate) fn attempts(&self) -> &[AttemptRecord] {
        match self {
            Self::Ours(error) => error.attempts(),
            Self::Theirs { attempts, .. } => attempts,
        }
    }

    fn into_response(self, began: Instant) -> Response {
        let (mut response, attempts) = match self {
            Self::Ours(error) => {
                let attempts = error.attempts().to_vec();
                (error.into_response(), attempts)
            }
            Self::Theirs { status, headers, body, attempts } => {
                let mut response = Response::new(Body::from(body));
                *response.status_mut() = status;
                *response.headers_mut() = *headers;
                error::refuse_retry(&mut response);
                (response, attempts)
            }
        };
        Provenance::of_failure(&attempts, began.elapsed()).stamp(&mut response);
        response
    }

    /// The same in an answer that has begun.
    pub(crate) fn frame(&self, hearer: &Hearer) -> Bytes {
        match self {
            Self::Ours(error) => hearer.frame(error, b""),
            Self::Theirs { status, body, .. } => hearer.refusal(body).unwrap_or_else(|| {
                let message = format!("the provider refused the request with status {status}");
                hearer.frame(&ApiError::caller(*status, "rejected_by_provider", message), b"")
            }),
        }
    }
}

/// The whole body, and a place among those who are served.
async fn receive(gateway: &Gateway, headers: &HeaderMap, body: Body) -> Result<(Bytes, Seat), ApiError> {
    must_be_json(headers)?;
    must_be_plain(headers)?;
    let settings = gateway.live.settings();
    let mut seat = gateway.live.load.enter().ok_or_else(ApiError::overloaded)?;
    let body = tokio::select! {
        biased;
        body = body::read(body, settings.max_body.0, settings.body_timeout, &mut seat) => body?,
        // What would be refused when it is all there need not come in first.
        () = gateway.phases.reached(Phase::Draining) => return Err(ApiError::draining()),
    };
    Ok((body, seat))
}

/// The client's request for what the caller sent. It takes the headers along.
fn understand(
    api: Api,
    head: &mut Parts,
    body: Bytes,
    began: Instant,
) -> Result<outrigger::Request, ApiError> {
    let request = outrigger::Request::new(api, body)?;
    if request.is_stream() && head.version < Version::HTTP_11 {
        return Err(ApiError::caller(
            StatusCode::BAD_REQUEST,
            "unsupported_http_version",
            "a stream needs HTTP/1.1 or later: in HTTP/1.0 one that breaks off looks whole",
        )
        .at("stream"));
    }
    wishes::apply(request, std::mem::take(&mut head.headers), began)
}

async fn ask(gateway: Arc<Gateway>, request: outrigger::Request, account: Account) -> Answered {
    let model = Arc::clone(&account.subject.model);
    let account = Arc::new(account);
    let over = gateway.phases.reached(Phase::Over);
    let answered = gateway.client.send_until(request.watch(account.watcher()), over).await;
    answered.map_err(|error| {
        gateway.watch.metrics().failed(&gateway.client, &model, &error);
        account.failed(error.status(), error.code());
        error.into()
    })
}

/// The provider's status, headers and bytes, with where they came from.
fn pass_on(gateway: &Gateway, answer: Answer, seat: Seat, way: Way, began: Instant) -> Response {
    let own = own_time(began.elapsed(), &answer.attempts);
    gateway.watch.metrics().overhead(own);
    let body = match answer.body {
        AnswerBody::Whole { bytes, .. } if way.version == Version::HTTP_2 => {
            Body::new(Seated::new(bytes, seat))
        }
        AnswerBody::Whole { bytes, .. } => Body::from(seat.around(bytes)),
        AnswerBody::Stream(stream) => {
            Body::new(StreamBody::new(stream, &answer.headers, way, &gateway.phases, seat))
        }
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
    Err(unsupported("the content-type must be application/json").at("content-type"))
}

/// A body that is packed cannot be read here.
fn must_be_plain(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(is_plain) {
        return Ok(());
    }
    Err(unsupported("the content-encoding must be identity, or absent").at("content-encoding"))
}

fn unsupported(message: &str) -> ApiError {
    ApiError::caller(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
}
