//! Callers' keys: who may come in, to which models, and how much of them.
//!
//! A request's key is found before its body is read ([`Keys::find`]), so a stranger is turned away at the cost of its headers.
//! What is asked is known later, and so [`Key::allow`] and [`Keys::enter`] come after. A gateway without keys lets everyone in, which is why it
//! listens on the loopback address only unless told otherwise.

pub(crate) mod digest;
pub(crate) mod entry;
mod find;
mod meter;
pub(crate) mod mint;
pub(crate) mod pass;
pub(crate) mod spent;
mod window;

pub(crate) use self::entry::Budget;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderMap, StatusCode};
use humantime_serde::re::humantime::format_duration;
use outrigger::{Client, CostEstimate, Request};

pub(crate) use self::meter::{Elsewhere, Used, millis_left};
use self::{
    digest::Digest,
    entry::{Entries, Entry},
    meter::{Limits, Meter, Refused, Wish},
    pass::Pass,
    spent::Spent,
};
use crate::{ledger::Ledger, routes::error::ApiError};

/// The callers' keys of a running gateway. They may change while it runs ([`swap_with`](Self::swap_with)).
#[derive(Debug)]
pub(crate) struct Keys {
    keys: RwLock<Arc<[Arc<Key>]>>,
    spent: Arc<dyn Spent>,
}

impl Default for Keys {
    /// None: everyone may come in.
    fn default() -> Self {
        Self::new(Entries::new(), Arc::new(Ledger::in_memory()))
    }
}

/// One caller's key.
#[derive(Debug)]
pub(crate) struct Key {
    name: Arc<str>,
    entry: Entry,
    /// Shared with those that stood in its place before, for the sake of their calls.
    meter: Arc<Mutex<Meter>>,
}

impl Keys {
    /// The keys of a file, and who knows what they have spent. None: everyone may come in.
    pub(crate) fn new(entries: Entries, spent: Arc<dyn Spent>) -> Self {
        Self { keys: RwLock::new(Key::all(entries, &[])), spent }
    }

    /// Puts these keys in place of those there are, and does nothing beside.
    #[cfg(test)]
    pub(crate) fn swap(&self, entries: Entries) {
        let Ok(()) = self.swap_with(entries, || Ok::<_, std::convert::Infallible>(()));
    }

    /// Does something that goes with these keys, and puts them in place of those there are once that is done: nobody is looked up in
    /// between, so no key meets what belongs to another file's. Where it cannot be done, the keys stay.
    ///
    /// A key whose name stays keeps what is known of it: what it has used of its minute and what its calls on their way hold. So rotating
    /// a secret gives nobody a fresh minute.
    ///
    /// # Errors
    /// Those of `act`.
    pub(crate) fn swap_with<E>(
        &self,
        entries: Entries,
        act: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        act()?;
        *keys = Key::all(entries, &keys);
        drop(keys);
        Ok(())
    }

    /// Whose request this is now: it may take long to come in, and goes by the file that holds once it is here. Where the keys have
    /// changed since it was `found`, it is looked up again by what it shows: a name stays when its secret is replaced.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub(crate) fn still(
        &self,
        found: Option<Arc<Key>>,
        headers: &HeaderMap,
    ) -> Result<Option<Arc<Key>>, ApiError> {
        let keys = self.all();
        let holds = match &found {
            Some(key) => keys.iter().any(|now| Arc::ptr_eq(now, key)),
            None => keys.is_empty(),
        };
        if holds { Ok(found) } else { self.find(headers) }
    }

    /// What each key has used of its minute and holds, for other replicas to know; those that used nothing are left out.
    pub(crate) fn told(&self, now: Instant) -> BTreeMap<String, Used> {
        let told = |key: &Arc<Key>| (key.name.to_string(), key.meter().told(now));
        self.all().iter().map(told).filter(|(_, used)| *used != Used::default()).collect()
    }

    /// What the keys have used elsewhere, as it is known now; those that are not named, nothing.
    pub(crate) fn hear(&self, mut elsewhere: BTreeMap<String, Elsewhere>) {
        for key in &*self.all() {
            key.meter().hear(elsewhere.remove(&*key.name).unwrap_or_default());
        }
    }

    /// The keys that have a budget, with its period.
    pub(crate) fn budgets(&self) -> Vec<(Arc<str>, Duration)> {
        let budget = |key: &Arc<Key>| Some((Arc::clone(&key.name), key.entry.budget_usd?.every));
        self.all().iter().filter_map(budget).collect()
    }

    /// Whether there are none, so that everyone may come in.
    pub(crate) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    fn all(&self) -> Arc<[Arc<Key>]> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whose request this is; nobody's in particular where there are no keys.
    ///
    /// # Errors
    /// 401 when it has no key, or none that is known.
    pub(crate) fn find(&self, headers: &HeaderMap) -> Result<Option<Arc<Key>>, ApiError> {
        let keys = self.all();
        if keys.is_empty() {
            return Ok(None);
        }
        let mut shown = find::shown(headers).peekable();
        if shown.peek().is_none() {
            return Err(unauthorized(
                "no key: send one as `Authorization: Bearer KEY`, as `x-api-key` or as `api-key`",
            ));
        }
        match shown.find_map(|key| find::among(&keys, &Digest::of(key))) {
            Some(key) => Ok(Some(key)),
            None => Err(unauthorized("the key is none that is known here")),
        }
    }
}

