//! Asking over HTTP, and judging what comes back as strictly as a caller would.
//!
//! An answer is whole when it ends with the word that all simulated answers end with; a stream must have said besides why it
//! ends, and `[DONE]`. Whatever else begins with status 200 is truncated.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use outrigger::wire::{SseEvent, SseFramer};
use serde::Deserialize;
use serde_json::json;
use sim::LAST_WORD;

use super::{callers::PATIENT, schedule::Question};

/// No frame of a simulated stream comes near it.
const MAX_FRAME: usize = 1 << 20;

/// What became of asking once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// A whole answer.
    Whole {
        /// The region that gave it, where a gateway says so.
        region: Option<String>,
    },
    /// An answer that began and did not come to its end.
    Truncated {
        /// What is wrong with it.
        why: String,
    },
    /// An error instead of an answer.
    Refused {
        /// Its status.
        status: StatusCode,
        /// How long to wait before asking again, where it says so.
        retry_after: Option<Duration>,
        /// Its body.
        body: String,
    },
    /// No answer at all.
    Broken {
        /// What happened.
        why: String,
    },
}

/// Connections that are kept, one set for all who share a clone.
#[derive(Clone, Debug)]
pub(super) struct Connections(Client<HttpConnector, Full<Bytes>>);

impl Connections {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// Asks at an API's root for a model's answer.
    ///
    /// # Cancel safety
    /// Dropping the future hangs up.
    pub(super) async fn ask(
        &self,
        base_url: &str,
        model: &str,
        question: &Question,
        near: Option<&str>,
    ) -> Reply {
        let request = match request(base_url, model, question, near) {
            Ok(request) => request,
            Err(error) => return Reply::Broken { why: error.to_string() },
        };
        match self.0.request(request).await {
            Ok(response) => read(response, question.stream).await,
            Err(error) => Reply::Broken { why: chain(&error) },
        }
    }
}

fn request(
    base_url: &str,
    model: &str,
    question: &Question,
    near: Option<&str>,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let body = json!({
        "model": model,
        "stream": question.stream,
        "stream_options": question.stream.then(|| json!({"include_usage": true})),
        "messages": [{"role": "user", "content": format!("What does wave {:x} bring?", question.draw)}],
    });
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("{base_url}/chat/completions"))
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(region) = near {
        request = request.header("x-outrigger-region", region);
    }
    if question.patience.is_none() {
        // Who hangs up early did not say that it would; who waits says how long, as OpenAI's SDKs do.
        request = request.header("x-stainless-read-timeout", PATIENT.as_secs());
    }
    request.body(Full::from(body.to_string()))
}

async fn read(response: Response<Incoming>, stream: bool) -> Reply {
    let (head, body) = response.into_parts();
    if head.status == StatusCode::OK && stream {
        return match read_stream(body).await {
            Ok(()) => Reply::Whole { region: region(&head.headers) },
            Err(why) => Reply::Truncated { why },
        };
    }
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if head.status == StatusCode::OK => return Reply::Truncated { why: chain(&error) },
        Err(_) => Bytes::new(), // its status says enough
    };
    if head.status != StatusCode::OK {
        let (status, body) = (head.status, String::from_utf8_lossy(&body).into_owned());
        return Reply::Refused { status, retry_after: retry_after(&head.headers), body };
    }
    let text = serde_json::from_slice::<Said>(&body).ok().and_then(Said::text);
    match text {
        Some(text) if text.ends_with(LAST_WORD) => Reply::Whole { region: region(&head.headers) },
        _ => Reply::Truncated { why: "a plain answer without its last word".to_owned() },
    }
}

/// Reads a stream to its end.
///
/// # Errors
/// What is missing from it.
async fn read_stream(mut body: Incoming) -> Result<(), String> {
    let mut framer = SseFramer::new(MAX_FRAME);
    let mut heard = Heard::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| heard.error.take().unwrap_or_else(|| chain(&error)))?;
        if let Some(bytes) = frame.data_ref() {
            framer.feed(bytes, |event| heard.event(event)).map_err(|error| error.to_string())?;
        }
    }
    heard.verdict()
}

/// What a stream has said so far.
#[derive(Debug, Default)]
struct Heard {
    text: String,
    finished: bool,
    done: bool,
    error: Option<String>,
}

impl Heard {
    fn event(&mut self, event: SseEvent<'_>) {
        let SseEvent::Data { data, .. } = event else { return };
        if data == b"[DONE]" {
            self.done = true;
            return;
        }
        let Ok(said) = serde_json::from_slice::<Said>(data) else {
            self.error = Some(format!("no JSON: {}", String::from_utf8_lossy(data)));
            return;
        };
        if let Some(error) = &said.error {
            self.error = Some(error.to_string());
        }
        self.finished |= said.choices.iter().any(|choice| choice.finish_reason.is_some());
        self.text.extend(said.text());
    }

    fn verdict(self) -> Result<(), String> {
        match self.error {
            Some(error) => Err(error),
            None if !self.finished => Err("a stream without a finish reason".to_owned()),
            None if !self.done => Err("a stream without [DONE]".to_owned()),
            None if !self.text.ends_with(LAST_WORD) => Err("a stream without its last word".to_owned()),
            None => Ok(()),
        }
    }
}

/// What is read of an answer, or of a frame of one.
#[derive(Debug, Deserialize)]
struct Said {
    #[serde(default)]
    choices: Vec<Choice>,
    error: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(alias = "delta")]
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Message {
    content: Option<String>,
}

impl Said {
    fn text(self) -> Option<String> {
        self.choices.into_iter().next().and_then(|choice| choice.message.content)
    }
}

fn region(headers: &HeaderMap) -> Option<String> {
    headers.get("x-outrigger-region")?.to_str().ok().map(str::to_owned)
}

/// The wait that an error asks for, as OpenAI's SDKs read it: milliseconds first, then whole seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<f64>().ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1e3).or_else(|| number("retry-after"))?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(frames: &str) -> Result<(), String> {
        let mut heard = Heard::default();
        SseFramer::new(MAX_FRAME).feed(frames.as_bytes(), |event| heard.event(event)).unwrap();
        heard.verdict()
    }

    const TEXT: &str =
        "data: {\"choices\":[{\"delta\":{\"content\":\"a landfall.\"},\"finish_reason\":null}]}\n\n";
    const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    #[test]
    fn a_stream_is_whole_only_with_all_that_ends_it() {
        assert_eq!(verdict(&[TEXT, STOP, USAGE, DONE].concat()), Ok(()));
        for cut in [vec![], vec![TEXT], vec![TEXT, STOP], vec![TEXT, DONE], vec![STOP, DONE]] {
            assert!(verdict(&cut.concat()).is_err(), "{cut:?}");
        }
    }

    #[test]
    fn an_error_within_a_stream_is_never_taken_for_an_end() {
        let error = "data: {\"error\":{\"message\":\"cut\"}}\n\n";
        assert!(verdict(&[TEXT, STOP, error, DONE].concat()).unwrap_err().contains("cut"));
        assert!(verdict(&[TEXT, "data: {\"cho\n\n", STOP, DONE].concat()).is_err());
    }

    #[test]
    fn milliseconds_are_the_better_wait() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", HeaderValue::from_static("2"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(2)));
        headers.insert("retry-after-ms", HeaderValue::from_static("250"));
        assert_eq!(retry_after(&headers), Some(Duration::from_millis(250)));
        headers.insert("retry-after-ms", HeaderValue::from_static("-1"));
        assert_eq!(retry_after(&headers), None);
    }
}
