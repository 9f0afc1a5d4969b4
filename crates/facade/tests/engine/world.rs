//! Where the engine's laws are tried: two public models that share deployments, three kinds of request, two dialects; and what
//! may happen there.

use std::sync::Arc;

use outrigger::{
    Config,
    config::{Model, Provider, Target},
    engine::Plan,
    wire::{Api, Class, Dialect},
};
use proptest::prelude::*;

/// What a reload may change.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Which regions there are, and whether each has another base URL than at first.
    pub(crate) regions: Vec<(&'static str, bool)>,
    /// Whether the second public model is there.
    pub(crate) draft: bool,
    pub(crate) failure_threshold: u32,
    pub(crate) weight: f64,
}

impl Default for Shape {
    fn default() -> Self {
        let regions = REGIONS.map(|region| (region, false)).to_vec();
        Self { regions, draft: true, failure_threshold: 5, weight: 1.0 }
    }
}

const REGIONS: [&str; 3] = ["us-east", "eu-west", "ap-southeast"];

pub(crate) fn shapes() -> impl Strategy<Value = Shape> {
    let regions = proptest::sample::subsequence(REGIONS.to_vec(), 1..=3).prop_flat_map(|regions| {
        regions.into_iter().map(|region| (Just(region), any::<bool>())).collect::<Vec<_>>()
    });
    (regions, any::<bool>(), 2_u32..9, 0.1_f64..3.0).prop_map(
        |(regions, draft, failure_threshold, weight)| Shape { regions, draft, failure_threshold, weight },
    )
}

/// The configuration at first; each deployment may have so many attempts in flight.
pub(crate) fn plan(places: Option<u32>) -> Arc<Plan> {
    Arc::new(Plan::new(&config(places, &Shape::default())))
}

pub(crate) fn config(places: Option<u32>, shape: &Shape) -> Config {
    let mut provider = Provider::openai();
    for (region, moved) in &shape.regions {
        let url = format!("http://{region}.{}.invalid/v1", if *moved { "moved" } else { "sim" });
        provider = provider.region(*region, &url).unwrap();
    }
    let near: Vec<_> =
        shape.regions.iter().map(|(region, _)| *region).filter(|region| *region != "ap-southeast").collect();
    // Without a region it is nowhere.
    let gpt = || {
        (!near.is_empty())
            .then(|| Target::new("holysheep", "gpt-4.1").regions(near.clone()).weight(shape.weight))
    };
    let deepseek = Target::new("holysheep", "deepseek-v3.2").tier(1).continues(true);
    let mut claude = Provider::anthropic().region("eu-west", "http://claude.sim.invalid/v1").unwrap();
    for (_, region) in provider.regions.iter_mut().chain(&mut claude.regions) {
        region.limits.concurrent = places.and_then(std::num::NonZeroU32::new);
    }
    let mut chat = Model::new(gpt().into_iter().chain([deepseek]));
    chat.breaker.failure_threshold = shape.failure_threshold;
    let mut config =
        Config::new().provider("holysheep", provider).provider("claude", claude).model("chat", chat);
    // Another public model, of the first one's deployments and of one of another dialect, whose slow attempts are hedged.
    if shape.draft {
        let haiku = Target::new("claude", "claude-haiku-4-5").tier(1);
        let mut draft = Model::new(gpt().into_iter().chain([haiku]));
        draft.hedge.enabled = true;
        config = config.model("draft", draft);
    }
    config.check().unwrap();
    config
}

/// What happens next, somewhere.
#[derive(Clone, Debug)]
pub(crate) enum Happens {
    /// Somebody asks.
    Asked { what: What, stream: bool, single: bool, residency: bool },
    /// A running attempt's head arrives.
    Head(usize),
    /// A running attempt speaks.
    Content(usize),
    /// A running attempt gives its whole answer.
    Answered(usize),
    /// A running attempt fails.
    Failed(usize, Class, Option<u64>),
    /// An answer breaks off, or one that is to go on with it fails.
    Broke(usize, Class, bool),
    /// A caller goes away.
    Cancelled(usize),
    /// Time passes, and wake-ups that are due come.
    Passes(u64),
}

/// What is asked: of which model, which kind of request, and whether another dialect may serve it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct What {
    pub(crate) draft: bool,
    pub(crate) api: Api,
    pub(crate) translates: bool,
}

impl What {
    pub(crate) const CHAT: Self = Self { draft: false, api: Api::Chat, translates: true };

    /// Whether a provider of this name may serve it.
    pub(crate) fn suits(self, provider: &str) -> bool {
        let dialect = if provider == "claude" { Dialect::Anthropic } else { Dialect::OpenAi };
        self.api.at(dialect).is_some_and(|at| at == self.api || self.translates)
    }
}

fn what() -> impl Strategy<Value = What> {
    let draft = |(api, translates)| What { draft: true, api, translates };
    let apis = proptest::sample::select(vec![Api::Chat, Api::Embeddings, Api::Messages]);
    prop_oneof![2 => Just(What::CHAT), 1 => (apis, any::<bool>()).prop_map(draft)]
}

pub(crate) fn happens() -> impl Strategy<Value = Happens> {
    let class = proptest::sample::select(Class::ALL.to_vec());
    let breaks =
        proptest::sample::select(vec![Class::Cut, Class::Stalled, Class::Malformed, Class::Cancelled]);
    prop_oneof![
        4 => (what(), any::<bool>(), proptest::bool::weighted(0.2), proptest::bool::weighted(0.2))
            .prop_map(|(what, stream, single, residency)| Happens::Asked { what, stream, single, residency }),
        2 => (0_usize..8).prop_map(Happens::Head),
        2 => (0_usize..8).prop_map(Happens::Content),
        2 => (0_usize..8).prop_map(Happens::Answered),
        5 => (0_usize..8, class, proptest::option::of(0_u64..30_000)).prop_map(|(which, class, wait)| Happens::Failed(which, class, wait)),
        2 => (0_usize..8, breaks, proptest::bool::weighted(0.8)).prop_map(|(which, class, may)| Happens::Broke(which, class, may)),
        1 => (0_usize..8).prop_map(Happens::Cancelled),
        4 => (0_u64..20_000).prop_map(Happens::Passes),
    ]
}