/// How a key of the file stands with its budget.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) name: Arc<str>,
    /// What it may spend, and what it has spent of that in the period at hand, in millionths of a USD.
    pub(crate) budget: Option<(Budget, u64)>,
}

impl Keys {
    /// How every key stands, in the order of their names.
    pub(crate) fn standings(&self, wall: SystemTime) -> Vec<Standing> {
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let standing = |key: &Arc<Key>| {
            let spent = |budget: Budget| (budget, self.spent.micro_usd(&key.name, budget.every, wall));
            Standing { name: Arc::clone(&key.name), budget: key.entry.budget_usd.map(spent) }
        };
        keys.iter().map(standing).collect()
    }
}

impl Key {
    /// A key for each entry, with what is known of those that were there before.
    fn all(entries: Entries, before: &[Arc<Self>]) -> Arc<[Arc<Self>]> {
        let key = |(name, entry): (String, Entry)| {
            let known = before.iter().find(|key| *key.name == *name);
            let meter = known.map(|key| Arc::clone(&key.meter)).unwrap_or_default();
            let key = Self { name: name.into(), entry, meter };
            key.meter().budget = key.entry.budget_usd;
            Arc::new(key)
        };
        entries.into_iter().map(key).collect()
    }

    /// What it has used and holds. The lock is short and never held across an await.
    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its name in the file, which is no secret.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether it may ask this model.
    pub(crate) fn allows(&self, model: &str) -> bool {
        self.entry.models.as_ref().is_none_or(|models| models.iter().any(|allowed| allowed == model))
    }

    /// Lets it ask this model, if it may.
    ///
    /// # Errors
    /// 403, whether or not there is such a model: who may not use it need not know.
    pub(crate) fn allow(&self, model: &str) -> Result<(), ApiError> {
        if self.allows(model) {
            return Ok(());
        }
        let may = self.entry.models.as_deref().unwrap_or_default().join(", ");
        let message = format!("the key `{}` may not use the model `{model}`, only {may}", self.name);
        Err(ApiError::caller(StatusCode::FORBIDDEN, "model_not_allowed", message).at("model"))
    }
}

impl Keys {
    /// Lets a key make this call, as far as its limits and its budget go. What the call may take is held until it is settled.
    ///
    /// # Errors
    /// 429, with the wait where there is one.
    pub(crate) fn enter(
        &self,
        key: &Arc<Key>,
        request: &Request,
        client: &Client,
        (now, wall): (Instant, SystemTime),
    ) -> Result<Pass, ApiError> {
        let budget = key.entry.budget_usd;
        let estimate = budget.and_then(|_| client.estimate_cost(request));
        let cost = |of: fn(&CostEstimate) -> f64| {
            estimate.as_ref().map_or(0, |estimate| spent::micro_usd(of(estimate)))
        };
        let tokens = u64::from(request.estimated_tokens());
        let wish = Wish {
            tokens,
            once: cost(|estimate| estimate.most_usd),
            in_all: cost(|estimate| estimate.all_usd),
        };
        let entered = {
            // What is spent is asked under the lock that what is held is let go under, later than it is booked: no call falls
            // between the two.
            let mut meter = key.meter();
            let left = budget.map(|Budget { amount, every }| {
                spent::micro_usd(amount).saturating_sub(self.spent.micro_usd(&key.name, every, wall))
            });
            let entry = &key.entry;
            let limits = Limits {
                requests: entry.requests_per_minute.map(|limit| u64::from(limit.get())),
                tokens: entry.tokens_per_minute.map(u64::from),
                left,
            };
            meter.enter(limits, wish, now)
        };
        match entered {
            Ok(held) => {
                // Whole millionths may be a hair below what they were made of.
                let most = estimate.map(|estimate| spent::usd(held.micro_usd).max(estimate.most_usd));
                Ok(Pass::new(Arc::clone(key), held, most))
            }
            Err(refused) => Err(key.refusal(refused, tokens, wall)),
        }
    }
}

