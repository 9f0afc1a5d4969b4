//! Names that must lead somewhere: targets, regions, places. And what works but is probably not meant.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::{Duration, SystemTime},
};

use wire::PriceTable;

use super::{
    Config, Model, Provider, Region, Target, Warning,
    fault::{Fault, Path},
    nearest,
};

pub(super) use super::rules::numbers;

/// What the rules about names find: faults and warnings.
pub(super) fn names(config: &Config) -> (Vec<Fault>, Vec<Warning>) {
    let mut names = Names { config, faults: Vec::new(), warnings: Vec::new() };
    names.are_distinct("providers", config.providers.iter().map(|(name, _)| name));
    names.are_distinct("models", config.models.iter().map(|(name, _)| name));
    names.are_distinct("near", config.near.iter().map(|(name, _)| name));
    for (name, provider) in &config.providers {
        names.provider(&Path::new(["providers", name]), name, provider);
    }
    for (name, regions) in &config.near {
        names.near(&Path::new(["near", name]), regions);
    }
    for (name, model) in &config.models {
        names.model(&Path::new(["models", name]), name, model);
    }
    names.preference(&Path::new(["routing"]), config.routing.preferred_region.as_deref());
    names.shared_urls();
    names.prices();
    (names.faults, names.warnings)
}

struct Names<'c> {
    config: &'c Config,
    faults: Vec<Fault>,
    warnings: Vec<Warning>,
}

impl<'c> Names<'c> {
    fn fault(&mut self, path: Path, message: impl Into<String>, help: Option<String>) {
        self.faults.push(Fault::new(path, message).help(help));
    }

    /// A file cannot name a thing twice, code can.
    fn are_distinct<'n>(&mut self, table: &str, names: impl Iterator<Item = &'n String>) {
        let mut seen = HashSet::new();
        for name in names.filter(|name| !seen.insert(*name)) {
            self.fault(Path::new([table, name]), "the name is given twice", None);
        }
    }

    /// Providers and regions are written as `PROVIDER/REGION`, and both stand in a header of the answer.
    fn is_plain(&mut self, path: &Path, name: &str) {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/') {
            let message = "a name has letters, digits and signs of ASCII, no space and no `/`";
            self.fault(path.clone(), message, None);
        }
    }

    fn provider(&mut self, path: &Path, name: &str, provider: &Provider) {
        self.is_plain(path, name);
        if provider.regions.is_empty() {
            let help = "give it a `base_url`, or a table `regions.NAME` with one".to_owned();
            self.fault(path.clone(), "the provider has no region", Some(help));
        }
        let mut seen = HashSet::new();
        for (region, _) in &provider.regions {
            let path = path.key("regions").key(region);
            self.is_plain(&path, region);
            if !seen.insert(region) {
                self.fault(path, "the name is given twice", None);
            }
        }
    }

    fn model(&mut self, path: &Path, name: &str, model: &'c Model) {
        if name.is_empty() || name.chars().any(char::is_control) {
            self.fault(path.clone(), "a model's name is not empty and has no control characters", None);
        }
        if model.targets.is_empty() {
            let help = "add `targets = [{ provider = \"...\", model = \"...\" }]`".to_owned();
            self.fault(path.clone(), "the model has no targets", Some(help));
        }
        let before = self.faults.len();
        if let Some(residency) = &model.residency {
            let path = path.key("residency");
            if residency.is_empty() {
                let help = "leave it out to allow all".to_owned();
                self.fault(path.clone(), "the list allows no region", Some(help));
            }
            let unknown = self.unknown(&path, residency);
            self.faults.extend(unknown);
        }
        let mut seen = HashSet::new();
        for (index, target) in model.targets.iter().enumerate() {
            let path = path.key("targets").index(index);
            if let Some(provider) = self.target(&path, target) {
                self.is_new(&path, target, provider, &mut seen);
            }
        }
        if self.faults.len() == before {
            self.can_be_served(path, model);
        }
        self.preference(&path.key("routing"), model.routing.preferred_region.as_deref());
    }

    /// The provider of a target, when there is one.
    fn target(&mut self, path: &Path, target: &Target) -> Option<&'c Provider> {
        if target.model.is_empty() || target.model.chars().any(char::is_control) {
            let message = "a model's name is not empty and has no control characters";
            self.fault(path.key("model"), message, None);
        }
        let providers = &self.config.providers;
        let Some((_, provider)) = providers.iter().find(|(name, _)| *name == target.provider) else {
            let help = nearest::help(&target.provider, providers.iter().map(|(name, _)| name.as_str()));
            self.fault(path.key("provider"), format!("there is no provider `{}`", target.provider), help);
            return None;
        };
        let Some(regions) = &target.regions else { return Some(provider) };
        if regions.is_empty() {
            let help = "leave it out for all regions of the provider".to_owned();
            self.fault(path.key("regions"), "the list names no region", Some(help));
        }
        let known = || provider.regions.iter().map(|(name, _)| name.as_str());
        for (index, region) in
            regions.iter().enumerate().filter(|(_, region)| known().all(|name| name != *region))
        {
            let message = format!("provider `{}` has no region `{region}`", target.provider);
            self.fault(path.key("regions").index(index), message, nearest::help(region, known()));
        }
        Some(provider)
    }

    fn is_new<'t>(
        &mut self,
        path: &Path,
        target: &'t Target,
        provider: &'t Provider,
        seen: &mut HashSet<(&'t str, &'t str, &'t str, u8)>,
    ) {
        let mut own = HashSet::new();
        for region in regions_of(target, provider).filter(|region| own.insert(*region)) {
            if !seen.insert((&target.provider, region, &target.model, target.tier)) {
                let Target { provider, model, tier, .. } = target;
                let message = format!("`{provider}`, `{region}`, `{model}` and tier {tier} are named twice");
                let help = "leave one out, or put it into another tier".to_owned();
                self.fault(path.clone(), message, Some(help));
                return;
            }
        }
    }

    fn can_be_served(&mut self, path: &Path, model: &Model) {
        let Some(residency) = &model.residency else { return };
        let is_inside = |target: &Target| {
            let providers = self.config.providers.iter().filter(|(name, _)| *name == target.provider);
            providers
                .flat_map(|(_, provider)| regions_of(target, provider))
                .any(|region| residency.iter().any(|allowed| allowed == region))
        };
        if !model.targets.is_empty() && !model.targets.iter().any(is_inside) {
            self.fault(
                path.key("residency"),
                "none of the model's targets is in a region of this list",
                None,
            );
        }
    }

    fn regions(&self) -> impl Iterator<Item = &'c str> {
        let all = self.config.providers.iter().flat_map(|(_, provider)| &provider.regions);
        all.map(|(name, _)| name.as_str())
    }

    /// The names among these that no provider has a region of.
    fn unknown(&self, path: &Path, regions: &[String]) -> Vec<Fault> {
        let known: BTreeSet<&str> = self.regions().collect();
        let unknown = regions.iter().enumerate().filter(|(_, region)| !known.contains(region.as_str()));
        unknown
            .map(|(index, region)| {
                let message = format!("no provider has a region `{region}`");
                Fault::new(path.index(index), message).help(nearest::help(region, known.iter().copied()))
            })
            .collect()
    }

    /// A place may name regions that are still to come, as long as one is there.
    fn near(&mut self, path: &Path, regions: &[String]) {
        if regions.is_empty() {
            self.fault(path.clone(), "no region is named", None);
        }
        let unknown = self.unknown(path, regions);
        if unknown.len() < regions.len() {
            self.warnings.extend(unknown);
        } else {
            self.faults.extend(unknown);
        }
    }

    /// A preference that no region answers to costs nothing but itself, so it is a warning.
    fn preference(&mut self, path: &Path, preferred: Option<&str>) {
        let near = self.config.near.iter().map(|(name, _)| name.as_str());
        let Some(preferred) = preferred else { return };
        if near.chain(self.regions()).any(|name| name == preferred) {
            return;
        }
        // One that a model has from the whole configuration is told once.
        let is_shared = self.config.routing.preferred_region.as_deref() == Some(preferred);
        if is_shared && path.steps().len() > 1 {
            return;
        }
        let known: Vec<&str> =
            self.config.near.iter().map(|(name, _)| name.as_str()).chain(self.regions()).collect();
        let message = format!("no provider has a region `{preferred}`, so nothing is preferred");
        let help = nearest::help(preferred, known);
        self.warnings.push(Fault::new(path.key("preferred_region"), message).help(help));
    }

    fn shared_urls(&mut self) {
        let mut by_url: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        for (provider, table) in &self.config.providers {
            for (region, endpoint) in &table.regions {
                let url = endpoint.base_url.as_str().trim_end_matches('/');
                by_url.entry(url).or_default().push((provider, region));
            }
        }
        for places in by_url.into_values() {
            let [(provider, region), .., _] = places.as_slice() else { continue };
            let named: Vec<String> =
                places.iter().map(|(name, region)| format!("`{name}/{region}`")).collect();
            let all = if places.len() == 2 { "both" } else { "all" };
            let message = format!("{} share one base URL: a failure of it takes {all}", named.join(", "));
            let path = Path::new(["providers", provider, "regions", region, "base_url"]);
            self.warnings.push(Fault::new(path, message));
        }
    }

    fn prices(&mut self) {
        let mut told = HashSet::new();
        for (name, index, target) in unpriced(self.config) {
            if told.insert((&target.provider, &target.model)) {
                let path = Path::new(["models", name, "targets"]).index(index);
                let message = format!(
                    "no price is known for `{}`: its cost is null, and it is last in `cheapest`",
                    target.model
                );
                let help = "add `price = { input = ..., output = ... }`, USD per million tokens".to_owned();
                self.warnings.push(Fault::new(path, message).help(help));
            }
        }
    }
}

