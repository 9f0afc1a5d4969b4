//! The simulated world: its regions, its clock, what is wrong where, and what each region received.
//!
//! A world is a handle; clones are the same world. Nothing runs in it: faults and quotas are data with times on the
//! world's clock, and each request is planned when it arrives. The clock is tokio's, so under `start_paused` an hour of
//! faults takes no time, and it starts with the world's first use, so a world may be made outside a runtime.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use url::Url;

use crate::{
    Outcome, Received, SimTransport, WorldError,
    fault::{Fault, Injection, When},
    latency::{hash, mix},
    log::Log,
    plan::{State, TimedQuota},
    play::Playback,
    quota::Quota,
    region::Region,
    request::Call,
    scenario::article_regions,
    script::Step,
};

/// Several regions of one simulated provider. Cloning it copies a handle.
#[derive(Clone, Debug)]
pub struct World {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    seed: u64,
    names: Vec<String>,
    places: Vec<Mutex<Place>>,
    start: OnceLock<Instant>,
    /// Told of each change that a listening port may have to follow.
    changed: watch::Sender<()>,
}

/// A region with its log.
#[derive(Debug)]
struct Place {
    state: State,
    log: Log,
}

impl Place {
    /// The request is no longer in flight.
    fn settle(&mut self, number: u64, change: impl FnOnce(&mut Received)) {
        self.state.in_flight = self.state.in_flight.saturating_sub(1);
        self.log.note(number, change);
    }
}

/// Makes a [`World`].
#[derive(Clone, Debug)]
pub struct WorldBuilder {
    seed: u64,
    log_limit: usize,
    regions: Vec<Region>,
}

impl WorldBuilder {
    /// The seed of everything that is chance; default 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Adds a region.
    #[must_use]
    pub fn region(mut self, region: Region) -> Self {
        self.regions.push(region);
        self
    }

    /// How many requests each region's log keeps, the newest; default 4096. The counts go on.
    #[must_use]
    pub fn log_limit(mut self, requests: usize) -> Self {
        self.log_limit = requests;
        self
    }

    /// The world.
    ///
    /// # Errors
    /// [`WorldError::NoRegion`], [`WorldError::DuplicateRegion`], [`WorldError::InvalidName`].
    pub fn build(self) -> Result<World, WorldError> {
        let names: Vec<String> = self.regions.iter().map(|region| region.name.clone()).collect();
        if names.is_empty() {
            return Err(WorldError::NoRegion);
        }
        for (index, region) in self.regions.iter().enumerate() {
            let name = region.name.clone();
            if !region.has_valid_name() {
                return Err(WorldError::InvalidName { name });
            }
            if names.iter().take(index).any(|earlier| *earlier == name) {
                return Err(WorldError::DuplicateRegion { name });
            }
        }
        Ok(self.assemble(names))
    }

    fn assemble(self, names: Vec<String>) -> World {
        let log_limit = self.log_limit;
        let place = |region| Mutex::new(Place { state: State::new(region), log: Log::new(log_limit) });
        let places = self.regions.into_iter().map(place).collect();
        let (changed, _) = watch::channel(());
        World { inner: Arc::new(Inner { seed: self.seed, names, places, start: OnceLock::new(), changed }) }
    }
}

impl World {
    /// An empty world, to be furnished.
    pub fn builder() -> WorldBuilder {
        WorldBuilder { seed: 0, log_limit: 4096, regions: Vec::new() }
    }

    /// The article's provider: `us-east`, `eu-west` and `ap-southeast` with its latencies of 35, 42 and 28 ms as medians,
    /// and any model, its four included.
    pub fn article(seed: u64) -> Self {
        let regions = article_regions();
        let names = regions.iter().map(|region: &Region| region.name.clone()).collect();
        // The three names are valid and differ, so nothing is left to check.
        WorldBuilder { seed, log_limit: 4096, regions }.assemble(names)
    }

    /// The names of the regions, in their order.
    pub fn regions(&self) -> &[String] {
        &self.inner.names
    }

