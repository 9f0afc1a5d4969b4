//! What a caller's request says, and where in its bytes.
//!
//! A request's body goes to the provider as it came, save the model's name. So it is not parsed into a tree and written anew: it
//! is skimmed once, keeping the few facts that decide something and the byte range of the name, behind and before which the
//! rest is passed on as slices. Every value that is not needed is skipped without recursion.
//!
//! The kinds of request share most fields' names and not their meaning (`logprobs` is a bool in a chat and a number in a text
//! completion), so each kind reads its own and leaves the others to the provider's judgement.
//!
//! Errors say what and where, and never repeat a value: a body is its caller's secret.

use std::{fmt, ops::Range};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    api::Api,
    loose::{Filled, Text},
    media::media_bytes,
};

/// What a request says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestFacts {
    /// Its kind.
    pub api: Api,
    /// The model's name.
    pub model: String,
    /// Where the name stands in the body: the whole JSON string with its quotes.
    pub model_range: Range<usize>,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Whether the stream shall end with a usage block (`stream_options.include_usage`).
    pub include_usage: bool,
    /// Where the value of `stream_options` stands in the body, when it has one that is not null.
    pub stream_options_range: Option<Range<usize>>,
    /// Behind the body's opening brace: here `"name":value,` can be inserted, since the object is not empty.
    pub insert_at: usize,
    /// The most tokens the answer may take: `max_tokens`; in a chat `max_completion_tokens` before it, in responses
    /// `max_output_tokens`.
    pub max_tokens: Option<u64>,
    /// The caller's key for the provider's prompt cache.
    pub prompt_cache_key: Option<String>,
    /// How many choices will come: `n`, 1 when not said or when the kind knows one only; in a text completion as many for each
    /// of its prompts.
    pub choices: u64,
    /// Whether the model may call tools (or functions, in the older form).
    pub tools: bool,
    /// Whether log probabilities are asked for.
    pub logprobs: bool,
    /// Whether anything else than text is asked for: a form for it (`response_format`, other than `text`), sound, other
    /// modalities, a search whose findings are quoted.
    pub beyond_text: bool,
    /// What the request has to do with what its provider remembers.
    pub state: RequestState,
    /// The bytes of the body that are no text, but pictures, sounds and files: long runs of base64.
    pub media_bytes: usize,
}

/// What a request has to do with what its provider remembers. Only responses are stateful: where one is remembered, only its
/// provider can go on from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestState {
    /// It goes on from an earlier answer, `previous_response_id`.
    pub previous_response: bool,
    /// It belongs to a `conversation` that the provider keeps.
    pub conversation: bool,
    /// Whether the answer is to be remembered (`store`); not said means yes.
    pub store: Option<bool>,
    /// It is worked on in the `background`, and its answer asked for later.
    pub background: bool,
}

impl RequestState {
    /// Whether it can be served only where something is remembered already.
    #[must_use]
    pub const fn leans_on_memory(&self) -> bool {
        self.previous_response || self.conversation
    }
}

impl RequestFacts {
    /// Whether all that the answer can hold is text, so that a stream of it could be mended by other words: a chat of one choice,
    /// without tools, log probabilities, or anything beyond text.
    ///
    /// That the model reasons first is not said by a request; whoever mends must look at the stream for it.
    #[must_use]
    pub fn is_plain_text(&self) -> bool {
        self.api == Api::Chat && self.choices == 1 && !self.tools && !self.logprobs && !self.beyond_text
    }
}

