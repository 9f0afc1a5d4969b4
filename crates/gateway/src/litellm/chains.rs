//! Models: their targets, and who stands in for whom. `order` and fallbacks become tiers.

use serde_json::Value;

use super::{
    deployment::{Deployment, is_name},
    notes::Notes,
    places::Places,
    yaml::{entries, list, text},
};

/// LiteLLM goes through so many fallbacks of a request at most.
const MOST_FALLBACKS: usize = 5;

/// A public model as it is written.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) targets: Vec<Target>,
    /// Seconds for a whole answer, and for a stream.
    pub(super) timeouts: (Option<f64>, Option<f64>),
    /// A word on where its later tiers come from.
    pub(super) comment: Option<String>,
    /// Whether it is one for embeddings.
    pub(super) embeds: bool,
}

/// A target as it is written.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) provider: String,
    pub(super) regions: Vec<String>,
    pub(super) model: String,
    pub(super) tier: u8,
    pub(super) weight: Option<f64>,
    pub(super) price: Option<(f64, f64, Option<f64>)>,
    pub(super) context: Option<u32>,
}

/// Every model, aliases among them.
pub(super) fn models(
    deployments: &[Deployment],
    places: &Places,
    tree: &Value,
    notes: &mut Notes,
) -> Vec<Model> {
    let mut groups: Vec<&str> = Vec::new();
    for deployment in deployments {
        if !groups.contains(&deployment.group.as_str()) {
            groups.push(&deployment.group);
        }
    }
    let own: Vec<Model> = groups.iter().map(|group| of_group(group, deployments, places)).collect();
    let usual = Fallbacks::of(tree, "fallbacks", "default_fallbacks", &groups, notes);
    let long = Fallbacks::of(tree, "context_window_fallbacks", "", &groups, notes);
    let mut models: Vec<Model> =
        own.iter().map(|model| with_fallbacks(model, &own, (&usual, &long), notes)).collect();
    if long.chains.iter().any(|(_, to)| !to.is_empty()) {
        let why = "they are tiers here, asked when those below have nobody left; with `context` on each target a request that is too \
                   long for one goes to those with a longer one at once";
        notes.add("context_window_fallbacks", why);
    }
    aliases(tree, &mut models, notes);
    models
}

/// The targets of one name, tier by tier.
fn of_group(group: &str, deployments: &[Deployment], places: &Places) -> Model {
    let members: Vec<&Deployment> =
        deployments.iter().filter(|deployment| deployment.group == group).collect();
    let mut orders: Vec<f64> = members.iter().filter_map(|member| member.order).collect();
    orders.sort_by(f64::total_cmp);
    orders.dedup();
    // Who has no order is asked last.
    let tier = |order: Option<f64>| {
        let place = order.and_then(|order| orders.iter().position(|known| known.total_cmp(&order).is_eq()));
        u8::try_from(place.unwrap_or(orders.len())).unwrap_or(u8::MAX)
    };
    let embeds = members.iter().any(|member| member.embeds);
    let mut model =
        Model { name: group.to_owned(), targets: Vec::new(), timeouts: (None, None), comment: None, embeds };
    for member in members {
        let Some((provider, region)) = places.names(&member.place) else { continue };
        let target = Target {
            provider: provider.to_owned(),
            regions: vec![region.to_owned()],
            model: member.model.clone(),
            tier: tier(member.order),
            weight: member.weight,
            price: member.price,
            context: member.context,
        };
        push(&mut model.targets, target);
        let longest = |one: Option<f64>, other: Option<f64>| {
            one.map_or(other, |one| Some(other.map_or(one, |other| one.max(other))))
        };
        let (answer, stream) = model.timeouts;
        model.timeouts = (longest(answer, member.timeouts.0), longest(stream, member.timeouts.1));
    }
    model
}

/// Adds a target; one that differs from another in its region alone is the other with one more region.
fn push(targets: &mut Vec<Target>, target: Target) {
    let is_like = |other: &&mut Target| {
        let names = |target: &Target| (target.provider.clone(), target.model.clone(), target.tier);
        names(other) == names(&target)
    };
    let known = targets
        .iter_mut()
        .find(|other| is_like(other) && other.regions.iter().any(|region| target.regions.contains(region)));
    if let Some(known) = known {
        // The same place twice: its share is both of theirs.
        known.weight = Some(known.weight.unwrap_or(1.0) + target.weight.unwrap_or(1.0));
        return;
    }
    let same = |other: &Target| {
        other.weight == target.weight && other.price == target.price && other.context == target.context
    };
    match targets.iter_mut().find(|other| is_like(other) && same(other)) {
        Some(other) => other.regions.extend(target.regions),
        None => targets.push(target),
    }
}

