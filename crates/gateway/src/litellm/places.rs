//! From where requests go to providers and regions: an endpoint is a base URL with its key.

use outrigger::config::Secret;

use super::{
    deployment::{Base, Deployment, Key, Limits, Place},
    notes::Notes,
    vendors::Speaks,
};

/// The providers, in the order in which they came up.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) providers: Vec<Provider>,
}

/// A provider as it is written.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) name: String,
    pub(super) speaks: Speaks,
    pub(super) preset: Option<&'static str>,
    pub(super) regions: Vec<Region>,
}

/// A region as it is written.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) name: String,
    pub(super) place: Place,
    /// The variable that holds its key, as the file writes it.
    pub(super) key: Option<String>,
    pub(super) limits: Limits,
}

impl Places {
    pub(super) fn of(deployments: &[Deployment], notes: &mut Notes) -> Self {
        let mut places = Self::default();
        let mut literals: Vec<(Secret, String)> = Vec::new();
        let mut taken: Vec<String> = deployments
            .iter()
            .filter_map(|deployment| match &deployment.place.key {
                Key::Variable(written) => {
                    Some(written.trim_start_matches("${").trim_end_matches('}').to_owned())
                }
                Key::None | Key::Literal(_) => None,
            })
            .collect();
        for deployment in deployments {
            let place = &deployment.place;
            if let Some((provider, region)) = places.find(place) {
                places.widen(provider, region, deployment, notes);
                continue;
            }
            let provider = places.provider(place);
            let key = match &place.key {
                Key::None => None,
                Key::Variable(written) => Some(written.clone()),
                Key::Literal(secret) => {
                    let known =
                        literals.iter().find(|(known, _)| known == secret).map(|(_, name)| name.clone());
                    let name = known.unwrap_or_else(|| {
                        let wish =
                            places.providers.get(provider).map_or("", |provider| provider.name.as_str());
                        let name = free(&variable_for(place, wish), "_", |name| {
                            taken.iter().any(|taken| taken == name)
                        });
                        taken.push(name.clone());
                        literals.push((secret.clone(), name.clone()));
                        name
                    });
                    notes.of(
                        &deployment.group,
                        format!("put its `api_key` into {name}"),
                        "the file held the key itself",
                    );
                    Some(format!("${{{name}}}"))
                }
            };
            if let Some(provider) = places.providers.get_mut(provider) {
                let name = free(&region_name(place), "-", |name| {
                    provider.regions.iter().any(|region| region.name == name)
                });
                provider.regions.push(Region { name, place: place.clone(), key, limits: deployment.limits });
            }
        }
        places
    }

    /// The provider and the region of a place, by number.
    pub(super) fn find(&self, place: &Place) -> Option<(usize, usize)> {
        self.providers.iter().enumerate().find_map(|(number, provider)| {
            let region = provider.regions.iter().position(|region| region.place == *place)?;
            Some((number, region))
        })
    }

    /// The names of a place.
    pub(super) fn names(&self, place: &Place) -> Option<(&str, &str)> {
        let (provider, region) = self.find(place)?;
        let provider = self.providers.get(provider)?;
        Some((&provider.name, &provider.regions.get(region)?.name))
    }

    /// A limit is an endpoint's here and an entry's there: the largest of them holds.
    fn widen(&mut self, provider: usize, region: usize, deployment: &Deployment, notes: &mut Notes) {
        let found = self.providers.get_mut(provider).and_then(|provider| provider.regions.get_mut(region));
        let Some(region) = found.filter(|region| region.limits != deployment.limits) else { return };
        let why =
            "they are an endpoint's here, for each of its models, and the entries differ; the largest holds";
        notes.of(&deployment.group, "rpm, tpm, max_parallel_requests", why);
        let Limits { requests, tokens, concurrent } = deployment.limits;
        region.limits = Limits {
            requests: region.limits.requests.max(requests),
            tokens: region.limits.tokens.max(tokens),
            concurrent: region.limits.concurrent.max(concurrent),
        };
    }

