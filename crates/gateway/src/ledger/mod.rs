//! The ledger: what calls have cost, by caller's key, provider and model, over restarts where there is a place to keep it.
//!
//! Each attempt is booked when it ends, under its own provider, on the call's own task and before the answer's last byte: so a caller that
//! has an answer has it booked, and what hung-up, retried and hedged calls cost is booked too. Each booking writes the new totals, handed to the operating system there and then: they outlive the process, however it
//! ends. Once a second a thread has the disk keep them, so that they outlive the machine but for that second. A write that
//! fails spoils no answer: it is logged and counted, the totals go on in memory, and the next booking writes them again.
//!
//! Sums are whole billionths of a USD. What a day or a period has cost: [`books`]. How that is kept: [`store`].

mod books;
mod report;
mod store;

use std::{
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use outrigger::Notice;
use tracing::error;

pub(crate) use self::store::StoreFault;
use self::{
    books::{Books, Cost},
    store::{OnDisk, Store},
};
use crate::{
    auth::spent::Spent,
    clerk::{Clerk, Subject},
};

/// Under this name stands what callers without a key have spent, where callers need none.
pub(crate) const OPEN: &str = "_open";
/// How often the disk is told to keep what was written.
const SYNC: Duration = Duration::from_secs(1);

/// What calls have cost.
pub(crate) struct Ledger {
    books: Mutex<Books>,
    keeper: Option<Keeper>,
}

/// Who keeps the books over restarts.
struct Keeper {
    store: Arc<dyn Store>,
    state: Arc<KeeperState>,
    /// Its end is what ends the thread.
    syncing: Mutex<Option<(mpsc::Sender<()>, JoinHandle<()>)>>,
}

#[derive(Debug, Default)]
struct KeeperState {
    /// Something was written since the disk was last told.
    dirty: AtomicBool,
    /// Bookings that could not be written, and times that the disk would not keep them.
    failed: AtomicU64,
}

impl KeeperState {
    fn fail(&self, what: &str, error: &dyn fmt::Display) {
        let times = self.failed.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        // One line for each power of two: loud, but no flood.
        if times.is_power_of_two() {
            error!(times, "{what}: {error}; spend goes on in memory and may be lost at a restart");
        }
    }
}

impl Ledger {
    /// A ledger that forgets with the process.
    pub(crate) fn in_memory() -> Self {
        Self { books: Mutex::default(), keeper: None }
    }

    /// The ledger that is kept in a folder; in memory where that is empty.
    ///
    /// # Errors
    /// The folder cannot be used: what is wrong, and what to do.
    pub(crate) fn open(state_dir: &str, wall: SystemTime) -> Result<Self, StoreFault> {
        if state_dir.is_empty() {
            return Ok(Self::in_memory());
        }
        let store = OnDisk::open(Path::new(state_dir))?;
        Self::kept(Arc::new(store), wall)
    }

    /// The ledger that a store holds.
    fn kept(store: Arc<dyn Store>, wall: SystemTime) -> Result<Self, StoreFault> {
        let books = Books::read(store.load()?, wall).map_err(|row| store.unreadable(&row))?;
        let state = Arc::new(KeeperState::default());
        let (ends, ended) = mpsc::channel();
        let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn({
            let (store, state) = (Arc::clone(&store), Arc::clone(&state));
            move || keep_in_sync(&*store, &state, || is_over_after(&ended, SYNC))
        });
        let thread = thread.map_err(|error| store.without_thread(&error))?;
        let syncing = Mutex::new(Some((ends, thread)));
        Ok(Self { books: Mutex::new(books), keeper: Some(Keeper { store, state, syncing }) })
    }

    /// The last word: all that was written is on the disk when this returns.
    pub(crate) fn finish(&self) {
        let Some(keeper) = &self.keeper else { return };
        let syncing = keeper.syncing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((ends, thread)) = syncing {
            drop(ends);
            if thread.join().is_err() {
                error!("the ledger's thread is gone; the last second of spend may be lost with the machine");
            }
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Books what something cost, and writes it.
    fn book(&self, cost: &Cost<'_>, wall: SystemTime) {
        // The lock is held while it is written: of two totals of one row the later must be written last.
        let mut books = self.books();
        let rows = books.book(cost, wall);
        if let Some(keeper) = &self.keeper {
            match keeper.store.write(rows) {
                Ok(()) => keeper.state.dirty.store(true, Ordering::Release),
                Err(error) => keeper.state.fail("what a call cost could not be written", &error),
            }
        }
        drop(books);
    }
}

/// Waits for so long, or for the end.
fn is_over_after(ended: &mpsc::Receiver<()>, wait: Duration) -> bool {
    !matches!(ended.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
}

/// Has the disk keep what was written, after each wait and at the end; `wait` says whether that has come.
fn keep_in_sync(store: &dyn Store, state: &KeeperState, mut wait: impl FnMut() -> bool) {
    loop {
        let is_over = wait();
        if state.dirty.swap(false, Ordering::AcqRel)
            && let Err(error) = store.sync()
        {
            state.dirty.store(true, Ordering::Release);
            state.fail("the disk would not keep what calls cost", &error);
        }
        if is_over {
            return;
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.finish();
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("kept", &self.keeper.is_some()).finish_non_exhaustive()
    }
}

impl Spent for Ledger {
    fn micro_usd(&self, key: &str, every: Duration, wall: SystemTime) -> u64 {
        self.books().spent(key, every, wall).div_ceil(1000)
    }
}

impl Clerk for Ledger {
    fn notice(&self, subject: &Subject, notice: &Notice) {
        let Notice::AttemptEnded { model, route, bill: Some(bill), .. } = notice else { return };
        let Some(usd) = bill.cost_usd else { return };
        let pass = subject.pass.as_deref();
        self.book(
            &Cost {
                key: pass.map_or(OPEN, |pass| pass.key()),
                every: pass.and_then(|pass| pass.budget()).map(|budget| budget.every),
                provider: &route.provider,
                model,
                nano_usd: books::nano_usd(usd),
                estimated: books::nano_usd(bill.estimated_usd),
                usage: bill.usage,
            },
            SystemTime::now(),
        );
    }
}

#[cfg(test)]
mod tests;
