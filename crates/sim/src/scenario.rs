//! A run written down: regions, faults and limits with their times, and the acts that a report tells apart.
//!
//! ```toml
//! seed = 7
//! [[region]]
//! name = "us-east"
//! latency = "35ms"
//! [[fault]]
//! region = "us-east"
//! fault = "cut"
//! at = "2s"
//! for = "5s"
//! share = 0.5
//! ```
//!
//! A fault is written the same way in a scenario and in the body of `/chaos`: [`Chaos`]. A parameter that its fault does
//! not have is an error, not a thing to ignore, since who wrote it expected something of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Fault, Latency, Quota, Region, ScenarioError, When, World};

/// A fault in a region, as it is written in files and sent to `/chaos`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Chaos {
    /// The region.
    pub region: String,
    /// The fault's name.
    pub fault: String,
    /// When it begins, from the moment of injection. Default at once.
    #[serde(default, with = "humantime_serde")]
    pub at: Duration,
    /// How long it lasts. Default 10 s.
    #[serde(default = "ten_seconds", rename = "for", with = "humantime_serde")]
    pub lasting: Duration,
    /// The code of `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Seconds of `Retry-After`, for `status` and `rate_limit`; there 0 leaves the header out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<f64>,
    /// Tokens before a `cut` or `stall`; which frame is `malformed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
    /// Share of the requests struck, 0..=1. Default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Only the first so many requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u32>,
    /// The delay of `slow_first_token` and `slow_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub delay: Option<Duration>,
    /// How many times slower `slow` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

impl Chaos {
    /// This fault in this region, at once, for ten seconds, with its defaults.
    pub fn new(region: impl Into<String>, fault: &Fault) -> Self {
        Self {
            region: region.into(),
            fault: fault.name().to_owned(),
            at: Duration::ZERO,
            lasting: ten_seconds(),
            status: None,
            retry_after: None,
            after: None,
            share: None,
            first: None,
            delay: None,
            factor: None,
        }
    }

    /// The fault, and whom it strikes when.
    ///
    /// # Errors
    /// [`ScenarioError::Fault`], [`ScenarioError::Parameter`], [`ScenarioError::Range`].
    pub fn parse(&self) -> Result<(Fault, When), ScenarioError> {
        let mut fault: Fault = self.fault.parse()?;
        let name = fault.name();
        let mut spare = [
            ("status", self.status.is_some()),
            ("retry_after", self.retry_after.is_some()),
            ("after", self.after.is_some()),
            ("delay", self.delay.is_some()),
            ("factor", self.factor.is_some()),
        ];
        let mut used = |parameter: &str| {
            for (_, given) in spare.iter_mut().filter(|(name, _)| *name == parameter) {
                *given = false;
            }
        };
        match &mut fault {
            Fault::Status { code, retry_after, .. } => {
                *code = in_range(
                    "status",
                    self.status.unwrap_or(*code),
                    |code| (200..=599).contains(code),
                    "200 to 599",
                )?;
                *retry_after = self.wait(*retry_after)?;
                used("status");
                used("retry_after");
            }
            Fault::RateLimit { retry_after } => {
                *retry_after = self.wait(*retry_after)?;
                used("retry_after");
            }
            Fault::Cut { after } | Fault::Stall { after } | Fault::Malformed { after } => {
                *after = self.after.unwrap_or(*after);
                used("after");
            }
            Fault::SlowFirstToken { delay } | Fault::SlowTokens { delay } => {
                *delay = self.delay.unwrap_or(*delay);
                used("delay");
            }
            Fault::Slow { factor } => {
                let given = self.factor.unwrap_or(*factor);
                *factor = in_range("factor", given, |f| (0.0..=1e6).contains(f), "0 to 1000000")?;
                used("factor");
            }
            _ => {} // the others take no parameter
        }
        if let Some((parameter, _)) = spare.into_iter().find(|(_, given)| *given) {
            return Err(ScenarioError::Parameter { fault: name, parameter });
        }
        let share =
            in_range("share", self.share.unwrap_or(1.0), |share| (0.0..=1.0).contains(share), "0 to 1")?;
        let when = When { first: self.first, ..When::from(self.lasting).after(self.at).share(share) };
        Ok((fault, when))
    }