    /// The provider that a place belongs to, which is made where it is not there.
    fn provider(&mut self, place: &Place) -> usize {
        let preset = match place.base {
            Base::Preset(preset, _) => Some(preset),
            Base::Url(_) => None,
        };
        // Azure's resources are its regions; any other server with a URL of its own is a provider of its own.
        let stands_with = |provider: &Provider| match preset {
            Some(_) => provider.preset == preset,
            None if place.vendor.speaks == Speaks::Azure => provider.speaks == Speaks::Azure,
            None => {
                provider.preset.is_none()
                    && provider.regions.iter().any(|region| region.place.base == place.base)
            }
        };
        if let Some(number) = self.providers.iter().position(stands_with) {
            return number;
        }
        let wish = match &place.base {
            Base::Url(url) if place.vendor.speaks != Speaks::Azure && !is_home(place) => {
                let host = name_of(url);
                if host.is_empty() { place.vendor.name.to_owned() } else { host }
            }
            _ => place.vendor.name.to_owned(),
        };
        let name = free(&wish, "-", |name| self.providers.iter().any(|provider| provider.name == name));
        self.providers.push(Provider { name, speaks: place.vendor.speaks, preset, regions: Vec::new() });
        self.providers.len() - 1
    }
}

/// Whether a URL is the vendor's own.
fn is_home(place: &Place) -> bool {
    matches!((place.vendor.home, &place.base), (super::vendors::Home::At(home), Base::Url(url)) if home == url)
}

/// A name like this one that is free: with a number behind it, if need be.
fn free(wish: &str, between: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|number: u32| format!("{wish}{between}{number}"));
    std::iter::once(wish.to_owned()).chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
}

/// What the variable is called that takes a key's place.
fn variable_for(place: &Place, provider: &str) -> String {
    if !place.vendor.key.is_empty() {
        return place.vendor.key.to_owned();
    }
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    let name: String = provider.chars().map(letter).collect();
    let digit = if name.starts_with(|first: char| first.is_ascii_digit()) { "_" } else { "" };
    format!("{digit}{name}_API_KEY")
}

fn region_name(place: &Place) -> String {
    let named = match (&place.region, &place.base) {
        (Some(region), _) => slug(region),
        (None, Base::Preset(_, region)) => (*region).to_owned(),
        (None, Base::Url(url)) if place.vendor.speaks == Speaks::Azure => {
            let name = name_of(url);
            name.split('.').next().unwrap_or_default().to_owned()
        }
        (None, Base::Url(_)) => String::new(),
    };
    if named.is_empty() { outrigger::config::GLOBAL.to_owned() } else { named }
}

/// A URL's host and port, or what is particular about the name of a variable: `${AZURE_API_BASE_EU}` is `eu`.
fn name_of(url: &str) -> String {
    const COMMON: [&str; 8] = ["azure", "openai", "api", "base", "url", "endpoint", "host", "https"];
    if let Some(variable) = url.strip_prefix("${") {
        let words = variable.trim_end_matches('}').to_lowercase();
        let words: Vec<&str> = words.split('_').filter(|word| !COMMON.contains(word)).collect();
        return slug(&words.join("-"));
    }
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    slug(host.split(['/', '?']).next().unwrap_or_default())
}

/// A name as providers and regions have them.
fn slug(text: &str) -> String {
    let letter = |letter: char| {
        if letter.is_ascii_alphanumeric() || letter == '.' { letter.to_ascii_lowercase() } else { '-' }
    };
    text.chars().map(letter).collect::<String>().trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{free, name_of};

    #[test]
    fn places_are_called_by_what_is_particular_about_them() {
        for (url, name) in [
            ("http://localhost:8000/v1", "localhost-8000"),
            ("https://my-eu.openai.azure.com", "my-eu.openai.azure.com"),
            ("${AZURE_API_BASE_EU}", "eu"),
            ("${AZURE_API_BASE}", ""),
        ] {
            assert_eq!(name_of(url), name, "{url}");
        }
        assert_eq!(free("a", "-", |name| name == "a" || name == "a-2"), "a-3");
    }
}
