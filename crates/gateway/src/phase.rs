//! Where the gateway stands between its start and its end, for all who must know: serving, draining, over.

use std::future::Future;

use tokio::sync::watch;

/// A stay in the gateway's life; they follow each other in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// All is taken on.
    Serving,
    /// Nothing new is taken on; what runs may finish.
    Draining,
    /// The time to finish is over: what runs says so, and ends.
    Over,
    /// Nobody is waited for any more, not even who has yet to hear that it is over.
    Gone,
}

/// Reads the phase, and waits for it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Phases(watch::Receiver<Phase>);

/// Moves the phase on.
#[derive(Debug)]
pub(crate) struct PhaseControl(watch::Sender<Phase>);

/// A gateway that serves.
pub(crate) fn phases() -> (PhaseControl, Phases) {
    let (sender, receiver) = watch::channel(Phase::Serving);
    (PhaseControl(sender), Phases(receiver))
}

impl PhaseControl {
    /// Moves on to `phase`; never back.
    pub(crate) fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let later = phase > *current;
            *current = phase.max(*current);
            later
        });
    }
}

/// A control that is gone means that all is over.
impl Drop for PhaseControl {
    fn drop(&mut self) {
        self.advance(Phase::Over);
    }
}

impl Phases {
    pub(crate) fn now(&self) -> Phase {
        *self.0.borrow()
    }

    /// Returns when `phase`, or a later one, has come.
    pub(crate) fn reached(&self, phase: Phase) -> impl Future<Output = ()> + Send + Sync + use<> {
        let mut receiver = self.0.clone();
        async move {
            let reached = receiver.wait_for(|current| *current >= phase).await;
            drop(reached);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_phase_is_never_taken_back() {
        let (control, phases) = phases();
        control.advance(Phase::Over);
        control.advance(Phase::Draining);
        assert_eq!(phases.now(), Phase::Over);
        phases.reached(Phase::Draining).await;
    }

    #[tokio::test]
    async fn who_waits_is_woken_when_the_control_is_gone() {
        let (control, phases) = phases();
        drop(control);
        phases.reached(Phase::Over).await;
        assert_eq!(phases.now(), Phase::Over);
    }
}