impl Key {
    fn refusal(&self, refused: Refused, tokens: u64, wall: SystemTime) -> ApiError {
        let name = &self.name;
        let over = |limit, of, wait: Duration| {
            let message =
                format!("the key `{name}` is at its {limit} {of} a minute; there is room in {wait:.1?}");
            ApiError::limited("rate_limit_exceeded", message, Some(wait))
        };
        match refused {
            Refused::Requests(limit, wait) => over(limit, "requests", wait),
            Refused::Tokens(limit, wait) => over(limit, "tokens", wait),
            Refused::TooManyTokens(limit) => {
                let message = format!(
                    "the request may take {tokens} tokens, and the key `{name}` has {limit} a minute; shorten it, or lower its \
                     max_tokens"
                );
                ApiError::limited("rate_limit_exceeded", message, None)
            }
            Refused::Spent => self.spent(wall),
            Refused::Held => {
                let message =
                    format!("what is left of the key `{name}`'s budget is held for calls on their way");
                ApiError::limited("budget_exceeded", message, None).worth_another_try()
            }
        }
    }

    fn spent(&self, wall: SystemTime) -> ApiError {
        let name = &self.name;
        let Some(Budget { amount, every }) = self.entry.budget_usd else {
            return ApiError::limited(
                "budget_exceeded",
                format!("the key `{name}` has nothing to spend"),
                None,
            );
        };
        let (_, wait) = spent::period(every, wall);
        let seconds = Duration::from_secs(wait.as_secs().saturating_add(1));
        let (every, again) = (format_duration(every), format_duration(seconds));
        let message =
            format!("the key `{name}` has spent its {amount} USD of {every}; it has them again in {again}");
        ApiError::limited("budget_exceeded", message, Some(wait))
    }
}

fn unauthorized(message: &str) -> ApiError {
    ApiError::caller(StatusCode::UNAUTHORIZED, "invalid_api_key", message)
}

