//! Plays a cell: a client that knows its regions, then the fault, then the calls; and counts on both sides.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use futures_util::future::join_all;
use outrigger::{
    CallError, ChatError, Client, Config,
    config::{Model, Provider, Target},
};
use sim::{Fault, Region, When, World, WorldBuilder, answer_text};
use tokio::time::Instant;

use super::cell::{Cell, SICK, Setting};

const PROMPT: &str = "How high is the swell?";
/// How long each caller waits.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// Healthy answers that the client has seen before anything goes wrong, so that its limits are learned.
const HEALTHY: usize = 20;
/// Tokens of every answer, the simulator's default.
const TOKENS: u32 = 20;

/// What a caller got.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Got {
    /// The whole answer.
    Whole,
    /// The whole answer, after it had broken off.
    Rescued,
    /// A part of it, and an error that says so.
    Truncated,
    /// An error: its status and its code.
    Refused { status: u16, code: &'static str },
    /// A part of it, or something else, as if it were whole. This must not be.
    Wrong,
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("whole"),
            Self::Rescued => f.write_str("rescued"),
            Self::Truncated => f.write_str("cut, and told"),
            Self::Refused { status, code } => write!(f, "{status} {code}"),
            Self::Wrong => f.write_str("WRONG"),
        }
    }
}

/// What came of a cell.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// How many callers got what.
    pub(crate) got: BTreeMap<Got, u64>,
    /// Calls that regions received.
    pub(crate) upstream: u64,
    /// Those of them that the sick region received.
    pub(crate) to_sick: u64,
    /// From the question to the end of the answer or the error.
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// What was still in flight when all callers had their answer.
    pub(crate) left_over: u32,
}

type Failure = Box<dyn Error + Send + Sync>;

/// All cells, measured, in the page's order.
pub(crate) fn measured() -> Result<Vec<(Cell, Measured)>, Failure> {
    let cells = Cell::all();
    let next = Mutex::new(cells.iter().enumerate());
    let results = Mutex::new(BTreeMap::new());
    // Each cell has a runtime and a world of its own, so it is nothing to one where and beside what another is played.
    let work = || {
        loop {
            let cell = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, cell)) = cell else { return };
            let measured = play(cell);
            results.lock().unwrap_or_else(PoisonError::into_inner).insert(index, measured);
        }
    };
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let results = results.into_values().collect::<Result<Vec<_>, _>>()?;
    Ok(cells.into_iter().zip(results).collect())
}

fn play(cell: &Cell) -> Result<Measured, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        let world = world(cell.setting)?;
        let client = client(&world, cell.setting)?;
        for _ in 0..HEALTHY {
            ask(&client, cell).await;
        }
        let before = counts(&world)?;
        world.inject(SICK, cell.fault.clone(), When::always())?;
        let asked = join_all((0..cell.calls).map(|_| async {
            let began = Instant::now();
            (ask(&client, cell).await, began.elapsed())
        }));
        let answers = asked.await;
        tokio::task::yield_now().await;
        let mut got = BTreeMap::new();
        let mut times = Vec::new();
        for (answer, took) in answers {
            *got.entry(answer).or_default() += 1_u64;
            times.push(took);
        }
        times.sort_unstable();
        let after = counts(&world)?;
        let received = |index: usize| after.get(index).zip(before.get(index)).map_or(0, |(a, b)| a - b);
        let mut left_over = client.deployments().iter().map(|at| at.in_flight).sum();
        for region in world.regions() {
            left_over += world.in_flight(region)?;
        }
        Ok(Measured {
            got,
            upstream: (0..after.len()).map(received).sum(),
            to_sick: received(0),
            p50: percentile(&times, 50),
            p99: percentile(&times, 99),
            left_over,
        })
    })
}

fn world(setting: Setting) -> Result<World, Failure> {
    let regions = setting.regions().iter().map(|name| Region::new(*name).latency(Duration::from_millis(40)));
    Ok(regions.fold(World::builder().seed(7), WorldBuilder::region).build()?)
}

fn client(world: &World, setting: Setting) -> Result<Client, Failure> {
    let mut provider = Provider::openai().api_key("sk-not-a-secret");
    for region in world.regions() {
        provider = provider.region(region, world.base_url(region)?.as_str())?;
    }
    let context = |target: Target, tokens| {
        let mut target = target;
        target.context = Some(tokens);
        target
    };
    let first = context(Target::new("sea", "gpt-4.1-mini"), 32_768);
    let targets = if setting == Setting::NextTier {
        // A larger window, so that what was too long for the first may fit.
        let second = Target::new("sea", "gpt-4.1").regions(["eu-west"]).tier(1);
        vec![first.regions([SICK]), context(second, 1_047_576)]
    } else {
        vec![first]
    };
    let mut config = Config::new().provider("sea", provider);
    config.routing.preferred_region = Some(SICK.to_owned());
    let mut model = Model::new(targets);
    model.routing = config.routing.clone();
    let client = Client::builder().config(config.model("chat", model)).transport(world.transport()).seed(7);
    Ok(client.build()?)
}

/// Asks, reads to the end, and judges.
async fn ask(client: &Client, cell: &Cell) -> Got {
    let deadline = Instant::now().into_std() + DEADLINE;
    let mut chat = client.chat("chat").user(PROMPT).deadline(deadline);
    if cell.fault == Fault::NoPrefill {
        // The only conversation that this fault has something against.
        chat = chat.assistant("");
    }
    let text = if cell.stream {
        match chat.stream().await {
            Ok(mut stream) => {
                let mut text = String::new();
                loop {
                    match stream.next().await {
                        Some(Ok(piece)) => text.push_str(&piece),
                        Some(Err(error)) => break Err(error.into()),
                        None => break Ok((text, stream.summary().rescued)),
                    }
                }
            }
            Err(error) => Err(error),
        }
    } else {
        chat.send().await.map(|answer| (answer.text, false))
    };
    match text {
        Ok((text, rescued)) if text == answer_text(PROMPT, TOKENS) => {
            if rescued {
                Got::Rescued
            } else {
                Got::Whole
            }
        }
        Ok(_) => Got::Wrong,
        Err(ChatError::Call(CallError::Truncated { .. })) => Got::Truncated,
        Err(ChatError::Call(error)) => Got::Refused { status: error.status().as_u16(), code: error.code() },
        Err(_) => Got::Wrong,
    }
}

fn counts(world: &World) -> Result<Vec<u64>, Failure> {
    world.regions().iter().map(|region| Ok(world.count(region)?)).collect()
}

/// The nearest rank.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}
