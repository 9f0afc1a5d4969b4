//! The entries of `model_list`.

use outrigger::config::{Preset, Secret};
use serde_json::Value;

use super::{
    notes::{NO_NUMBER, Notes},
    params::{Credentials, NUMBERS, credentials, is_read, of_params},
    vendors::{Home, Speaks, Vendor, Whose, server, whose},
    yaml::{bared, entries, is_no_key, list, number, of_both, plain, text, variable, whole},
};

/// One entry: a model at a place.
#[derive(Clone, Debug)]
pub(super) struct Deployment {
    /// The name that callers use, shared by several.
    pub(super) group: String,
    pub(super) place: Place,
    /// The provider's own name of the model.
    pub(super) model: String,
    pub(super) order: Option<f64>,
    pub(super) weight: Option<f64>,
    pub(super) limits: Limits,
    /// Seconds for a whole answer, and for a stream.
    pub(super) timeouts: (Option<f64>, Option<f64>),
    /// USD per million tokens: read, written, read from the cache.
    pub(super) price: Option<(f64, f64, Option<f64>)>,
    pub(super) context: Option<u32>,
    /// Whether it is one for embeddings, as far as its mode or its name says.
    pub(super) embeds: bool,
}

/// Where requests go, with which key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) vendor: &'static Vendor,
    pub(super) base: Base,
    pub(super) key: Key,
    pub(super) version: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    /// What the file calls its region.
    pub(super) region: Option<String>,
}

/// A base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// Of a preset's region.
    Preset(&'static str, &'static str),
    Url(String),
}

/// A credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    None,
    /// From the environment, as our file writes it.
    Variable(String),
    /// In the file itself. It is not written.
    Literal(Secret),
}

/// What may be asked of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) requests: Option<u32>,
    pub(super) tokens: Option<u32>,
    pub(super) concurrent: Option<u32>,
}

/// The kinds of models whose requests are served.
const MODES: [&str; 5] = ["chat", "completion", "embedding", "responses", "text"];

/// Every entry that can be served.
pub(super) fn all(tree: &Value, notes: &mut Notes) -> Vec<Deployment> {
    let credentials = credentials(tree, notes);
    let entries = list(tree, "model_list").iter().zip(1_u32..);
    entries.filter_map(|(entry, number)| one(entry, number, &credentials, notes)).collect()
}

fn one(entry: &Value, number: u32, credentials: &Credentials<'_>, notes: &mut Notes) -> Option<Deployment> {
    let Some(group) = entry.get("model_name").and_then(text) else {
        notes.add(format!("entry {number} of model_list"), "it has no `model_name`; it was left out");
        return None;
    };
    let mut entry = Entry { entry, group: &group, credential: None };
    if let Some(name) = entry.text("litellm_credential_name") {
        entry.credential = credentials.get(&name).copied();
        if entry.credential.is_none() {
            notes.of(
                &group,
                format!("litellm_credential_name `{name}`"),
                "`credential_list` has none of this name",
            );
        }
    }
    let model = entry.model(notes)?;
    let mode = entry.info("mode").and_then(text);
    let embeds = mode.as_ref().map_or_else(|| model.contains("embed"), |mode| mode == "embedding");
    if let Some(mode) = mode.filter(|mode| !MODES.contains(&mode.as_str())) {
        let why =
            "chat, completions, embeddings, responses and messages are served, this is not; it was left out";
        notes.of(&group, format!("mode `{mode}`"), why);
        return None;
    }
    if variable(&model).is_some() {
        let why = "its value is the provider's own name of the model here, without LiteLLM's prefix";
        notes.of(&group, format!("`{model}`"), why);
    }
    let said = entry.text("custom_llm_provider");
    let (vendor, model) = entry.vendor(&model, said.as_deref(), notes)?;
    let place = entry.place(vendor, notes)?;
    entry.note_the_rest(notes);
    Some(Deployment {
        model: plain(model),
        embeds,
        order: entry.number("order"),
        weight: entry.number("weight").filter(|weight| *weight > 0.0 && *weight <= 1e6),
        limits: Limits {
            requests: entry.whole("rpm"),
            tokens: entry.whole("tpm"),
            concurrent: entry.whole("max_parallel_requests"),
        },
        timeouts: (
            entry.number("timeout").or_else(|| entry.number("request_timeout")),
            entry.number("stream_timeout"),
        ),
        price: entry.price(),
        context: entry.whole("max_input_tokens"),
        place,
        group,
    })
}

/// Whether a model can be called so.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(char::is_control)
}

