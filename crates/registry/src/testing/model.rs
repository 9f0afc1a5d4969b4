//! One deployment as it should look, added up from all that ever happened to it.

use crate::config::RegistryConfig;
use crate::deployment::Numbers;
use crate::load::Used;
use crate::query::Kind;
use crate::quota::CooldownOrigin;
use crate::sample::Sample;
use std::time::{Duration, Instant};

/// What one deployment should look like, from all that ever happened to it.
#[derive(Clone, Debug)]
pub struct Model {
    /// Whether an operator has taken it out.
    pub cordoned: bool,
    /// When its circuit last closed again.
    pub recovered: Option<Instant>,
    numbers: Numbers,
    begun: Vec<Instant>,
    /// How each attempt ended, `None` when it was dropped.
    ended: Vec<(Instant, Option<Sample>)>,
    named: Option<Instant>,
    inferred: Option<Instant>,
    /// What others told last, and when.
    told: Option<(Instant, Vec<Used>)>,
}

/// What an end says about one kind of latency.
enum News {
    Latency(Duration),
    AtLeast(Duration),
    Tried,
    Nothing,
}

fn news(sample: Option<Sample>, kind: Kind, config: &RegistryConfig) -> News {
    match (sample, kind) {
        (Some(Sample::Success { first_token: Some(after), .. }), Kind::Stream)
        | (Some(Sample::Success { answer: Some(after), .. }), Kind::Whole) => News::Latency(after),
        (Some(Sample::Success { .. }), _) => News::Nothing,
        (Some(Sample::Failure), _) => News::AtLeast(config.failure_penalty),
        (Some(Sample::Cancelled { kind: Kind::Stream, waited, content: false }), _)
        | (Some(Sample::Cancelled { kind: Kind::Whole, waited, content: false }), Kind::Whole) => {
            News::AtLeast(waited)
        }
        _ => News::Tried,
    }
}

impl Model {
    /// One of which nothing is known.
    #[must_use]
    pub const fn new(numbers: Numbers) -> Self {
        Self {
            cordoned: false,
            recovered: None,
            numbers,
            begun: Vec::new(),
            ended: Vec::new(),
            named: None,
            inferred: None,
            told: None,
        }
    }

    /// An attempt begins.
    pub fn begin(&mut self, now: Instant) {
        self.begun.push(now);
    }

    /// An attempt ends; `None` when it is dropped.
    pub fn end(&mut self, now: Instant, sample: Option<Sample>) {
        self.ended.push((now, sample));
    }

    /// It is to be left alone until an instant.
    pub fn cool(&mut self, until: Instant, origin: CooldownOrigin) {
        let known = if origin == CooldownOrigin::Named { self.named } else { self.inferred };
        let longer = Some(known.map_or(until, |known| known.max(until)));
        match origin {
            CooldownOrigin::Named => (self.named, self.inferred) = (longer, None),
            CooldownOrigin::Inferred => self.inferred = longer,
        }
    }

    /// Others tell what they used.
    pub fn hear(&mut self, parts: Vec<Used>, now: Instant) {
        self.told = Some((now, parts));
    }

