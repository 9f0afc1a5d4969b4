//! The names of headers that count a limit, as data.

use std::time::Duration;

/// One set of names.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) limit: &'static str,
    pub(super) remaining: &'static str,
    pub(super) reset: &'static str,
    /// The header that tells the period, where one does.
    pub(super) renewal: Option<&'static str>,
    /// The period, where the names themselves tell it.
    pub(super) period: Option<Duration>,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

impl Names {
    const fn of(limit: &'static str, remaining: &'static str, reset: &'static str) -> Self {
        Self { limit, remaining, reset, renewal: None, period: None }
    }

    const fn every(self, seconds: u64) -> Self {
        Self { period: Some(Duration::from_secs(seconds)), ..self }
    }

    const fn renewed(self, header: &'static str) -> Self {
        Self { renewal: Some(header), ..self }
    }
}

/// Requests.
pub(super) const REQUESTS: &[Names] = &[
    // OpenAI, Azure (with a period), Groq (by the day), SambaNova.
    Names::of("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")
        .renewed("x-ratelimit-renewalperiod-requests"),
    Names::of(
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
    // Mistral, which names no reset.
    Names::of(
        "x-ratelimit-limit-req-minute",
        "x-ratelimit-remaining-req-minute",
        "x-ratelimit-reset-req-minute",
    )
    .every(MINUTE),
    // Cerebras, several at once; the day also at SambaNova.
    Names::of(
        "x-ratelimit-limit-requests-minute",
        "x-ratelimit-remaining-requests-minute",
        "x-ratelimit-reset-requests-minute",
    )
    .every(MINUTE),
    Names::of(
        "x-ratelimit-limit-requests-hour",
        "x-ratelimit-remaining-requests-hour",
        "x-ratelimit-reset-requests-hour",
    )
    .every(HOUR),
    Names::of(
        "x-ratelimit-limit-requests-day",
        "x-ratelimit-remaining-requests-day",
        "x-ratelimit-reset-requests-day",
    )
    .every(DAY),
    // Together, OpenRouter.
    Names::of("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
];

/// Tokens of both directions.
pub(super) const TOKENS: &[Names] = &[
    Names::of("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens")
        .renewed("x-ratelimit-renewalperiod-tokens"),
    // OpenAI's second limit of tokens.
    Names::of(
        "x-ratelimit-limit-tokens_usage_based",
        "x-ratelimit-remaining-tokens_usage_based",
        "x-ratelimit-reset-tokens_usage_based",
    ),
    Names::of(
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ),
    // Mistral, Cerebras.
    Names::of(
        "x-ratelimit-limit-tokens-minute",
        "x-ratelimit-remaining-tokens-minute",
        "x-ratelimit-reset-tokens-minute",
    )
    .every(MINUTE),
    Names::of(
        "x-ratelimit-limit-tokens-hour",
        "x-ratelimit-remaining-tokens-hour",
        "x-ratelimit-reset-tokens-hour",
    )
    .every(HOUR),
    Names::of(
        "x-ratelimit-limit-tokens-day",
        "x-ratelimit-remaining-tokens-day",
        "x-ratelimit-reset-tokens-day",
    )
    .every(DAY),
    // Together.
    Names::of("x-tokenlimit-limit", "x-tokenlimit-remaining", "x-tokenlimit-reset"),
];

/// Tokens read, where they are counted apart.
pub(super) const INPUT_TOKENS: &[Names] = &[Names::of(
    "anthropic-ratelimit-input-tokens-limit",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-input-tokens-reset",
)];

/// Tokens written, where they are counted apart.
pub(super) const OUTPUT_TOKENS: &[Names] = &[Names::of(
    "anthropic-ratelimit-output-tokens-limit",
    "anthropic-ratelimit-output-tokens-remaining",
    "anthropic-ratelimit-output-tokens-reset",
)];