/// A body that is not a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadRequest {
    /// What is wrong.
    pub fault: RequestFault,
    /// Where: a byte of the body, from 0.
    pub offset: usize,
    /// Its line, from 1.
    pub line: usize,
    /// Its column in bytes, from 1.
    pub column: usize,
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestFault {
    /// It is not UTF-8.
    NotUtf8,
    /// It is not JSON.
    NotJson,
    /// It ends within a value.
    CutOff,
    /// It is JSON, but not an object.
    NotAnObject,
    /// A field that decides something is there twice; two readers could take different ones.
    Twice,
    /// There is no model's name.
    NoModel,
    /// A field is of the wrong type.
    #[non_exhaustive]
    WrongType {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl RequestFault {
    /// The field at fault, where it is one.
    #[must_use]
    pub const fn field(self) -> Option<&'static str> {
        match self {
            Self::NoModel => Some("model"),
            Self::WrongType { field, .. } => Some(field),
            Self::NotUtf8 | Self::NotJson | Self::CutOff | Self::NotAnObject | Self::Twice => None,
        }
    }
}

impl fmt::Display for RequestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("the body is not utf-8"),
            Self::NotJson => f.write_str("the body is not json"),
            Self::CutOff => f.write_str("the body ends before its json does"),
            Self::NotAnObject => f.write_str("the body must be a json object"),
            Self::Twice => f.write_str("a field of the body is there twice"),
            Self::NoModel => f.write_str("the body names no `model`"),
            Self::WrongType { field, expected } => write!(f, "`{field}` must be {expected}"),
        }
    }
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (line {}, column {})", self.fault, self.line, self.column)
    }
}

impl std::error::Error for BadRequest {}

impl BadRequest {
    fn at_offset(fault: RequestFault, body: &[u8], offset: usize) -> Self {
        let before = body.get(..offset).unwrap_or(body);
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        let column = before.len() - memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1) + 1;
        Self { fault, offset: before.len(), line, column }
    }

    fn of_json(error: &serde_json::Error, body: &[u8]) -> Self {
        let fault = match error.classify() {
            serde_json::error::Category::Eof => RequestFault::CutOff,
            // The fields take any value, so the one thing serde finds wrong with an object's data is a name that is there twice.
            serde_json::error::Category::Data => RequestFault::Twice,
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => RequestFault::NotJson,
        };
        let line_start = match error.line() {
            0 | 1 => 0,
            line => memchr::memchr_iter(b'\n', body).nth(line - 2).map_or(0, |newline| newline + 1),
        };
        Self::at_offset(fault, body, line_start + error.column().saturating_sub(1))
    }
}

#[derive(Deserialize)]
struct Skim<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
    #[serde(borrow)]
    stream_options: Option<&'a RawValue>,
    #[serde(borrow)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt_cache_key: Option<&'a RawValue>,
    #[serde(borrow)]
    n: Option<&'a RawValue>,
    #[serde(default)]
    tools: Filled,
    #[serde(default)]
    functions: Filled,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    max_output_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    response_format: Option<&'a RawValue>,
    #[serde(borrow)]
    modalities: Option<&'a RawValue>,
    #[serde(default)]
    audio: Filled,
    #[serde(default)]
    web_search_options: Filled,
    #[serde(default)]
    previous_response_id: Filled,
    #[serde(default)]
    conversation: Filled,
    #[serde(borrow)]
    store: Option<&'a RawValue>,
    #[serde(borrow)]
    background: Option<&'a RawValue>,
}

impl Skim<'_> {
    /// Whether a chat asks for something beside plain words. What cannot be read counts as asked for.
    fn is_beyond_text(&self) -> bool {
        let formed = self.response_format.is_some_and(|format| {
            let format = serde_json::from_str::<Format<'_>>(format.get());
            format.map_or(true, |format| format.kind.is_none_or(|kind| kind.0 != "text"))
        });
        let modes = self.modalities.is_some_and(|modes| {
            let modes = serde_json::from_str::<Vec<Text<'_>>>(modes.get());
            modes.map_or(true, |modes| modes.iter().any(|mode| mode.0 != "text"))
        });
        formed || modes || self.audio.0 || self.web_search_options.0
    }

    /// How many prompts a text completion has: each is answered. A list of numbers is one prompt, in tokens.
    fn prompts(&self) -> u64 {
        let list = self.prompt.and_then(|prompt| serde_json::from_str::<Vec<&RawValue>>(prompt.get()).ok());
        let many = list.filter(|list| {
            list.first().is_some_and(|first| first.get().starts_with('"') || first.get().starts_with('['))
        });
        many.map_or(1, |list| u64::try_from(list.len()).unwrap_or(u64::MAX))
    }
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// The byte range of a value that was borrowed from `body`.
pub(crate) fn range_in(body: &[u8], value: &RawValue) -> Range<usize> {
    let start = value.get().as_ptr().addr().saturating_sub(body.as_ptr().addr());
    start..start + value.get().len()
}