/// The targets of which no price is known at one of their places: each with its model and its number there.
pub(super) fn unpriced(config: &Config) -> Vec<(&str, usize, &Target)> {
    let table = PriceTable::builtin();
    // Whether it has a price at all, in whatever year: late enough that no row is still to come.
    let late = SystemTime::UNIX_EPOCH + Duration::from_secs(200 * 365 * 24 * 60 * 60);
    let is_unpriced = |target: &Target| {
        let providers = config.providers.iter().filter(|(name, _)| *name == target.provider);
        target.price.is_none()
            && providers
                .flat_map(|(_, provider)| places_of(target, provider))
                .any(|(_, region)| table.price(&target.model, region.base_url.host_str(), late).is_none())
    };
    let targets = config.models.iter().flat_map(|(name, model)| {
        model.targets.iter().enumerate().map(|(index, target)| (name.as_str(), index, target))
    });
    targets.filter(|(_, _, target)| is_unpriced(target)).collect()
}

/// The names of the provider's regions that a target uses.
fn regions_of<'t>(target: &'t Target, provider: &'t Provider) -> impl Iterator<Item = &'t str> {
    places_of(target, provider).map(|(name, _)| name.as_str())
}

/// The provider's regions that a target uses.
fn places_of<'t>(target: &'t Target, provider: &'t Provider) -> impl Iterator<Item = &'t (String, Region)> {
    let wished = target.regions.as_deref();
    let is_wished = move |name: &str| wished.is_none_or(|wished| wished.iter().any(|wish| wish == name));
    provider.regions.iter().filter(move |(name, _)| is_wished(name))
}
