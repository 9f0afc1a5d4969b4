//! The two players act one script out alike: same bytes, same end, same log, whatever the fault.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use common::{
    End, Post, REGION, azure, chat, completion, in_memory, message, on_socket, prefilled, response, until,
    world,
};
use outrigger_sim::{Fault, Outcome, Received, Server, When};
use std::time::Duration;

/// A line of the log without what depends on the player: the time, and the headers that HTTP/1.1 adds.
fn line(received: &Received) -> impl PartialEq + std::fmt::Debug + use<> {
    let Received {
        path, body, model, stream, fault, outcome, status, bytes_sent, cancelled_by_caller, ..
    } = received.clone();
    (path, body, model, stream, fault, outcome, status, bytes_sent, cancelled_by_caller)
}

async fn check_alike(fault: Option<Fault>, post: &Post) {
    let (memory, sockets) = (world(), world());
    let server = Server::start(sockets.clone()).await.unwrap();
    let inject = |world: &outrigger_sim::World| {
        fault.iter().for_each(|fault| world.inject(REGION, fault.clone(), When::always()).unwrap());
    };
    inject(&memory);
    inject(&sockets);
    tokio::time::sleep(Duration::from_millis(1)).await; // the listener follows its faults
    let enough = if fault == Some(Fault::KeepaliveForever) { 3 } else { usize::MAX };
    let here = in_memory(&memory, post, enough).await;
    let hold = (here.end == End::Held).then_some(here.body.len());
    let there = on_socket(&sockets, server.addr(REGION).unwrap(), post, hold).await;
    if fault == Some(Fault::KeepaliveForever) {
        // How many came before the caller left is the caller's doing.
        assert_eq!((here.end, here.status, &here.headers), (there.end, there.status, &there.headers));
    } else {
        assert_eq!(here, there, "{fault:?} {post:?}");
    }
    let logged = |world: &outrigger_sim::World| world.received(REGION).unwrap();
    if fault == Some(Fault::Refuse) {
        assert_eq!(logged(&memory).last().unwrap().outcome, Outcome::Refused);
        assert!(logged(&sockets).is_empty(), "a closed port saw a request");
    } else if fault != Some(Fault::KeepaliveForever) {
        let lines = |world| logged(world).iter().map(line).collect::<Vec<_>>();
        assert_eq!(lines(&memory), lines(&sockets), "{fault:?} {post:?}");
    }
    assert_eq!((memory.in_flight(REGION), sockets.in_flight(REGION)), (Ok(0), Ok(0)));
    server.shutdown().await;
}

fn posts() -> Vec<Post> {
    [chat, message, response, completion, azure]
        .into_iter()
        .flat_map(|post| [post(false), post(true)])
        .collect()
}

#[tokio::test(start_paused = true)]
async fn healthy_answers_are_alike() {
    for post in posts() {
        check_alike(None, &post).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_is_alike() {
    for fault in Fault::all() {
        for post in posts() {
            let post = if fault == Fault::NoPrefill { prefilled(post) } else { post };
            check_alike(Some(fault.clone()), &post).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusing_port_opens_again_at_the_same_number() {
    let world = world();
    let server = Server::start(world.clone()).await.unwrap();
    let addr = server.addr(REGION).unwrap();
    world.inject(REGION, Fault::Refuse, Duration::from_secs(5)).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(on_socket(&world, addr, &chat(false), None).await.end, End::Refused);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(on_socket(&world, addr, &chat(false), None).await.end, End::Whole);
    server.shutdown().await;
    assert_eq!(
        on_socket(&world, addr, &chat(false), None).await.end,
        End::Refused,
        "shutdown left the port open"
    );
}

#[tokio::test(start_paused = true)]
async fn a_share_of_refusals_is_a_reset_on_sockets() {
    let world = world();
    let server = Server::start(world.clone()).await.unwrap();
    world.inject(REGION, Fault::Refuse, When::always().first(1)).unwrap();
    let addr = server.addr(REGION).unwrap();
    assert_eq!(on_socket(&world, addr, &chat(false), None).await.end, End::Reset);
    assert_eq!(on_socket(&world, addr, &chat(false), None).await.end, End::Whole);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_is_noticed_in_memory_too() {
    let world = world();
    world.inject(REGION, Fault::Silent, When::always()).unwrap();
    let transport = world.transport();
    let send = transport::Transport::send(&transport, common::request(&world, REGION, &chat(true)));
    assert!(tokio::time::timeout(Duration::from_secs(1), send).await.is_err());
    until(&world, |line| line.cancelled_by_caller && line.outcome == Outcome::Held).await;
}