/// A model with those that stand in for it, each in a tier of its own above the last.
fn with_fallbacks(
    model: &Model,
    own: &[Model],
    (usual, long): (&Fallbacks, &Fallbacks),
    notes: &mut Notes,
) -> Model {
    let mut model = model.clone();
    let mut chain = usual.from(&model.name);
    chain.extend(long.from(&model.name));
    let mut seen = vec![model.name.clone()];
    for name in chain {
        if seen.contains(&name) || seen.len() > 2 * MOST_FALLBACKS {
            continue;
        }
        let Some(other) = own.iter().find(|other| other.name == name) else { continue };
        if other.embeds != model.embeds {
            let why = "one of the two is for embeddings and the other is not, so it cannot stand in";
            notes.of(&model.name, format!("fallback `{name}`"), why);
            continue;
        }
        let above =
            model.targets.iter().map(|target| target.tier).max().map_or(0, |top| top.saturating_add(1));
        for target in &other.targets {
            let is_there = model.targets.iter().any(|known| {
                known.provider == target.provider
                    && known.model == target.model
                    && known.regions == target.regions
            });
            if !is_there {
                model.targets.push(Target { tier: above.saturating_add(target.tier), ..target.clone() });
            }
        }
        seen.push(name);
    }
    if let [_, others @ ..] = seen.as_slice()
        && !others.is_empty()
    {
        model.comment = Some(format!("higher tiers: {}", others.join(", then ")));
    }
    model
}

/// Who stands in for whom.
#[derive(Debug, Default)]
struct Fallbacks {
    chains: Vec<(String, Vec<String>)>,
    default: Vec<String>,
}

impl Fallbacks {
    fn of(tree: &Value, key: &str, default_key: &str, groups: &[&str], notes: &mut Notes) -> Self {
        let mut fallbacks = Self::default();
        for section in ["router_settings", "litellm_settings"] {
            let Some(settings) = tree.get(section) else { continue };
            // A list of mappings, or one mapping.
            let alone = settings.get(key).filter(|value| !value.is_array() && !value.is_null());
            if list(settings, key).iter().chain(alone).any(|value| !value.is_object()) {
                let why = "an entry that does not say for which model; it was left out";
                notes.add(format!("{section}.{key}"), why);
            }
            let lists = list(settings, key).iter().filter_map(Value::as_object).flatten();
            for (from, to) in lists.map(|(from, to)| (from.as_str(), to)).chain(entries(settings, key)) {
                let to = names(to, key, groups, notes);
                if from == "*" {
                    fallbacks.default.extend(to);
                } else if groups.contains(&from) {
                    fallbacks.chains.push((from.to_owned(), to));
                } else {
                    notes.add(format!("{key} of `{from}`"), "there is no such model");
                }
            }
            if let Some(to) = settings.get(default_key) {
                fallbacks.default.extend(names(to, default_key, groups, notes));
            }
        }
        fallbacks
    }

    /// Who stands in for a model, and who for those, nearest first.
    fn from(&self, name: &str) -> Vec<String> {
        let mut chain: Vec<String> = vec![name.to_owned()];
        let mut next = 0;
        while let Some(from) = chain.get(next).filter(|_| chain.len() <= MOST_FALLBACKS) {
            let direct = self.chains.iter().filter(|(known, _)| known == from).flat_map(|(_, to)| to);
            let fresh: Vec<String> = direct.filter(|to| !chain.contains(to)).cloned().collect();
            chain.extend(fresh);
            next += 1;
        }
        chain.remove(0);
        let default = self.default.iter().filter(|to| *to != name);
        chain.extend(default.cloned());
        chain.truncate(MOST_FALLBACKS);
        chain
    }
}

/// The names in a list, or one name.
fn names(value: &Value, key: &str, groups: &[&str], notes: &mut Notes) -> Vec<String> {
    let list = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
    let mut names = Vec::new();
    for value in list {
        match text(value) {
            Some(name) if groups.contains(&name.as_str()) => names.push(name),
            Some(name) => notes.add(format!("{key} to `{name}`"), "there is no such model"),
            None => notes.add(key.to_owned(), "one with parameters of its own; give it a name in `[models]`"),
        }
    }
    names
}

/// Other names for models: each is a model of its own here.
fn aliases(tree: &Value, models: &mut Vec<Model>, notes: &mut Notes) {
    let settings = tree.get("router_settings").unwrap_or(&Value::Null);
    for (alias, to) in entries(settings, "model_group_alias") {
        let to = text(to).or_else(|| to.get("model").and_then(text)).unwrap_or_default();
        let is_taken = models.iter().any(|model| model.name == alias);
        match models.iter().find(|model| model.name == to) {
            Some(_) if !is_name(alias) => {
                notes.add(
                    "model_group_alias",
                    "a name that is empty, or holds a line break or the like; it was left out",
                );
            }
            Some(_) if is_taken => notes.add(
                format!("model_group_alias `{alias}`"),
                "a model has this name; the model's own targets hold",
            ),
            Some(model) => {
                let comment = Some(format!("another name of `{to}`"));
                models.push(Model { name: alias.to_owned(), comment, ..model.clone() });
            }
            None => notes.add(format!("model_group_alias `{alias}`"), format!("there is no model `{to}`")),
        }
    }
}
