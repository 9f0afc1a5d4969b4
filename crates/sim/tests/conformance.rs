//! The in-memory transport keeps every promise of its trait: the suite runs against a region that does as it is told.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use outrigger_sim::{Fault, Region, Step, When, World};
use transport::conformance::{Answer, Ending, Next, Received, Upstream, run};
use url::Url;

const OBEDIENT: &str = "obedient";
const CLOSED: &str = "closed";

/// A region as the suite's other end. Its log is what was received; two marks say how much of it was told.
struct Told {
    world: World,
    taken: AtomicUsize,
    hung_up: AtomicUsize,
}

fn steps(answer: Answer) -> Vec<Step> {
    let head = Step::Head { status: answer.status, headers: answer.headers };
    let chunks = answer.chunks.into_iter().map(Step::Chunk);
    let ending = match answer.ending {
        Ending::Whole => Step::End,
        Ending::Cut => Step::Cut,
        Ending::Stall => Step::Hold,
        Ending::Endless => Step::Repeat { every: Duration::ZERO, bytes: Bytes::from_static(&[b'~'; 1024]) },
        other => panic!("unknown ending {other:?}"),
    };
    [head].into_iter().chain(chunks).chain([ending]).collect()
}

impl Told {
    fn log(&self) -> Vec<outrigger_sim::Received> {
        self.world.received(OBEDIENT).unwrap()
    }
}

#[async_trait]
impl Upstream for Told {
    fn url(&self) -> Url {
        self.world.base_url(OBEDIENT).unwrap()
    }

    fn refusing_url(&self) -> Url {
        self.world.base_url(CLOSED).unwrap()
    }

    fn prepare(&self, next: Next) {
        let steps = match next {
            Next::Answer(answer) => steps(answer),
            Next::Reset => vec![Step::Reset],
            Next::Silence => vec![Step::Hold],
            Next::Nonsense => vec![Step::Chunk(Bytes::from_static(b"nonsense")), Step::Cut],
            other => panic!("unknown order {other:?}"),
        };
        self.world.answer_next(OBEDIENT, steps).unwrap();
    }

    async fn received(&self) -> Received {
        let index = self.taken.fetch_add(1, Ordering::Relaxed);
        let line = loop {
            match self.log().into_iter().nth(index) {
                Some(line) => break line,
                None => tokio::task::yield_now().await,
            }
        };
        let (method, target) = line.path.split_once(' ').unwrap();
        Received::new(method.parse().unwrap(), target, line.headers, line.body)
    }

    fn waiting(&self) -> usize {
        self.log().len() - self.taken.load(Ordering::Relaxed)
    }

    async fn hung_up(&self) {
        let heard = self.hung_up.fetch_add(1, Ordering::Relaxed);
        while self.log().iter().filter(|line| line.cancelled_by_caller).count() <= heard {
            tokio::task::yield_now().await;
        }
    }

    async fn held_back(&self, _limit: u64) -> u64 {
        self.log().last().unwrap().bytes_sent // in memory nothing is sent before it is read
    }
}

#[tokio::test(start_paused = true)]
async fn the_simulated_transport_keeps_the_contract() {
    let world = World::builder().region(Region::new(OBEDIENT)).region(Region::new(CLOSED)).build().unwrap();
    world.inject(CLOSED, Fault::Refuse, When::always()).unwrap();
    let transport = Arc::new(world.transport());
    run(&transport, &Told { world, taken: AtomicUsize::new(0), hung_up: AtomicUsize::new(0) }).await;
}
