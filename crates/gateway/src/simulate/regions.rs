//! The regions of a simulation: what becomes of one attempt, and when. Pure but for what they count.
//!
//! The same names as the simulator's on sockets ([`sim::Fault`]) mean the same here, without bytes: an attempt is a few instants at
//! which its client would learn something. Latency, quotas, slots and faults are the scenario's own.

use std::{f64::consts::TAU, time::Duration};

use outrigger::wire::Class;
use sim::{Fault, Latency, Quota, Region, Scenario, ScenarioError, When};

use crate::demo::schedule::Draws;

/// What another place than the caller's own costs in time: a round trip over an ocean.
pub(super) const OCEAN: Duration = Duration::from_millis(80);
/// What a question has of tokens, beside its answer's.
const INPUT_TOKENS: u32 = 20;

/// What a client learns of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Happens {
    /// A head came: the place is reachable.
    Head,
    /// A restart begins to repeat what was given.
    Speaks,
    /// The first content came, or what goes beyond what was given.
    Content,
    /// The answer is whole.
    Whole,
    /// It failed before any content.
    Fails(Failure),
    /// It broke off after so many tokens.
    Breaks(Class, u32),
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Failure {
    pub(super) class: Class,
    pub(super) status: Option<u16>,
    pub(super) retry_after: Option<Duration>,
    pub(super) sent: bool,
}

impl Failure {
    fn of(class: Class) -> Self {
        Self { class, status: None, retry_after: None, sent: true }
    }

    fn said(status: u16, retry_after: Option<Duration>) -> Self {
        let said = outrigger::wire::classify(status, |_| None, &[], std::time::SystemTime::UNIX_EPOCH);
        Self { class: said.class, status: Some(status), retry_after, sent: true }
    }
}

/// What is wanted of a region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) stream: bool,
    /// Tokens that the caller has already: of an answer that broke off.
    pub(super) given: u32,
    /// Whether the answer begins anew, and repeats them.
    pub(super) restarts: bool,
    /// Whether its caller stands elsewhere.
    pub(super) away: bool,
}

/// All regions, and what they have seen.
#[derive(Debug)]
pub(super) struct Regions {
    places: Vec<Place>,
    seed: u64,
}

#[derive(Debug)]
struct Place {
    region: Region,
    faults: Vec<Injected>,
    quotas: Vec<(Duration, Duration, Quota)>,
    bucket: Option<(Quota, Bucket)>,
    in_flight: u32,
    attempts: u64,
}

#[derive(Debug)]
struct Injected {
    fault: Fault,
    when: When,
    from: Duration,
    until: Duration,
    left: Option<u32>,
}

impl Regions {
    /// The scenario's regions, before anything goes wrong.
    ///
    /// # Errors
    /// A fault that makes no sense.
    pub(super) fn new(scenario: &Scenario) -> Result<Self, ScenarioError> {
        let place = |region: &Region| Place {
            region: region.clone(),
            faults: Vec::new(),
            quotas: Vec::new(),
            bucket: None,
            in_flight: 0,
            attempts: 0,
        };
        let mut places: Vec<Place> = scenario.regions.iter().map(place).collect();
        for chaos in &scenario.faults {
            let (fault, when) = chaos.parse()?;
            let until = when.lasting.map_or(Duration::MAX, |lasting| chaos.at.saturating_add(lasting));
            if let Some(place) = places.iter_mut().find(|place| place.region.name == chaos.region) {
                place.faults.push(Injected { fault, when, from: chaos.at, until, left: when.first });
            }
        }
        for limit in &scenario.limits {
            let until = limit.at.saturating_add(limit.lasting);
            if let Some(place) = places.iter_mut().find(|place| place.region.name == limit.region) {
                place.quotas.push((limit.at, until, limit.quota));
            }
        }
        Ok(Self { places, seed: scenario.seed })
    }

    /// Whether something is wrong with a region: a fault, or a lowered quota.
    pub(super) fn is_sick(&self, place: usize, now: Duration) -> bool {
        self.places.get(place).is_some_and(|place| {
            let faults = place.faults.iter().map(|fault| (fault.from, fault.until));
            let quotas = place.quotas.iter().map(|(from, until, _)| (*from, *until));
            faults.chain(quotas).any(|(from, until)| from <= now && now < until)
        })
    }

