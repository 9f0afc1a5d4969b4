//! What a request may cost, before it is made: its size, the most that its answer may take, and the prices of those who could
//! serve it. An estimate and no promise: a token is not always four bytes, and most answers are shorter than they may be.

use wire::{Api, Usage};

use crate::{
    client::Client,
    engine::{Ask, CostBound},
    error::CallError,
    request::Request,
    shared::{Shared, now},
};

/// The tokens that an answer is thought to take when its request sets no bound: a long page.
const ANSWER: u64 = 1024;
/// The bytes of text that are thought to be a token: OpenAI's rule of thumb for English.
const TEXT: u64 = 4;
/// The bytes of base64 that are: a picture of 1 MB comes to 10,000, where providers count one to three thousand; one of 100 kB to
/// a thousand, which is what they count.
const MEDIA: u64 = 128;

/// What a request may cost in USD.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct CostEstimate {
    /// If one attempt answers it, at the cheapest deployment that could serve it and has a known price.
    pub least_usd: f64,
    /// If one attempt answers it, at the dearest of them.
    pub most_usd: f64,
    /// If as many attempts are made as may be, each is billed, and each at the dearest of them.
    pub all_usd: f64,
}

impl Request {
    /// What it may use, as far as can be told beforehand: four bytes of input a token (128 of pictures, sounds and files in it), and
    /// the most that its answer may take; 1024 tokens for each choice where it does not say.
    pub fn estimated_usage(&self) -> Usage {
        let input = self.estimated_input();
        let output = match self.api {
            Api::Embeddings => 0,
            _ => self.facts.max_tokens.unwrap_or(ANSWER).saturating_mul(self.facts.choices),
        };
        Usage::new(input, output)
    }

    /// The tokens that it is thought to be read as.
    pub(crate) fn estimated_input(&self) -> u64 {
        let media = self.facts.media_bytes as u64;
        (self.body.len() as u64).saturating_sub(media) / TEXT + media / MEDIA
    }
}

impl Client {
    /// What a request may cost: at most its own [`max_cost`](Request::max_cost). `None` where no price is known, and for a request
    /// that would be refused.
    pub fn estimate_cost(&self, request: &Request) -> Option<CostEstimate> {
        let shared = self.shared();
        let plan = shared.plan();
        let ask = crate::ask::of(&plan, request, &|name| shared.recall(name)).ok()?;
        let costs = shared.engine().costs(&ask, &request.estimated_usage(), now());
        let most = request.max_cost.unwrap_or(f64::INFINITY);
        let known = costs.into_iter().filter_map(|(_, cost)| cost.filter(|cost| *cost <= most));
        let (least_usd, most_usd) = known.fold(None, |so_far: Option<(f64, f64)>, cost| {
            let (least, most) = so_far.unwrap_or((cost, cost));
            Some((least.min(cost), most.max(cost)))
        })?;
        let attempts = plan.models.get(ask.model).map_or(1, |model| model.retry.max_attempts.max(1));
        let attempts = if ask.single { attempts.min(2) } else { attempts };
        Some(CostEstimate { least_usd, most_usd, all_usd: (most_usd * f64::from(attempts)).min(most) })
    }
}

/// Holds a call to what its request allows it to cost, and to what is held for it.
///
/// # Errors
/// [`CallError::TooDear`] when nobody who could serve it is known to cost so little.
pub(crate) fn hold_to_cost(shared: &Shared, request: &Request, ask: &mut Ask) -> Result<(), CallError> {
    let bounds = [request.max_cost, request.held];
    let Some(usd) = bounds.into_iter().flatten().reduce(f64::min) else { return Ok(()) };
    let usage = request.estimated_usage();
    let bound = CostBound { unpriced: request.max_cost.is_none(), ..CostBound::new(usd, usage) };
    ask.at_most = Some(bound);
    let costs = shared.engine().costs(ask, &usage, now());
    // A bound that is no number holds nobody's cost.
    let is_within = |cost: f64| cost <= usd && request.max_cost.is_none_or(|most| cost <= most);
    if costs.iter().any(|(_, cost)| bound.cost(*cost).is_some_and(is_within)) {
        return Ok(());
    }
    // Where nobody is there at all, that is told and not the cost.
    if costs.is_empty() && request.max_cost.is_none() {
        return Ok(());
    }
    let least_usd = costs.iter().filter_map(|(_, cost)| *cost).min_by(f64::total_cmp);
    Err(CallError::TooDear { model: request.model().to_owned(), least_usd, max_usd: usd })
}