    fn wait(&self, default: Option<Duration>) -> Result<Option<Duration>, ScenarioError> {
        let Some(given) = self.retry_after else { return Ok(default) };
        let seconds = in_range("retry_after", given, |s| (0.0..=1e9).contains(s), "0 to 1000000000 seconds")?;
        Ok(Some(Duration::from_secs_f64(seconds)).filter(|wait| !wait.is_zero()))
    }
}

fn in_range<T: Copy + ToString>(
    parameter: &'static str,
    value: T,
    holds: impl Fn(&T) -> bool,
    expected: &'static str,
) -> Result<T, ScenarioError> {
    if holds(&value) {
        Ok(value)
    } else {
        Err(ScenarioError::Range { parameter, expected, given: value.to_string() })
    }
}

/// A quota that holds for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Limit {
    /// The region.
    pub region: String,
    /// When it begins.
    #[serde(default, with = "humantime_serde")]
    pub at: Duration,
    /// How long it holds.
    #[serde(rename = "for", with = "humantime_serde")]
    pub lasting: Duration,
    /// How many requests are admitted.
    pub quota: Quota,
}

/// A part of a run that a report tells apart, and how the callers behave in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Act {
    /// Its name.
    pub name: String,
    /// When it begins.
    #[serde(default, with = "humantime_serde")]
    pub at: Duration,
    /// How long it lasts.
    #[serde(rename = "for", with = "humantime_serde")]
    pub lasting: Duration,
    /// The regions that something is wrong with.
    #[serde(default)]
    pub sick: Vec<String>,
    /// Load, as a multiple of the usual. Default 1.
    #[serde(default = "usual")]
    pub load: f64,
    /// How long callers wait before they hang up and ask again; absent: for ever.
    #[serde(default, with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub patience: Option<Duration>,
}

fn usual() -> f64 {
    1.0
}

/// A region, as it is written in files. What is absent has [`Region`]'s default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegionEntry {
    name: String,
    #[serde(default, with = "humantime_serde")]
    latency: Option<Duration>,
    /// Log-normal spread around `latency`; 0, the default, for none.
    #[serde(default)]
    sigma: f64,
    #[serde(default, with = "humantime_serde")]
    pace: Option<Duration>,
    tokens: Option<u32>,
    #[serde(default)]
    models: Vec<String>,
    key: Option<String>,
    quota: Option<Quota>,
    slots: Option<u32>,
    varies_after: Option<u32>,
}

impl RegionEntry {
    fn region(&self) -> Result<Region, ScenarioError> {
        let mut region = Region::new(&self.name).models(self.models.iter().map(String::as_str));
        let sigma = in_range("sigma", self.sigma, |sigma| (0.0..=5.0).contains(sigma), "0 to 5")?;
        let median = self.latency.unwrap_or_else(|| region.latency.median());
        region.latency =
            if sigma > 0.0 { Latency::LogNormal { median, sigma } } else { Latency::Fixed(median) };
        region.pace = self.pace.unwrap_or(region.pace);
        region.tokens =
            in_range("tokens", self.tokens.unwrap_or(region.tokens), |n| *n <= 100_000, "0 to 100000")?;
        region.key.clone_from(&self.key);
        (region.quota, region.slots, region.varies_after) = (self.quota, self.slots, self.varies_after);
        Ok(region)
    }
}

/// A whole run: the world, what goes wrong in it when, and its acts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Scenario {
    /// The seed of everything that is chance.
    pub seed: u64,
    /// The regions.
    pub regions: Vec<Region>,
    /// What goes wrong, times from the run's start.
    pub faults: Vec<Chaos>,
    /// Which quotas change for a while.
    pub limits: Vec<Limit>,
    /// The acts, in order.
    pub acts: Vec<Act>,
}

