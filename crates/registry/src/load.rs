//! Requests and tokens of the last minute, truly counted.
//!
//! Sixty buckets of a second, in a ring: the count at a time is what began within the last 60 s, exact to the bucket. The
//! totals are kept, so that reading within one second is one comparison; reading later subtracts what has left since and
//! changes nothing.

use std::time::{Duration, Instant};

const BUCKETS: u64 = 60;
const LENGTH: usize = 60;
const WINDOW: Duration = Duration::from_secs(BUCKETS);

/// Requests and tokens, of a second or of a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
}

impl Count {
    const fn plus(self, other: Self) -> Self {
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
    /// The first record, at which bucket 0 begins.
    origin: Option<Instant>,
    /// The bucket last written to, counted from the origin.
    head: u64,
    total: Count,
    ring: [Count; LENGTH],
}

impl Minute {
    pub(crate) const fn new() -> Self {
        let nothing = Count { requests: 0, tokens: 0 };
        Self { origin: None, head: 0, total: nothing, ring: [nothing; LENGTH] }
    }

    /// Counts at `now`. A time before the last record counts at that record's time.
    pub(crate) fn record(&mut self, count: Count, now: Instant) {
        let origin = *self.origin.get_or_insert(now);
        let bucket = bucket(origin, now).max(self.head);
        self.total = self.total_at(now);
        for gone in (self.head + 1..=bucket).rev().take(LENGTH) {
            *self.slot(gone) = Count::default();
        }
        self.head = bucket;
        let slot = self.slot(bucket);
        *slot = slot.plus(count);
        self.total = self.total.plus(count);
    }

    /// What was counted within the minute before `now`.
    pub(crate) fn total_at(&self, now: Instant) -> Count {
        let bucket = self.origin.map_or(0, |origin| bucket(origin, now)).max(self.head);
        let passed = bucket - self.head;
        if passed >= BUCKETS {
            return Count::default();
        }
        // The oldest bucket still in the ring is head - 59; each second that passed takes one from that end.
        let left = (1..=passed).map(|step| self.peek(self.head + step));
        left.fold(self.total, Count::minus)
    }

    /// When the oldest record of the minute before `now` leaves it; `now` when there is none.
    pub(crate) fn frees_at(&self, now: Instant) -> Instant {
        let Some(origin) = self.origin else { return now };
        let bucket = bucket(origin, now).max(self.head);
        let oldest = bucket.saturating_sub(BUCKETS - 1);
        let held = (oldest..=self.head).find(|&bucket| self.peek(bucket) != Count::default());
        let ends = held.and_then(|bucket| origin.checked_add(Duration::from_secs(bucket) + WINDOW));
        ends.unwrap_or(now)
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

/// The number of the bucket that `now` falls in.
fn bucket(origin: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(origin).as_secs()
}
