//! Who may be asked, and where: providers, their regions, and what each takes.

use std::{
    fmt,
    num::{NonZeroU16, NonZeroU32},
    path::PathBuf,
    time::Duration,
};

use serde::Deserialize;
use url::Url;
use wire::Dialect;

use super::{Fault, Faults, Path, Preset, Secret};

/// The region of a provider that has but one base URL.
pub const GLOBAL: &str = "global";

/// A company and its dialect: table `[providers.NAME]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Provider {
    /// The form of its API.
    pub dialect: Dialect,
    /// Its key, for the regions that have none of their own. Absent: requests go without.
    pub api_key: Option<Secret>,
    /// Active checks of its endpoints. Absent: on for models with the composite strategy, off otherwise.
    pub health_check: Option<HealthCheck>,
    /// Callers' headers that may pass to it, beside those that always may.
    pub forward_headers: Vec<String>,
    /// Its regions, in the order of the file. At least one.
    pub regions: Vec<(String, Region)>,
}

impl Provider {
    /// A provider of this dialect, without key or region yet.
    pub const fn new(dialect: Dialect) -> Self {
        Self { dialect, api_key: None, health_check: None, forward_headers: Vec::new(), regions: Vec::new() }
    }

    /// A provider that speaks OpenAI's API.
    pub const fn openai() -> Self {
        Self::new(Dialect::OpenAi)
    }

    /// A provider that speaks Azure OpenAI's API.
    pub const fn azure() -> Self {
        Self::new(Dialect::Azure)
    }

    /// A provider that speaks Anthropic's API.
    pub const fn anthropic() -> Self {
        Self::new(Dialect::Anthropic)
    }

    /// A provider whose hosts are known, at these of its regions; see [`Preset`].
    ///
    /// # Errors
    /// No such preset, no such region of it, or a preset with a word to be filled in by [`Preset::with`].
    pub fn preset<R: AsRef<str>>(name: &str, regions: impl IntoIterator<Item = R>) -> Result<Self, Faults> {
        Preset::named(name)?.provider(regions)
    }

    /// Sends this key.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<Secret>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// Checks its endpoints.
    #[must_use]
    pub fn health_check(mut self, check: HealthCheck) -> Self {
        self.health_check = Some(check);
        self
    }

    /// Adds a region by its base URL: the API's root with its version, to which `/chat/completions` is
    /// appended.
    ///
    /// # Errors
    /// `base_url` is no URL.
    pub fn region(self, name: impl Into<String>, base_url: &str) -> Result<Self, Faults> {
        let name = name.into();
        let base_url = Url::parse(base_url).map_err(|error| {
            Fault::new(Path::new(["regions", &name, "base_url"]), format!("not a URL: {error}"))
        })?;
        Ok(self.with_region(name, Region::new(base_url)))
    }

    /// Adds a region.
    #[must_use]
    pub fn with_region(mut self, name: impl Into<String>, region: Region) -> Self {
        self.regions.push((name.into(), region));
        self
    }

    /// The key for a region of this provider: the region's own, else the provider's.
    pub fn key_of<'a>(&'a self, region: &'a Region) -> Option<&'a Secret> {
        region.api_key.as_ref().or(self.api_key.as_ref())
    }
}

/// An active check of a provider's endpoints: a real request, whose result is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HealthCheck {
    /// Time between two checks of an endpoint. Default 30 s.
    #[serde(deserialize_with = "super::values::duration")]
    pub every: Duration,
    /// What is asked. Default the list of models.
    pub kind: CheckKind,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { every: Duration::from_secs(30), kind: CheckKind::default() }
    }
}

/// What a health check asks; in a file the name in lower case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CheckKind {
    /// The list of models: free.
    #[default]
    Models,
    /// A chat of one token: billed.
    Chat,
}

/// One place where a provider is reached: table `[providers.NAME.regions.REGION]`.
///
/// In a file all but `base_url` may stand on the provider, for those of its regions that say nothing else.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Region {
    /// The API's root with its version, `http` or `https`.
    pub base_url: Url,
    /// Its own key. Absent: the provider's.
    pub api_key: Option<Secret>,
    /// Its share beside other regions; above 0. Default 1.
    pub weight: f64,
    /// Headers that go with each request. Their values may be secret.
    pub headers: Vec<(String, Secret)>,
    /// Azure's `api-version`, which its paths below deployments need. Absent: none is sent.
    pub api_version: Option<String>,
    /// PEM file of certificate authorities to trust instead of the system's: at most 1 MiB of UTF-8, comments included.
    pub ca_file: Option<PathBuf>,
    /// Which content of `ca_file` is meant: where this number is another one after a reload, connections are made anew, and trust
    /// what the file says by then. Reading a configuration from a file sets it.
    pub ca_edition: u64,
    /// Proxy to go through. Absent: a direct connection, whatever the environment says.
    pub proxy: Option<Url>,
    /// How many HTTP/2 connections to spread over. Default 1.
    pub connections: NonZeroU16,
    /// What the provider allows here.
    pub limits: Limits,
}

impl Region {
    /// A region with the defaults above.
    pub fn new(base_url: Url) -> Self {
        Self {
            base_url,
            api_key: None,
            weight: 1.0,
            headers: Vec::new(),
            api_version: None,
            ca_file: None,
            ca_edition: 0,
            proxy: None,
            connections: NonZeroU16::MIN,
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for Region {
    /// URLs are shown without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region")
            .field("base_url", &shown(&self.base_url))
            .field("api_key", &self.api_key)
            .field("weight", &self.weight)
            .field("headers", &self.headers)
            .field("api_version", &self.api_version)
            .field("ca_file", &self.ca_file)
            .field("ca_edition", &self.ca_edition)
            .field("proxy", &self.proxy.as_ref().map(shown))
            .field("connections", &self.connections)
            .field("limits", &self.limits)
            .finish()
    }
}

/// A URL as `Debug` may show it: scheme, host, port and path; nothing where a credential could hide.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// What a provider allows at one endpoint. Absent: no limit is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Requests a minute.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens a minute, read and written.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Attempts in flight.
    pub concurrent: Option<NonZeroU32>,
}