    /// The in-memory transport to this world.
    pub fn transport(&self) -> SimTransport {
        SimTransport::new(self.clone())
    }

    /// Where [`transport`](Self::transport) finds a region: `http://us-east.sim.invalid/v1`.
    ///
    /// # Errors
    /// [`WorldError::UnknownRegion`].
    pub fn base_url(&self, region: &str) -> Result<Url, WorldError> {
        let name = self.inner.names.get(self.index(region)?).map_or(region, String::as_str);
        // A valid name is a valid host label, so the only error left is one that cannot occur.
        format!("http://{name}.sim.invalid/v1").parse().map_err(|_| self.unknown(region))
    }

    /// The time since the world's first use.
    pub fn elapsed(&self) -> Duration {
        let now = Instant::now();
        now.saturating_duration_since(*self.inner.start.get_or_init(|| now))
    }

    /// Makes something wrong with a region. `when` is a [`When`], or a [`Duration`] for 'every request, for so long'.
    /// Of two faults that would both decide an answer, the one injected first does.
    ///
    /// # Errors
    /// [`WorldError::UnknownRegion`].
    pub fn inject(&self, region: &str, fault: Fault, when: impl Into<When>) -> Result<(), WorldError> {
        let now = self.elapsed();
        let injection = Injection::new(fault, when.into(), now);
        self.place(self.index(region)?).state.injections.push(injection);
        self.inner.changed.send_replace(());
        Ok(())
    }

    /// The faults that are on in a region by their names, and how long each goes on (`None`: without end).
    ///
    /// # Errors
    /// [`WorldError::UnknownRegion`].
    pub fn faults(&self, region: &str) -> Result<Vec<(&'static str, Option<Duration>)>, WorldError> {
        let (now, place) = (self.elapsed(), self.place(self.index(region)?));
        let active = place.state.injections.iter().filter(|injection| injection.is_active(now));
        Ok(active.map(|injection| (injection.fault.name(), injection.left(now))).collect())
    }

    /// Ends all faults and temporary quotas of a region, those to come included.
    ///
    /// # Errors
    /// [`WorldError::UnknownRegion`].
    pub fn clear(&self, region: &str) -> Result<(), WorldError> {
        self.heal(self.index(region)?);
        Ok(())
    }

    /// Ends all faults and temporary quotas everywhere.
    pub fn clear_all(&self) {
        for index in 0..self.inner.places.len() {
            self.heal(index);
        }
    }

    fn heal(&self, index: usize) {
        let mut place = self.place(index);
        place.state.injections.clear();
        place.state.quotas.clear();
        drop(place);
        self.inner.changed.send_replace(());
    }

    /// Has a region answer its next request that has no such answer yet with these steps, whatever is asked and whatever
    /// is wrong: for the odd provider that no fault plays.
    ///
    /// # Errors
    /// [`WorldError::UnknownRegion`].
    pub fn answer_next(&self, region: &str, steps: Vec<Step>) -> Result<(), WorldError> {
        self.place(self.index(region)?).state.prepared.push_back(steps);
        Ok(())
    }

    /// Forgets the answers that wait for a next request, everywhere.
    pub fn forget_answers(&self) {
        for index in 0..self.inner.places.len() {
            self.place(index).state.prepared.clear();
        }
    }

    /// Sets how many requests a region admits from now on; `None` for any number.
    ///
    /// # Errors
    /// [`WorldError::UnknownRegion`].
    pub fn set_quota(&self, region: &str, quota: Option<Quota>) -> Result<(), WorldError> {
        self.place(self.index(region)?).state.region.quota = quota;
        Ok(())
    }

    /// Lowers (or raises) a quota for a while, from `after` on, counted from now. The latest set of those that hold counts.
    ///
    /// # Errors
    /// [`WorldError::UnknownRegion`].
    pub fn limit(
        &self,
        region: &str,
        quota: Quota,
        after: Duration,
        lasting: Duration,
    ) -> Result<(), WorldError> {
        let from = self.elapsed().saturating_add(after);
        let timed = TimedQuota { quota, from, until: from.saturating_add(lasting) };
        self.place(self.index(region)?).state.quotas.push(timed);
        Ok(())
    }

