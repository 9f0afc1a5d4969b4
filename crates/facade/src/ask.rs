//! From a caller's wishes to what the engine is asked; what no deployment can satisfy is refused here, before any attempt.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use crate::{
    engine::{Ask, Plan},
    error::CallError,
    request::Request,
};

/// What `request` asks of the engine.
///
/// # Errors
/// [`CallError::ModelNotFound`], [`CallError::UnsupportedEndpoint`], [`CallError::Untranslatable`],
/// [`CallError::UnknownRegion`], [`CallError::ResidencyUnsatisfiable`].
pub(crate) fn of(plan: &Plan, request: &Request) -> Result<Ask, CallError> {
    let name = request.model();
    let not_found = || CallError::ModelNotFound { model: name.to_owned() };
    let model = plan.model(name).ok_or_else(not_found)?;
    let mut ask = Ask::new(model, request.is_stream());
    ask.api = request.api;
    let untranslatable = translates(plan, &ask, request).err();
    ask.translates = untranslatable.is_none();
    if !serving(plan, &ask).any(|_| true) {
        let model = name.to_owned();
        return Err(match untranslatable {
            Some(reason) => CallError::Untranslatable { model, reason },
            None => CallError::UnsupportedEndpoint { model, api: request.api.path() },
        });
    }
    ask.prefer = preferred(plan, request)?;
    ask.residency = residency(plan, &ask, request)?;
    ask.affinity = request.session.as_deref().or(request.facts.prompt_cache_key.as_deref()).map(hash);
    ask.tokens = estimated_tokens(request);
    ask.deadline = request.deadline;
    ask.single = request.single;
    ask.rescuable = request.facts.is_plain_text();
    Ok(ask)
}

/// An ask that only wants to know what would be chosen.
///
/// # Errors
/// [`CallError::ModelNotFound`], [`CallError::UnknownRegion`].
pub(crate) fn for_explanation(plan: &Plan, model: &str, region: Option<&str>) -> Result<Ask, CallError> {
    let number = plan.model(model).ok_or_else(|| CallError::ModelNotFound { model: model.to_owned() })?;
    let mut ask = Ask::new(number, true);
    if let Some(region) = region {
        ask.prefer =
            plan.near(region).ok_or_else(|| CallError::UnknownRegion { region: region.to_owned() })?;
    }
    Ok(ask)
}

fn preferred(plan: &Plan, request: &Request) -> Result<Vec<Arc<str>>, CallError> {
    let unknown = |name: &str| CallError::UnknownRegion { region: name.to_owned() };
    let mut prefer = Vec::new();
    // A caller's region may be a region or a name of `[near]`; it goes before the place that the caller is near to.
    for name in request.region.iter().chain(&request.near) {
        for region in plan.near(name).ok_or_else(|| unknown(name))? {
            if !prefer.contains(&region) {
                prefer.push(region);
            }
        }
    }
    Ok(prefer)
}

/// The regions allowed: the model's own, narrowed by the caller's.
fn residency(plan: &Plan, ask: &Ask, request: &Request) -> Result<Option<Vec<Arc<str>>>, CallError> {
    let Some(wanted) = &request.residency else { return Ok(None) };
    let Some(model) = plan.models.get(ask.model) else { return Ok(None) };
    let mut allowed = Vec::with_capacity(wanted.len());
    for name in wanted {
        let region = plan.region(name).ok_or_else(|| CallError::UnknownRegion { region: name.clone() })?;
        if model.residency.as_ref().is_none_or(|own| own.contains(region)) {
            allowed.push(Arc::clone(region));
        }
    }
    let served = serving(plan, ask)
        .filter_map(|number| plan.deployments.get(number))
        .any(|deployment| allowed.contains(&deployment.route.region));
    if served {
        Ok(Some(allowed))
    } else {
        Err(CallError::ResidencyUnsatisfiable { model: model.name.to_string(), allowed: wanted.join(", ") })
    }
}

/// The deployments that can serve an ask, wherever they are.
fn serving<'a>(plan: &'a Plan, ask: &'a Ask) -> impl Iterator<Item = usize> {
    let tiers = plan.models.get(ask.model).map_or(&[][..], |model| model.tiers.as_slice());
    tiers.iter().flatten().copied().filter(|&number| plan.serves(number, ask.api, ask.translates))
}

/// Whether the request can be said in the other dialects that its model is served in. It is looked at only where there are any.
fn translates(plan: &Plan, ask: &Ask, request: &Request) -> Result<(), wire::Untranslatable> {
    if serving(plan, ask).all(|number| plan.serves(number, ask.api, false)) {
        return Ok(());
    }
    wire::chat_is_translatable(&request.body)
}

/// A key for affinity. Stable within a process, which is all that keeping a prompt cache warm needs.
fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// What the request may use of a tokens-per-minute limit: four bytes of input a token (the rule of thumb that OpenAI gives
/// for English), and the most that the answer may take.
fn estimated_tokens(request: &Request) -> u32 {
    let input = request.body.len() / 4;
    let output = request.facts.max_tokens.unwrap_or(0);
    u32::try_from(input).unwrap_or(u32::MAX).saturating_add(u32::try_from(output).unwrap_or(u32::MAX))
}
