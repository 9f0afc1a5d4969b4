//! Runs the shared handle, compiled a second time over shuttle's primitives, against the machine.

/// The shim: the same names as `crate::sync`, scheduled by shuttle.
mod sync {
    pub(super) use shuttle::sync::atomic::{AtomicU64, Ordering::SeqCst};
    pub(super) use shuttle::sync::{Mutex, MutexGuard};
}

#[path = "shared.rs"]
#[expect(dead_code, reason = "the crate's own file; the histories here use a part of it")]
#[expect(unreachable_pub, reason = "the crate's own file, whose items are public there")]
mod shared;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::shared::SharedBreaker;
use crate::{Breaker, BreakerConfig, Permit, RateRule, Ratio, State, Verdict};

/// What a thread does. A report is of the thread's own oldest permit.
#[derive(Clone, Copy, Debug)]
enum Op {
    Acquire(u64),
    Report(Verdict, u64),
    Release,
    Look(u64),
    ForceOpen(u64),
    Reset(u64),
}

/// What it saw.
#[derive(Clone, Debug, PartialEq)]
enum Saw {
    Admitted { trial: bool },
    Refused(Option<Instant>),
    Stands(State),
    Nothing,
}

trait Circuit {
    fn step(&mut self, op: Op, permits: &mut Vec<Permit>, origin: Instant) -> Saw;
}

macro_rules! circuit {
    ($name:ty) => {
        impl Circuit for $name {
            fn step(&mut self, op: Op, permits: &mut Vec<Permit>, origin: Instant) -> Saw {
                let at = |secs| origin + Duration::from_secs(secs);
                let oldest = |permits: &mut Vec<Permit>| (!permits.is_empty()).then(|| permits.remove(0));
                match op {
                    Op::Acquire(now) => match self.acquire(at(now)) {
                        Ok(permit) => {
                            let trial = permit.is_trial();
                            permits.push(permit);
                            return Saw::Admitted { trial };
                        }
                        Err(refusal) => return Saw::Refused(refusal.retry_at),
                    },
                    Op::Look(now) => return Saw::Stands(self.state(at(now))),
                    Op::Report(verdict, now) => {
                        if let Some(permit) = oldest(permits) {
                            self.report(permit, verdict, at(now));
                        }
                    }
                    Op::Release => {
                        if let Some(permit) = oldest(permits) {
                            self.release(permit);
                        }
                    }
                    Op::ForceOpen(now) => self.force_open(at(now)),
                    Op::Reset(now) => self.reset(at(now)),
                }
                Saw::Nothing
            }
        }
    };
}
circuit!(Breaker);
circuit!(SharedBreaker);

/// A call as it was seen from outside: it began and ended at these ticks of one counter.
#[derive(Clone, Debug)]
struct Call {
    thread: usize,
    op: Op,
    saw: Saw,
    began: u64,
    ended: u64,
}

/// Whether some order of the calls that keeps real-time order has the machine see the same.
fn explained(
    machine: &Breaker,
    threads: usize,
    left: &[Call],
    origin: Instant,
    replay: &mut Vec<Call>,
) -> bool {
    if left.is_empty() {
        return true;
    }
    let first_end = left.iter().map(|call| call.ended).min().unwrap_or(u64::MAX);
    left.iter().enumerate().filter(|(_, call)| call.began <= first_end).any(|(place, call)| {
        replay.push(call.clone());
        let fits = matches(machine, threads, replay, origin);
        let mut rest = left.to_vec();
        rest.remove(place);
        let found = fits && explained(machine, threads, &rest, origin, replay);
        replay.pop();
        found
    })
}

/// Whether the machine, taken through these calls from its start, sees what they saw.
fn matches(machine: &Breaker, threads: usize, calls: &[Call], origin: Instant) -> bool {
    let mut machine = machine.clone();
    let mut permits: Vec<Vec<Permit>> = (0..threads).map(|_| Vec::new()).collect();
    calls.iter().all(|call| machine.step(call.op, &mut permits[call.thread], origin) == call.saw)
}

#[expect(clippy::disallowed_methods, reason = "an origin for made-up instants, read once")]
fn t0() -> Instant {
    Instant::now()
}

