//! `[providers.NAME]` as it is written: shared keys, a preset's hosts, one region or several.

use std::{num::NonZeroU16, path::PathBuf};

use serde::{Deserialize, de::IgnoredAny};
use url::Url;
use wire::Dialect;

use super::{
    Fault, GLOBAL, HealthCheck, Limits, Path, Preset, Provider, Region, Secret, file, preset::Named,
    read::Keys, source::Tables,
};

/// What a provider may say for all of its regions.
const OF_REGIONS: Keys = &["weight", "headers", "api_version", "ca_file", "proxy", "connections", "limits"];

/// The same and the URL: a provider of one region.
const OF_ONE_REGION: Keys =
    &["base_url", "weight", "headers", "api_version", "ca_file", "proxy", "connections", "limits"];

/// `[providers.NAME]` without what belongs to its regions, which is read with them.
#[derive(Deserialize)]
pub(super) struct ProviderTable {
    #[serde(default, deserialize_with = "dialect")]
    dialect: Option<Dialect>,
    #[serde(default)]
    preset: Option<Named>,
    #[serde(default)]
    api_key: Option<Secret>,
    #[serde(default)]
    health_check: Option<HealthCheck>,
    #[serde(default)]
    forward_headers: Vec<String>,
    #[serde(default, rename = "regions")]
    _regions: IgnoredAny,
    #[serde(default, rename = "base_url")]
    _base_url: IgnoredAny,
    #[serde(default, rename = "weight")]
    _weight: IgnoredAny,
    #[serde(default, rename = "headers")]
    _headers: IgnoredAny,
    #[serde(default, rename = "api_version")]
    _api_version: IgnoredAny,
    #[serde(default, rename = "ca_file")]
    _ca_file: IgnoredAny,
    #[serde(default, rename = "proxy")]
    _proxy: IgnoredAny,
    #[serde(default, rename = "connections")]
    _connections: IgnoredAny,
    #[serde(default, rename = "limits")]
    _limits: IgnoredAny,
}

/// `[providers.NAME.regions.REGION]`, which may leave its URL to a preset.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegionTable {
    #[serde(default, deserialize_with = "super::values::some_url")]
    base_url: Option<Url>,
    #[serde(default)]
    preset: Option<String>,
    #[serde(default)]
    api_key: Option<Secret>,
    #[serde(default = "one")]
    weight: f64,
    #[serde(default, deserialize_with = "super::values::in_order")]
    headers: Vec<(String, Secret)>,
    #[serde(default)]
    api_version: Option<String>,
    #[serde(default)]
    ca_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "super::values::some_url")]
    proxy: Option<Url>,
    #[serde(default = "one_connection")]
    connections: NonZeroU16,
    #[serde(default)]
    limits: Limits,
}

const fn one() -> f64 {
    1.0
}

const fn one_connection() -> NonZeroU16 {
    NonZeroU16::MIN
}

/// Who says where a region is reached that does not say it itself.
#[derive(Clone, Copy)]
enum Hosts<'p> {
    Nobody,
    Preset(&'p Preset),
    /// A preset whose fault has been told: nothing is missing that it would have given.
    Faulty,
}

impl RegionTable {
    fn at(self, base_url: Url) -> Region {
        let Self { api_key, weight, headers, api_version, ca_file, proxy, connections, limits, .. } = self;
        let region = Region::new(base_url);
        Region { api_key, weight, headers, api_version, ca_file, proxy, connections, limits, ..region }
    }

    /// The region, which is called `name` and stands at `path`.
    fn placed(self, tables: &mut Tables<'_>, path: &[&str], name: &str, hosts: Hosts<'_>) -> Option<Region> {
        let way = Path::new(path.iter().copied());
        let base_url = match (&self.base_url, &self.preset, hosts) {
            (Some(_), Some(_), _) => {
                Err(Fault::new(way.key("preset"), "the region has a `base_url` too; leave one of them out"))
            }
            (Some(base_url), None, _) => Ok(base_url.clone()),
            (None, Some(of), Hosts::Preset(preset)) => preset.base_url(of, way.key("preset")),
            (None, None, Hosts::Preset(preset)) => preset.base_url(name, way),
            (None, Some(_), Hosts::Nobody) => {
                let fault = Fault::new(way.key("preset"), "the provider has no preset");
                Err(fault.help("name it there: `preset = \"...\"`".to_owned()))
            }
            (None, None, Hosts::Nobody) if !tables.has(&[path, &["base_url"]].concat()) => {
                Err(Fault::new(way, "`base_url` is missing"))
            }
            (None, _, Hosts::Faulty | Hosts::Nobody) => return None,
        };
        match base_url {
            Ok(base_url) => Some(self.at(base_url)),
            Err(fault) => {
                tables.fault(fault);
                None
            }
        }
    }
}

