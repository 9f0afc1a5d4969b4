//! What an operator took out by hand: names, whatever bears them.
//!
//! A cordon is said of a region of a provider, or of one model there, and holds for every deployment of that name: those of now, and those
//! that a later configuration brings. A region that is gone and comes back is still out. So the words are kept, not the deployments that
//! they meant when they were said; the registry is told what follows from them.
//!
//! # Which word counts?
//! A word over a region takes the place of all that were said before of models there. One over a model is an exception to its
//! region's word, in either direction. An end that was set beforehand takes its own word back and no other ([`Cordons::end`]).
//!
//! # Limits
//! Only what is configured can be named, so there are never more words than names were ever configured.

use std::sync::Arc;

use super::Engine;
use crate::observe::Route;

/// A name that an operator took out: a provider's region, or one model there.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Cordon {
    /// The provider's name in the configuration.
    pub provider: Arc<str>,
    /// The region's name in the configuration.
    pub region: Arc<str>,
    /// The provider's name of the model; none where all models there are out.
    pub model: Option<Arc<str>>,
    /// The models of a region that were put back while the rest of it is out.
    pub but: Vec<Arc<str>>,
}

/// What is said of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Out,
    Back,
}

/// What was said of one region.
#[derive(Debug)]
struct Said {
    provider: Arc<str>,
    region: Arc<str>,
    /// Whether all of it is out.
    whole: bool,
    /// What was said of single models since.
    models: Vec<(Arc<str>, Word)>,
}

/// The words that hold.
#[derive(Debug, Default)]
pub(super) struct Cordons(Vec<Said>);

impl Cordons {
    /// Whether the last word on a place is that it is out.
    pub(super) fn is_out(&self, route: &Route) -> bool {
        self.of(&route.provider, &route.region).is_some_and(|said| said.is_out(&route.model))
    }

    fn of(&self, provider: &str, region: &str) -> Option<&Said> {
        self.0.iter().find(|said| said.is_of(provider, region))
    }

    fn say(&mut self, provider: &str, region: &str, model: Option<&str>, word: Word) {
        let index = self.0.iter().position(|said| said.is_of(provider, region)).unwrap_or_else(|| {
            let (provider, region) = (provider.into(), region.into());
            self.0.push(Said { provider, region, whole: false, models: Vec::new() });
            self.0.len() - 1
        });
        if let Some(said) = self.0.get_mut(index) {
            match model {
                None => (said.whole, said.models) = (word == Word::Out, Vec::new()),
                Some(model) => match said.models.iter_mut().find(|(known, _)| **known == *model) {
                    Some((_, known)) => *known = word,
                    None => said.models.push((model.into(), word)),
                },
            }
        }
        self.tidy();
    }

    /// Takes a cordon back as if it had not been said. What was said since of single models there holds, and so does what was said of
    /// the region where the cordon was over a model.
    fn end(&mut self, provider: &str, region: &str, model: Option<&str>) {
        if let Some(said) = self.0.iter_mut().find(|said| said.is_of(provider, region)) {
            match model {
                None => said.whole = false,
                Some(model) => said.models.retain(|(known, word)| *word == Word::Back || **known != *model),
            }
        }
        self.tidy();
    }

    /// A word that says nothing any more is forgotten.
    fn tidy(&mut self) {
        self.0.retain_mut(|said| {
            let whole = said.whole;
            said.models.retain(|(_, word)| *word == Word::Out || whole);
            whole || !said.models.is_empty()
        });
    }

    fn told(&self) -> impl Iterator<Item = Cordon> {
        self.0.iter().flat_map(|said| {
            let named = |word: Word| {
                let named = said.models.iter().filter(move |(_, known)| *known == word);
                named.map(|(model, _)| Arc::clone(model))
            };
            let cordon = |model, but| Cordon {
                provider: Arc::clone(&said.provider),
                region: Arc::clone(&said.region),
                model,
                but,
            };
            let whole = said.whole.then(|| cordon(None, named(Word::Back).collect()));
            whole.into_iter().chain(named(Word::Out).map(move |model| cordon(Some(model), Vec::new())))
        })
    }
}

impl Said {
    fn is_of(&self, provider: &str, region: &str) -> bool {
        *self.provider == *provider && *self.region == *region
    }

    fn is_out(&self, model: &str) -> bool {
        let own = self.models.iter().find(|(known, _)| **known == *model);
        own.map_or(self.whole, |(_, word)| *word == Word::Out)
    }
}

impl Engine {
    /// Takes out by hand what bears a name, now and after any reload: all at `provider` and `region`, or only `model` there. Returns
    /// how many deployments that are; where there is none, nothing was said.
    pub fn cordon(&mut self, provider: &str, region: &str, model: Option<&str>) -> usize {
        self.say(provider, region, model, Word::Out)
    }

