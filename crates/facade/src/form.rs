//! The form that an answer is read in, and the one that its caller reads: mostly the same, and then its bytes pass untouched.
//!
//! A deployment of another dialect answers in another form. That is made the caller's own here, at the first touch of the
//! bytes, so that all that comes after (the commit point, rescue, framing, usage) knows one form only.

use bytes::Bytes;
use transport::ResponseBody;
use wire::{AnswerFacts, Api, ChatFromMessages, Class, Failure};

use crate::reader::Reader;

/// Of what kind an attempt's answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// What the caller asked for, and reads.
    pub asked: Api,
    /// What the deployment was asked for, and says.
    pub sent: Api,
    /// Whether the caller wants a stream to end with a count of tokens.
    pub include_usage: bool,
    /// The time of the answer in seconds since 1970, for a form that names it where the deployment's does not.
    pub created: u64,
}

impl Form {
    /// Whether the answer is written anew. The one pair of forms there is: OpenAI's chat, had from Anthropic's messages.
    pub(crate) fn is_translated(&self) -> bool {
        self.asked != self.sent
    }

    /// Reads a streamed answer, and remembers its text if it is to be `mendable`.
    pub(crate) fn events(&self, body: ResponseBody, mendable: bool) -> Reader {
        let reader = Reader::events(body, self.asked, mendable);
        if self.is_translated() {
            return reader.translated(ChatFromMessages::new(self.created, self.include_usage));
        }
        reader
    }

    /// A whole plain answer as its caller reads it, or why it is none.
    pub(crate) fn whole(&self, bytes: Bytes) -> (Bytes, AnswerFacts) {
        if !self.is_translated() {
            let facts = wire::read_answer(self.asked, &bytes);
            return (bytes, facts);
        }
        match wire::messages_to_chat(&bytes, self.created) {
            Ok(chat) => {
                let facts = wire::read_answer(self.asked, &chat);
                (chat.into(), facts)
            }
            Err(_) => {
                let mut facts = wire::read_answer(self.sent, &bytes);
                facts.error.get_or_insert_with(|| Failure::new(Class::Malformed));
                (self.refusal(bytes), facts)
            }
        }
    }

    /// A refusal's body as its caller reads it.
    pub(crate) fn refusal(&self, body: Bytes) -> Bytes {
        if self.is_translated() { wire::error_to_chat(&body).into() } else { body }
    }
}
