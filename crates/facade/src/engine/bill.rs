//! The bill of an attempt: drawn up once, when it ends, in whatever way it ends.
//!
//! What a provider counted is booked as counted. Of what it did not count (a stream whose caller hung up, a hedge that lost, an
//! attempt that broke off or fell silent, a stream that was not asked for its usage) a bill is estimated: the request's size for what
//! was read, and what was heard of the answer for what was written. An attempt that surely was not worked on has no bill: nothing was
//! sent, or the provider refused before it said anything.
//!
//! # Limits
//! What a provider did beyond what was heard is not in an estimate: a plain answer that was let go unheard, reasoning that it keeps
//! to itself, the frames that it wrote ahead. Whether an attempt that was let go had been sent is not known here: it is taken to have
//! been.

use std::time::Instant;

use policy::Mode;
use wire::{AnswerFacts, Usage};

use super::{Ask, AttemptFailure, Engine, attempt::Made};
use crate::observe::Bill;

/// What is known of what an attempt used, when it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heard {
    /// What its provider counted.
    pub usage: Option<Usage>,
    /// Tokens of output that came and are in no count, as far as their text tells.
    pub uncounted: u64,
}

impl Heard {
    /// This count of a provider's, and nothing that came after it.
    pub fn counted(usage: Usage) -> Self {
        Self { usage: Some(usage), uncounted: 0 }
    }

    /// So many tokens of output that nobody counted.
    pub fn uncounted(tokens: u64) -> Self {
        Self { usage: None, uncounted: tokens }
    }

    /// What an answer has said up to now.
    pub fn of(facts: &AnswerFacts) -> Self {
        Self { usage: facts.usage, uncounted: facts.uncounted.tokens() }
    }

    /// Whether nothing says that the provider did anything.
    fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// The bills of one call's attempts.
#[derive(Debug)]
pub(super) struct Tab {
    /// The public model, by its number.
    pub model: usize,
    /// What its request is thought to be read as; none of a request that nobody knows.
    input: Option<u64>,
    /// What the providers counted of all its attempts.
    pub usage: Option<Usage>,
    /// The sum of the bills.
    pub bill: Option<Bill>,
}

impl Tab {
    /// Of a call that asks this.
    pub(super) fn of(ask: &Ask) -> Self {
        Self { input: Some(ask.input), ..Self::unknown(ask.model) }
    }

    /// Of attempts whose request is not known, and so no estimate of what it costs.
    pub(super) fn unknown(model: usize) -> Self {
        Self { model, input: None, usage: None, bill: None }
    }

    /// What an attempt used, and whether a part of that is an estimate.
    fn used(&self, mode: Mode, heard: Heard) -> Option<(Usage, bool)> {
        let mut used = match heard.usage {
            Some(counted) => counted,
            None => {
                // A continuation reads what was said before, too.
                let said = match (mode, &self.bill) {
                    (Mode::Continue, Some(bill)) => bill.usage.output,
                    _ => 0,
                };
                Usage::new(self.input?.saturating_add(said), 0)
            }
        };
        used.output = used.output.saturating_add(heard.uncounted);
        Some((used, heard.usage.is_none() || heard.uncounted > 0))
    }
}

impl Engine {
    /// Draws up the bill of an attempt that is over, and adds it to its call's and to what its deployment cost. `failure` says how
    /// it failed; it is none of an attempt that answered, and of one that was let go.
    pub(super) fn bill(
        &mut self,
        tab: &mut Tab,
        made: Made,
        heard: Heard,
        failure: Option<&AttemptFailure>,
        now: Instant,
    ) -> Option<Bill> {
        if failure.is_some_and(|failure| costs_nothing(failure, heard)) {
            return None;
        }
        let (usage, estimated) = tab.used(made.mode, heard)?;
        let cost_usd = self.cost(made.deployment, &usage, now);
        let counted = heard.usage.and_then(|counted| self.cost(made.deployment, &counted, now));
        let estimated_usd = match cost_usd {
            Some(cost) if estimated => (cost - counted.unwrap_or(0.0)).max(0.0),
            _ => 0.0,
        };
        let bill = Bill { usage, cost_usd, estimated_usd, estimated };
        *tab.bill.get_or_insert_default() += bill;
        if let Some(counted) = heard.usage {
            *tab.usage.get_or_insert_default() += counted;
        }
        if let Some(counters) = self.counters.get_mut(made.deployment) {
            counters.cost_usd += cost_usd.unwrap_or(0.0);
            counters.estimated_usd += estimated_usd;
        }
        Some(bill)
    }