    /// Puts back what was taken out by hand. Returns how many deployments match. What is in no configuration now is put back by the name by
    /// which it was taken out; one model of a region that is out, only while it is configured.
    pub fn uncordon(&mut self, provider: &str, region: &str, model: Option<&str>) -> usize {
        self.say(provider, region, model, Word::Back)
    }

    /// Takes one [`cordon`](Self::cordon) back, as if it had not been said: what was said since of single models there holds, and a
    /// region's word holds when that over a model there ends.
    pub fn end_cordon(&mut self, provider: &str, region: &str, model: Option<&str>) {
        self.cordons.end(provider, region, model);
        self.heed_cordons(provider, region);
    }

    /// What is taken out by hand, by its names, in the order in which their regions were named first.
    pub fn cordons(&self) -> Vec<Cordon> {
        self.cordons.told().collect()
    }

    fn say(&mut self, provider: &str, region: &str, model: Option<&str>, word: Word) -> usize {
        let is_meant = |route: &&Route| {
            *route.provider == *provider
                && *route.region == *region
                && model.is_none_or(|model| *route.model == *model)
        };
        let routes = self.plan.live_deployments().map(|(_, deployment)| &deployment.route);
        let meant = routes.filter(is_meant).count();
        // A name that nobody bears is a slip of the pen; but a word that was said of one is taken back whoever bears it.
        let is_known = self.cordons.of(provider, region).is_some_and(|said| {
            model.is_none_or(|model| said.models.iter().any(|(known, _)| **known == *model))
        });
        if meant > 0 || (word == Word::Back && is_known) {
            self.cordons.say(provider, region, model, word);
            self.heed_cordons(provider, region);
        }
        meant
    }

    /// Tells the registry what follows for a region from what was said.
    fn heed_cordons(&mut self, provider: &str, region: &str) {
        for (number, deployment) in self.plan.live_deployments() {
            let route = &deployment.route;
            let id =
                self.ids.get(number).filter(|_| *route.provider == *provider && *route.region == *region);
            match id {
                Some(&id) if self.cordons.is_out(route) => self.registry.cordon(id),
                Some(&id) => self.registry.uncordon(id),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REGIONS: [&str; 2] = ["here", "there"];
    const MODELS: [&str; 3] = ["a", "b", "c"];

    /// A word: which region, which model there or all, and whether it is taken out, put back, or its cordon ended.
    type Spoken = (usize, Option<usize>, u8);

    fn words() -> impl Strategy<Value = Vec<Spoken>> {
        let word = (0..REGIONS.len(), proptest::option::of(0..MODELS.len()), 0..3_u8);
        proptest::collection::vec(word, 0..12)
    }

    fn said(words: &[Spoken]) -> Cordons {
        let mut cordons = Cordons::default();
        for &(region, model, what) in words {
            let (region, model) = (REGIONS[region], model.map(|model| MODELS[model]));
            match what {
                0 => cordons.say("p", region, model, Word::Out),
                1 => cordons.say("p", region, model, Word::Back),
                _ => cordons.end("p", region, model),
            }
        }
        cordons
    }

    /// The same by the whole history: the last word on a place that was not taken back since.
    fn is_out_by_history(words: &[Spoken], region: usize, model: usize) -> bool {
        let mut standing: Vec<(Option<usize>, bool)> = Vec::new();
        for &(_, about, what) in words.iter().filter(|(of, ..)| *of == region) {
            match (about, what) {
                (None, 0 | 1) => standing = vec![(None, what == 0)],
                (Some(_), 0 | 1) => {
                    standing.retain(|(known, _)| *known != about);
                    standing.push((about, what == 0));
                }
                _ => standing.retain(|word| *word != (about, true)),
            }
        }
        let own = standing.iter().rfind(|(about, _)| *about == Some(model));
        let word = own.or_else(|| standing.iter().rfind(|(about, _)| about.is_none()));
        word.is_some_and(|(_, out)| *out)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// **The last word on a name counts**, whatever was said before, of the region or of one model there; and what is told of the
        /// words says the same. Fails if a region's word leaves an older one of a model standing, or an end takes back more than its own.
        #[test]
        fn the_last_word_on_a_name_counts(words in words()) {
            let cordons = said(&words);
            let told: Vec<Cordon> = cordons.told().collect();
            for (region, name) in REGIONS.iter().enumerate() {
                for (model, of) in MODELS.iter().enumerate() {
                    let expected = is_out_by_history(&words, region, model);
                    prop_assert_eq!(cordons.is_out(&Route::new("p", *name, *of)), expected, "{}/{}", name, of);
                    let is_told = told.iter().filter(|told| *told.region == **name).any(|told| {
                        told.model.as_ref().is_none_or(|model| **model == **of)
                            && !told.but.iter().any(|but| **but == **of)
                    });
                    prop_assert_eq!(is_told, expected, "{}/{} of {:?}", name, of, &told);
                }
            }
            prop_assert!(cordons.0.len() <= REGIONS.len());
        }
    }
}