/// What a file says of a key.
#[cfg(test)]
pub(crate) fn hash_of(key: &[u8]) -> String {
    Digest::of(key).to_string()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use http::HeaderValue;

    use super::*;

    /// Entries by name and key.
    fn entries(pairs: &[(&str, &str)]) -> Entries {
        let entry = |&(name, key): &(&str, &str)| (name.to_owned(), Entry::of(Digest::of(key.as_bytes())));
        pairs.iter().map(entry).collect()
    }

    fn keys(pairs: &[(&str, &str)]) -> Keys {
        Keys::new(entries(pairs), Arc::new(Ledger::in_memory()))
    }

    fn found(keys: &Keys, key: &'static str) -> Option<Arc<Key>> {
        let headers =
            [("x-api-key", key)].map(|(name, key)| (name.parse().unwrap(), HeaderValue::from_static(key)));
        keys.find(&headers.into_iter().collect()).ok().flatten()
    }

    #[test]
    fn without_keys_everyone_comes_in_and_with_them_nobody_else() {
        let keys = keys(&[]);
        assert!(keys.find(&HeaderMap::new()).is_ok_and(|key| key.is_none()));
        keys.swap(entries(&[("a", "or-1")]));
        assert!(keys.find(&HeaderMap::new()).is_err());
        assert_eq!(**found(&keys, "or-1").unwrap().name(), *"a");
        assert!(found(&keys, "or-2").is_none());
    }

    /// **Keys change with what they open.** Fails if somebody is looked up between the two, by the keys of one file and the models of
    /// the other, or if keys change whose models do not.
    #[test]
    fn nobody_is_looked_up_while_what_keys_open_changes() {
        let keys = keys(&[("a", "or-1")]);
        let done = keys.swap_with(entries(&[("b", "or-2")]), || {
            assert!(keys.keys.try_read().is_err(), "they may be looked up");
            Err("a fault")
        });
        assert_eq!((done, found(&keys, "or-1").is_some()), (Err("a fault"), true));
        assert_eq!(keys.swap_with(entries(&[("b", "or-2")]), || Ok::<_, ()>(())), Ok(()));
        assert!(found(&keys, "or-1").is_none() && found(&keys, "or-2").is_some());
    }

    /// **A new secret is no new minute.** Fails if a key's meter is lost when its hash changes, or a call on its way is forgotten.
    #[test]
    fn what_a_key_has_used_outlives_its_secret() {
        let (keys, now) = (keys(&[("a", "or-1"), ("b", "or-9")]), Instant::now());
        let limits = Limits { requests: Some(1), left: Some(5), ..Limits::default() };
        let before = found(&keys, "or-1").unwrap();
        let pass = Pass::new(
            Arc::clone(&before),
            before.meter().enter(limits, Wish { tokens: 1, once: 5, in_all: 5 }, now).unwrap(),
            None,
        );
        keys.swap(entries(&[("a", "or-2"), ("c", "or-1")]));
        assert!(found(&keys, "or-9").is_none(), "a key that is gone lets nobody in");
        let enter = |key: &'static str, limits| {
            found(&keys, key)
                .unwrap()
                .meter()
                .enter(limits, Wish { tokens: 1, once: 1, in_all: 1 }, now)
                .map(drop)
        };
        assert_eq!(enter("or-2", limits), Err(Refused::Held));
        drop(pass);
        assert!(matches!(enter("or-2", limits), Err(Refused::Requests(1, _))));
        assert!(
            enter("or-2", Limits { requests: Some(2), ..limits }).is_ok(),
            "a higher limit counts at once"
        );
        assert!(enter("or-1", limits).is_ok(), "another name is another caller");
    }

    /// **A call is booked by the file that holds when it is booked.** Fails if one that began by an older file writes the old budget's
    /// period over the new one's, which forgets what that has cost.
    #[test]
    fn a_call_on_its_way_is_booked_in_the_period_of_now() {
        let with = |every: Option<u64>| {
            let budget = |secs| Budget { amount: 1.0, every: Duration::from_secs(secs) };
            let entry = Entry { budget_usd: every.map(budget), ..Entry::of(Digest::of("or-1".as_bytes())) };
            Entries::from([("a".to_owned(), entry)])
        };
        let keys = Keys::new(with(Some(3600)), Arc::new(Ledger::in_memory()));
        let key = found(&keys, "or-1").unwrap();
        let held = key.meter().enter(Limits::default(), Wish::default(), Instant::now()).unwrap();
        let pass = Pass::new(Arc::clone(&key), held, None);
        for every in [Some(7200), None, Some(60)] {
            keys.swap(with(every));
            assert_eq!(pass.budget().map(|budget| budget.every.as_secs()), every);
        }
        keys.swap(Entries::new());
        assert_eq!(pass.budget().map(|budget| budget.every.as_secs()), Some(60), "it has gone, as it was");
    }

    /// **Whoever's key is in the file comes in, whatever else changes.** Fails if there is a moment in a swap without it.
    #[test]
    fn rotation_turns_nobody_away_whose_key_stays() {
        let both = [("old", "or-1"), ("new", "or-2"), ("other", "or-3")];
        let keys = keys(&both);
        thread::scope(|scope| {
            let asking: Vec<_> = ["or-2", "or-3"]
                .map(|key| scope.spawn(|| (0..2_000).all(|_| found(&keys, key).is_some())))
                .into_iter()
                .collect();
            while !asking.iter().all(|asked| asked.is_finished()) {
                keys.swap(entries(&both[1..]));
                keys.swap(entries(&both));
            }
            assert!(asking.into_iter().all(|asked| asked.join().unwrap()));
        });
        keys.swap(entries(&both[1..]));
        assert!(found(&keys, "or-1").is_none());
    }
}
