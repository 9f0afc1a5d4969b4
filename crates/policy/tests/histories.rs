//! Every short history of a call: three deployments in two tiers, and all that can befall them, to a bounded length.
//!
//! Chance finds what is common; what goes wrong in the field is what is rare. So this walks all of them: at each step of the
//! machine every answer that its driver could give, at each wait every end that a running attempt could come to, and the
//! passing of time. The laws are asserted at every node.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do, and this one tells how much it walked"
)]

use std::time::{Duration, Instant};

use outrigger_policy::{Broken, Call, CallPlan, Failed, Finish, Key, Mode, Picked, Price, Step};

const TIERS: [&[Key]; 2] = [&[0, 1], &[2]];
const PATIENCE: Duration = Duration::from_millis(700);
const TOTAL: Duration = Duration::from_millis(3_000);
const STREAM: Duration = Duration::from_millis(9_000);
const MOST: u8 = 4;
/// So many choices of fate; then everything is silent and nobody is found.
const LENGTH: usize = 6;

#[expect(clippy::disallowed_methods, reason = "the one reading of the clock: all times are relative to it")]
fn t0() -> Instant {
    Instant::now()
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The failures that the machine tells apart.
fn failures(now: Instant) -> [Failed; 6] {
    let elsewhere = Failed::elsewhere();
    let (mut passes, mut own, mut short, mut long, mut too_long) =
        (elsewhere, elsewhere, elsewhere, elsewhere, elsewhere);
    passes.again = Some(ms(200));
    own.elsewhere = false;
    for (limited, wait) in [(&mut short, 400), (&mut long, 60_000)] {
        limited.again = Some(ms(wait));
        limited.limited = true;
        limited.billed = false;
        limited.limited_until = Some(now + ms(wait));
    }
    too_long.refused = true;
    [elsewhere, passes, own, short, long, too_long]
}

/// A node of the walk: the machine, and what its driver knows.
#[derive(Clone)]
struct Node {
    call: Call,
    now: Instant,
    until: Instant,
    /// Attempts that run, and where.
    running: Vec<(u8, Key)>,
    starts: Vec<Key>,
    free: u8,
    paid: u8,
    hedges: u8,
    hedging: bool,
    given: bool,
}

#[derive(Default)]
struct Walk {
    histories: u64,
    nodes: u64,
    ends: std::collections::BTreeMap<String, u64>,
}

impl Walk {
    /// Walks all that can follow within `left` choices.
    fn walk(&mut self, mut node: Node, left: usize) {
        self.nodes += 1;
        let step = node.call.next(node.now);
        assert_eq!(step, node.call.next(node.now), "a step stays until something is reported");
        match step {
            Step::Finish(finish) => self.ended(&node, finish, left),
            Step::Pick { tier, mode } => self.picks(&node, usize::from(tier), mode, left),
            Step::Start { deployment, price, mode } => self.starts(&node, deployment, price, mode, left),
            Step::Hedge { tier } => self.hedges(&node, usize::from(tier), left),
            Step::GiveUp { attempt } => {
                assert!(node.given, "only the rest of an answer is given up");
                node.running.retain(|(running, _)| *running != attempt);
                node.call.on_silent(attempt);
                self.walk(node, left);
            }
            Step::Queue { until } => self.queues(&node, until, left),
            Step::Wait(at) => self.waits(&node, at, left),
        }
    }

    fn ended(&mut self, node: &Node, finish: Finish, left: usize) {
        assert!(node.now <= node.until, "it ends by its deadline");
        assert_eq!(
            matches!(finish, Finish::Truncated),
            node.given && !matches!(finish, Finish::Answered { .. })
        );
        if let Finish::Answered { attempt } = finish {
            let (_, by) = *node.running.iter().find(|(running, _)| *running == attempt).expect("it ran");
            if left > 0 {
                for (again, rescue, continues) in
                    [(true, true, true), (true, true, false), (false, true, false), (true, false, false)]
                {
                    let mut next = node.clone();
                    next.given = true;
                    next.running.clear();
                    let mut failed = Failed::elsewhere();
                    failed.again = again.then_some(ms(200));
                    let mut broken = Broken::new(failed);
                    broken.rescue_by = rescue.then_some(node.now + STREAM);
                    broken.continues = continues && by == 1;
                    next.until = node.until.max(node.now + STREAM);
                    next.call.on_broke(attempt, broken);
                    self.walk(next, left - 1);
                }
            }
        }
        self.histories += 1;
        let name = format!("{finish:?}");
        *self.ends.entry(name.split([' ', '{']).next().unwrap_or("").to_owned()).or_default() += 1;
    }

    fn picks(&mut self, node: &Node, tier: usize, mode: Mode, left: usize) {
        assert!(node.now < node.until, "nobody is sought after the end");
        assert_eq!(mode == Mode::Fresh, !node.given);
        let candidates = TIERS[tier].iter().filter(|key| !node.call.excluded().contains(key));
        // Deployment 1 goes on from an assistant's message, and no other.
        let suits: Vec<Key> = candidates.copied().filter(|key| mode != Mode::Continue || *key == 1).collect();
        let mut fates = vec![Picked::Nothing { retry_at: None, limited: false }];
        if left > 0 {
            fates.push(Picked::Nothing { retry_at: Some(node.now + ms(500)), limited: true });
            for deployment in suits {
                fates.extend([true, false].map(|sound| Picked::Found { deployment, sound }));
            }
            if mode == Mode::Fresh {
                fates.push(Picked::Full);
            }
        }
        // Nobody at all is what comes at the end of every history, and no choice of fate.
        for (index, fate) in fates.into_iter().enumerate() {
            let mut next = node.clone();
            next.call.on_pick(fate, node.now);
            self.walk(next, left.saturating_sub(usize::from(index > 0)));
        }
    }

    fn starts(&mut self, node: &Node, deployment: Key, price: Price, mode: Mode, left: usize) {
        assert!(node.now < node.until, "nothing starts at or after the end");
        assert!(node.starts.len() < usize::from(MOST), "no more than the attempts allowed");
        assert!(!node.running.iter().any(|(_, running)| *running == deployment), "not where one runs");
        let again = node.starts.iter().filter(|key| **key == deployment).count();
        assert!(
            again < 2 + usize::from(node.given) * 2,
            "asked too often: {:?} and {deployment}",
            node.starts
        );
        if price == Price::Free {
            assert!(
                node.free < 2 && !node.hedging && mode == Mode::Fresh,
                "what is free is the first and its failover"
            );
            assert!(!node.starts.contains(&deployment), "a repeat is never free");
        }
        assert_eq!(mode == Mode::Fresh, !node.given);
        let started = {
            let mut next = node.clone();
            let attempt = next.call.on_start(node.now + PATIENCE);
            assert_eq!(usize::from(attempt), node.starts.len(), "ordinals count up");
            if mode == Mode::Fresh && node.starts.is_empty() {
                next.call.hedge_from(attempt, node.now + ms(300));
            }
            next.starts.push(deployment);
            next.running.push((attempt, deployment));
            next.free += u8::from(price == Price::Free);
            next.paid += u8::from(price != Price::Free);
            next.hedging = false;
            next
        };
        self.walk(started, left);
        if left > 0 {
            let mut refused = node.clone();
            refused.hedging = false;
            refused.call.on_refused(None);
            self.walk(refused, left - 1);
            if price != Price::Free {
                let mut unpaid = node.clone();
                unpaid.hedging = false;
                unpaid.call.on_unpaid();
                self.walk(unpaid, left - 1);
            }
        }
    }

    fn hedges(&mut self, node: &Node, tier: usize, left: usize) {
        assert!(!node.given && node.running.len() == 1, "beside one that is slow");
        let mut none = node.clone();
        none.call.on_hedge(None);
        self.walk(none, left);
        let other = TIERS[tier].iter().find(|key| !node.call.excluded().contains(key));
        if let (Some(&other), true) = (other, left > 0) {
            let mut next = node.clone();
            next.hedges += 1;
            next.hedging = true;
            assert!(next.hedges <= 1, "one hedge to a call");
            next.call.on_hedge(Some(other));
            self.walk(next, left - 1);
        }
    }

    fn queues(&mut self, node: &Node, until: Instant, left: usize) {
        assert!(until > node.now && until < node.until, "a wait for a place ends before the call");
        assert!(node.running.is_empty() && !node.given);
        let mut in_vain = node.clone();
        in_vain.now = until;
        self.walk(in_vain, left);
        if left > 0 {
            let mut place = node.clone();
            place.now += ms(1);
            place.call.on_place();
            self.walk(place, left - 1);
        }
    }

    fn waits(&mut self, node: &Node, at: Instant, left: usize) {
        assert!(at > node.now && at <= node.until, "a wait lies ahead, and within the call");
        let mut silent = node.clone();
        silent.now = at;
        self.walk(silent, left);
        if left == 0 {
            return;
        }
        for index in 0..node.running.len() {
            let (attempt, _) = node.running[index];
            for failed in failures(node.now) {
                let mut next = node.clone();
                next.running.remove(index);
                next.call.on_failed(attempt, failed);
                self.walk(next, left - 1);
            }
            let mut next = node.clone();
            next.call.on_answer(attempt);
            self.walk(next, left - 1);
        }
        if node.given {
            let mut next = node.clone();
            next.running.iter().for_each(|(attempt, _)| next.call.on_speaking(*attempt));
            next.now += ms(1);
            self.walk(next, left - 1);
        }
    }
}

/// **Every short history.** Whatever happens, in whatever order: each step stays until it is answered; the call ends by its
/// deadline; nothing starts after its end, where an attempt runs, too often, or for free twice over; and what a caller has a part
/// of ends whole or truncated. Fails if any rule of the machine forgets one of its phases.
#[test]
fn every_short_history_keeps_the_laws() {
    let now = t0();
    let mut walk = Walk::default();
    for budget in [true, false] {
        let mut plan = CallPlan::new(2, MOST, now + TOTAL);
        plan.budget = budget;
        let node = Node {
            call: Call::new(plan),
            now,
            until: now + TOTAL,
            running: Vec::new(),
            starts: Vec::new(),
            free: 0,
            paid: 0,
            hedges: 0,
            hedging: false,
            given: false,
        };
        walk.walk(node, LENGTH);
    }
    println!("{} histories, {} nodes: {:?}", walk.histories, walk.nodes, walk.ends);
    assert!(walk.histories > 100_000, "only {} histories", walk.histories);
    for end in ["Answered", "Rejected", "Exhausted", "Limited", "Unavailable", "Deadline", "Truncated"] {
        assert!(walk.ends.contains_key(end), "no history ends {end}");
    }
}