/// An entry being read.
struct Entry<'v> {
    entry: &'v Value,
    group: &'v str,
    /// What the credential that it names says, where it says nothing itself.
    credential: Option<&'v Value>,
}

impl<'v> Entry<'v> {
    /// The model that it asks for; none, with a note, where it is none that can be asked for by its name.
    fn model(&self, notes: &mut Notes) -> Option<String> {
        let Some(model) = self.text("model") else {
            notes.of(self.group, "model_list", "an entry without `litellm_params.model`; it was left out");
            return None;
        };
        if self.group.contains('*') || model.contains('*') {
            notes.of(
                self.group,
                "a name with `*`",
                "each model has a name of its own here; add `[models.NAME]` for those that are asked",
            );
            return None;
        }
        if !is_name(self.group) || !is_name(&model) || model.ends_with('/') {
            notes.of(
                self.group,
                "model_list",
                "a name that is empty, or holds a line break or the like; it was left out",
            );
            return None;
        }
        Some(model)
    }

    /// USD per million tokens: read, written and read from a cache.
    fn price(&self) -> Option<(f64, f64, Option<f64>)> {
        // A dollar a token is no price.
        let usd = |key| {
            let per_token = self.number(key).filter(|usd| (0.0..1.0).contains(usd));
            per_token.map(|usd| (usd * 1e12).round() / 1e6)
        };
        let (input, output) = usd("input_cost_per_token").zip(usd("output_cost_per_token"))?;
        Some((input, output, usd("cache_read_input_token_cost")))
    }

