//! The connections of a port: how many there may be, and which of them makes room when there are too many.
//!
//! A process that runs out of file descriptors can neither take callers on nor ask a provider, so connections have a bound of
//! their own. At the bound, those that have rested longest make room first: thousands of idle ones keep nobody out. Who
//! finds no place even so is told, see [`listener`](crate::listener).

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

/// How often a connection is looked at, at least. Between two looks nothing of it costs anything.
const LOOK: Duration = Duration::from_secs(1);

/// A place for one connection. Dropping it gives it back.
pub(crate) type Place = OwnedSemaphorePermit;

/// All connections of a port.
#[derive(Debug)]
pub(crate) struct Connections {
    places: Arc<Semaphore>,
    most: u32,
    /// Who rests waits here, the longest resting first.
    pressed: Notify,
}

impl Connections {
    pub(crate) fn new(most: u32) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX)));
        Arc::new(Self { places, most, pressed: Notify::new() })
    }

    /// A place, if one is free.
    pub(crate) fn enter(&self) -> Option<Place> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// A place as soon as one is free. The connection that has rested longest is asked to make room.
    pub(crate) async fn enter_soon(&self) -> Option<Place> {
        self.press();
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Asks the connection that has rested longest to make room.
    pub(crate) fn press(&self) {
        self.pressed.notify_one();
    }

    /// Returns when no connection is left.
    pub(crate) async fn gone(&self) {
        drop(self.places.acquire_many(self.most).await);
    }

    /// Returns when a connection has rested for `rest`, or is asked to make room while it rests.
    pub(crate) async fn rested(&self, activity: &Activity, rest: Duration) {
        let look = (rest / 8).min(LOOK);
        let (mut since, mut moves) = (Instant::now(), activity.moves());
        loop {
            sleep(look).await;
            if std::mem::replace(&mut moves, activity.moves()) != moves || activity.is_busy() {
                since = Instant::now();
                continue;
            }
            let left = rest.saturating_sub(since.elapsed());
            let made_room = tokio::select! {
                () = self.pressed.notified() => true,
                () = sleep(left) => false,
            };
            if activity.moves() == moves && !activity.is_busy() {
                return;
            }
            if made_room {
                // It rests no longer: another one is to make room.
                self.press();
            }
            (since, moves) = (Instant::now(), activity.moves());
        }
    }
}

/// What goes on at one connection.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Reads and writes that moved something.
    moves: AtomicU64,
    /// Requests being answered.
    requests: AtomicU32,
}

impl Activity {
    /// Something was read or written.
    pub(crate) fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs the answering of a request, and is busy for so long.
    pub(crate) async fn busy<T>(&self, answering: impl Future<Output = T>) -> T {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let _busy = Busy(&self.requests);
        answering.await
    }

    fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    fn is_busy(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }
}

struct Busy<'a>(&'a AtomicU32);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::timeout;

    use super::*;

    const REST: Duration = Duration::from_secs(75);

    /// A connection that is watched; the task ends when the connection is to go.
    fn watched(
        connections: &Arc<Connections>,
        activity: &Arc<Activity>,
    ) -> tokio::task::JoinHandle<Duration> {
        let (connections, activity) = (Arc::clone(connections), Arc::clone(activity));
        tokio::spawn(async move {
            let began = Instant::now();
            connections.rested(&activity, REST).await;
            began.elapsed()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_rests_too_long_is_to_go() {
        let (connections, activity) = (Connections::new(1), Arc::default());
        let rested = watched(&connections, &activity).await.unwrap();
        assert!((REST..REST + LOOK).contains(&rested), "{rested:?}");
    }

    /// **Who is waited for does not rest.** Fails if only bytes count.
    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_answer_takes_long_stays() {
        let (connections, activity) = (Connections::new(1), Arc::<Activity>::default());
        let busy = {
            let activity = Arc::clone(&activity);
            tokio::spawn(async move { activity.busy(pending::<()>()).await })
        };
        let mut task = watched(&connections, &activity);
        assert!(timeout(REST * 10, &mut task).await.is_err());
        busy.abort();
        timeout(REST * 2, task).await.unwrap().unwrap();
    }

    /// **The longest resting makes room.** Fails if any other goes, or more than one.
    #[tokio::test(start_paused = true)]
    async fn one_that_needs_a_place_gets_that_of_the_longest_resting() {
        let connections = Connections::new(2);
        let (old, young) = (Arc::default(), Arc::default());
        let old = watched(&connections, &old);
        sleep(LOOK / 2).await;
        let mut young = watched(&connections, &young);
        sleep(LOOK * 2).await;
        connections.press();
        let rested = timeout(LOOK, old).await.unwrap().unwrap();
        assert!(rested < LOOK * 3, "{rested:?}");
        assert!(timeout(LOOK * 2, &mut young).await.is_err(), "one was enough");
    }

    #[tokio::test(start_paused = true)]
    async fn who_stirs_in_time_does_not_make_room() {
        let connections = Connections::new(2);
        let (stirring, resting) = (Arc::<Activity>::default(), Arc::default());
        let mut first = watched(&connections, &stirring);
        sleep(LOOK / 2).await;
        let second = watched(&connections, &resting);
        sleep(LOOK * 2).await;
        stirring.moved();
        connections.press();
        timeout(LOOK, second).await.unwrap().unwrap();
        assert!(timeout(LOOK, &mut first).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_bounded_and_come_back() {
        let connections = Connections::new(1);
        let place = connections.enter().unwrap();
        assert!(connections.enter().is_none());
        assert!(timeout(REST, connections.gone()).await.is_err());
        drop(place);
        connections.gone().await;
        assert!(connections.enter_soon().await.is_some());
    }
}
