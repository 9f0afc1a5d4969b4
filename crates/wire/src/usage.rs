//! Tokens: what an answer took, in every provider's words.
//!
//! OpenAI counts cached tokens inside of the prompt's and reasoning inside of the completion's; Anthropic counts what was read
//! from and written to its cache beside the input; DeepSeek has a field of its own for cache hits. [`Usage`] is OpenAI's way:
//! the totals, and the parts they contain.

use std::ops::AddAssign;

use serde::Deserialize;

use crate::loose::Count;

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens read, those from a cache included.
    pub input: u64,
    /// Tokens written, reasoning included.
    pub output: u64,
    /// Tokens of `input` that came from the provider's prompt cache; never above `input`.
    pub cached_input: u64,
    /// Tokens of `input` that were written to that cache; with `cached_input` never above `input`.
    pub cache_write: u64,
    /// Tokens of `output` that were reasoning; never above `output`.
    pub reasoning: u64,
}

impl Usage {
    /// A usage of so many tokens in each direction, none cached and no reasoning.
    #[must_use]
    pub const fn new(input: u64, output: u64) -> Self {
        Self { input, output, cached_input: 0, cache_write: 0, reasoning: 0 }
    }

    /// The same with so many of its input tokens from a cache, at most all of them.
    #[must_use]
    pub fn with_cached_input(self, cached: u64) -> Self {
        Self { cached_input: cached.min(self.input), ..self }
    }

    /// The same with so many of its input tokens written to a cache, at most all that did not come from it.
    #[must_use]
    pub fn with_cache_write(self, written: u64) -> Self {
        Self { cache_write: written.min(self.input.saturating_sub(self.cached_input)), ..self }
    }

    /// The same with so many of its output tokens as reasoning, at most all of them.
    #[must_use]
    pub fn with_reasoning(self, reasoning: u64) -> Self {
        Self { reasoning: reasoning.min(self.output), ..self }
    }

    /// What is known after two reports of one answer: the larger count of each kind. A count only grows while an answer does,
    /// and a report that leaves one out takes nothing back.
    pub(crate) fn or_later(self, later: Self) -> Self {
        Self::new(self.input.max(later.input), self.output.max(later.output))
            .with_cached_input(self.cached_input.max(later.cached_input))
            .with_cache_write(self.cache_write.max(later.cache_write))
            .with_reasoning(self.reasoning.max(later.reasoning))
    }
}

/// Attempts that served one answer together are summed; the sum stays at `u64::MAX` rather than overflow.
impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.cached_input = self.cached_input.saturating_add(other.cached_input);
        self.cache_write = self.cache_write.saturating_add(other.cache_write);
        self.reasoning = self.reasoning.saturating_add(other.reasoning);
    }
}

/// The `usage` object in all its dialects.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawUsage {
    prompt_tokens: Count,
    completion_tokens: Count,
    input_tokens: Count,
    output_tokens: Count,
    prompt_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
    input_tokens_details: Option<Details>,
    output_tokens_details: Option<Details>,
    prompt_cache_hit_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Count,
    cache_write_tokens: Count,
    reasoning_tokens: Count,
}

impl From<RawUsage> for Usage {
    fn from(raw: RawUsage) -> Self {
        let cached =
            |details: &Option<Details>| details.as_ref().map_or(0, |details| details.cached_tokens.0);
        let written =
            |details: &Option<Details>| details.as_ref().map_or(0, |details| details.cache_write_tokens.0);
        let reasoning =
            |details: &Option<Details>| details.as_ref().map_or(0, |details| details.reasoning_tokens.0);
        let beside = raw.cache_read_input_tokens.0.saturating_add(raw.cache_creation_input_tokens.0);
        let input = raw.prompt_tokens.0.max(raw.input_tokens.0.saturating_add(beside));
        let output = raw.completion_tokens.0.max(raw.output_tokens.0);
        Self::new(input, output)
            .with_cached_input(
                cached(&raw.prompt_tokens_details)
                    .max(cached(&raw.input_tokens_details))
                    .max(raw.prompt_cache_hit_tokens.0)
                    .max(raw.cache_read_input_tokens.0),
            )
            .with_cache_write(
                written(&raw.prompt_tokens_details)
                    .max(written(&raw.input_tokens_details))
                    .max(raw.cache_creation_input_tokens.0),
            )
            .with_reasoning(
                reasoning(&raw.completion_tokens_details).max(reasoning(&raw.output_tokens_details)),
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: Usage) {
        assert_eq!(Usage::from(serde_json::from_str::<RawUsage>(json).unwrap()), expected);
    }

    #[test]
    fn openais_parts_lie_within_its_totals() {
        check(
            r#"{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,
                "prompt_tokens_details":{"cached_tokens":64},"completion_tokens_details":{"reasoning_tokens":8}}"#,
            Usage { input: 100, output: 20, cached_input: 64, cache_write: 0, reasoning: 8 },
        );
        check(
            r#"{"input_tokens":7,"output_tokens":3,"input_tokens_details":{"cached_tokens":2,"cache_write_tokens":4}}"#,
            Usage { input: 7, output: 3, cached_input: 2, cache_write: 4, reasoning: 0 },
        );
    }

    #[test]
    fn anthropics_caches_are_counted_beside_its_input() {
        check(
            r#"{"input_tokens":10,"output_tokens":5,"cache_read_input_tokens":30,"cache_creation_input_tokens":2}"#,
            Usage { input: 42, output: 5, cached_input: 30, cache_write: 2, reasoning: 0 },
        );
    }

    #[test]
    fn deepseeks_cache_hits_are_read() {
        check(
            r#"{"prompt_tokens":9,"completion_tokens":1,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":5}"#,
            Usage { input: 9, output: 1, cached_input: 4, cache_write: 0, reasoning: 0 },
        );
    }

    #[test]
    fn a_part_is_never_above_its_whole() {
        check(
            r#"{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":99},"completion_tokens_details":null}"#,
            Usage { input: 1, output: 0, cached_input: 1, cache_write: 0, reasoning: 0 },
        );
    }

    #[test]
    fn a_sum_does_not_overflow() {
        let mut usage = Usage::new(u64::MAX, 1);
        usage += Usage::new(1, 1);
        assert_eq!(usage, Usage::new(u64::MAX, 2));
    }

    #[test]
    fn a_later_report_takes_nothing_back_and_its_parts_stay_within() {
        let first = Usage::new(42, 1).with_cached_input(30).with_cache_write(2);
        assert_eq!(first.or_later(Usage::new(0, 5)), Usage { output: 5, ..first });
        let later = Usage::new(42, 0).with_cache_write(40);
        assert_eq!(first.or_later(later), Usage { cache_write: 12, ..first });
    }

    #[test]
    fn a_sum_has_the_parts_of_both() {
        let mut usage = Usage::new(10, 2).with_cached_input(4).with_cache_write(3).with_reasoning(1);
        usage += usage;
        assert_eq!(usage, Usage { input: 20, output: 4, cached_input: 8, cache_write: 6, reasoning: 2 });
    }
}