    /// An attempt arrives: what its client learns, each so long from now. It is in flight until [`leave`](Self::leave).
    pub(super) fn ask(&mut self, place: usize, wanted: Wanted, now: Duration) -> Vec<(Duration, Happens)> {
        let number = u64::try_from(place).unwrap_or(u64::MAX);
        let Some(place) = self.places.get_mut(place) else { return Vec::new() };
        place.in_flight += 1;
        place.attempts += 1;
        // The n-th attempt at a place has its own chance, whatever the others drew.
        let mut draws = Draws::new(
            self.seed ^ number.wrapping_mul(0xa076_1d64_78bd_642f) ^ Draws::new(place.attempts).next(),
        );
        place.answer(wanted, now, &mut draws)
    }

    /// An attempt is over, or was let go.
    pub(super) fn leave(&mut self, place: usize) {
        if let Some(place) = self.places.get_mut(place) {
            place.in_flight = place.in_flight.saturating_sub(1);
        }
    }
}

impl Place {
    fn answer(&mut self, wanted: Wanted, now: Duration, draws: &mut Draws) -> Vec<(Duration, Happens)> {
        let mut head = sample(self.region.latency, draws);
        let mut pace = self.region.pace;
        if let Some(slots) = self.region.slots {
            let load = (f64::from(self.in_flight) / f64::from(slots.max(1))).max(1.0);
            (head, pace) = (head.mul_f64(load), pace.mul_f64(load));
        }
        let (fault, first) = self.strikes(now, draws, &mut head, &mut pace);
        if wanted.away {
            head += OCEAN;
        }
        if let Some(steps) = fault.as_ref().and_then(|fault| at_the_door(fault, head, wanted)) {
            return steps;
        }
        if let Err(wait) = self.admit(now) {
            return vec![(head, Happens::Head), (head, Happens::Fails(Failure::said(429, Some(wait))))];
        }
        let speech = Speech { head, first, pace, tokens: self.region.tokens.max(1) };
        if wanted.stream { speech.stream(fault.as_ref(), wanted) } else { speech.whole(fault.as_ref()) }
    }

    /// The fault that decides, if one does, and by how much the first token is late.
    fn strikes(
        &mut self,
        now: Duration,
        draws: &mut Draws,
        head: &mut Duration,
        pace: &mut Duration,
    ) -> (Option<Fault>, Duration) {
        let (mut decisive, mut first) = (None, Duration::ZERO);
        for injected in &mut self.faults {
            let on = injected.from <= now && now < injected.until && injected.left != Some(0);
            let delays = matches!(
                injected.fault,
                Fault::Slow { .. } | Fault::SlowTokens { .. } | Fault::SlowFirstToken { .. }
            );
            if !on || (!delays && decisive.is_some()) || draws.unit() >= injected.when.share {
                continue;
            }
            injected.left = injected.left.map(|left| left.saturating_sub(1));
            match &injected.fault {
                Fault::Slow { factor } => (*head, *pace) = (head.mul_f64(*factor), pace.mul_f64(*factor)),
                Fault::SlowTokens { delay } => *pace = (*pace).max(*delay),
                Fault::SlowFirstToken { delay } => first += *delay,
                fault => decisive = Some(fault.clone()),
            }
        }
        (decisive, first)
    }

    /// Takes one request out of the quota of this moment.
    fn admit(&mut self, now: Duration) -> Result<(), Duration> {
        let timed = self.quotas.iter().rev().find(|(from, until, _)| *from <= now && now < *until);
        let Some(quota) = timed.map(|(_, _, quota)| *quota).or(self.region.quota) else {
            self.bucket = None;
            return Ok(());
        };
        let tokens = self.region.tokens.saturating_add(INPUT_TOKENS);
        let kept = self.bucket.take().filter(|(of, _)| *of == quota);
        let (_, bucket) = self.bucket.insert(kept.unwrap_or_else(|| (quota, Bucket::new(&quota, now))));
        bucket.take(&quota, tokens, now)
    }
}

/// Faults that strike before there is an answer.
fn at_the_door(fault: &Fault, head: Duration, wanted: Wanted) -> Option<Vec<(Duration, Happens)>> {
    let said = |status, retry_after| {
        vec![(head, Happens::Head), (head, Happens::Fails(Failure::said(status, retry_after)))]
    };
    let class = |class| vec![(head, Happens::Head), (head, Happens::Fails(Failure::of(class)))];
    let near = if wanted.away { OCEAN } else { Duration::from_millis(1) };
    match fault {
        Fault::Refuse => {
            let failure = Failure { sent: false, ..Failure::of(Class::Unreachable) };
            Some(vec![(near, Happens::Fails(failure))])
        }
        Fault::Reset => Some(vec![(head, Happens::Fails(Failure::of(Class::Reset)))]),
        Fault::Silent => Some(Vec::new()),
        Fault::KeepaliveForever => Some(vec![(head, Happens::Head)]),
        Fault::Status { code, retry_after, .. } => Some(said(*code, *retry_after)),
        Fault::RateLimit { retry_after } => Some(said(429, *retry_after)),
        Fault::Overloaded => Some(said(529, None)),
        Fault::QuotaSpent => Some(class(Class::QuotaSpent)),
        Fault::BadKey => Some(class(Class::Credential)),
        Fault::Empty => Some(class(Class::Empty)),
        Fault::ContextLength => Some(class(Class::ContextTooLong)),
        Fault::ContentFilter => Some(class(Class::ContentRefused)),
        Fault::NoPrefill if wanted.given > 0 && !wanted.restarts => Some(class(Class::CallerFault)),
        _ => None,
    }
}

