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

/// The configuration; each deployment may have so many attempts in flight.
pub(crate) fn plan(places: Option<u32>) -> Arc<Plan> {
    let mut provider = Provider::openai();
    for region in ["us-east", "eu-west", "ap-southeast"] {
        provider = provider.region(region, &format!("http://{region}.sim.invalid/v1")).unwrap();
    }
    let targets = [
        Target::new("holysheep", "gpt-4.1").regions(["us-east", "eu-west"]),
        Target::new("holysheep", "deepseek-v3.2").tier(1).continues(true),
    ];
    let mut claude = Provider::anthropic().region("eu-west", "http://claude.sim.invalid/v1").unwrap();
    for (_, region) in provider.regions.iter_mut().chain(&mut claude.regions) {
        region.limits.concurrent = places.and_then(std::num::NonZeroU32::new);
    }
    // Another public model, of the first one's deployments and of one of another dialect, whose slow attempts are hedged.
    let shared = [
        Target::new("holysheep", "gpt-4.1").regions(["us-east", "eu-west"]),
        Target::new("claude", "claude-haiku-4-5").tier(1),
    ];
    let mut draft = Model::new(shared);
    draft.hedge.enabled = true;
    let config = Config::new()
        .provider("holysheep", provider)
        .provider("claude", claude)
        .model("chat", Model::new(targets))
        .model("draft", draft);
    config.check().unwrap();
    Arc::new(Plan::new(&config))
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
