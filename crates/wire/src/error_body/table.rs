//! The facts by which a refusal is judged, as data: words, phrases, statuses.
//!
//! Each row of `tests/refusals.txt` names the provider that says it and where that is documented.

use crate::class::Class;

/// What providers call an error (`code`, `type`, `status`, AWS's exceptions), in lower case.
///
/// A word that only repeats its status (`INVALID_ARGUMENT`, `not_found_error`, `AccessDeniedException`) is not listed: the message
/// may say more.
const WORDS: &[(Class, &[&str])] = &[
    (
        Class::QuotaSpent,
        &[
            "insufficient_quota",
            "credit_balance_exhausted",
            "organization_usage_limit_exceeded",
            "enforced_spend_limit_reached",
            "quota_exceeded",
            "billing_error",
            "payment_required",
            "billing_hard_limit_reached",
            "billing_not_active",
            "servicequotaexceededexception",
        ],
    ),
    (Class::ContextTooLong, &["context_length_exceeded"]),
    (
        Class::ContentRefused,
        &[
            "content_filter",
            "content_policy_violation",
            "image_content_policy_violation",
            "responsibleaipolicyviolation",
            "invalid_prompt",
        ],
    ),
    (
        Class::ModelMissing,
        &[
            "model_not_found",
            "model_decommissioned",
            "model_permission_blocked_org",
            "model_permission_blocked_project",
            "model_terms_required",
            "model_not_available",
            "invalid_model",
            "deploymentnotfound",
            "resourcenotfoundexception",
            "ftuformnotfilled",
        ],
    ),
    (
        Class::Credential,
        &[
            "invalid_api_key",
            "api_key_invalid",
            "authentication_error",
            "permission_error",
            "permission_denied",
            "unauthenticated",
            "account_deactivated",
            "unrecognizedclientexception",
            "expiredtokenexception",
            "unsupported_country_region_territory",
        ],
    ),
    (
        Class::RateLimited,
        &["slow_down", "throttlingexception", "too_many_requests", "toomanyrequests", "resource_exhausted"],
    ),
    (
        Class::Overloaded,
        &[
            "overloaded_error",
            "server_is_overloaded",
            "service_unavailable_error",
            "unavailable",
            "serviceunavailableexception",
            "modelnotreadyexception",
        ],
    ),
    (
        Class::Timeout,
        &["timeout_error", "deadline_exceeded", "modeltimeoutexception", "vector_store_timeout"],
    ),
    (
        Class::Transient,
        &[
            "server_error",
            "api_error",
            "internal",
            "internal_server_error",
            "internalserverexception",
            "conflict_error",
            "modelerrorexception",
            "modelstreamerrorexception",
        ],
    ),
];

/// Words that speak of a limit, and where the status blames the request of its size: no wait will help such a one.
const SIZED_WORDS: &[(Class, &[&str])] = &[
    (Class::RateLimited, &["rate_limit_exceeded", "rate_limit_error", "rate_limited"]),
    (Class::Overloaded, &["capacity_exceeded"]),
];

/// How OpenAI's words for a limit of money end, whoever set it.
const SPENT_SUFFIX: &str = "_spend_limit_exceeded";

/// Where in a message a phrase stands when it is the provider's own.
///
/// A 400 may repeat any value of the request, in the middle of a sentence. What takes a key or a model out is believed only at
/// an end of the message, so that no caller can say that the account is spent.
#[derive(Clone, Copy)]
enum Stands {
    Anywhere,
    First,
    Last,
}

