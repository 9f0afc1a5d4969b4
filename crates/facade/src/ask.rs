//! From a caller's wishes to what the engine is asked; what no deployment can satisfy is refused here, before any attempt.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use wire::Api;

use crate::{
    engine::{Ask, Plan},
    error::CallError,
    request::Request,
};

/// What `request` asks of the engine. `recall` knows which deployment gave a stored answer.
///
/// # Errors
/// [`CallError::ModelNotFound`], [`CallError::UnsupportedEndpoint`], [`CallError::Untranslatable`],
/// [`CallError::UnknownRegion`], [`CallError::ResidencyUnsatisfiable`], [`CallError::Stateful`].
pub(crate) fn of(
    plan: &Plan,
    request: &Request,
    recall: &dyn Fn(&str) -> Option<usize>,
) -> Result<Ask, CallError> {
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
    ask.only = only(plan, &ask, request, recall)?;
    ask.affinity = request.session.as_deref().or(request.facts.prompt_cache_key.as_deref()).map(hash);
    ask.tokens = request.estimated_tokens();
    ask.input = request.estimated_input();
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

/// The one deployment that knows what the request leans on; none where it leans on nothing. What is stored is stored for all models
/// of an endpoint's account, so a conversation may change its model: then that model's deployment at the same endpoint is asked.
///
/// What is not remembered here is looked for at the one place it can be at: where the model, or the residency that the caller
/// asks for, leaves but one.
fn only(
    plan: &Plan,
    ask: &Ask,
    request: &Request,
    recall: &dyn Fn(&str) -> Option<usize>,
) -> Result<Option<usize>, CallError> {
    let stateful = |field, why| Err(CallError::Stateful { model: request.model().to_owned(), field, why });
    if request.facts.state.background {
        return stateful(
            "background",
            "its answer would have to be fetched later, and stored answers are not served",
        );
    }
    let leanings = if request.api == Api::Responses { wire::leans_on(&request.body) } else { Vec::new() };
    if leanings.is_empty() && !request.facts.state.leans_on_memory() {
        return Ok(None);
    }
    let allowed = |number: &usize| {
        let region = plan.deployments.get(*number).map(|deployment| &deployment.route.region);
        let allowed = ask.residency.as_ref().or(plan.models.get(ask.model)?.residency.as_ref());
        Some(allowed.is_none_or(|allowed| region.is_some_and(|region| allowed.contains(region))))
    };
    let mut candidates: Vec<usize> =
        serving(plan, ask).filter(|number| allowed(number).unwrap_or(false)).collect();
    candidates.sort_unstable();
    candidates.dedup();
    let mut found = None;
    for leaning in leanings {
        let at = match (recall(&leaning.name), candidates.as_slice()) {
            (Some(at), _) => match at_the_place_of(plan, at, &candidates) {
                Some(at) => at,
                None => return stateful(leaning.field, "who gave what it names may not serve this request"),
            },
            (None, &[alone]) => alone,
            (None, _) => {
                return stateful(
                    leaning.field,
                    "what it names is not remembered here, and only who gave it knows it",
                );
            }
        };
        if found.is_some_and(|found| found != at) {
            return stateful(
                leaning.field,
                "what it names was given elsewhere than the rest of what the request names",
            );
        }
        found = Some(at);
    }
    match found {
        Some(at) => Ok(Some(at)),
        None if request.facts.state.previous_response => stateful("previous_response_id", "it is no name"),
        None if request.facts.state.conversation => stateful("conversation", "it is no name"),
        None => Ok(None),
    }
}

/// The candidate that is a deployment itself, or else one at the same endpoint.
fn at_the_place_of(plan: &Plan, deployment: usize, candidates: &[usize]) -> Option<usize> {
    let endpoint = |number: usize| plan.deployments.get(number).map(|deployment| deployment.endpoint);
    let own = candidates.iter().find(|candidate| **candidate == deployment);
    own.or_else(|| candidates.iter().find(|candidate| endpoint(**candidate) == endpoint(deployment))).copied()
}

/// A key for affinity. Stable within a process, which is all that keeping a prompt cache warm needs.
fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
