//! The configuration, written for people who will go on with it by hand.

use std::fmt::Write as _;

use super::{
    chains::{Model, Target},
    deployment::{Base, Limits},
    places::{Places, Provider, Region},
    settings::{Line, Settings, timeouts, written},
};

/// The whole file. `name` is what it was made from.
pub(super) fn config(
    name: &str,
    settings: &Settings,
    places: &Places,
    models: &[Model],
    notes: &[String],
) -> String {
    let mut out = String::new();
    let name = name.replace(char::is_control, " ");
    line(
        &mut out,
        &format!(
            "# Made from {name} by `outrigger import-litellm`. What has no counterpart stands at the end."
        ),
    );
    line(&mut out, "\n[server]");
    line(
        &mut out,
        "listen = \"127.0.0.1:4000\"   # LiteLLM's port; other machines only with callers' keys: `outrigger keys new NAME`",
    );
    for (table, lines) in [
        ("timeouts", &settings.timeouts),
        ("retry", &settings.retry),
        ("breaker", &settings.breaker),
        ("routing", &settings.routing),
    ] {
        if !lines.is_empty() {
            line(&mut out, &format!("\n[{table}]"));
            for Line { key, value, comment } in lines {
                line(&mut out, &format!("{key} = {value}   # {comment}"));
            }
        }
    }
    for provider in &places.providers {
        out.push('\n');
        write_provider(&mut out, provider);
    }
    for model in models {
        out.push('\n');
        write_model(&mut out, model, places, settings.total);
    }
    if !notes.is_empty() {
        line(&mut out, &format!("\n# What {name} says and this file does not:"));
        for note in notes {
            line(&mut out, &format!("# - {note}"));
        }
    }
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn write_provider(out: &mut String, provider: &Provider) {
    let Provider { name, speaks, preset, regions } = provider;
    line(out, &format!("[providers.{}]", key(name)));
    match preset {
        Some(preset) => line(out, &format!("preset = {}", text(preset))),
        None => line(out, &format!("dialect = {}", text(speaks.dialect()))),
    }
    // A key that all have is the provider's.
    let first = regions.first().and_then(|region| region.key.clone());
    let shared = first.filter(|first| regions.iter().all(|region| region.key.as_ref() == Some(first)));
    if let Some(shared) = &shared {
        line(out, &format!("api_key = {}", text(shared)));
    }
    if let [only] = regions.as_slice()
        && only.name == outrigger::config::GLOBAL
    {
        for (key, value) in of_region(only, true) {
            line(out, &format!("{key} = {value}"));
        }
        return;
    }
    for region in regions {
        let mut values = of_region(region, false);
        if let Some(key) = region.key.as_ref().filter(|_| shared.is_none()) {
            values.push(("api_key", text(key)));
        }
        let values: Vec<String> = values.into_iter().map(|(key, value)| format!("{key} = {value}")).collect();
        let table = if values.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", values.join(", ")) };
        line(out, &format!("regions.{} = {table}", key(&region.name)));
    }
}

/// What a region says; `alone` where its provider says it.
fn of_region(region: &Region, alone: bool) -> Vec<(&'static str, String)> {
    let Region { name, place, limits, .. } = region;
    let mut values = Vec::new();
    match &place.base {
        Base::Url(url) => values.push(("base_url", text(url))),
        Base::Preset(_, of) if !alone && of != name => values.push(("preset", text(of))),
        Base::Preset(..) => {}
    }
    values.extend(place.version.as_ref().map(|version| ("api_version", text(version))));
    if !place.headers.is_empty() {
        let headers: Vec<String> =
            place.headers.iter().map(|(name, value)| format!("{} = {}", key(name), text(value))).collect();
        values.push(("headers", format!("{{ {} }}", headers.join(", "))));
    }
    let Limits { requests, tokens, concurrent } = *limits;
    let limits: Vec<String> =
        [("requests_per_minute", requests), ("tokens_per_minute", tokens), ("concurrent", concurrent)]
            .into_iter()
            .filter_map(|(key, limit)| Some(format!("{key} = {}", written(limit)?)))
            .collect();
    if !limits.is_empty() {
        values.push(("limits", format!("{{ {} }}", limits.join(", "))));
    }
    values
}

fn write_model(out: &mut String, model: &Model, places: &Places, total: f64) {
    let comment =
        model.comment.as_ref().map(|comment| format!("   # {}", comment.replace(char::is_control, " ")));
    line(out, &format!("[models.{}]{}", key(&model.name), comment.unwrap_or_default()));
    let (own, _) = timeouts(model.timeouts, total);
    if !own.is_empty() {
        let own: Vec<String> = own.iter().map(|Line { key, value, .. }| format!("{key} = {value}")).collect();
        line(out, &format!("timeouts = {{ {} }}", own.join(", ")));
    }
    line(out, "targets = [");
    for target in &model.targets {
        line(out, &format!("  {},", write_target(target, places)));
    }
    line(out, "]");
}

fn write_target(target: &Target, places: &Places) -> String {
    let Target { provider, regions, model, tier, weight, price, context } = target;
    let mut written = format!("{{ provider = {}, model = {}", text(provider), text(model));
    let all =
        places.providers.iter().find(|known| known.name == *provider).map_or(0, |known| known.regions.len());
    let mut put = |part: String| {
        // Writing to a string does not fail.
        let _written = write!(written, ", {part}");
    };
    if regions.len() < all {
        let regions: Vec<String> = regions.iter().map(|region| text(region)).collect();
        put(format!("regions = [{}]", regions.join(", ")));
    }
    if *tier > 0 {
        put(format!("tier = {tier}"));
    }
    if let Some(weight) = weight {
        put(format!("weight = {weight:?}"));
    }
    if let Some(context) = context {
        put(format!("context = {context}"));
    }
    if let Some((input, output, cached)) = price {
        let cached = cached.map(|cached| format!(", cached_input = {cached:?}")).unwrap_or_default();
        put(format!("price = {{ input = {input:?}, output = {output:?}{cached} }}"));
    }
    written + " }"
}

/// A text as TOML has it. JSON's escapes are TOML's; what JSON leaves as it is and TOML does not is left out.
fn text(text: &str) -> String {
    let text: String = text.chars().filter(|letter| *letter != '\u{7f}').collect();
    serde_json::Value::String(text).to_string()
}

/// A key as TOML has it.
fn key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.bytes().all(is_bare) { name.to_owned() } else { text(name) }
}