    /// Attempts in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.begun.len() - self.ended.len()
    }

    /// Attempts begun within the minute before `now`, by whole seconds since the first one.
    #[must_use]
    pub fn requests_per_minute(&self, now: Instant) -> u64 {
        self.uses().filter(|(until, ..)| now < *until).map(|(_, requests, _)| requests).sum()
    }

    /// Requests and tokens that others used within the minute before `now`, by whole seconds since they told.
    #[must_use]
    pub fn used_elsewhere(&self, now: Instant) -> (u64, u64) {
        let counting = self.uses_elsewhere().filter(|(until, ..)| now < *until);
        counting.fold((0, 0), |sum, (_, requests, tokens)| (sum.0 + requests, sum.1 + tokens))
    }

    /// Until when its limits per minute have no room for a request of `tokens`, and whether they had but for what others used.
    #[must_use]
    pub fn full_until(&self, tokens: u64, now: Instant) -> Option<(Instant, bool)> {
        let limits = &self.numbers.limits;
        let is_full = |uses: &[(Instant, u64, u64)]| {
            let requests: u64 = uses.iter().map(|(_, requests, _)| requests).sum();
            let used: u64 = uses.iter().map(|(_, _, tokens)| tokens).sum();
            limits.requests_per_minute.is_some_and(|limit| requests + 1 > limit.get().into())
                || limits.tokens_per_minute.is_some_and(|limit| used + tokens > limit.get())
        };
        let own: Vec<_> = self.uses().filter(|(until, ..)| now < *until).collect();
        let mut all = own.clone();
        all.extend(self.uses_elsewhere().filter(|(until, ..)| now < *until));
        let first =
            all.iter().filter(|(_, requests, tokens)| requests + tokens > 0).map(|(until, ..)| *until);
        is_full(&all).then(|| (first.min().unwrap_or(now), !is_full(&own)))
    }

    /// What was ever used here: until when it counts, requests and tokens.
    fn uses(&self) -> impl Iterator<Item = (Instant, u64, u64)> {
        let until = |at: Instant| {
            let origin = self.begun.first().copied().unwrap_or(at);
            origin + Duration::from_secs(at.saturating_duration_since(origin).as_secs() + 60)
        };
        let begun = self.begun.iter().map(move |&at| (until(at), 1, 0));
        let ended = self.ended.iter().filter_map(move |&(at, sample)| match sample {
            Some(Sample::Success { tokens, .. }) => Some((until(at), 0, tokens)),
            _ => None,
        });
        begun.chain(ended)
    }

    /// What others told last of their own.
    fn uses_elsewhere(&self) -> impl Iterator<Item = (Instant, u64, u64)> {
        self.told.iter().flat_map(|(at, parts)| {
            parts.iter().map(move |part| {
                let secs = part.left.as_secs_f64().min(60.0).ceil();
                (*at + Duration::from_secs_f64(secs), part.requests, part.tokens)
            })
        })
    }

    /// Successes and failures, in order.
    fn verdicts(&self) -> impl DoubleEndedIterator<Item = bool> {
        self.ended.iter().filter_map(|(_, sample)| match sample {
            Some(Sample::Success { .. }) => Some(true),
            Some(Sample::Failure) => Some(false),
            _ => None,
        })
    }

    /// Failures since the last success.
    #[must_use]
    pub fn consecutive_failures(&self) -> usize {
        self.verdicts().rev().take_while(|success| !success).count()
    }

    /// The article's health: ten points for a success, at most 100; 95 % left by a failure.
    #[must_use]
    pub fn health(&self) -> f64 {
        let step = |health: f64, success| if success { (health + 10.0).min(100.0) } else { health * 0.95 };
        self.verdicts().fold(100.0, step)
    }

    /// The article's score: health / max(1, latency / 50 ms), a new latency counting a tenth.
    #[must_use]
    pub fn composite(&self) -> f64 {
        let mut average_ms = self.numbers.initial_latency.map_or(50.0, ms);
        for (_, sample) in &self.ended {
            if let Some(Sample::Success { first_token, answer, .. }) = sample {
                for &after in first_token.iter().chain(answer) {
                    average_ms = average_ms * 0.9 + ms(after) * 0.1;
                }
            }
        }
        self.health() / (average_ms / 50.0).max(1.0)
    }

    /// Whether neither an operator nor a cooldown keeps it out.
    #[must_use]
    pub fn may_be_asked(&self, now: Instant) -> bool {
        let over = |until: Option<Instant>| until.is_none_or(|until| until <= now);
        !self.cordoned && over(self.named) && over(self.inferred)
    }

    /// Weight x ramp.
    #[must_use]
    pub fn share(&self, now: Instant, config: &RegistryConfig) -> f64 {
        let age = self.recovered.map(|since| now.saturating_duration_since(since));
        let ramp = match age {
            Some(age) if age < config.ramp => (age.as_secs_f64() / config.ramp.as_secs_f64()).max(0.1),
            _ => 1.0,
        };
        self.numbers.weight.get() * ramp
    }

    /// Its price; above all others when unknown.
    #[must_use]
    pub fn price(&self) -> f64 {
        self.numbers.price.map_or(f64::INFINITY, |price| price.get())
    }

    /// Whether it deserves one try of a kind, before all others; and its adaptive cost, in milliseconds, without preference.
    #[must_use]
    pub fn rank(&self, kind: Kind, now: Instant, config: &RegistryConfig) -> (bool, f64) {
        let left = |value: f64, at: Instant, now: Instant| {
            value * (-now.saturating_duration_since(at).as_secs_f64() / config.decay.as_secs_f64()).exp()
        };
        let mut tried: Option<Instant> = None;
        let mut usual: Option<(f64, Instant)> = None;
        let mut peak: Option<(f64, Instant)> = None;
        for &(at, sample) in &self.ended {
            let age = tried.map(|tried| at.saturating_duration_since(tried));
            match news(sample, kind, config) {
                News::Nothing => continue,
                News::Tried => {}
                News::AtLeast(floor) => {
                    let decayed = peak.map(|(value, since)| left(value, since, at));
                    if decayed.is_none_or(|value| value < ms(floor)) {
                        peak = Some((ms(floor), at));
                    }
                }
                News::Latency(after) => {
                    let toward = |old: Option<(f64, Instant)>| match old {
                        None => (ms(after), at),
                        Some((value, since)) => (ms(after) + left(value - ms(after), since, at), at),
                    };
                    let stale = age.is_some_and(|age| age >= config.forgive);
                    let before = peak.filter(|_| !stale);
                    let rises = before.is_none_or(|(value, since)| left(value, since, at) < ms(after));
                    peak = Some(if rises { (ms(after), at) } else { toward(before) });
                    // Of several latencies of one instant the first is kept.
                    if usual.is_none_or(|(_, since)| since < at) {
                        usual = Some(toward(usual));
                    }
                }
            }
            tried = Some(at);
        }
        let fresh = usual.filter(|&(_, since)| now.saturating_duration_since(since) < config.memory);
        let failures = self.consecutive_failures();
        let untried = self.in_flight() == 0
            && tried.is_none_or(|tried| {
                let age = now.saturating_duration_since(tried);
                let waited = self.named.is_some_and(|until| tried < until && until <= now);
                let in_doubt = failures > 0 || fresh.is_none();
                age >= config.memory || (in_doubt && (waited || age >= config.forgive))
            });
        let unknown_ms = ms(self.numbers.initial_latency.unwrap_or_default().max(config.failure_penalty));
        let estimate_ms = peak
            .map_or(0.0, |(value, since)| left(value, since, now))
            .max(fresh.map_or(unknown_ms, |(value, _)| value));
        let latency_ms = self.numbers.initial_latency.filter(|_| untried).map_or(estimate_ms, ms).max(1.0);
        let load = u32::try_from(self.in_flight()).map_or(f64::INFINITY, f64::from) + 1.0;
        let penalty = u32::try_from(failures.min(9)).map_or(9.0, f64::from) + 1.0;
        (untried, latency_ms * load * penalty / self.share(now, config))
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
