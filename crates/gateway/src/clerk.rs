//! Who keeps a record of each request, and what they are told: the spend, the access log and the traces hang on this one thread.
//!
//! The client tells what happens to one call ([`outrigger::Request::watch`]); what is refused before there is a call is told by
//! the routes. Either way each request has one [`Account`], and nothing of a prompt is in it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use http::{HeaderValue, StatusCode, request::Parts};
use outrigger::{Api, Notice, Observer, Outcome};

use crate::{auth::pass::Pass, request_id::RequestId};

/// Keeps a record of requests. It is told on the request's own task, so it must be quick and must not block.
pub(crate) trait Clerk: Send + Sync {
    /// Something happened to a request on its way. [`Notice::CallEnded`] is the last, and comes before the answer's last byte.
    fn notice(&self, subject: &Subject, notice: &Notice);

    /// A request got an error from the gateway: without a call of the client, or after its call had ended in failure.
    fn failed(&self, subject: &Subject, status: StatusCode, code: &str);
}

/// Which request, and whose.
#[allow(dead_code, reason = "each clerk reads what it needs")]
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// Its name.
    pub(crate) id: HeaderValue,
    /// The name of its caller's key, once that is known.
    pub(crate) caller: Option<Arc<str>>,
    /// The leave that its key has for it, once it has that.
    pub(crate) pass: Option<Arc<Pass>>,
    pub(crate) api: Api,
    /// The public model it asks for; empty until its body is read.
    pub(crate) model: Arc<str>,
    pub(crate) stream: bool,
    /// Of its body.
    pub(crate) bytes: usize,
    pub(crate) began: Instant,
    /// The trace that its caller began.
    pub(crate) traceparent: Option<HeaderValue>,
}

impl Subject {
    /// A request as far as its head tells.
    pub(crate) fn of(api: Api, head: &Parts, began: Instant) -> Self {
        let id = head.extensions.get::<RequestId>();
        Self {
            id: id.map_or_else(|| HeaderValue::from_static(""), |id| id.0.clone()),
            caller: None,
            pass: None,
            api,
            model: Arc::from(""),
            stream: false,
            bytes: 0,
            began,
            traceparent: head.headers.get("traceparent").cloned(),
        }
    }
}

/// All clerks of a gateway. Clones share them.
#[derive(Clone)]
pub(crate) struct Clerks(Arc<[Arc<dyn Clerk>]>);

impl From<Vec<Arc<dyn Clerk>>> for Clerks {
    fn from(clerks: Vec<Arc<dyn Clerk>>) -> Self {
        Self(clerks.into())
    }
}

impl fmt::Debug for Clerks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clerks").field(&self.0.len()).finish()
    }
}

impl Clerks {
    /// Opens the account of a request that is understood.
    pub(crate) fn open(&self, subject: Subject) -> Arc<Account> {
        Arc::new(Account { subject, clerks: self.clone(), over: AtomicBool::new(false) })
    }

    /// A request that did not come to be understood.
    pub(crate) fn failed(&self, subject: &Subject, status: StatusCode, code: &str) {
        for clerk in &*self.0 {
            clerk.failed(subject, status, code);
        }
    }
}

/// One request's way, told to all clerks.
#[derive(Debug)]
pub(crate) struct Account {
    subject: Subject,
    clerks: Clerks,
    /// Its last word was told: an answer, whole or not, or that its caller went away.
    over: AtomicBool,
}

impl Account {
    /// The request gets an error. Nothing is told when its caller has already been told otherwise.
    pub(crate) fn failed(&self, status: StatusCode, code: &str) {
        if !self.over.swap(true, Ordering::Relaxed) {
            self.clerks.failed(&self.subject, status, code);
        }
    }

    /// What the client tells of the call.
    pub(crate) fn watcher(self: &Arc<Self>) -> impl Observer + use<> {
        let account = Arc::clone(self);
        move |notice: &Notice| {
            if let Notice::CallEnded {
                outcome: Outcome::Ok | Outcome::Truncated | Outcome::Cancelled, ..
            } = notice
            {
                account.over.store(true, Ordering::Relaxed);
            }
            for clerk in &*account.clerks.0 {
                clerk.notice(&account.subject, notice);
            }
        }
    }
}
