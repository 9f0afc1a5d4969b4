//! Requests and tokens of the last minute, truly counted.
//!
//! Sixty buckets of a second, in a ring: the count at a time is what began within the last 60 s, exact to the bucket. The
//! totals are kept, so that reading within one second is one comparison; reading later subtracts what has left since and
//! changes nothing.
//!
//! What others used is a minute too, made whole from what they tell ([`Minute::heard`]): it is read as quickly, and empties by itself.

use std::time::{Duration, Instant};

const BUCKETS: u64 = 60;
const LENGTH: usize = 60;
/// Seconds so near to each other are told as one part: twelve or thirteen a minute say enough for a wait.
const TOLD: u64 = 5;

/// A part of what was used of a deployment's last minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Used {
    /// For how much longer it counts; more than a minute is a minute.
    pub left: Duration,
    /// Attempts begun.
    pub requests: u64,
    /// Tokens of attempts that finished.
    pub tokens: u64,
}

impl Used {
    /// So many requests and tokens, which count for so much longer.
    #[must_use]
    pub const fn new(left: Duration, requests: u64, tokens: u64) -> Self {
        Self { left, requests, tokens }
    }
}

/// Requests and tokens, of a second or of a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
}

impl Count {
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            tokens: self.tokens.saturating_add(other.tokens),
        }
    }

    const fn minus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            tokens: self.tokens.saturating_sub(other.tokens),
        }
    }
}

/// The last minute of one deployment.
#[derive(Clone, Debug)]
pub(crate) struct Minute {
    /// An instant, and the bucket that begins then: the first record and 0, or when it was heard and the last of a ring.
    origin: Option<(Instant, u64)>,
    /// The bucket last written to.
    head: u64,
    total: Count,
    ring: [Count; LENGTH],
}

impl Minute {
    pub(crate) const fn new() -> Self {
        let nothing = Count { requests: 0, tokens: 0 };
        Self { origin: None, head: 0, total: nothing, ring: [nothing; LENGTH] }
    }

    /// What others used, as it is known at `now`: a part counts to the end of its second.
    pub(crate) fn heard(parts: &[Used], now: Instant) -> Self {
        let mut minute = Self { origin: Some((now, BUCKETS)), head: BUCKETS, ..Self::new() };
        for &Used { left, requests, tokens } in parts {
            // The bucket that leaves within the n-th second from now is n, the first of the ring 1 and its last 60.
            let left = left.min(Duration::from_secs(BUCKETS));
            let bucket = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            if bucket > 0 {
                minute.add(bucket, Count { requests, tokens });
            }
        }
        minute
    }

    /// Counts at `now`. A time before the last record counts at that record's time.
    pub(crate) fn record(&mut self, count: Count, now: Instant) {
        self.origin.get_or_insert((now, 0));
        let bucket = self.bucket(now);
        self.total = self.total_at(now);
        for gone in (self.head + 1..=bucket).rev().take(LENGTH) {
            *self.slot(gone) = Count::default();
        }
        self.head = bucket;
        self.add(bucket, count);
    }

    /// What was counted within the minute before `now`.
    pub(crate) fn total_at(&self, now: Instant) -> Count {
        let passed = self.bucket(now) - self.head;
        if passed >= BUCKETS {
            return Count::default();
        }
        // The oldest bucket still in the ring is head - 59; each second that passed takes one from that end.
        let left = (1..=passed).map(|step| self.peek(self.head + step));
        left.fold(self.total, Count::minus)
    }

    /// When the oldest record of the minute before `now` leaves it; `None` when there is none.
    pub(crate) fn frees_at(&self, now: Instant) -> Option<Instant> {
        self.held(now).next().map(|(_, until, _)| until)
    }

    /// What counts at `now`, the oldest first, in parts of five seconds, each of which counts as long as the last of it.
    pub(crate) fn told(&self, now: Instant) -> Vec<Used> {
        let mut parts: Vec<(u64, Used)> = Vec::new();
        for (bucket, until, Count { requests, tokens }) in self.held(now) {
            let (part, left) = (bucket / TOLD, until.saturating_duration_since(now));
            match parts.last_mut().filter(|(last, _)| *last == part) {
                Some((_, used)) => {
                    let (requests, tokens) =
                        (used.requests.saturating_add(requests), used.tokens.saturating_add(tokens));
                    *used = Used { left, requests, tokens };
                }
                None => parts.push((part, Used { left, requests, tokens })),
            }
        }
        parts.into_iter().map(|(_, used)| used).collect()
    }

    /// The buckets of the minute before `now` that hold something, the oldest first, each with when it leaves.
    fn held(&self, now: Instant) -> impl Iterator<Item = (u64, Instant, Count)> {
        let oldest = self.bucket(now).saturating_sub(BUCKETS - 1);
        (oldest..=self.head).filter_map(move |bucket| {
            let (count, (origin, first)) = (self.peek(bucket), self.origin?);
            let until = origin.checked_add(Duration::from_secs(bucket + BUCKETS - first))?;
            (count != Count::default()).then_some((bucket, until, count))
        })
    }

    /// The number of the bucket that `now` falls in; none before the head's.
    fn bucket(&self, now: Instant) -> u64 {
        let bucket = self.origin.map_or(0, |(at, first)| first + now.saturating_duration_since(at).as_secs());
        bucket.max(self.head)
    }

    const fn add(&mut self, bucket: u64, count: Count) {
        let slot = self.slot(bucket);
        *slot = slot.plus(count);
        self.total = self.total.plus(count);
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder by the length is within the ring")]
    const fn slot(&mut self, bucket: u64) -> &mut Count {
        &mut self.ring[(bucket % BUCKETS) as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder by the length is within the ring")]
    const fn peek(&self, bucket: u64) -> Count {
        self.ring[(bucket % BUCKETS) as usize]
    }
}
