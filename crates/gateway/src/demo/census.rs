//! How many calls sick regions receive: the price that others pay for a client's persistence.
//!
//! The scenario says when something is wrong with a region: during its faults and its lowered limits. The census reads the
//! regions' own counts at each edge of these times, and takes what lies between two edges for the act that ran there.

use std::time::Duration;

use sim::{Scenario, World};
use tokio::time::{Instant, sleep_until};

use super::schedule::act_at;

/// Counts the calls to sick regions of one world.
#[derive(Debug)]
pub(super) struct Census<'a> {
    world: World,
    scenario: &'a Scenario,
    /// The times at which something changes, that are to come.
    edges: std::vec::IntoIter<Duration>,
    /// Since when the counts below are, and those.
    since: Duration,
    counts: Vec<u64>,
    /// Calls to sick regions, in all and by act.
    pub(super) total: u64,
    pub(super) acts: Vec<u64>,
}

impl<'a> Census<'a> {
    /// A census of a world in which the scenario begins now and runs for `length`.
    pub(super) fn new(world: World, scenario: &'a Scenario, length: Duration) -> Self {
        let faults = scenario.faults.iter().map(|fault| (fault.at, fault.lasting));
        let limits = scenario.limits.iter().map(|limit| (limit.at, limit.lasting));
        let acts = scenario.acts.iter().map(|act| (act.at, act.lasting));
        let spans = faults.chain(limits).chain(acts);
        let mut edges: Vec<Duration> =
            spans.flat_map(|(at, lasting)| [at, at.saturating_add(lasting)]).collect();
        edges.push(length);
        edges.retain(|edge| *edge <= length);
        edges.sort_unstable();
        edges.dedup();
        let counts = counts(&world);
        let acts = vec![0; scenario.acts.len()];
        Self { world, scenario, edges: edges.into_iter(), since: Duration::ZERO, counts, total: 0, acts }
    }

    /// Counts until the last edge.
    ///
    /// # Cancel safety
    /// What was counted at the edges before stays; [`close`](Self::close) adds the rest.
    pub(super) async fn take(&mut self, start: Instant) {
        while let Some(edge) = self.edges.as_slice().first().copied() {
            sleep_until(start + edge).await;
            self.close();
            self.since = edge;
            self.edges.next();
        }
    }

    /// Counts what came since the last edge.
    pub(super) fn close(&mut self) {
        let now = counts(&self.world);
        let regions = self.world.regions().iter().zip(now.iter().zip(&self.counts));
        let calls: u64 = regions
            .filter(|(region, _)| self.is_sick(region))
            .map(|(_, (now, before))| now.saturating_sub(*before))
            .sum();
        self.counts = now;
        self.total += calls;
        if let Some(act) = act_at(&self.scenario.acts, self.since).and_then(|act| self.acts.get_mut(act)) {
            *act += calls;
        }
    }

    fn is_sick(&self, region: &str) -> bool {
        let faults = self.scenario.faults.iter().map(|fault| (&fault.region, fault.at, fault.lasting));
        let limits = self.scenario.limits.iter().map(|limit| (&limit.region, limit.at, limit.lasting));
        faults.chain(limits).any(|(sick, at, lasting)| {
            sick == region && at <= self.since && self.since < at.saturating_add(lasting)
        })
    }
}

/// What each region has received, in the world's order.
fn counts(world: &World) -> Vec<u64> {
    // A region of the world's own list is known to it.
    world.regions().iter().map(|region| world.count(region).unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use sim::{Chaos, Fault};

    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    async fn call(world: &World, base_url: &str) {
        use outrigger::transport::{Pool, Request, Transport};
        let uri = format!("{base_url}/models").parse().unwrap();
        let request = Request::new(http::Method::GET, uri, std::sync::Arc::new(Pool::new("census")));
        let response = world.transport().send(request).await.unwrap();
        drop(response);
    }

    #[tokio::test(start_paused = true)]
    async fn only_calls_to_a_region_that_is_sick_then_are_counted() {
        let mut scenario = Scenario::four_acts(Duration::from_secs(40), 7);
        let world = scenario.world().unwrap();
        let base_url = world.base_url("us-east").unwrap();
        scenario.limits.clear();
        scenario.faults.clear();
        let mut slow = Chaos::new("us-east", &Fault::Slow { factor: 2.0 });
        (slow.at, slow.lasting) = (at(11_000), at(2_000)); // in the second act
        scenario.faults.push(slow);

        let start = Instant::now();
        let mut census = Census::new(world.clone(), &scenario, Duration::from_secs(40));
        let calls = async {
            for ms in [5_000, 11_500, 12_000, 13_500] {
                sleep_until(start + at(ms)).await;
                call(&world, base_url.as_str().trim_end_matches('/')).await;
            }
        };
        tokio::join!(census.take(start), calls);
        assert_eq!((census.total, census.acts.as_slice()), (2, [0, 2, 0, 0].as_slice()));
    }
}