fn dialect<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Dialect>, D::Error> {
    const NAMES: Keys = &[Dialect::OpenAi.as_str(), Dialect::Azure.as_str(), Dialect::Anthropic.as_str()];
    let name = String::deserialize(deserializer)?;
    name.parse().map(Some).map_err(|_| serde::de::Error::unknown_variant(&name, NAMES))
}

/// Reads the provider at `path`; `None` when a fault leaves nothing of it.
pub(super) fn provider(tables: &mut Tables<'_>, path: &[&str]) -> Option<Provider> {
    let table: Option<ProviderTable> = tables.read(path);
    let way = Path::new(path.iter().copied());
    let has = |tables: &Tables<'_>, key| tables.has(&[path, &[key]].concat());
    let preset = table.as_ref().and_then(|table| table.preset.as_ref()).map(|named| {
        let preset = named.preset(&way.key("preset"));
        preset.map_err(|fault| tables.fault(fault)).ok()
    });
    let hosts = match &preset {
        Some(Some(preset)) => Hosts::Preset(preset),
        Some(None) => Hosts::Faulty,
        None if has(tables, "preset") => Hosts::Faulty,
        None => Hosts::Nobody,
    };
    let regions = regions(tables, path, hosts);
    let ProviderTable { dialect, api_key, health_check, forward_headers, .. } = table?;
    let spoken = preset.as_ref().and_then(Option::as_ref).map(Preset::dialect);
    if let (Some(dialect), Some(spoken)) = (dialect, spoken)
        && dialect != spoken
    {
        let fault = Fault::new(way.key("dialect"), format!("the preset speaks `{spoken}`"));
        tables.fault(fault.help("leave `dialect` out".to_owned()));
    }
    if dialect.is_none() && matches!(hosts, Hosts::Nobody) && !has(tables, "dialect") {
        tables.fault(Fault::new(way, "`dialect` is missing"));
    }
    Some(Provider { dialect: dialect.or(spoken)?, api_key, health_check, forward_headers, regions })
}

/// Its regions, without those of which a fault has been told.
fn regions(tables: &mut Tables<'_>, path: &[&str], hosts: Hosts<'_>) -> Vec<(String, Region)> {
    let below = |key| path.iter().copied().chain([key]).collect::<Vec<&str>>();
    let regions_path = below("regions");
    let has_regions = tables.has(&regions_path);
    if tables.has(&below("base_url")) {
        let twice = match hosts {
            _ if has_regions => Some(("the provider has regions too", "move it into a region of its own")),
            Hosts::Preset(_) | Hosts::Faulty => {
                Some(("the provider has a preset too", "leave one of them out"))
            }
            Hosts::Nobody => None,
        };
        if let Some((message, help)) = twice {
            tables.fault(Fault::new(Path::new(below("base_url")), message).help(help.to_owned()));
            return Vec::new();
        }
    }
    if has_regions {
        return file::each(tables, &regions_path, |tables, region_path| {
            let name = region_path.last().copied().unwrap_or_default();
            let region: RegionTable = tables.over(region_path, path, Some(OF_REGIONS))?;
            region.placed(tables, region_path, name, hosts)
        });
    }
    let only = match hosts {
        Hosts::Nobody if tables.has(&below("base_url")) => {
            let region: Option<RegionTable> = tables.part(path, OF_ONE_REGION);
            region.and_then(|region| region.placed(tables, path, GLOBAL, hosts))
        }
        Hosts::Preset(preset) => match preset.base_url(GLOBAL, Path::new(below("preset"))) {
            Ok(base_url) => {
                let region: Option<RegionTable> = tables.part(path, OF_REGIONS);
                region.map(|region| region.at(base_url))
            }
            Err(fault) => {
                tables.fault(fault);
                None
            }
        },
        Hosts::Nobody | Hosts::Faulty => None,
    };
    only.map(|region| (GLOBAL.to_owned(), region)).into_iter().collect()
}