/// Where the fields of one body stand in it.
struct Reader<'a> {
    body: &'a [u8],
}

impl Reader<'_> {
    fn range(&self, value: &RawValue) -> Range<usize> {
        range_in(self.body, value)
    }

    fn read<'v, T: Deserialize<'v>>(
        &self,
        value: Option<&'v RawValue>,
        field: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, BadRequest> {
        let Some(value) = value else { return Ok(None) };
        serde_json::from_str(value.get()).map(Some).map_err(|_| {
            BadRequest::at_offset(
                RequestFault::WrongType { field, expected },
                self.body,
                self.range(value).start,
            )
        })
    }
}

/// Skims a request of kind `api`.
///
/// # Errors
/// [`BadRequest`] when the body is not a JSON object with a `model`, holds a field twice that decides something, or one of the
/// wrong type; it says what and where. Fields that decide nothing here are left to the provider's judgement.
pub fn skim_request(api: Api, body: &[u8]) -> Result<RequestFacts, BadRequest> {
    let text = std::str::from_utf8(body)
        .map_err(|error| BadRequest::at_offset(RequestFault::NotUtf8, body, error.valid_up_to()))?;
    let brace = body.len() - body.trim_ascii_start().len();
    match body.get(brace) {
        Some(b'{') => {}
        None => return Err(BadRequest::at_offset(RequestFault::CutOff, body, brace)),
        Some(_) => {
            let fault = match serde_json::from_str::<serde::de::IgnoredAny>(text) {
                Ok(_) => RequestFault::NotAnObject,
                Err(error) => return Err(BadRequest::of_json(&error, body)),
            };
            return Err(BadRequest::at_offset(fault, body, brace));
        }
    }
    let skim: Skim<'_> = serde_json::from_str(text).map_err(|error| BadRequest::of_json(&error, body))?;
    facts(api, &skim, &Reader { body }, brace)
}

/// The facts of a body whose opening brace stands at `brace`.
fn facts(api: Api, skim: &Skim<'_>, reader: &Reader<'_>, brace: usize) -> Result<RequestFacts, BadRequest> {
    let Some(model) = skim.model else {
        return Err(BadRequest::at_offset(RequestFault::NoModel, reader.body, brace));
    };
    // A field of another kind of request is the provider's to judge.
    let of = |kinds: &[Api], field| if kinds.contains(&api) { field } else { None };
    let options: Option<StreamOptions> = reader.read(
        skim.stream_options.filter(|options| options.get().starts_with('{')),
        "stream_options",
        "an object with a bool `include_usage`",
    )?;
    let state = if api == Api::Responses {
        RequestState {
            previous_response: skim.previous_response_id.0,
            conversation: skim.conversation.0,
            store: reader.read(skim.store, "store", BOOL)?,
            background: reader.read(skim.background, "background", BOOL)?.unwrap_or(false),
        }
    } else {
        RequestState::default()
    };
    let n: u64 = reader.read(of(&[Api::Chat, Api::Completions], skim.n), "n", COUNT)?.unwrap_or(1);
    Ok(RequestFacts {
        api,
        model: reader.read(Some(model), "model", "a string")?.unwrap_or_default(),
        model_range: reader.range(model),
        stream: reader.read(skim.stream, "stream", BOOL)?.unwrap_or(false),
        include_usage: options.and_then(|options| options.include_usage).unwrap_or(false),
        stream_options_range: skim.stream_options.map(|options| reader.range(options)),
        insert_at: brace + 1,
        max_tokens: max_tokens(api, skim, reader)?,
        prompt_cache_key: reader.read(skim.prompt_cache_key, "prompt_cache_key", "a string")?,
        choices: if api == Api::Completions { n.saturating_mul(skim.prompts()) } else { n },
        tools: skim.tools.0 || skim.functions.0,
        logprobs: reader.read(of(&[Api::Chat], skim.logprobs), "logprobs", BOOL)?.unwrap_or(false),
        beyond_text: skim.is_beyond_text(),
        state,
        media_bytes: media_bytes(reader.body),
    })
}

