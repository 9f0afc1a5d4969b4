//! How a provider tells what is left of a limit: in headers, and each family in its own.

use std::time::Duration;

use http::HeaderMap;

use crate::{
    quota::{Bucket, Level},
    request::Family,
    shape::set,
};

/// Sets the headers that tell of a quota.
pub(crate) fn told(headers: &mut HeaderMap, family: Family, bucket: &Bucket) {
    let levels = [("requests", Some(&bucket.requests)), ("tokens", bucket.tokens.as_ref())];
    for (what, level) in levels {
        if let Some(level) = level {
            tell(headers, family, what, level);
        }
    }
}

fn tell(headers: &mut HeaderMap, family: Family, what: &str, level: &Level) {
    let name = |fact: &str| match family {
        Family::OpenAi | Family::Azure => format!("x-ratelimit-{fact}-{what}"),
        Family::Anthropic => format!("anthropic-ratelimit-{what}-{fact}"),
    };
    set(headers, &name("limit"), &level.limit().to_string());
    set(headers, &name("remaining"), &level.remaining().to_string());
    let reset = match family {
        Family::OpenAi => go_style(level.reset()),
        Family::Azure => level.reset().as_secs_f64().ceil().to_string(),
        // A date, and a simulated world has none.
        Family::Anthropic => return,
    };
    set(headers, &name("reset"), &reset);
}

/// A duration as Go writes it, which is how OpenAI does: `12ms`, `1.5s`, `6m0s`.
fn go_style(duration: Duration) -> String {
    let millis = duration.as_micros().div_ceil(1000);
    let (minutes, seconds) = (millis / 60_000, millis % 60_000);
    let fraction = match (seconds % 1000).to_string() {
        zero if zero == "0" => String::new(),
        millis => format!(".{millis:0>3}").trim_end_matches('0').to_owned(),
    };
    match (minutes, millis) {
        (0, 0..=999) => format!("{millis}ms"),
        (0, _) => format!("{}{fraction}s", seconds / 1000),
        _ => format!("{minutes}m{}{fraction}s", seconds / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::go_style;
    use std::time::Duration;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let written =
            [0, 12, 999, 1000, 1500, 59_050, 60_000, 372_005].map(|ms| go_style(Duration::from_millis(ms)));
        assert_eq!(written, ["0ms", "12ms", "999ms", "1s", "1.5s", "59.05s", "1m0s", "6m12.005s"]);
    }
}
