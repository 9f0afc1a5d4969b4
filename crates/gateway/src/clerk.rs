//! Who keeps a record of each request, and what they are told: the spend, the access log and the traces hang on this one thread.
//!
//! The client tells what happens to one call ([`outrigger::Request::watch`]); what is refused before there is a call is told by
//! the routes. Either way each request has one [`Account`], and nothing of a prompt is in it unless the operator asked for that.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use outrigger::{Api, Notice, Observer, Outcome, SpanId, TraceContext};

use crate::{auth::pass::Pass, log::prompt::Prompt, request_id::RequestId, story::Story};

/// Keeps a record of requests. It is told on the request's own task, so it must be quick and must not block. What a clerk does not
/// care for it need not hear.
pub(crate) trait Clerk: Send + Sync {
    /// A request begins. A clerk may give it a place in a trace, and say so in its headers.
    fn opened(&self, _subject: &mut Subject, _headers: &mut HeaderMap) {}

    /// Something happened to a request on its way. [`Notice::CallEnded`] is the last, and comes before the answer's last byte.
    fn notice(&self, _subject: &Subject, _notice: &Notice) {}

    /// A request got an error from the gateway: without a call of the client, or after its call had ended in failure.
    fn failed(&self, _subject: &Subject, _status: StatusCode, _code: &str) {}

    /// A request is over, answered or not, and this is what came of it. Told once for each, after all else; of one that was answered,
    /// before the answer's last byte.
    fn closed(&self, _subject: &Subject, _story: &Story) {}

    /// Something was asked that is no request to a model.
    fn passed(&self, _beside: &Beside<'_>) {}

    /// A connection was told that there is no place for it, and nobody read what it asks.
    fn turned_away(&self, _peer: SocketAddr, _waited: Duration) {}
}

/// What was asked beside requests to models: the list of them, a path that is not there.
#[derive(Debug)]
pub(crate) struct Beside<'a> {
    /// Its name.
    pub(crate) id: &'a HeaderValue,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) status: StatusCode,
    /// Of the error that was the answer.
    pub(crate) code: Option<&'static str>,
    /// Who asked: the other end of its connection.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) took: Duration,
}

/// Which request, and whose.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// Its name.
    pub(crate) id: HeaderValue,
    /// The other end of its connection: its caller, or what stands in front of the gateway.
    pub(crate) peer: Option<SocketAddr>,
    /// The name of its caller's key, once that is known.
    pub(crate) caller: Option<Arc<str>>,
    /// The leave that its key has for it, once it has that.
    pub(crate) pass: Option<Arc<Pass>>,
    pub(crate) api: Api,
    /// The public model it asks for; empty until its body is read.
    pub(crate) model: Arc<str>,
    pub(crate) stream: bool,
    /// The place that its caller asks to be near to.
    pub(crate) region: Option<Arc<str>>,
    /// Of its body; as long as that is not there, what its head says of it.
    pub(crate) bytes: Option<u64>,
    /// How long its body took to arrive, or was waited for.
    pub(crate) body_took: Duration,
    /// What it says to the model; only where the access log is to tell it.
    pub(crate) prompt: Option<Prompt>,
    pub(crate) began: Instant,
    /// Its place in a trace, where its caller or a clerk traces it.
    pub(crate) trace: Option<Trace>,
}

/// A place in a trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace {
    /// The span whose children the attempts are: the request's own where it is traced here, else its caller's.
    pub(crate) context: TraceContext,
    /// The caller's span, where the request has one of its own.
    #[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "only spans have parents"))]
    pub(crate) parent: Option<SpanId>,
}

impl Subject {
    /// A request as far as its head tells.
    pub(crate) fn of(api: Api, head: &Parts, began: Instant) -> Self {
        let id = head.extensions.get::<RequestId>();
        let declared = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        Self {
            id: id.map_or_else(|| HeaderValue::from_static(""), |id| id.0.clone()),
            peer: head.extensions.get::<Peer>().map(|peer| peer.0),
            caller: None,
            pass: None,
            api,
            model: Arc::from(""),
            stream: false,
            region: head.headers.get("x-outrigger-region").and_then(|name| name.to_str().ok()).map(Arc::from),
            bytes: declared.and_then(|length| length.parse().ok()),
            body_took: Duration::ZERO,
            prompt: None,
            began,
            trace: TraceContext::of(&head.headers).map(|context| Trace { context, parent: None }),
        }
    }
}

/// The other end of the connection that a request came on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Marks the answer to a request that had an account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accounted;

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
    /// Opens the account of a request.
    pub(crate) fn open(&self, mut subject: Subject, headers: &mut HeaderMap) -> Account {
        for clerk in &*self.0 {
            clerk.opened(&mut subject, headers);
        }
        let entry = Entry { story: Story::new(subject.began), is_over: false };
        Account { subject, clerks: self.clone(), entry: Mutex::new(entry) }
    }

    /// Tells of a connection for which there was no place.
    pub(crate) fn turned_away(&self, peer: SocketAddr, waited: Duration) {
        for clerk in &*self.0 {
            clerk.turned_away(peer, waited);
        }
    }

    /// Tells of something that is no request to a model.
    pub(crate) fn passed(&self, beside: &Beside<'_>) {
        for clerk in &*self.0 {
            clerk.passed(beside);
        }
    }
}

/// One request's way, told to all clerks.
///
/// # Drop
/// A request that is not over by then is: its caller went away.
#[derive(Debug)]
pub(crate) struct Account {
    /// Complete when the request is understood.
    pub(crate) subject: Subject,
    clerks: Clerks,
    entry: Mutex<Entry>,
}

#[derive(Debug)]
struct Entry {
    story: Story,
    /// Its last word was told: an answer, whole or not, an error, or that its caller went away.
    is_over: bool,
}

impl Account {
    /// The request gets an error. Nothing is told when its caller has already been told otherwise.
    pub(crate) fn failed(&self, status: StatusCode, code: &str) {
        let story = self.over(|story| story.fail(status, code, Instant::now()));
        if let Some(story) = story {
            for clerk in &*self.clerks.0 {
                clerk.failed(&self.subject, status, code);
            }
            self.close(&story);
        }
    }

    /// What the client tells of the call.
    pub(crate) fn watcher(self: &Arc<Self>) -> impl Observer + use<> {
        let account = Arc::clone(self);
        move |notice: &Notice| account.notice(notice)
    }

    fn notice(&self, notice: &Notice) {
        for clerk in &*self.clerks.0 {
            clerk.notice(&self.subject, notice);
        }
        let now = Instant::now();
        // After an end without an answer the routes say which error it comes to.
        let is_last = matches!(
            notice,
            Notice::CallEnded { outcome: Outcome::Ok | Outcome::Truncated | Outcome::Cancelled, .. }
        );
        if is_last {
            if let Some(story) = self.over(|story| story.note(notice, now)) {
                self.close(&story);
            }
        } else {
            self.entry.lock().unwrap_or_else(PoisonError::into_inner).story.note(notice, now);
        }
    }

    /// The story with its last word, if it is the last.
    fn over(&self, word: impl FnOnce(&mut Story)) -> Option<Story> {
        let mut entry = self.entry.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut entry.is_over, true) {
            return None;
        }
        word(&mut entry.story);
        Some(entry.story.clone())
    }

    fn close(&self, story: &Story) {
        for clerk in &*self.clerks.0 {
            clerk.closed(&self.subject, story);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if let Some(story) = self.over(|story| story.ended = Instant::now()) {
            self.close(&story);
        }
    }
}
