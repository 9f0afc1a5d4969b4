//! Rules that hold for all histories of the small machines, against naive models.

use std::time::{Duration, Instant};

use outrigger_policy::{
    AimdConfig, AimdLimit, Backoff, BackoffConfig, Budget, BudgetConfig, Deadline, FIRST_TRY_REWARD,
    HedgeBudget, Quantiles, RETRY_COST_BILLED, RETRY_COST_UNPROCESSED,
};
use proptest::{collection::vec, prelude::*, test_runner::FileFailurePersistence};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 512,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an instant can only be made from a clock; its value is never looked at"
)]
fn t0() -> Instant {
    Instant::now()
}

fn budget(capacity: u32) -> Budget {
    let mut config = BudgetConfig::default();
    config.capacity = capacity;
    Budget::new(config)
}

/// The naive reading of 'a share of so many': rounded up, and the first at least.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small and not negative"
)]
fn rank(share: f64, count: usize) -> usize {
    ((share * count as f64).ceil() as usize).max(1)
}

/// What is done to a budget.
#[derive(Clone, Debug)]
enum Movement {
    Withdraw(u32),
    Deposit(u32),
}

fn movement() -> impl Strategy<Value = Movement> {
    let amount = prop_oneof![4 => 0_u32..30, 1 => any::<u32>()];
    (any::<bool>(), amount)
        .prop_map(|(out, amount)| if out { Movement::Withdraw(amount) } else { Movement::Deposit(amount) })
}

