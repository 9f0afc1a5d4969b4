//! Values that must be in range, fit together, or be what HTTP can carry.

use std::{collections::HashSet, time::Duration};

use breaker::BreakerConfig;
use http::{HeaderName, HeaderValue};
use url::Url;
use wire::Dialect;

use super::{
    Config, LEAST_FIRST_TOKEN, LONGEST, Limit, MOST_ATTEMPTS, Provider, Region, Retry, Secret, Target,
    Timeouts, Warning,
    fault::{Fault, Path},
    interpolate,
};

/// Headers of a connection or a message, which whoever writes the bytes must write.
const OF_THE_CONNECTION: [&str; 11] = [
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that carry a caller's credentials, which no provider is to see.
const OF_THE_CALLER: [&str; 4] = ["authorization", "api-key", "x-api-key", "cookie"];

/// Paths that are appended to a base URL.
const APPENDED: [&str; 5] = ["/chat/completions", "/completions", "/embeddings", "/responses", "/messages"];

/// Hosts whose APIs have no version in their paths.
const WITHOUT_VERSION: [&str; 2] = ["api.deepseek.com", "api.perplexity.ai"];

/// What the rules about values find: faults and warnings.
pub(super) fn numbers(config: &Config) -> (Vec<Fault>, Vec<Warning>) {
    let mut rules = Rules { faults: Vec::new(), warnings: Vec::new() };
    rules.timeouts(&Path::new(["timeouts"]), &config.timeouts);
    rules.retry(&Path::new(["retry"]), &config.retry);
    rules.breaker(&Path::new(["breaker"]), &config.breaker);
    for (name, provider) in &config.providers {
        rules.provider(&Path::new(["providers", name]), provider);
    }
    for (name, model) in &config.models {
        let path = Path::new(["models", name]);
        for (index, target) in model.targets.iter().enumerate() {
            rules.target(&path.key("targets").index(index), target);
        }
        // What a model has from the whole configuration has been judged there.
        if model.timeouts != config.timeouts {
            rules.timeouts(&path.key("timeouts"), &model.timeouts);
        }
        if model.retry != config.retry {
            rules.retry(&path.key("retry"), &model.retry);
        }
        if model.breaker != config.breaker {
            rules.breaker(&path.key("breaker"), &model.breaker);
        }
    }
    (rules.faults, rules.warnings)
}

struct Rules {
    faults: Vec<Fault>,
    warnings: Vec<Warning>,
}

impl Rules {
    fn fault(&mut self, path: Path, message: impl Into<String>) {
        self.faults.push(Fault::new(path, message));
    }

    fn duration(&mut self, path: Path, value: Duration) {
        if value.is_zero() {
            self.fault(path, "a duration of zero leaves no time");
        } else if value > LONGEST {
            self.fault(path, format!("{} is above the longest, 365 days", words(value)));
        }
    }

    fn timeouts(&mut self, path: &Path, timeouts: &Timeouts) {
        let &Timeouts { connect, first_token, first_token_max, answer, idle, total, stream_max } = timeouts;
        let given =
            [("first_token", first_token), ("answer", answer)].into_iter().filter_map(|(key, limit)| {
                match limit {
                    Limit::Auto => None,
                    Limit::Fixed(value) => Some((key, value)),
                }
            });
        let before = self.faults.len();
        let always = [
            ("connect", connect),
            ("first_token_max", first_token_max),
            ("idle", idle),
            ("total", total),
            ("stream_max", stream_max),
        ];
        for (key, value) in always.into_iter().chain(given.clone()) {
            self.duration(path.key(key), value);
        }
        if self.faults.len() > before {
            return;
        }
        if first_token_max < LEAST_FIRST_TOKEN {
            let (value, least) = (words(first_token_max), words(LEAST_FIRST_TOKEN));
            let message = format!("{value} is below the least limit that can be learned, {least}");
            self.fault(path.key("first_token_max"), message);
        }
        for (key, value) in given.filter(|(_, value)| *value > total) {
            self.fault(path.key(key), format!("{key} ({}) is above total ({})", words(value), words(total)));
        }
        if idle > stream_max {
            let message = format!("idle ({}) is above stream_max ({})", words(idle), words(stream_max));
            self.fault(path.key("idle"), message);
        }
    }

    fn retry(&mut self, path: &Path, retry: &Retry) {
        let attempts = retry.max_attempts;
        if !(1..=MOST_ATTEMPTS).contains(&attempts) {
            let message = format!("expected a whole number from 1 to {MOST_ATTEMPTS}, found {attempts}");
            self.fault(path.key("max_attempts"), message);
        }
    }

    fn breaker(&mut self, path: &Path, breaker: &BreakerConfig) {
        if let Err(error) = breaker.validate() {
            self.fault(path.clone(), error.to_string());
        }
    }

    fn weight(&mut self, path: &Path, weight: f64) {
        if !(weight.is_finite() && weight > 0.0) {
            self.fault(path.key("weight"), format!("expected a number above 0, found {weight}"));
        }
    }

    fn target(&mut self, path: &Path, target: &Target) {
        self.weight(path, target.weight);
        if target.context == Some(0) {
            self.fault(path.key("context"), "expected a whole number of at least 1, found 0");
        }
        let Some(price) = target.price else { return };
        let path = path.key("price");
        let cached = price.cached_input.map(|usd| ("cached_input", usd));
        for (key, usd) in [("input", price.input), ("output", price.output)].into_iter().chain(cached) {
            if !(usd.is_finite() && usd >= 0.0) {
                self.fault(path.key(key), format!("expected a number of at least 0, found {usd}"));
            }
        }
    }

    fn provider(&mut self, path: &Path, provider: &Provider) {
        self.key(path, provider.api_key.as_ref());
        if let Some(check) = &provider.health_check {
            let path = path.key("health_check").key("every");
            if check.every < Duration::from_secs(1) {
                self.fault(path, format!("{} is below the shortest, 1s", words(check.every)));
            } else {
                self.duration(path, check.every);
            }
        }
        for (index, name) in provider.forward_headers.iter().enumerate() {
            let path = path.key("forward_headers").index(index);
            match HeaderName::try_from(name.as_str()) {
                Err(_) => self.fault(path, format!("`{name}` is no name of a header")),
                Ok(name) if is_one_of(&OF_THE_CONNECTION, &name) => {
                    self.fault(path, format!("`{name}` belongs to the connection and is not forwarded"));
                }
                Ok(name) if is_one_of(&OF_THE_CALLER, &name) => {
                    self.fault(
                        path,
                        format!("`{name}` carries the caller's credentials and is not forwarded"),
                    );
                }
                Ok(_) => {}
            }
        }
        for (name, region) in &provider.regions {
            let path = path.key("regions").key(name);
            self.region(&path, provider.dialect, region);
            self.api_version(&path, provider.dialect, region);
        }
    }

    /// Azure's versions: what they may be, and who needs one.
    fn api_version(&mut self, path: &Path, dialect: Dialect, region: &Region) {
        let is_odd = |byte: u8| !(byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let base = region.base_url.path().trim_end_matches('/');
        let is_classic = base == "/openai" || base.contains("/deployments/");
        match &region.api_version {
            Some(_) if dialect != Dialect::Azure => {
                let fault = Fault::new(path.key("api_version"), "only the azure dialect has versions");
                self.faults.push(fault.help("leave it out, or set `dialect = \"azure\"`".to_owned()));
            }
            Some(version) if version.is_empty() || version.bytes().any(is_odd) => {
                self.fault(path.key("api_version"), "a version has letters, digits, `-`, `.` and `_`");
            }
            None if dialect == Dialect::Azure && is_classic => {
                let fault =
                    Fault::new(path.key("base_url"), "Azure's paths below deployments need a version");
                let help = "add `api_version`, or let the URL end with its host or with `/openai/v1`";
                self.faults.push(fault.help(help.to_owned()));
            }
            Some(_) | None => {}
        }
    }

    fn region(&mut self, path: &Path, dialect: Dialect, region: &Region) {
        self.base_url(&path.key("base_url"), &region.base_url);
        self.path_of(&path.key("base_url"), dialect, &region.base_url);
        self.key(path, region.api_key.as_ref());
        self.weight(path, region.weight);
        let mut seen = HashSet::new();
        for (name, value) in &region.headers {
            let path = path.key("headers").key(name);
            match HeaderName::try_from(name.as_str()) {
                Err(_) => self.fault(path.clone(), "this is no name of a header"),
                Ok(name) if is_one_of(&OF_THE_CONNECTION, &name) => {
                    self.fault(path.clone(), "this header belongs to the connection and cannot be set");
                }
                Ok(name) if !seen.insert(name.clone()) => self.fault(path.clone(), "the header is set twice"),
                Ok(_) => {}
            }
            self.header_value(path, value);
        }
        if let Some(proxy) = &region.proxy {
            self.is_http(&path.key("proxy"), proxy);
        }
    }

    fn base_url(&mut self, path: &Path, url: &Url) {
        self.is_http(path, url);
        if !url.username().is_empty() || url.password().is_some() {
            let fault = Fault::new(path.clone(), "a base URL holds no user and no password");
            self.faults.push(fault.help("credentials go into `api_key` or `headers`".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            let fault = Fault::new(path.clone(), "a base URL ends with its path");
            self.faults.push(fault.help(
                "leave out what follows `?` or `#`; Azure's version goes into `api_version`".to_owned(),
            ));
        }
    }

    /// A URL that other programs want with more, or with less, than here.
    fn path_of(&mut self, path: &Path, dialect: Dialect, url: &Url) {
        let base = url.path().trim_end_matches('/');
        let appended = APPENDED.iter().find(|appended| base.ends_with(**appended));
        let needs_version = dialect != Dialect::Azure
            && base.is_empty()
            && url.host_str().is_none_or(|host| !WITHOUT_VERSION.contains(&host));
        let message = match appended {
            Some(appended) => format!("the URL ends with `{appended}`, which is appended to it once more"),
            None if needs_version => {
                "the URL has no path, where most APIs have their version: `/v1`".to_owned()
            }
            None => return,
        };
        self.warnings.push(Fault::new(path.clone(), message));
    }

    fn is_http(&mut self, path: &Path, url: &Url) {
        if !matches!(url.scheme(), "http" | "https") {
            self.fault(path.clone(), "expected a URL that begins with `http://` or `https://`");
        } else if url.host_str().is_none_or(str::is_empty) {
            self.fault(path.clone(), "the URL has no host");
        }
    }

    fn key(&mut self, path: &Path, key: Option<&Secret>) {
        let Some(key) = key else { return };
        let path = path.key("api_key");
        if key.expose().is_empty() {
            let fault = Fault::new(path, "the key is empty");
            self.faults.push(fault.help("leave it out for a provider that takes none".to_owned()));
            return;
        }
        if is_a_name(key.expose()) {
            let warning =
                Fault::new(path.clone(), "the key is sent as it is, and looks like the name of where one is");
            let help = "a variable is written `${NAME}`, a file `file:/path`";
            self.warnings.push(warning.help(help.to_owned()));
        }
        self.header_value(path, key);
    }

    /// Says nothing of the value but that it cannot be sent.
    fn header_value(&mut self, path: Path, value: &Secret) {
        if HeaderValue::try_from(value.expose()).is_err() {
            self.fault(path, "the value holds a line break or another character that no header can carry");
        }
    }
}

/// Whether a key is what other programs write for a variable or a file, or what a variable holds that names a file.
fn is_a_name(key: &str) -> bool {
    let is_capital = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    interpolate::begins_as_file(key)
        || key.starts_with("os.environ/")
        || key.strip_prefix('$').is_some_and(|name| !name.is_empty() && name.bytes().all(is_capital))
}

fn is_one_of(names: &[&str], name: &HeaderName) -> bool {
    names.contains(&name.as_str())
}

fn words(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