/// The form of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    seed: u64,
    #[serde(default, rename = "region")]
    regions: Vec<RegionEntry>,
    #[serde(default, rename = "fault")]
    faults: Vec<Chaos>,
    #[serde(default, rename = "limit")]
    limits: Vec<Limit>,
    #[serde(default, rename = "act")]
    acts: Vec<Act>,
}

impl Scenario {
    /// The scenario that a TOML text describes. Without a `[[region]]` its regions are the article's three.
    ///
    /// # Errors
    /// A [`ScenarioError`] that shows the line, or names the entry. Everything is checked here, so that
    /// [`world`](Self::world) and [`World::play`] do not fail later.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let file: File = toml::from_str(text)?;
        let entries = file.regions.iter().enumerate();
        let mut regions = entries
            .map(|(index, entry)| entry.region().map_err(in_entry("region", index)))
            .collect::<Result<Vec<_>, _>>()?;
        if regions.is_empty() {
            regions = article_regions();
        }
        let scenario =
            Self { seed: file.seed, regions, faults: file.faults, limits: file.limits, acts: file.acts };
        scenario.world()?.play(&scenario)?;
        Ok(scenario)
    }

    /// Its world, before anything goes wrong.
    ///
    /// # Errors
    /// [`ScenarioError::World`].
    pub fn world(&self) -> Result<World, ScenarioError> {
        let builder = World::builder().seed(self.seed);
        Ok(self.regions.iter().cloned().fold(builder, |builder, region| builder.region(region)).build()?)
    }

    /// When its last act, fault or limit is over.
    pub fn duration(&self) -> Duration {
        let faults = self.faults.iter().map(|fault| fault.at.saturating_add(fault.lasting));
        let limits = self.limits.iter().map(|limit| limit.at.saturating_add(limit.lasting));
        let acts = self.acts.iter().map(|act| act.at.saturating_add(act.lasting));
        faults.chain(limits).chain(acts).max().unwrap_or_default()
    }
}

/// The article's three regions.
pub(crate) fn article_regions() -> Vec<Region> {
    [("us-east", 35), ("eu-west", 42), ("ap-southeast", 28)]
        .into_iter()
        .map(|(name, ms)| {
            Region::new(name).latency(Latency::LogNormal { median: Duration::from_millis(ms), sigma: 0.1 })
        })
        .collect()
}

fn in_entry(table: &'static str, index: usize) -> impl Fn(ScenarioError) -> ScenarioError {
    move |error| ScenarioError::Entry { table, index, error: Box::new(error) }
}

impl World {
    /// Begins a scenario: all its faults and limits, timed from now.
    ///
    /// # Errors
    /// [`ScenarioError::Entry`], for a fault or a limit that does not fit this world; those before it are in force.
    pub fn play(&self, scenario: &Scenario) -> Result<(), ScenarioError> {
        for (index, chaos) in scenario.faults.iter().enumerate() {
            self.wreak(chaos).map_err(in_entry("fault", index))?;
        }
        for (index, limit) in scenario.limits.iter().enumerate() {
            self.limit(&limit.region, limit.quota, limit.at, limit.lasting)
                .map_err(|error| in_entry("limit", index)(error.into()))?;
        }
        let sick = scenario
            .acts
            .iter()
            .enumerate()
            .flat_map(|(index, act)| act.sick.iter().map(move |s| (index, s)));
        for (index, region) in sick {
            self.index(region).map_err(|error| in_entry("act", index)(error.into()))?;
        }
        Ok(())
    }

    /// Does what a [`Chaos`] says.
    ///
    /// # Errors
    /// Those of [`Chaos::parse`], and [`ScenarioError::World`] for a region that is not there.
    pub fn wreak(&self, chaos: &Chaos) -> Result<(), ScenarioError> {
        let (fault, when) = chaos.parse()?;
        Ok(self.inject(&chaos.region, fault, when)?)
    }
}