/// All threads run beside each other, after the prelude. Their instants are one and the same, since a fast path
/// does not tell the machine the time.
fn check(config: &BreakerConfig, prelude: &'static [Op], programs: &[&[Op]]) {
    let origin = t0();
    let config = config.clone();
    let programs: Vec<Vec<Op>> = programs.iter().map(|program| program.to_vec()).collect();
    let body = move || {
        let breaker = SharedBreaker::new(config.clone(), origin).expect("a valid config");
        let mut machine = Breaker::new_at(config.clone(), origin).expect("a valid config");
        let (mut shared, mut theirs, mut ours) = (breaker.clone(), Vec::new(), Vec::new());
        for op in prelude {
            assert_eq!(shared.step(*op, &mut theirs, origin), machine.step(*op, &mut ours, origin));
        }
        let log = Arc::new(Mutex::new((0_u64, Vec::new())));
        let threads: Vec<_> = programs
            .iter()
            .cloned()
            .enumerate()
            .map(|(thread, program)| {
                let (mut breaker, log) = (breaker.clone(), Arc::clone(&log));
                shuttle::thread::spawn(move || {
                    let mut permits = Vec::new();
                    for op in program {
                        let tick = || {
                            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                            log.0 += 1;
                            log.0
                        };
                        let began = tick();
                        let saw = breaker.step(op, &mut permits, origin);
                        let ended = tick();
                        let call = Call { thread, op, saw, began, ended };
                        log.lock().unwrap_or_else(PoisonError::into_inner).1.push(call);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
        let calls = log.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
        assert!(
            explained(&machine, programs.len(), &calls, origin, &mut Vec::new()),
            "no order explains {calls:#?}"
        );
    };
    shuttle::check_random(body.clone(), 1500);
    shuttle::check_pct(body, 1500, 3);
}

fn two_failures() -> BreakerConfig {
    let mut config = BreakerConfig::article();
    config.failure_threshold = 2;
    config.half_open_max_calls = 1;
    config.success_threshold = 1;
    config
}

/// **The run is exact.** Failures and successes counted beside each other trip as in some order. Fails if the
/// report that trips does not move the others to the lock first.
#[test]
fn runs_counted_in_the_word_trip_as_in_some_order() {
    use Op::{Acquire, Look, Report};
    use Verdict::{Failure, Success};
    let failing = [Acquire(0), Acquire(0), Report(Failure, 0), Report(Failure, 0)];
    let mixed = [Acquire(0), Report(Failure, 0), Acquire(0), Report(Success, 0)];
    check(&two_failures(), &[], &[&failing, &mixed, &[Look(0), Acquire(0), Look(0), Acquire(0)]]);
}

/// **One trial.** However threads race for it, the half-open circuit admits its bound and refuses with the right
/// instant. Fails if `until` is read without looking at the word again.
#[test]
fn trials_and_refusals_are_those_of_some_order() {
    use Op::{Acquire, Look, Release, Report};
    use Verdict::{Failure, Success};
    const TRIP: &[Op] = &[Acquire(0), Acquire(0), Report(Failure, 0), Report(Failure, 0), Acquire(0)];
    let fails = [Acquire(30), Report(Failure, 30), Acquire(30), Look(30)];
    let drops = [Acquire(30), Release, Acquire(30), Report(Success, 30)];
    check(&two_failures(), TRIP, &[&fails, &drops, &[Acquire(30), Look(30), Acquire(30)]]);
}

/// **Commands are atomic.** An operator's command beside calls is somewhere between them. Fails if a command
/// does not publish the word.
#[test]
fn commands_take_effect_between_calls() {
    use Op::{Acquire, ForceOpen, Look, Report, Reset};
    let calls = [Acquire(0), Report(Verdict::Failure, 0), Acquire(0), Report(Verdict::Failure, 0)];
    check(&two_failures(), &[], &[&calls, &[ForceOpen(0), Look(0), Reset(0), Acquire(0)], &calls]);
}

/// **Windows trip once.** With a window, reports under the lock and acquires beside it agree. Fails if the word
/// is published after the lock is gone.
#[test]
fn a_window_trips_as_in_some_order() {
    use Op::{Acquire, Look, Report};
    let mut config = two_failures();
    config.failure_threshold = 0;
    config.failure_rate = Some(RateRule::new(Ratio::HALF, 2, Duration::from_secs(10)));
    let calls = [Acquire(0), Report(Verdict::Failure, 0), Acquire(0), Report(Verdict::Success, 0)];
    check(&config, &[], &[&calls, &calls, &[Look(0), Acquire(0), Look(0)]]);
}
