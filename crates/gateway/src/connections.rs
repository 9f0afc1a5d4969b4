//! The connections of a port: how many there may be, and which of them makes room when there are too many.
//!
//! A process that runs out of file descriptors can neither take callers on nor ask a provider, so connections have a bound of
//! their own. At the bound, those that have rested longest make room first: thousands of idle ones keep nobody out. Who
//! finds no place even so is told, see [`listener`](crate::listener).

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

use crate::activity::Activity;

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

    /// Returns when a connection has been without a request for `rest`, or is asked to make room while it rests.
    pub(crate) async fn rested(&self, activity: &Activity, rest: Duration) {
        let look = (rest / 8).min(LOOK);
        let (mut since, mut turns) = (Instant::now(), activity.turns());
        loop {
            sleep(look).await;
            if std::mem::replace(&mut turns, activity.turns()) != turns || activity.is_busy() {
                since = Instant::now();
                continue;
            }
            let left = rest.saturating_sub(since.elapsed());
            let made_room = tokio::select! {
                () = self.pressed.notified() => true,
                () = sleep(left) => false,
            };
            if activity.turns() == turns && !activity.is_busy() {
                return;
            }
            if made_room {
                // It rests no longer: another one is to make room.
                self.press();
            }
            (since, turns) = (Instant::now(), activity.turns());
        }
    }
}

#[cfg(test)]
mod tests {
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

    /// **Who is waited for does not rest**, and who is to take what is there for it does not either. Fails if one of them counts
    /// for nothing.
    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_answer_takes_long_stays() {
        let (connections, activity) = (Connections::new(1), Arc::<Activity>::default());
        let turn = activity.begin(false);
        let mut task = watched(&connections, &activity);
        assert!(timeout(REST * 10, &mut task).await.is_err());
        activity.block(true);
        drop(turn);
        assert!(timeout(REST * 10, &mut task).await.is_err());
        activity.block(false);
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
        drop(stirring.begin(false));
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