    /// The requests that a region received, oldest first, at most the log's limit.
    ///
    /// # Errors
    /// [`WorldError::UnknownRegion`]: a misspelt name must not look like a region that nobody called.
    pub fn received(&self, region: &str) -> Result<Vec<Received>, WorldError> {
        Ok(self.place(self.index(region)?).log.lines())
    }

    /// How many requests a region received since the world was made.
    ///
    /// # Errors
    /// [`WorldError::UnknownRegion`].
    pub fn count(&self, region: &str) -> Result<u64, WorldError> {
        Ok(self.place(self.index(region)?).log.count())
    }

    /// How many requests a region is answering now.
    ///
    /// # Errors
    /// [`WorldError::UnknownRegion`].
    pub fn in_flight(&self, region: &str) -> Result<u32, WorldError> {
        Ok(self.place(self.index(region)?).state.in_flight)
    }

    /// Plans a request's answer, logs its arrival, and hands out the one who acts the answer out.
    pub(crate) fn begin(&self, index: usize, call: Call) -> Playback {
        let at = self.elapsed();
        let mut place = self.place(index);
        let number = place.log.count();
        let name = self.inner.names.get(index).map_or("", String::as_str);
        let draw = mix(self.inner.seed ^ hash(name) ^ mix(number));
        let script = place.state.plan(&call, at, draw);
        place.state.in_flight += 1;
        place.log.push(Received {
            at,
            path: format!("{} {}", call.method, call.target),
            headers: call.headers,
            body: call.body,
            model: script.model,
            stream: script.stream,
            fault: script.fault,
            outcome: Outcome::Answering,
            status: None,
            bytes_sent: 0,
            cancelled_by_caller: false,
        });
        drop(place);
        Playback::new(script.steps, Ticket { world: self.clone(), index, number, finished: false })
    }

    /// Whether a region's port must be closed now, and when that may change by the clock.
    pub(crate) fn port(&self, index: usize) -> (bool, Option<Duration>) {
        let now = self.elapsed();
        let place = self.place(index);
        let closing = || place.state.injections.iter().filter(|injection| injection.closes_the_port());
        let closed = closing().any(|injection| injection.is_active(now));
        let next = closing().filter_map(|injection| injection.next_change(now)).min();
        (closed, next.map(|at| at.saturating_sub(now)))
    }

    /// Is told whenever faults change.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.inner.changed.subscribe()
    }

    /// Where in the world's order a region stands.
    pub(crate) fn index(&self, region: &str) -> Result<usize, WorldError> {
        self.inner.names.iter().position(|name| name == region).ok_or_else(|| self.unknown(region))
    }

    fn unknown(&self, region: &str) -> WorldError {
        WorldError::UnknownRegion { name: region.to_owned(), known: self.inner.names.clone() }
    }

    #[expect(clippy::indexing_slicing, reason = "an index comes from `index`, and places are never removed")]
    fn place(&self, index: usize) -> MutexGuard<'_, Place> {
        self.inner.places[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's line in the log, while it is being answered.
///
/// # Drop
/// Dropped before [`finish`](Self::finish), the caller has left, and the log says so.
#[derive(Debug)]
pub(crate) struct Ticket {
    world: World,
    index: usize,
    number: u64,
    finished: bool,
}

impl Ticket {
    pub(crate) fn note(&self, change: impl FnOnce(&mut Received)) {
        self.world.place(self.index).log.note(self.number, change);
    }

    /// The region has done all that it will do.
    pub(crate) fn finish(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.finished, true) {
            self.world.place(self.index).settle(self.number, |line| line.outcome = outcome);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.finished {
            self.world.place(self.index).settle(self.number, |line| line.cancelled_by_caller = true);
        }
    }
}
