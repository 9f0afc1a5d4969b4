//! What a caller asks: a body of bytes that passes through, and the wishes that go with it.

use std::{ops::Range, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use wire::{Api, RequestFacts};

use crate::{error::RequestError, observe::Observer};

/// A request for one model by its public name. Its body goes out as it came; only the model's name is replaced.
#[derive(Clone)]
pub struct Request {
    pub(crate) api: Api,
    pub(crate) body: Bytes,
    pub(crate) facts: RequestFacts,
    pub(crate) region: Option<String>,
    pub(crate) near: Option<String>,
    pub(crate) residency: Option<Vec<String>>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) session: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) single: bool,
    /// USD.
    pub(crate) max_cost: Option<f64>,
    pub(crate) held: Option<f64>,
    pub(crate) watcher: Option<Arc<dyn Observer>>,
}

/// Neither the body nor the headers: they are their caller's.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("api", &self.api)
            .field("model", &self.facts.model)
            .field("stream", &self.facts.stream)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Request {
    /// A chat request, in OpenAI's form.
    ///
    /// # Errors
    /// [`RequestError::Body`] when the body is not a JSON object with a `model`; it says where.
    pub fn chat(body: impl Into<Bytes>) -> Result<Self, RequestError> {
        Self::new(Api::Chat, body)
    }

    /// A request for OpenAI's older text completions.
    ///
    /// # Errors
    /// As [`chat`](Self::chat).
    pub fn completions(body: impl Into<Bytes>) -> Result<Self, RequestError> {
        Self::new(Api::Completions, body)
    }

    /// A request for embeddings, in OpenAI's form.
    ///
    /// # Errors
    /// As [`chat`](Self::chat), and [`RequestError::NeverStreams`].
    pub fn embeddings(body: impl Into<Bytes>) -> Result<Self, RequestError> {
        Self::new(Api::Embeddings, body)
    }

    /// A request to OpenAI's Responses API.
    ///
    /// # Errors
    /// As [`chat`](Self::chat).
    pub fn responses(body: impl Into<Bytes>) -> Result<Self, RequestError> {
        Self::new(Api::Responses, body)
    }

    /// A request to Anthropic's Messages API.
    ///
    /// # Errors
    /// As [`chat`](Self::chat).
    pub fn messages(body: impl Into<Bytes>) -> Result<Self, RequestError> {
        Self::new(Api::Messages, body)
    }

    /// A request of a given kind.
    ///
    /// # Errors
    /// [`RequestError::Body`] when the body is not a JSON object with a `model`; it says where.
    /// [`RequestError::NeverStreams`] when a stream is asked for where there is none.
    pub fn new(api: Api, body: impl Into<Bytes>) -> Result<Self, RequestError> {
        let body = body.into();
        let facts = wire::skim_request(api, &body)?;
        if facts.stream && api == Api::Embeddings {
            return Err(RequestError::NeverStreams { api });
        }
        Ok(Self {
            api,
            body,
            facts,
            region: None,
            near: None,
            residency: None,
            deadline: None,
            session: None,
            headers: HeaderMap::new(),
            single: false,
            max_cost: None,
            held: None,
            watcher: None,
        })
    }

    /// Prefers a region: it wins unless it is clearly dearer, and is left when it is ill.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Prefers the regions near a place, by its name in the configuration's `[near]`; a region's own name does as well.
    #[must_use]
    pub fn near(mut self, place: impl Into<String>) -> Self {
        self.near = Some(place.into());
        self
    }

    /// Allows only these regions, whatever happens; narrows the model's own residency, never widens it.
    #[must_use]
    pub fn residency(mut self, regions: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.residency = Some(regions.into_iter().map(Into::into).collect());
        self
    }

    /// The instant by which the whole plain answer, or a stream's first content, must be there.
    #[must_use]
    pub fn deadline(mut self, at: Instant) -> Self {
        self.deadline = Some(at);
        self
    }

    /// Keeps the calls of one session at one deployment while that costs little, because prompt caches pay.
    #[must_use]
    pub fn session(mut self, key: impl Into<String>) -> Self {
        self.session = Some(key.into());
        self
    }

    /// A header for the provider, which gets it if it is one that may go to every provider, or one of its `forward_headers`.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// A caller's headers, all of them: in place of those given before. Those that may go to a provider do, the rest stay here.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// Makes one attempt and its free failover only: for a caller that retries by itself.
    #[must_use]
    pub fn caller_retries(mut self) -> Self {
        self.single = true;
        self
    }

    /// Is to cost at most so many USD, all its attempts together. An attempt is thought to cost its
    /// [`estimated_usage`](Self::estimated_usage) at the known prices: dearer targets and those without a known price are left out, and no
    /// further attempt is begun, not even a first failover, where it might take what the call has cost, with what its attempts on their
    /// way may cost, beyond the bound. So a bound of just one attempt leaves no room for a second one after a failure
    /// that may be billed (what a provider refuses costs nothing). A number below 0, or none, leaves out all.
    #[must_use]
    pub fn max_cost(mut self, usd: f64) -> Self {
        self.max_cost = Some(usd);
        self
    }

    /// Is to cost at most so many USD, all its attempts together, because so much is held for it: as [`max_cost`](Self::max_cost), but those
    /// without a known price may be asked, and are taken to cost nothing. [`Client::estimate_cost`](crate::Client::estimate_cost) says how much
    /// that should be.
    #[must_use]
    pub fn held_cost(mut self, usd: f64) -> Self {
        self.held = Some(usd);
        self
    }

    /// Someone who watches this call: told of what happens to it, after those who watch the client. [`CallEnded`] is the last
    /// notice and comes once; none comes when the call is refused before it begins, and [`Client::send`] gives the error.
    ///
    /// [`CallEnded`]: crate::Notice::CallEnded
    /// [`Client::send`]: crate::Client::send
    #[must_use]
    pub fn watch(mut self, observer: impl Observer + 'static) -> Self {
        self.watcher = Some(Arc::new(observer));
        self
    }

    /// The public model asked for.
    pub fn model(&self) -> &str {
        &self.facts.model
    }

    /// Whether a stream is asked for.
    pub fn is_stream(&self) -> bool {
        self.facts.stream
    }

    /// The kind of request.
    pub fn api(&self) -> Api {
        self.api
    }

    /// What it may use of a tokens-per-minute limit: the input as [`estimated_usage`](Self::estimated_usage) has it, and the most that
    /// the answer may take, where the request says so.
    pub fn estimated_tokens(&self) -> u32 {
        let input = u32::try_from(self.estimated_input()).unwrap_or(u32::MAX);
        let output = u32::try_from(self.facts.max_tokens.unwrap_or(0)).unwrap_or(u32::MAX);
        input.saturating_add(output)
    }

    /// Whether its answer may be leant on later.
    pub(crate) fn is_stored(&self) -> bool {
        self.api == Api::Responses && self.facts.state.store != Some(false)
    }

    /// How many finish reasons make an answer whole.
    pub(crate) fn choices(&self) -> u64 {
        self.facts.choices
    }

    /// The same wishes with another body of the same kind.
    ///
    /// # Errors
    /// [`RequestError::Body`] as [`new`](Self::new).
    pub(crate) fn with_body(&self, body: impl Into<Bytes>) -> Result<Self, RequestError> {
        let Self { body, facts, .. } = Self::new(self.api, body)?;
        Ok(Self { body, facts, ..self.clone() })
    }

    /// Where the model's name stands in the body, as a JSON string with its quotes.
    pub(crate) fn model_range(&self) -> Range<usize> {
        self.facts.model_range.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// **A photograph is no library.** A picture is thought to be read as thousands of tokens and not as hundreds of thousands, which
    /// no limit of a minute would ever let through. Fails if its bytes are taken for text.
    #[test]
    fn a_picture_is_not_measured_as_text() {
        let of = |picture: &str| {
            let part =
                format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/jpeg;base64,{picture}"}}}}"#);
            Request::chat(format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{part}]}}]}}"#))
                .unwrap()
        };
        let tokens = of(&"Zm9vYmFy/+".repeat(133_333)).estimated_tokens();
        assert!((5_000..15_000).contains(&tokens), "{tokens} for one of 1 MB");
        let tokens = of(&"Zm9vYmFy/+".repeat(13_333)).estimated_usage().input;
        assert!((500..1_500).contains(&tokens), "{tokens} for one of 100 kB");
        assert!((10..40).contains(&of("").estimated_tokens()));
    }

    #[test]
    fn a_prompt_is_not_shown() {
        let body = r#"{"model":"chat","messages":[{"role":"user","content":"my secret"}]}"#;
        let request = Request::chat(body).unwrap();
        let shown = format!("{request:?}");
        assert!(shown.contains("chat") && !shown.contains("secret"), "{shown}");
    }
}