const BOOL: &str = "a bool";
const COUNT: &str = "a whole number";

/// The most tokens that the answer may take.
fn max_tokens(api: Api, skim: &Skim<'_>, reader: &Reader<'_>) -> Result<Option<u64>, BadRequest> {
    let of_chat = || reader.read(skim.max_completion_tokens, "max_completion_tokens", COUNT);
    let usual = || reader.read(skim.max_tokens, "max_tokens", COUNT);
    match api {
        Api::Chat => Ok(of_chat()?.or(usual()?)),
        Api::Completions | Api::Messages => usual(),
        Api::Responses => reader.read(skim.max_output_tokens, "max_output_tokens", COUNT),
        Api::Embeddings => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_name_is_found_with_its_place() {
        let body =
            "\n {\"messages\":[{\"model\":\"no\"}], \"mod\\u0065l\" : \"gpt\\u002d4\" ,\"stream\":true}";
        let facts = skim_request(Api::Chat, body.as_bytes()).unwrap();
        assert_eq!(facts.model, "gpt-4");
        assert_eq!(&body[facts.model_range.clone()], "\"gpt\\u002d4\"");
        assert_eq!(&body[..facts.insert_at], "\n {");
        assert!(facts.stream);
    }

    #[test]
    fn what_decides_something_is_read() {
        let body = r#"{"model":"m","n":2,"max_tokens":5,"max_completion_tokens":7,"prompt_cache_key":"k",
            "tools":[{}],"logprobs":true,"stream_options":{"include_usage":true,"x":1}}"#;
        let facts = skim_request(Api::Chat, body.as_bytes()).unwrap();
        assert_eq!(
            (facts.choices, facts.max_tokens, facts.prompt_cache_key.as_deref()),
            (2, Some(7), Some("k"))
        );
        assert!(facts.tools && facts.logprobs && facts.include_usage);
        assert!(body[facts.stream_options_range.unwrap()].starts_with("{\"include_usage\""));
    }

    #[test]
    fn null_is_as_good_as_absent() {
        let body = r#"{"model":"m","n":null,"stream":null,"stream_options":null,"max_tokens":null,"tools":[],"logprobs":null}"#;
        let facts = skim_request(Api::Chat, body.as_bytes()).unwrap();
        assert_eq!(
            (facts.choices, facts.stream, facts.stream_options_range, facts.max_tokens),
            (1, false, None, None)
        );
        assert!(!facts.tools && !facts.logprobs);
    }

    #[track_caller]
    fn check(body: &[u8], fault: RequestFault, line: usize, column: usize) {
        let error = skim_request(Api::Chat, body).unwrap_err();
        assert_eq!((error.fault, error.line, error.column), (fault, line, column), "{error}");
        assert!(error.offset <= body.len());
    }

    #[test]
    fn a_fault_says_what_and_where() {
        check(b"", RequestFault::CutOff, 1, 1);
        check(b"\xff", RequestFault::NotUtf8, 1, 1);
        check(b"[1]", RequestFault::NotAnObject, 1, 1);
        check(b"nope", RequestFault::NotJson, 1, 2);
        check(b"{\n\"model\": \"m\",\n x}", RequestFault::NotJson, 3, 2);
        check(b"{\"model\":\"m\"", RequestFault::CutOff, 1, 12);
        check(b"{\"messages\":[]}", RequestFault::NoModel, 1, 1);
        check(b"{\"model\":null}", RequestFault::NoModel, 1, 1);
        let wrong = |field, expected| RequestFault::WrongType { field, expected };
        check(b"{\"model\":\n 7}", wrong("model", "a string"), 2, 2);
        check(b"{\"model\":\"m\",\"stream\":\"yes\"}", wrong("stream", "a bool"), 1, 23);
        check(b"{\"model\":\"m\",\"n\":-1}", wrong("n", "a whole number"), 1, 18);
        assert_eq!(
            skim_request(Api::Chat, b"{\"model\":\"a\",\"model\":\"b\"}").unwrap_err().fault,
            RequestFault::Twice
        );
    }

    #[test]
    fn an_error_repeats_nothing_of_the_body() {
        let error = skim_request(Api::Chat, b"{\"model\":\"m\",\"stream\":\"my secret\"}").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    #[test]
    fn depth_does_not_recurse() {
        let body = format!("{{\"model\":\"m\",\"tools\":{}{}}}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert!(skim_request(Api::Chat, body.as_bytes()).unwrap().tools);
    }

    fn skim(api: Api, fields: &str) -> RequestFacts {
        skim_request(api, format!(r#"{{"model":"m",{fields}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn each_kind_reads_its_own_limit_of_tokens() {
        let all = r#""max_tokens":1,"max_completion_tokens":2,"max_output_tokens":3"#;
        let expected = [Some(2), Some(1), None, Some(3), Some(1)];
        for (api, most) in Api::ALL.into_iter().zip(expected) {
            assert_eq!(skim(api, all).max_tokens, most, "{api}");
        }
        assert_eq!(skim(Api::Chat, r#""max_tokens":1"#).max_tokens, Some(1));
    }

    #[test]
    fn a_field_of_another_kind_is_not_judged() {
        assert_eq!(skim(Api::Completions, r#""logprobs":5,"store":"x""#).choices, 1);
        assert_eq!(skim(Api::Responses, r#""n":"x","max_tokens":"x""#).choices, 1);
        assert_eq!(skim(Api::Messages, r#""n":3"#).choices, 1);
    }

    #[test]
    fn every_prompt_of_a_text_completion_is_answered() {
        for (prompt, choices) in [
            ("\"a\"", 2),
            ("[\"a\",\"b\",\"c\"]", 6),
            ("[1,2,3]", 2),
            ("[[1,2],[3]]", 4),
            ("[]", 2),
            ("null", 2),
        ] {
            let fields = format!(r#""n":2,"prompt":{prompt}"#);
            assert_eq!(skim(Api::Completions, &fields).choices, choices, "{prompt}");
        }
    }

    #[test]
    fn what_a_provider_remembers_is_seen_in_responses_alone() {
        let fields =
            r#""previous_response_id":"r","conversation":{"id":"c"},"store":false,"background":true"#;
        let state = skim(Api::Responses, fields).state;
        assert!(state.previous_response && state.conversation && state.background && state.leans_on_memory());
        assert_eq!(state.store, Some(false));
        assert_eq!(skim(Api::Chat, fields).state, RequestState::default());
        assert!(!skim(Api::Responses, r#""store":true,"previous_response_id":null"#).state.leans_on_memory());
    }

    #[test]
    fn a_chat_of_one_choice_without_extras_is_plain_text() {
        let plain = r#""n":1,"tools":[],"logprobs":false,"response_format":{"type":"text"},"modalities":["text"],"audio":null"#;
        assert!(skim(Api::Chat, plain).is_plain_text());
        for api in Api::ALL {
            assert_eq!(
                skim(api, plain.split_once(',').unwrap().0).is_plain_text(),
                api == Api::Chat,
                "{api}"
            );
        }
        for extra in [
            r#""n":2"#,
            r#""tools":[{}]"#,
            r#""functions":[{}]"#,
            r#""logprobs":true"#,
            r#""response_format":{"type":"json_object"}"#,
            r#""response_format":{}"#,
            r#""response_format":7"#,
            r#""modalities":["text","audio"]"#,
            r#""modalities":7"#,
            r#""audio":{"voice":"v"}"#,
            r#""web_search_options":{"search_context_size":"low"}"#,
        ] {
            assert!(!skim(Api::Chat, extra).is_plain_text(), "{extra}");
        }
    }
}