    /// What a usage costs in USD, where the price of the deployment is known.
    pub fn cost(&self, deployment: usize, usage: &Usage, now: Instant) -> Option<f64> {
        let deployment = self.plan.deployments.get(deployment)?;
        let price = deployment.price(&self.prices, self.wall(now))?;
        Some(price.cost_usd(usage))
    }
}

/// Whether a provider has surely not worked on an attempt: nothing of it was sent, or it was refused, and nothing was heard.
///
/// An error under a status of its own is a refusal, also where the budget of retries takes it for work that may have been done:
/// providers do not bill what they answer with an error.
fn costs_nothing(failure: &AttemptFailure, heard: Heard) -> bool {
    let is_refusal = failure.status.is_some_and(|status| !(200..300).contains(&status));
    heard.is_nothing() && (!failure.sent || is_refusal || failure.class.surely_not_processed())
}

#[cfg(test)]
mod tests {
    use wire::Class;

    use super::*;

    fn refused(class: Class, status: Option<u16>) -> AttemptFailure {
        AttemptFailure { status, ..AttemptFailure::new(class) }
    }

    #[test]
    fn what_was_refused_or_never_sent_costs_nothing() {
        for (class, status) in [
            (Class::Credential, Some(401)),
            (Class::CallerFault, Some(400)),
            (Class::ContentRefused, Some(400)),
            (Class::RateLimited, Some(429)),
            (Class::Transient, Some(500)),
            (Class::Timeout, Some(504)),
            (Class::Overloaded, Some(529)),
            (Class::Overloaded, Some(200)),
            (Class::Unreachable, None),
        ] {
            assert!(costs_nothing(&refused(class, status), Heard::default()), "{class} {status:?}");
            assert!(!costs_nothing(&refused(class, status), Heard::uncounted(1)), "{class}: it spoke");
        }
        let unsent = AttemptFailure { sent: false, ..AttemptFailure::new(Class::Reset) };
        assert!(costs_nothing(&unsent, Heard::default()));
    }

    #[test]
    fn what_may_have_been_worked_on_may_cost() {
        for (class, status) in [
            (Class::Reset, None),
            (Class::Timeout, None),
            (Class::Cut, Some(200)),
            (Class::Stalled, Some(200)),
            (Class::Empty, Some(200)),
            (Class::Malformed, Some(200)),
            (Class::Cancelled, None),
        ] {
            assert!(!costs_nothing(&refused(class, status), Heard::default()), "{class} {status:?}");
        }
    }

    /// **A count is believed, and what came after it is added.** Fails if an estimate stands in for a count, or hides it.
    #[test]
    fn a_count_goes_before_an_estimate() {
        let mut ask = Ask::new(0, true);
        ask.input = 40;
        let tab = Tab::of(&ask);
        let counted = Usage::new(9, 3).with_cached_input(4);
        assert_eq!(tab.used(Mode::Fresh, Heard::counted(counted)), Some((counted, false)));
        let cut = Heard { usage: Some(counted), uncounted: 5 };
        assert_eq!(tab.used(Mode::Fresh, cut), Some((Usage::new(9, 8).with_cached_input(4), true)));
        assert_eq!(tab.used(Mode::Fresh, Heard::uncounted(5)), Some((Usage::new(40, 5), true)));
        assert_eq!(Tab::unknown(0).used(Mode::Fresh, Heard::uncounted(5)), None);
    }
}
