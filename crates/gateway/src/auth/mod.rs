//! Callers' keys: who may come in, to which models, and how much of them.
//!
//! A request's key is found before its body is read ([`Keys::find`]), so a stranger is turned away at the cost of its headers.
//! What is asked is known later, and so [`Key::allow`] comes after. A gateway without keys lets everyone in, which is why it
//! listens on the loopback address only unless told otherwise.

mod digest;
pub(crate) mod entry;
mod find;
pub(crate) mod mint;

use std::sync::{Arc, PoisonError, RwLock};

use http::{HeaderMap, StatusCode};

use self::{
    digest::Digest,
    entry::{Entries, Entry},
};
use crate::routes::error::ApiError;

/// The callers' keys of a running gateway. They may change while it runs ([`swap`](Self::swap)).
#[derive(Debug, Default)]
pub(crate) struct Keys(RwLock<Arc<[Arc<Key>]>>);

/// One caller's key.
#[derive(Debug)]
pub(crate) struct Key {
    name: Arc<str>,
    entry: Entry,
}

impl Keys {
    /// The keys of a file. None: everyone may come in.
    pub(crate) fn new(entries: Entries) -> Self {
        Self(RwLock::new(Key::all(entries, &[])))
    }

    #[allow(dead_code, reason = "for who reloads the file")]
    /// Puts these keys in place of those there are. A key whose name stays keeps what is known of it: what it has used of its
    /// minute and what its calls on their way hold; so rotating a secret gives nobody a fresh minute.
    pub(crate) fn swap(&self, entries: Entries) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *keys = Key::all(entries, &keys);
    }

    /// Whose request this is; nobody's in particular where there are no keys.
    ///
    /// # Errors
    /// 401 when it has no key, or none that is known.
    pub(crate) fn find(&self, headers: &HeaderMap) -> Result<Option<Arc<Key>>, ApiError> {
        let keys = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
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

impl Key {
    /// A key for each entry, with what is known of those that were there before.
    fn all(entries: Entries, _before: &[Arc<Self>]) -> Arc<[Arc<Self>]> {
        let key = |(name, entry): (String, Entry)| Arc::new(Self { name: name.into(), entry });
        entries.into_iter().map(key).collect()
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

fn unauthorized(message: &str) -> ApiError {
    ApiError::caller(StatusCode::UNAUTHORIZED, "invalid_api_key", message)
}
