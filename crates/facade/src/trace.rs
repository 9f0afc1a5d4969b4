//! A caller's trace, as W3C's Trace Context writes it, and the names of the attempts within it.
//!
//! Each attempt goes out as a span of its own: the trace is the caller's, the span's name is new, and the notice of the attempt's end bears
//! it ([`Notice::AttemptEnded`](crate::Notice)), so that whoever exports spans exports the one that the provider heard of.
//!
//! A `traceparent` that is not one is worth nothing, and then `tracestate` is not either: neither goes on. Source: W3C Trace Context,
//! Recommendation of 2021, sections 3.2 and 4.3.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that names a trace and a span.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header for what others know of the trace.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The length of what every version begins with.
const LENGTH: usize = 55;
/// Sampled, and that the trace's name was drawn at random: what is known of the flags. The others go out as 0.
const FLAGS: u8 = 0b11;

/// The name of a span: eight bytes, not all 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

impl SpanId {
    /// The span of these bytes; `None` when all are 0, which is no name.
    pub fn new(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// Its bytes.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }

    /// A span out of one drawn number.
    fn drawn(draw: u64) -> Self {
        Self(draw.max(1).to_be_bytes())
    }
}

/// Sixteen digits, as in the header.
impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpanId({self})")
    }
}

/// A span of a trace: what a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceContext {
    /// The name of the trace: sixteen bytes, not all 0.
    pub trace: [u8; 16],
    /// The span.
    pub span: SpanId,
    /// Whether the caller records the trace.
    pub sampled: bool,
    flags: u8,
}

impl TraceContext {
    /// A span of a trace; `None` when the trace's name is all 0, which is none.
    pub fn new(trace: [u8; 16], span: SpanId, sampled: bool) -> Option<Self> {
        (trace != [0; 16]).then_some(Self { trace, span, sampled, flags: u8::from(sampled) })
    }

    /// What the headers of a request say; `None` where they say nothing, or nothing that can be believed.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?;
        // Two parents are none.
        if values.next().is_some() { None } else { Self::parse(value.as_bytes()) }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_at_checked(LENGTH)?;
        let mut parts = known.split(|byte| *byte == b'-');
        let [version] = bytes(parts.next()?)?;
        let trace: [u8; 16] = bytes(parts.next()?)?;
        let span = SpanId::new(bytes(parts.next()?)?)?;
        let [flags] = bytes(parts.next()?)?;
        // A later version may say more, behind one more dash.
        let may_go_on = more.is_empty() || (version > 0 && more.first() == Some(&b'-'));
        let is_one = parts.next().is_none() && version != 0xff && may_go_on && trace != [0; 16];
        is_one.then_some(Self { trace, span, sampled: flags & 1 == 1, flags: flags & FLAGS })
    }

    /// The same trace at another span.
    #[must_use]
    pub fn at(self, span: SpanId) -> Self {
        Self { span, ..self }
    }

    /// As a header's value, in version 00.
    pub fn to_header(&self) -> HeaderValue {
        let trace = u128::from_be_bytes(self.trace);
        let flags = (self.flags & !1) | u8::from(self.sampled);
        let text = format!("00-{trace:032x}-{}-{flags:02x}", self.span);
        // Digits and dashes are always a header's value.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// Bytes from small digits of base sixteen, two each.
fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = digits.as_chunks::<2>();
    let mut bytes = [0; N];
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(bytes)
}

/// The names of one call's attempts within its caller's trace, known before they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trail {
    context: TraceContext,
    seed: u64,
}

impl Trail {
    /// The trail of a call; `seed` decides the names.
    pub(crate) fn new(context: TraceContext, seed: u64) -> Self {
        Self { context, seed }
    }

    /// The span of an attempt.
    pub(crate) fn span(&self, ordinal: u8) -> SpanId {
        SpanId::drawn(crate::engine::mixed(self.seed, u64::from(ordinal)))
    }

    /// What an attempt's request says of the trace.
    pub(crate) fn header(&self, ordinal: u8) -> HeaderValue {
        self.context.at(self.span(ordinal)).to_header()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLERS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_parent_is_read_and_written_as_it_came() {
        let context = TraceContext::parse(CALLERS.as_bytes()).unwrap();
        assert!(context.sampled);
        assert_eq!(context.span.to_string(), "00f067aa0ba902b7");
        assert_eq!(context.to_header(), CALLERS);
        let later = CALLERS.replace("00-4b", "cc-4b") + "-more";
        assert_eq!(TraceContext::parse(later.as_bytes()).unwrap().to_header(), CALLERS);
        let flagged = CALLERS.replace("-01", "-fe");
        assert_eq!(
            TraceContext::parse(flagged.as_bytes()).unwrap().to_header(),
            CALLERS.replace("-01", "-02")
        );
    }

    #[test]
    fn what_is_no_parent_is_none() {
        let zero_trace = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let zero_span = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
        let wrong = [
            "",
            "00",
            zero_trace,
            zero_span,
            &CALLERS.replace("00-4b", "ff-4b"),
            &CALLERS.to_uppercase(),
            &CALLERS.replace("-01", "-0"),
            &CALLERS.replace("-01", "-012"),
            &CALLERS.replace("-01", "-01-"),
            &CALLERS.replace('-', "_"),
            &CALLERS.replace("00-4b", "cc-4b").replace("-01", "-01more"),
            &CALLERS.replace("4bf", "4-f"),
        ];
        for text in wrong {
            assert_eq!(TraceContext::parse(text.as_bytes()), None, "{text}");
        }
        let pair = (TRACEPARENT, HeaderValue::from_static(CALLERS));
        let mut headers = HeaderMap::from_iter([pair.clone()]);
        assert!(TraceContext::of(&headers).is_some());
        headers.append(pair.0, pair.1);
        assert_eq!(TraceContext::of(&headers), None, "two parents");
    }

    #[test]
    fn attempts_have_names_of_their_own() {
        let context = TraceContext::parse(CALLERS.as_bytes()).unwrap();
        let trail = Trail::new(context, 7);
        assert_ne!(trail.span(0), trail.span(1));
        assert_ne!(trail.span(0), Trail::new(context, 8).span(0));
        let header = trail.header(3);
        let sent = TraceContext::parse(header.as_bytes()).unwrap();
        assert_eq!((sent.trace, sent.span), (context.trace, trail.span(3)));
        assert!(SpanId::new([0; 8]).is_none());
    }
}
