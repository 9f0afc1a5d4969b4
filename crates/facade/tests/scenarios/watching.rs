//! One call, watched: its watcher hears of it and of no other, and of its end before its caller has the last byte.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use outrigger::{Answer, AnswerBody, Notice, Outcome, wire::Class};
use sim::{Fault, When};

use crate::support::{Harbour, alike, config, harbour, harbour_with, stream_request};

type Seen = Arc<Mutex<Vec<Notice>>>;

fn watched(request: outrigger::Request) -> (outrigger::Request, Seen) {
    let seen = Seen::default();
    let notes = Arc::clone(&seen);
    (request.watch(move |notice: &Notice| notes.lock().unwrap().push(notice.clone())), seen)
}

/// How the call ended, as far as its watcher knows.
fn ended(seen: &Seen) -> Vec<Outcome> {
    let outcome = |notice: &Notice| match notice {
        Notice::CallEnded { outcome, .. } => Some(*outcome),
        _ => None,
    };
    seen.lock().unwrap().iter().filter_map(outcome).collect()
}

/// Reads to the end, and returns for each piece how the call had ended when that was handed out.
async fn told_with_each(answer: Answer, seen: &Seen) -> Vec<(Bytes, Vec<Outcome>)> {
    let AnswerBody::Stream(mut stream) = answer.body else { panic!("not a stream") };
    let mut told = Vec::new();
    while let Some(chunk) = stream.next().await {
        told.push((chunk.unwrap(), ended(seen)));
    }
    told
}

/// **Booked before it is given.** Fails if the engine hears of a stream's end only when it is asked for more, or if a chunk
/// that may be the last of a plain answer is handed out before its end is known.
#[tokio::test(start_paused = true)]
async fn the_end_is_told_before_the_last_byte() {
    let dones: [Option<Fault>; 2] = [None, Some(Fault::NoDone)];
    for (fault, held) in dones.into_iter().flat_map(|fault| [(fault.clone(), 8 << 20), (fault, 16)]) {
        let Harbour { world, client, .. } = &harbour_with(alike(), config, |b| b.max_held_answer(held));
        if let Some(fault) = &fault {
            world.inject("us-east", fault.clone(), When::always()).unwrap();
        }
        let plain =
            outrigger::Request::chat(r#"{"model":"chat","messages":[{"role":"user","content":"?"}]}"#);
        let requests = [Some(stream_request()), (held == 16).then(|| plain.unwrap())];
        for request in requests.into_iter().flatten() {
            let (request, seen) = watched(request);
            let told = told_with_each(client.send(request).await.unwrap(), &seen).await;
            let (last, before) = told.split_last().unwrap();
            assert_eq!(last.1, [Outcome::Ok], "{fault:?} {held}");
            assert!(before.first().is_none_or(|first| first.1.is_empty()), "told with the first of many");
            assert_eq!(ended(&seen), [Outcome::Ok], "told once");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_hears_of_its_own_call_alone() {
    let harbour = harbour();
    harbour.inject("us-east", Fault::Reset);
    let (request, seen) = watched(stream_request());
    let (own, other) = tokio::join!(harbour.client.send(request), harbour.ask_stream());
    own.unwrap().bytes().await.unwrap();
    other.unwrap();
    let failed = |notice: &Notice| matches!(notice, Notice::AttemptEnded { class: Some(Class::Reset), .. });
    let all = seen.lock().unwrap().clone();
    assert_eq!(all.iter().filter(|notice| failed(notice)).count(), 1, "{all:?}");
    assert!(
        matches!(all.last(), Some(Notice::CallEnded { outcome: Outcome::Ok, attempts: 2, .. })),
        "{all:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_watcher_hears_that_its_caller_hung_up() {
    let harbour = harbour();
    let (request, seen) = watched(stream_request());
    drop(harbour.client.send(request).await.unwrap());
    assert_eq!(ended(&seen), [Outcome::Cancelled]);
}