/// An answer that comes, as far as it comes.
#[derive(Clone, Copy, Debug)]
struct Speech {
    head: Duration,
    /// From the head to the first token.
    first: Duration,
    pace: Duration,
    tokens: u32,
}

impl Speech {
    /// When the n-th token comes, from 1.
    fn token(self, number: u32) -> Duration {
        self.head + self.first + self.pace * number.saturating_sub(1)
    }

    fn whole(self, fault: Option<&Fault>) -> Vec<(Duration, Happens)> {
        let end = self.token(self.tokens);
        match fault {
            Some(Fault::Cut { .. }) => {
                vec![(end, Happens::Head), (end, Happens::Fails(Failure::of(Class::Cut)))]
            }
            Some(Fault::Malformed { .. }) => {
                vec![(end, Happens::Head), (end, Happens::Fails(Failure::of(Class::Malformed)))]
            }
            Some(Fault::Stall { .. }) => vec![(end, Happens::Head)],
            _ => vec![(end, Happens::Head), (end, Happens::Whole)],
        }
    }

    fn stream(self, fault: Option<&Fault>, wanted: Wanted) -> Vec<(Duration, Happens)> {
        // What goes on from an assistant's message leaves out what was given; what restarts says it again first.
        let (tokens, first) = match (wanted.given, wanted.restarts) {
            (given, false) => (self.tokens.saturating_sub(given).max(1), 1),
            (given, true) => (self.tokens, given.saturating_add(1).min(self.tokens)),
        };
        let mut steps = vec![(self.head, Happens::Head)];
        if wanted.restarts {
            steps.push((self.token(1), Happens::Speaks));
        }
        let (limit, class, silence) = match fault {
            Some(Fault::Cut { after }) => (*after, Class::Cut, Duration::ZERO),
            Some(Fault::Stall { after }) => (*after, Class::Stalled, IDLE),
            // The head's frame is the first.
            Some(Fault::Malformed { after }) => (after.saturating_sub(2), Class::Malformed, Duration::ZERO),
            _ => (u32::MAX, Class::Cut, Duration::ZERO),
        };
        if limit < first {
            if class != Class::Stalled {
                steps.push((self.token(limit.max(1)), Happens::Fails(Failure::of(class))));
            }
            return steps;
        }
        steps.push((self.token(first), Happens::Content));
        if limit < tokens {
            let said = if wanted.restarts { limit } else { limit.saturating_add(wanted.given) };
            steps.push((self.token(limit) + silence, Happens::Breaks(class, said)));
        } else {
            steps.push((self.token(tokens), Happens::Whole));
        }
        steps
    }
}

/// The longest silence within a stream, as a configuration has it by default.
const IDLE: Duration = Duration::from_secs(15);

/// A quota that fills evenly.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    requests: f64,
    tokens: f64,
    at: Duration,
}

impl Bucket {
    fn new(quota: &Quota, now: Duration) -> Self {
        let tokens = quota.tokens.map_or(f64::INFINITY, f64::from);
        Self { requests: f64::from(quota.requests), tokens, at: now }
    }

    /// Takes one request out, and its tokens.
    ///
    /// # Errors
    /// The wait until there will be enough.
    fn take(&mut self, quota: &Quota, tokens: u32, now: Duration) -> Result<(), Duration> {
        let per = quota.per.as_secs_f64().max(1e-9);
        let passed = now.saturating_sub(self.at).as_secs_f64() / per;
        self.at = self.at.max(now);
        let most = f64::from(quota.requests);
        self.requests = passed.mul_add(most, self.requests).min(most);
        let lacks = (1.0 - self.requests) / most.max(1e-9);
        let mut short = lacks;
        if let Some(most) = quota.tokens.map(f64::from) {
            self.tokens = passed.mul_add(most, self.tokens).min(most);
            short = short.max((f64::from(tokens) - self.tokens) / most.max(1e-9));
        }
        if short > 0.0 {
            return Err(Duration::try_from_secs_f64((short.min(1.0) * per).max(1e-3)).unwrap_or(quota.per));
        }
        self.requests -= 1.0;
        self.tokens -= f64::from(tokens);
        Ok(())
    }
}