proptest! {
    #![proptest_config(config())]

    /// **Never overdrawn.** Over any history the budget is the naive account that counts in wide integers: within 0 and the
    /// capacity, and a refused withdrawal changes nothing. Fails if a refusal takes what is left, or a deposit overflows.
    #[test]
    fn a_budget_is_never_overdrawn(capacity in prop_oneof![0_u32..600, any::<u32>()], movements in vec(movement(), 0..200)) {
        let mut budget = budget(capacity);
        let mut account = i128::from(capacity);
        for movement in movements {
            match movement {
                Movement::Withdraw(cost) => {
                    let granted = account >= i128::from(cost);
                    prop_assert_eq!(budget.withdraw(cost), granted);
                    if granted {
                        account -= i128::from(cost);
                    }
                }
                Movement::Deposit(amount) => {
                    budget.deposit(amount);
                    account = (account + i128::from(amount)).min(i128::from(capacity));
                }
            }
            prop_assert_eq!(i128::from(budget.balance()), account);
            prop_assert!((0..=i128::from(capacity)).contains(&account));
        }
    }

    /// **No storm.** Over any history of requests that retry until they succeed, are refused or give up, the retries cost no more
    /// than the capacity and what came back. Fails if a request that failed in the end gets its price back.
    #[test]
    fn retries_are_bounded_by_what_was_paid_in(capacity in 0_u32..600, requests in vec((0_u32..5, any::<bool>(), any::<bool>()), 0..200)) {
        let mut budget = budget(capacity);
        let (mut retries, mut refunds) = (0_u64, 0_u64);
        for (failures, billed, saved) in requests {
            let cost = if billed { RETRY_COST_BILLED } else { RETRY_COST_UNPROCESSED };
            let granted = (0..failures).take_while(|_| budget.withdraw(cost)).count() as u64;
            retries += granted;
            if granted == u64::from(failures) && saved {
                let refund = if granted == 0 { FIRST_TRY_REWARD } else { cost };
                budget.deposit(refund);
                refunds += u64::from(refund);
            }
        }
        prop_assert!(retries * u64::from(RETRY_COST_UNPROCESSED) <= u64::from(capacity) + refunds);
    }

    /// **Bounded, exact and restarted.** Each delay lies between the formula's value less its jitter and that value, which the model
    /// computes from the count of failures since the last wish alone. Fails if a wish does not restart the series, or
    /// if chance is added above the bound.
    #[test]
    fn a_delay_follows_its_formula(
        initial_ms in 0_u32..5_000,
        multiplier in 1.0_f64..4.0,
        max_ms in 5_000_u32..60_000,
        jitter in 0.0_f64..=1.0,
        failures in vec((prop::option::weighted(0.2, 0_u64..100_000), any::<u64>()), 1..60),
    ) {
        let mut config = BackoffConfig::default();
        config.initial = Duration::from_millis(initial_ms.into());
        config.multiplier = multiplier;
        config.max = Duration::from_millis(max_ms.into());
        config.jitter = jitter;
        let mut backoff = Backoff::new(config).unwrap();
        let mut since_wish = 0;
        for (wish, draw) in failures {
            let wish = wish.map(Duration::from_millis);
            let delay = backoff.next(wish, draw);
            if let Some(wish) = wish {
                prop_assert_eq!(delay, wish);
                since_wish = 0;
                continue;
            }
            let whole = (f64::from(initial_ms) * multiplier.powi(since_wish)).min(f64::from(max_ms));
            let least = whole * (1.0 - jitter);
            let delay_ms = delay.as_secs_f64() * 1e3;
            prop_assert!(delay <= config.max);
            prop_assert!(delay_ms <= whole * (1.0 + 1e-6) + 1e-3 && delay_ms >= least * (1.0 - 1e-6) - 1e-3, "{} {} {}", least, delay_ms, whole);
            since_wish += 1;
        }
    }

    /// **A limit stays within its bounds, moves one way at a time, and grows by one.** Fails if a burst of overloads reaches 0, or a
    /// success lowers the limit.
    #[test]
    fn a_limit_stays_within_its_bounds(
        min in 0_u32..50,
        above in 0_u32..200,
        backoff in 0.0_f64..=1.0,
        samples in vec((0_u64..10_000, 0_u32..300, any::<bool>()), 0..200),
    ) {
        let mut config = AimdConfig::default();
        config.min = min;
        config.max = min.max(1) + above;
        config.initial = config.max;
        config.backoff = backoff;
        let mut limit = AimdLimit::new(config).unwrap();
        for (rtt_ms, in_flight, dropped) in samples {
            let before = limit.limit();
            let rtt = Duration::from_millis(rtt_ms);
            let after = limit.sample(rtt, in_flight, dropped);
            prop_assert!((min.max(1)..=config.max).contains(&after));
            if dropped || rtt > config.timeout {
                prop_assert!(after <= before);
            } else {
                prop_assert!(after == before || after == before + 1);
                prop_assert!(after == before || in_flight * 2 >= before);
            }
        }
    }

    /// **No attempt outlives its request.** An attempt ends no later than the deadline and its patience allow, and gets at least its
    /// floor where both leave room. Fails if the floor is applied after the deadline.
    #[test]
    fn a_share_ends_within_the_deadline(total in 0_u64..100_000, passed in 0_u64..100_000, attempts in 0_u32..10, floor in 0_u64..20_000, patience in 0_u64..20_000) {
        let ms = Duration::from_millis;
        let start = t0();
        let now = start + ms(passed);
        let deadline = Deadline::after(start, ms(total));
        let end = deadline.split(now, attempts, ms(floor), ms(patience));
        prop_assert!(end <= deadline.instant().max(now));
        prop_assert!(end <= now + ms(patience));
        if !deadline.is_over(now) {
            prop_assert!(end >= now + ms(floor).min(ms(patience)).min(deadline.remaining(now)));
        }
    }

    /// **Two in a hundred.** Over any history hedges are at most a fiftieth of the requests, and after fifty requests without
    /// one there is one. Fails if a refused hedge takes what was saved, or the allowance starts with any.
    #[test]
    fn hedges_are_two_in_a_hundred(wishes in vec(proptest::bool::weighted(0.3), 0..2_000)) {
        let mut hedges = HedgeBudget::new();
        let (mut requests, mut sent, mut since) = (0_u32, 0_u32, 0_u32);
        for wishes in wishes {
            hedges.on_request();
            requests += 1;
            since += 1;
            if wishes {
                let granted = hedges.withdraw();
                sent += u32::from(granted);
                prop_assert!(granted || since < 50);
                since = if granted { 0 } else { since };
            }
            prop_assert!(sent * 50 <= requests);
        }
    }

    /// **A quantile is what was seen.** It is never below the value of its rank among those remembered, sorted, and at most an
    /// eighth above it; and what is remembered is the present window and the one before. Fails if a rank is rounded down, a
    /// window is kept too long, or a bucket tells its lower edge.
    #[test]
    fn a_quantile_is_that_of_a_sorted_list(steps in vec((0_u64..40_000_000, 0_u64..30_000), 1..150), share in 0.0..=1.0_f64) {
        let (start, window) = (t0(), Duration::from_secs(60));
        let mut quantiles = Quantiles::new(window);
        let (mut all, mut now): (Vec<(u64, u64)>, u64) = (Vec::new(), 0);
        for (micros, passes) in steps {
            quantiles.record(Duration::from_micros(micros), start + Duration::from_millis(now));
            all.push((now / 60_000, micros));
            now += passes;
            let present = now / 60_000;
            let mut remembered: Vec<u64> =
                all.iter().filter(|(index, _)| index + 1 >= present).map(|(_, micros)| *micros).collect();
            remembered.sort_unstable();
            let at = start + Duration::from_millis(now);
            prop_assert_eq!(quantiles.count(at), remembered.len() as u64);
            let told = quantiles.quantile(share, at);
            let rank = rank(share, remembered.len());
            let Some(&exact) = remembered.get(rank - 1) else {
                prop_assert_eq!(told, None);
                continue;
            };
            let told = u64::try_from(told.map_or(0, |told| told.as_micros())).unwrap();
            prop_assert!(told >= exact, "{told} is below {exact}");
            prop_assert!(told <= (exact * 9).div_ceil(8) + 1 || told == 1_024, "{told} is far above {exact}");
        }
    }
}
