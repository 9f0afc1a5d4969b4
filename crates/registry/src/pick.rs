//! Who may be asked, and what happens when nobody may.
//!
//! Hard constraints come before any score. When they leave nobody, cooldowns that we inferred are waived, soonest first (unless
//! the query says that it has others to ask): a guess of ours must not take the last place out. A wait that the provider named is kept, and circuits, residency, quotas
//! and cordons are never waived.

use crate::deployment::DeploymentId;
use crate::error::{NoPick, Refusal, Why};
use crate::query::Query;
use crate::quota::CooldownOrigin;
use crate::state::State;
use std::time::Instant;

/// The deployment to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pick {
    /// Who.
    pub id: DeploymentId,
    /// Whether its inferred cooldown was waived, as nobody else was left.
    pub waived_cooldown: bool,
}

/// Which cooldowns count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cooldowns {
    /// All.
    Kept,
    /// Only those that the provider named.
    NamedKept,
}

/// Asks the hard constraints in their order; the caller's own code last: its circuits, and places.
#[inline(always)]
pub(crate) fn admit(
    state: &State,
    id: DeploymentId,
    query: &Query<'_>,
    cooldowns: Cooldowns,
    now: Instant,
) -> Result<(), Refusal> {
    if !query.resides(&state.deployment.region) {
        return Err(Refusal::Residency);
    }
    if state.cordoned {
        return Err(Refusal::Cordoned);
    }
    if query.excluded.contains(&id) {
        return Err(Refusal::Excluded);
    }
    if state.is_cooling(now)
        && let Some(cooldown) = state.cooldown_at(now)
        && (cooldowns == Cooldowns::Kept || cooldown.origin == CooldownOrigin::Named)
    {
        return Err(Refusal::Cooling { until: cooldown.until, origin: cooldown.origin });
    }
    if state.has_quota()
        && let Some(refusal) = state.quota_lacks(u64::from(query.tokens), now)
    {
        return Err(refusal);
    }
    if !(query.admits)(id) {
        return Err(Refusal::Circuit);
    }
    // Last, so that this refusal says that a place is all that lacks.
    let limit = state.deployment.numbers.limits.concurrent;
    if limit.is_some_and(|limit| state.in_flight >= limit.get()) || state.in_flight >= (query.places)(id) {
        return Err(Refusal::Concurrency);
    }
    Ok(())
}

/// Somebody whose inferred cooldown may be waived: the one whose cooldown ends soonest, the first listed of equals. Else
/// why there is nobody.
pub(crate) fn last_resort<'a>(
    candidates: impl Iterator<Item = (DeploymentId, Option<&'a State>)>,
    query: &Query<'_>,
    unchosen: Why,
    now: Instant,
) -> Result<Pick, NoPick> {
    let mut soonest: Option<(Instant, DeploymentId)> = None;
    let mut retry_at: Option<Instant> = None;
    let mut why = Why::NotConfigured;
    let mut full = false;
    for (id, state) in candidates {
        let Some(state) = state else { continue };
        let refusal = admit(state, id, query, Cooldowns::Kept, now).err();
        why = why.max_by_rank(Why::of(refusal, unchosen));
        full |= refusal == Some(Refusal::Concurrency);
        let until = refusal.and_then(|refusal| refusal.until());
        retry_at = [retry_at, until].into_iter().flatten().min();
        if let Some(Refusal::Cooling { until, origin: CooldownOrigin::Inferred }) = refusal {
            let sooner = soonest.is_none_or(|(best, _)| until < best);
            if sooner && admit(state, id, query, Cooldowns::NamedKept, now).is_ok() {
                soonest = Some((until, id));
            }
        }
    }
    match soonest {
        // Where somebody may be asked but is not chosen, cooldowns are not the obstacle.
        Some((_, id)) if why != unchosen && query.waive_cooldowns => Ok(Pick { id, waived_cooldown: true }),
        _ => Err(NoPick { why, retry_at, full }),
    }
}

impl Why {
    /// What one candidate's refusal says about the whole pick.
    const fn of(refusal: Option<Refusal>, unchosen: Self) -> Self {
        match refusal {
            None => unchosen,
            Some(Refusal::NotConfigured) => Self::NotConfigured,
            Some(Refusal::Residency) => Self::Residency,
            Some(Refusal::Cooling { .. } | Refusal::Quota { .. } | Refusal::SharedQuota { .. }) => {
                Self::Waiting
            }
            Some(Refusal::Cordoned | Refusal::Excluded | Refusal::Concurrency | Refusal::Circuit) => {
                Self::NoneEligible
            }
        }
    }

    /// The nearest to a pick of two reasons.
    const fn max_by_rank(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }

    /// How near a candidate with this reason was to being picked.
    const fn rank(self) -> u8 {
        match self {
            Self::NotConfigured => 0,
            Self::Residency => 1,
            Self::NoneEligible => 2,
            Self::Waiting => 3,
            Self::AllUnhealthy | Self::Declined => 4,
        }
    }
}