/// What messages say.
struct Phrases {
    class: Class,
    /// The statuses with which they mean it: a message may repeat the prompt.
    statuses: &'static [u16],
    stands: Stands,
    /// In lower case; all the parts of a phrase must be there.
    any_of: &'static [&'static [&'static str]],
}

/// The first row that is said counts.
const PHRASES: &[Phrases] = &[
    Phrases {
        class: Class::ContextTooLong,
        statuses: &[400, 403, 413, 422],
        stands: Stands::Anywhere,
        any_of: &[
            &["this model's maximum context length is"],
            &["exceed context limit"],
            &["is longer than the model's context length"],
            &["exceeds the maximum number of tokens allowed"],
            &["exceeds the available context size"],
            &["prompt is too long"],
            &["input is too long for requested model"],
            &["current length is", "while limit is"],
        ],
    },
    Phrases {
        class: Class::QuotaSpent,
        statuses: &[400, 403, 413, 422],
        stands: Stands::First,
        any_of: &[
            &["your credit balance is too low"],
            &["you have reached your specified api usage limits"],
            &["you have reached your specified workspace api usage limits"],
            &["insufficient balance"],
        ],
    },
    // Google's 400 is the key's fault where it speaks of the key or of where its project is.
    Phrases {
        class: Class::Credential,
        statuses: &[400],
        stands: Stands::First,
        any_of: &[
            &["api key not valid"],
            &["api key expired"],
            &["user location is not supported"],
            &["gemini api free tier is not available"],
        ],
    },
    // OpenRouter's moderation answers 403, which elsewhere is the key's fault; DeepSeek's and Anthropic's 400.
    Phrases {
        class: Class::ContentRefused,
        statuses: &[403],
        stands: Stands::Anywhere,
        any_of: &[&["requires moderation"], &["was flagged"]],
    },
    Phrases {
        class: Class::ContentRefused,
        statuses: &[400],
        stands: Stands::First,
        any_of: &[&["content exists risk"], &["output blocked by content filtering policy"]],
    },
    // DeepSeek and OpenRouter answer 400 where others do 404.
    Phrases {
        class: Class::ModelMissing,
        statuses: &[400],
        stands: Stands::First,
        any_of: &[&["model not exist"]],
    },
    Phrases {
        class: Class::ModelMissing,
        statuses: &[400],
        stands: Stands::Last,
        any_of: &[&["is not a valid model id"]],
    },
    // A key may be good for one model and not for another.
    Phrases {
        class: Class::ModelMissing,
        statuses: &[403],
        stands: Stands::Anywhere,
        any_of: &[&["access to the model"], &["access to model"], &["access to this model"]],
    },
    // What a request names beside its model may be missing too, and a model may be asked in the wrong way.
    Phrases {
        class: Class::CallerFault,
        statuses: &[404],
        stands: Stands::Anywhere,
        any_of: &[
            &["item with id"],
            &["response with id"],
            &["conversation with id"],
            &["prompt with id"],
            &["vector store"],
            &["no such file"],
            &["file not found"],
            &["container not found"],
            &["not a chat model"],
            &["only supported in v1/"],
            &["not supported in the v1/"],
        ],
    },
    Phrases {
        class: Class::ModelMissing,
        statuses: &[404, 410],
        stands: Stands::Anywhere,
        any_of: &[&["model"], &["deployment"], &["no endpoints found for"]],
    },
];

fn listed(table: &[(Class, &[&str])], word: &str) -> Option<Class> {
    table.iter().find(|(_, words)| words.contains(&word)).map(|(class, _)| *class)
}

/// The class behind a provider's own word for the error.
///
/// A server that failed speaks of this moment, whatever it calls it: a relay that has no channel left for a model says that there
/// is no such model, and tomorrow there will be. So nothing is taken out for good by a 5xx.
pub(super) fn class_of_word(word: &str, status: Option<u16>) -> Option<Class> {
    let word = word.to_ascii_lowercase();
    let blames_request = matches!(status, Some(400 | 413 | 415 | 422));
    let lasts = |class: &Class| matches!(class, Class::Credential | Class::QuotaSpent | Class::ModelMissing);
    let passes = matches!(status, Some(500..));
    let spent = word.ends_with(SPENT_SUFFIX).then_some(Class::QuotaSpent);
    spent
        .or_else(|| listed(WORDS, &word))
        .or_else(|| listed(SIZED_WORDS, &word).filter(|_| !blames_request))
        .filter(|class| !(passes && lasts(class)))
}

/// The class behind the field that is named with a 404: anything but the model was the caller's to know.
pub(super) fn class_of_field(field: &str, status: Option<u16>) -> Option<Class> {
    (matches!(status, Some(404 | 410)) && field != "model").then_some(Class::CallerFault)
}

/// The class behind a phrase of the message, where the status leaves it open. An error without a status is read as a 400.
pub(super) fn class_of_message(message: &str, status: Option<u16>) -> Option<Class> {
    let status = status.unwrap_or(400);
    let mut rows = PHRASES.iter().filter(|row| row.statuses.contains(&status)).peekable();
    rows.peek()?;
    let message = message.trim().to_lowercase();
    let said = |row: &&Phrases| {
        let stands = |part: &&str| match row.stands {
            Stands::Anywhere => message.contains(part),
            Stands::First => message.starts_with(part),
            Stands::Last => message.ends_with(part),
        };
        row.any_of.iter().any(|phrase| phrase.iter().all(stands))
    };
    rows.find(said).map(|row| row.class)
}

/// The class of a status of which nothing else is known; `silent` says that the provider said nothing at all.
pub(super) const fn class_of_status(status: u16, silent: bool) -> Class {
    match status {
        401 => Class::Credential,
        402 => Class::QuotaSpent,
        403 if !silent => Class::Credential,
        // A path that is not there, or a refusal that nobody explains.
        403 | 404 | 410 => Class::Transient,
        // Method and path are ours, the rest is said by whoever stands in front: a connection that ends at another host, a legal
        // block where the request left, a balancer that lost its backend.
        405 | 421 | 451 | 460 | 499 => Class::Transient,
        407 => Class::Unreachable,
        // 524 is Cloudflare's: the origin took the request and did not answer.
        408 | 504 | 524 => Class::Timeout,
        409 | 423 | 424 | 425 => Class::Transient,
        429 => Class::RateLimited,
        498 | 503 | 529 => Class::Overloaded,
        400..=499 => Class::CallerFault,
        500..=599 => Class::Transient,
        // A success that is judged here, a redirect that nobody follows, or no status at all.
        _ => Class::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_stands_once_and_in_lower_case() {
        let mut seen = std::collections::BTreeSet::new();
        for (_, words) in WORDS.iter().chain(SIZED_WORDS) {
            for word in *words {
                assert_eq!(word.to_ascii_lowercase(), *word);
                assert!(seen.insert(*word), "{word}");
            }
        }
        for row in PHRASES {
            assert!(row.any_of.concat().iter().all(|part| part.to_lowercase() == *part));
        }
    }

    #[test]
    fn silence_blames_no_key_and_no_status_a_model() {
        for (status, spoken, silent) in [
            (401, Class::Credential, Class::Credential),
            (403, Class::Credential, Class::Transient),
            (404, Class::Transient, Class::Transient),
            (410, Class::Transient, Class::Transient),
            (400, Class::CallerFault, Class::CallerFault),
            (429, Class::RateLimited, Class::RateLimited),
        ] {
            assert_eq!(class_of_status(status, false), spoken, "{status}");
            assert_eq!(class_of_status(status, true), silent, "{status}");
        }
    }
}