fn sample(latency: Latency, draws: &mut Draws) -> Duration {
    match latency {
        Latency::LogNormal { median, sigma } => {
            let radius = (-2.0 * (1.0 - draws.unit()).ln()).sqrt();
            let normal = radius * (TAU * draws.unit()).cos();
            median.mul_f64((sigma * normal).exp().min(10.0))
        }
        fixed => fixed.median(),
    }
}

#[cfg(test)]
mod tests {
    use sim::Chaos;

    use super::*;

    const PLAIN: Wanted = Wanted { stream: false, given: 0, restarts: false, away: false };
    const STREAM: Wanted = Wanted { stream: true, ..PLAIN };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// One region, 10 ms to the first byte and 1 ms a token, twenty of them.
    fn regions(faults: &[Fault]) -> Regions {
        let mut scenario = Scenario::four_acts(ms(4_000), 1);
        (scenario.limits, scenario.faults) = (Vec::new(), Vec::new());
        scenario.regions = vec![Region::new("us-east").latency(ms(10))];
        scenario.faults = faults.iter().map(|fault| Chaos::new("us-east", fault)).collect();
        Regions::new(&scenario).unwrap()
    }

    #[test]
    fn a_well_region_answers_at_its_pace() {
        let mut well = regions(&[]);
        assert_eq!(well.ask(0, PLAIN, ms(0)), [(ms(29), Happens::Head), (ms(29), Happens::Whole)]);
        let away = Wanted { away: true, ..STREAM };
        let stream = [(ms(90), Happens::Head), (ms(90), Happens::Content), (ms(109), Happens::Whole)];
        assert_eq!(well.ask(0, away, ms(0)), stream);
    }

    #[test]
    fn what_breaks_off_is_told_with_what_was_given_and_may_be_repeated() {
        let mut cut = regions(&[Fault::Cut { after: 5 }]);
        let broken = (ms(14), Happens::Breaks(Class::Cut, 5));
        assert_eq!(cut.ask(0, STREAM, ms(0))[1..], [(ms(10), Happens::Content), broken]);
        let again = Wanted { given: 5, restarts: true, ..STREAM };
        let in_vain = (ms(14), Happens::Fails(Failure::of(Class::Cut)));
        assert_eq!(cut.ask(0, again, ms(0))[1..], [(ms(10), Happens::Speaks), in_vain]);
        let rest = [(ms(10), Happens::Speaks), (ms(15), Happens::Content), (ms(29), Happens::Whole)];
        assert_eq!(regions(&[]).ask(0, again, ms(0))[1..], rest);
    }

    #[test]
    fn the_first_fault_decides_and_delays_add_up() {
        let mut both = regions(&[Fault::Slow { factor: 10.0 }, Fault::Overloaded, Fault::Refuse]);
        let told = both.ask(0, PLAIN, ms(0));
        assert_eq!(told.len(), 2);
        assert!(
            matches!(told[1], (at, Happens::Fails(Failure { class: Class::Overloaded, .. })) if at == ms(100)),
            "{told:?}"
        );
        assert_eq!(both.ask(0, PLAIN, ms(10_000)).last(), Some(&(ms(29), Happens::Whole)), "it is over");
        assert!(both.is_sick(0, ms(9_999)) && !both.is_sick(0, ms(10_000)));
    }

    #[test]
    fn a_quota_admits_what_it_says_and_names_the_wait() {
        let mut limited = regions(&[]);
        limited.places[0].region.quota = Some(Quota::new(2, Duration::from_secs(1)));
        let mut class = |now| match limited.ask(0, PLAIN, now).pop() {
            Some((_, Happens::Fails(failure))) => failure.retry_after,
            _ => None,
        };
        assert_eq!([class(ms(0)), class(ms(0)), class(ms(0))], [None, None, Some(ms(500))]);
        assert_eq!(class(ms(500)), None);
    }

    #[test]
    fn twice_the_slots_take_twice_as_long() {
        let mut busy = regions(&[]);
        busy.places[0].region.slots = Some(1);
        busy.ask(0, PLAIN, ms(0));
        assert_eq!(busy.ask(0, PLAIN, ms(0)).last(), Some(&(ms(58), Happens::Whole)));
        busy.leave(0);
        busy.leave(0);
        assert_eq!(busy.ask(0, PLAIN, ms(0)).last(), Some(&(ms(29), Happens::Whole)));
    }
}
