//! What every [`Transport`] must do, as cases that run against an [`Upstream`].
//!
//! An upstream is the other end, under the suite's control: it is told what to do with the next request, and tells what
//! it saw. A socket server is one, a queue in memory is another, and both pass through the same cases, so that what is
//! tested in memory holds on the wire. Implement [`Upstream`] for your own transport's other end and call [`run`].
//!
//! The cases are single functions as well, so that a failing one can be run alone. Each leaves nothing behind: what was
//! received has been taken, and whoever hung up has been heard.
//!
//! Limits: the suite asks what can be asked of any transport. What only bytes on a wire can do (half a head, a broken
//! chunk, an informational answer) is asked of [`ReqwestTransport`](crate::ReqwestTransport) by its own tests.

mod cases;
mod upstream;

pub use cases::*;
pub use upstream::{Answer, Ending, Next, Received, Upstream};

use crate::Transport;

/// Runs every case, one after the other.
///
/// # Panics
/// At the first case that does not hold; the message tells which and how.
pub async fn run(transport: &dyn Transport, upstream: &dyn Upstream) {
    a_request_arrives_as_it_was_made(transport, upstream).await;
    a_body_of_many_slices_arrives_whole(transport, upstream).await;
    any_status_is_an_answer(transport, upstream).await;
    a_redirect_is_not_followed(transport, upstream).await;
    an_encoded_body_is_not_decoded(transport, upstream).await;
    a_repeated_header_is_kept(transport, upstream).await;
    a_body_arrives_whole_and_in_order(transport, upstream).await;
    a_refusal_sent_nothing(transport, upstream).await;
    an_error_keeps_secrets(transport, upstream).await;
    a_reset_is_not_retried(transport, upstream).await;
    nonsense_is_a_protocol_violation(transport, upstream).await;
    a_cut_body_ends_with_an_error(transport, upstream).await;
    silence_ends_at_the_head_limit(transport, upstream).await;
    a_stalled_body_ends_at_the_idle_limit(transport, upstream).await;
    a_steady_body_outlives_the_idle_limit(transport, upstream).await;
    a_dropped_send_hangs_up(transport, upstream).await;
    a_dropped_body_hangs_up(transport, upstream).await;
    a_slow_reader_holds_the_upstream_back(transport, upstream).await;
    // After all of that it still works.
    a_request_arrives_as_it_was_made(transport, upstream).await;
}
