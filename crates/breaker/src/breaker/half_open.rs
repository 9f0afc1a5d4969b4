//! Half-open: what a trial's result does to the circuit.
//!
//! Two ways to judge a stay: so many successes close it and the first failure opens it, or all trials come back and
//! their shares decide. A confirmed trial has counted its success, which its later failure takes back.

use std::time::{Duration, Instant};

use super::Breaker;
use crate::state::Kind;
use crate::{Permit, Report, State, Thresholds, TripReason, Verdict, clock, trials};

impl Breaker {
    /// The call goes well so far: a long trial counts its success here (a stream at its first content) and its
    /// slot is spent. The permit moves to the epoch of this moment, where its later report counts only if it is
    /// a failure. For any other permit, and one whose epoch or lease is over, this changes nothing.
    pub fn confirm(&mut self, permit: &mut Permit, now: Instant) {
        let now = self.clock.tick(now);
        self.settle(now);
        let Kind::Trial(number) = permit.kind else { return };
        if permit.epoch != self.epoch || self.state != State::HalfOpen {
            return;
        }
        if let Some(since) = self.trials.take(number) {
            self.weigh(false, Some(trials::elapsed(since, now)), None, now);
            *permit = Permit { epoch: self.epoch, kind: Kind::Confirmed };
        }
    }

    /// When the stay is over, whatever its trials.
    pub(super) fn stay_end(&self) -> Option<u64> {
        self.config.half_open_max_stay.map(|stay| self.since.saturating_add(clock::nanos(stay)))
    }

    /// The stay ends, or leases do, if it is time.
    pub(super) fn settle_half_open(&mut self, now: u64) {
        match self.stay_end().filter(|end| now >= *end) {
            // Opened at the moment it was due, so that it does not matter who noticed when.
            Some(end) => self.trip(TripReason::HalfOpenTimeout, None, end),
            None => self.trials.expire(now),
        }
    }

    /// A trial of the present half-open stay has ended.
    pub(super) fn conclude(&mut self, kind: Kind, report: &Report, now: u64) {
        match kind {
            Kind::Trial(number) if self.trials.take(number).is_some() => {}
            Kind::Confirmed => return self.recant(report, now),
            Kind::Trial(_) | Kind::Plain | Kind::Untracked => return,
        }
        let failed = match report.verdict {
            Verdict::Ignored => return,
            Verdict::Success => false,
            Verdict::RateLimited => self.config.rate_limited_fails,
            Verdict::Failure => true,
        };
        self.draw = report.draw;
        self.weigh(failed, report.duration, report.retry_after, now);
    }

    /// A trial that was confirmed in this very stay has failed: its success was none.
    fn recant(&mut self, report: &Report, now: u64) {
        self.draw = report.draw;
        self.trials.results.failures += 1;
        // Judged by rate, the stay is still undecided: its last trial decides.
        if self.config.half_open_rate.is_none() {
            self.trip(TripReason::TrialFailed, report.retry_after, now);
        }
    }

    /// Counts a trial's result and decides the stay if it decides it.
    fn weigh(&mut self, failed: bool, duration: Option<Duration>, wish: Option<Duration>, now: u64) {
        let Some(thresholds) = self.config.half_open_rate else {
            self.trials.results.add(failed, false);
            if failed {
                self.trip(TripReason::TrialFailed, wish, now);
            } else if self.trials.successes() >= self.config.success_threshold {
                self.close(now);
            }
            return;
        };
        self.trials.results.add(failed, thresholds.is_slow(duration));
        self.judge_together(thresholds, wish, now);
    }

    fn judge_together(&mut self, thresholds: Thresholds, wish: Option<Duration>, now: u64) {
        if self.trials.are_all_back() {
            match thresholds.judge(self.trials.results) {
                Some(reason) => self.trip(reason, wish, now),
                None => self.close(now),
            }
        }
    }

    /// The stay goes by other numbers from now on. What its trials have brought may decide it by these: then no trial is left
    /// that would.
    pub(super) fn judge_anew(&mut self, now: u64) {
        self.trials.set_limit(self.config.half_open_max_calls);
        if self.state != State::HalfOpen {
            return;
        }
        match self.config.half_open_rate {
            Some(thresholds) => self.judge_together(thresholds, None, now),
            None if self.trials.results.failures > 0 => self.trip(TripReason::TrialFailed, None, now),
            None if self.trials.successes() >= self.config.success_threshold => self.close(now),
            None => {}
        }
    }
}