    /// A parameter: of `litellm_params`, or beside it, or of `model_info`.
    fn param(&self, key: &str) -> Option<&'v Value> {
        let of_params = self.entry.get("litellm_params").and_then(|params| params.get(key));
        let shared = || self.credential.and_then(|values| values.get(key));
        let beside = || self.entry.get(key).or_else(|| self.info(key));
        of_params.or_else(shared).or_else(beside).filter(|value| !value.is_null())
    }

    fn info(&self, key: &str) -> Option<&'v Value> {
        self.entry.get("model_info").and_then(|info| info.get(key))
    }

    fn text(&self, key: &str) -> Option<String> {
        self.param(key).and_then(text).filter(|text| !text.is_empty())
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.param(key).and_then(number)
    }

    fn whole(&self, key: &str) -> Option<u32> {
        self.param(key).and_then(whole)
    }

    fn has_base(&self) -> bool {
        self.text("api_base").or_else(|| self.text("base_url")).is_some()
    }

    /// Whose model it is; none for those that cannot be served.
    fn vendor<'m>(
        &self,
        model: &'m str,
        said: Option<&'m str>,
        notes: &mut Notes,
    ) -> Option<(&'static Vendor, &'m str)> {
        match whose(model, said) {
            Whose::Known(vendor, model) => Some((vendor, model)),
            Whose::Foreign(prefix) => {
                let why = "its API or its signatures are not spoken here; it was left out. The presets `bedrock` and \
                           `vertex` lead to the OpenAI-like endpoints of those two (docs/presets.md)";
                notes.of(self.group, format!("`{prefix}`"), why);
                None
            }
            Whose::Nobody(model) if self.has_base() => {
                notes.of(
                    self.group,
                    format!("`{model}`"),
                    "its server is taken for one that speaks OpenAI's API",
                );
                Some((server(), model))
            }
            Whose::Nobody(model) => {
                let why = "who serves it is not known here, and no `api_base` says; it was left out";
                notes.of(self.group, format!("`{model}`"), why);
                None
            }
        }
    }

    fn place(&self, vendor: &'static Vendor, notes: &mut Notes) -> Option<Place> {
        let written = self.text("api_base").or_else(|| self.text("base_url"));
        let bare = written.as_deref().and_then(bared);
        // Azure's query is its version.
        let is_version =
            vendor.speaks == Speaks::Azure && written.as_ref().is_some_and(|url| !url.contains('@'));
        if bare.is_some() && !is_version {
            let why = "a base URL has none here, and they are not written; a key goes into `api_key`, anything else into `headers`";
            notes.of(self.group, "user, password and query of `api_base`", why);
        }
        let written = bare.or(written);
        let base = match (&written, vendor.home) {
            (Some(written), _) => base_of(vendor, written),
            (None, Home::Preset(preset)) => Base::Preset(preset, "global"),
            (None, Home::At(url)) => Base::Url(url.to_owned()),
            (None, Home::Anywhere(_)) if vendor.speaks == Speaks::Azure => {
                Base::Url("${AZURE_API_BASE}".to_owned())
            }
            (None, Home::Anywhere(_)) => {
                notes.of(
                    self.group,
                    "api_base",
                    "it is missing, so nobody knows where the server is; it was left out",
                );
                return None;
            }
        };
        let is_home = written.is_none() || matches!(base, Base::Preset(..)) || vendor.speaks == Speaks::Azure;
        let key = match self.text("api_key") {
            Some(key) => match variable(&key) {
                Some(variable) => Key::Variable(variable),
                None if is_no_key(&key) => Key::None,
                None => Key::Literal(Secret::from(key)),
            },
            None if is_home && !vendor.key.is_empty() => Key::Variable(format!("${{{}}}", vendor.key)),
            None => Key::None,
        };
        let version = match (self.text("api_version"), vendor.speaks) {
            (Some(version), Speaks::Azure) => Some(plain(&version)),
            // The present way, `/openai/v1`, needs none.
            _ => None,
        };
        let region = self.region(&base, notes);
        Some(Place { vendor, base, key, version, headers: self.headers(notes), region })
    }

    /// What the place is called. A host that is nobody's region gets no region's name: residency would be a lie.
    fn region(&self, base: &Base, notes: &mut Notes) -> Option<String> {
        let named = plain(&self.text("region_name")?);
        match base {
            Base::Url(_) => Some(named),
            Base::Preset(_, region) if *region == named => None,
            Base::Preset(_, region) => {
                let why = format!(
                    "its host is that of `{region}`; name another region of the preset if requests must stay there"
                );
                notes.of(self.group, format!("region_name `{named}`"), why);
                None
            }
        }
    }

    fn headers(&self, notes: &mut Notes) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        if let Some(organization) = self.text("organization") {
            headers.push(("openai-organization".to_owned(), plain(&organization)));
        }
        let said = ["extra_headers", "headers"].into_iter().filter_map(|key| self.param(key)?.as_object());
        for (name, value) in said.flatten() {
            match text(value).as_deref().and_then(variable) {
                Some(variable) => headers.push((name.to_lowercase(), variable)),
                // It may be secret.
                None => notes.of(
                    self.group,
                    format!("header `{name}`"),
                    "set it in `headers` of the provider or region",
                ),
            }
        }
        headers
    }

    /// Names what is said and not read.
    fn note_the_rest(&self, notes: &mut Notes) {
        for (first, second) in [("api_base", "base_url"), ("timeout", "request_timeout")] {
            if of_both(self.param(first), self.param(second)) {
                notes.of(self.group, format!("litellm_params.{second}"), format!("`{first}` goes before it"));
            }
        }
        for (key, value) in entries(self.entry, "litellm_params").filter(|(key, _)| !is_read(key)) {
            if !value.is_null() {
                notes.of(self.group, format!("litellm_params.{key}"), of_params(key));
            }
        }
        for key in NUMBERS.into_iter().filter(|key| self.param(key).is_some() && self.number(key).is_none()) {
            notes.of(self.group, format!("litellm_params.{key}"), NO_NUMBER);
        }
        let described = entries(self.entry, "model_info").filter(|(key, _)| !is_read(key) && *key != "mode");
        for (key, _) in described {
            notes.of(self.group, format!("model_info.{key}"), "it describes the model to LiteLLM itself");
        }
    }
}

/// A base URL as it is meant here: the API's root with its version.
fn base_of(vendor: &'static Vendor, written: &str) -> Base {
    if let Some(variable) = variable(written) {
        return Base::Url(variable);
    }
    let url = written.trim_end_matches('/');
    let url = url.strip_suffix("/chat/completions").unwrap_or(url);
    let has_path = url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    let url = match (vendor.name, vendor.speaks) {
        // What LiteLLM appends to these begins with the version.
        ("ollama", _) | (_, Speaks::Anthropic) if !url.ends_with("/v1") => format!("{url}/v1"),
        (_, Speaks::OpenAi) if vendor.name == "lm-studio" && !has_path => format!("{url}/v1"),
        _ => url.to_owned(),
    };
    let of_preset = |preset: &'static str| {
        let preset = Preset::named(preset).ok()?;
        let provider = preset.provider(preset.regions()).ok()?;
        let found = provider
            .regions
            .iter()
            .find(|(_, region)| region.base_url.as_str().trim_end_matches('/') == url)?;
        let region = preset.regions().find(|name| *name == found.0)?;
        Some(Base::Preset(preset.name(), region))
    };
    match vendor.home {
        Home::Preset(preset) => of_preset(preset).unwrap_or_else(|| Base::Url(plain(&url))),
        Home::At(_) | Home::Anywhere(_) => Base::Url(plain(&url)),
    }
}
