//! A ledger on a disk: what it says of folders that it cannot use, and what it does when a write fails.

use std::{
    path::PathBuf,
    sync::atomic::AtomicU32,
    time::{Duration, UNIX_EPOCH},
};

use outrigger::wire::Usage;

use super::*;
use crate::ledger::{
    books::Row,
    store::{Stored, WriteFault},
};

const DAY: Duration = Duration::from_secs(86_400);

/// A folder of this test alone.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("outrigger-ledger-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn open(&self) -> Result<Ledger, StoreFault> {
        Ledger::open(self.text(), wall())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let gone = std::fs::remove_dir_all(&self.0);
        drop(gone);
    }
}

fn wall() -> SystemTime {
    UNIX_EPOCH + 20_000 * DAY
}

fn cost(nano_usd: u64) -> Cost<'static> {
    let usage = Usage::new(1, 1);
    Cost { key: "a", every: Some(DAY), provider: "p", model: "m", nano_usd, estimated: 0, usage }
}

#[test]
fn what_was_booked_is_there_when_the_folder_is_opened_again() {
    let folder = Folder::new();
    for times in 1..=3 {
        let ledger = folder.open().unwrap();
        ledger.book(&cost(2_500), wall());
        assert_eq!(ledger.books().spent("a", DAY, wall()), times * 2_500);
    }
    let ledger = folder.open().unwrap();
    assert_eq!(ledger.micro_usd("a", DAY, wall()), 8, "7.5 millionths, rounded up once");
    let report = serde_json::to_value(ledger.report(&[], wall())).unwrap();
    assert_eq!((&report["kept"], &report["days"][0]["bookings"]), (&"disk".into(), &3.into()));
    assert_eq!(report["days"][0]["day"], "2024-10-04");
}

/// What a person reads who starts a gateway with this folder.
fn refusal(folder: &Folder) -> String {
    let said = folder.open().map(drop).unwrap_err().to_string();
    for part in [folder.text(), "server.state_dir", "memory only"] {
        assert!(said.contains(part), "{said}");
    }
    said
}

#[test]
fn a_second_process_is_told_that_the_folder_is_taken() {
    let folder = Folder::new();
    let first = folder.open().unwrap();
    assert!(refusal(&folder).contains("another process has it; give each gateway a state_dir of its own"));
    drop(first);
    assert!(folder.open().is_ok());
}

#[test]
fn a_file_in_the_folders_place_is_named() {
    let folder = Folder::new();
    std::fs::write(&folder.0, "").unwrap();
    assert!(refusal(&folder).contains("make it a folder that this program may write to"));
    std::fs::remove_file(&folder.0).unwrap();
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// **A damaged store is an error or a whole one, never a panic and never less than nothing.** Each file in turn is emptied, cut in
/// half, and overwritten. Fails if the store panics, or makes up a sum.
#[test]
fn a_damaged_folder_is_refused_or_whole() {
    let made = || {
        let folder = Folder::new();
        let ledger = folder.open().unwrap();
        ledger.book(&cost(2_000), wall());
        ledger.book(&cost(3_000), wall());
        drop(ledger);
        folder
    };
    let names: Vec<PathBuf> = {
        let folder = made();
        files(&folder.0).iter().map(|path| path.strip_prefix(&folder.0).unwrap().to_owned()).collect()
    };
    let mut refused = 0;
    for name in &names {
        for damage in 0..3 {
            let folder = made();
            let path = folder.0.join(name);
            let bytes = std::fs::read(&path).unwrap();
            let damaged = match damage {
                0 => Vec::new(),
                1 => bytes[..bytes.len() / 2].to_vec(),
                _ => bytes.iter().map(|byte| byte ^ 0x5a).collect(),
            };
            std::fs::write(&path, damaged).unwrap();
            match folder.open() {
                Ok(ledger) => {
                    let spent = ledger.books().spent("a", DAY, wall());
                    assert!([0, 2_000, 5_000].contains(&spent), "{}: {spent}", name.display());
                }
                Err(_) => {
                    refused += 1;
                    assert!(refusal(&folder).contains("or move the folder away"), "{}", refusal(&folder));
                }
            }
        }
    }
    assert!(refused > 0, "{names:?}");
}

/// A store on a disk that is full.
struct Full;

impl Store for Full {
    fn load(&self) -> Result<Vec<Stored>, StoreFault> {
        Ok(Vec::new())
    }

    fn write(&self, _rows: Vec<Row>) -> Result<(), WriteFault> {
        Err(WriteFault::Io(std::io::ErrorKind::StorageFull.into()))
    }

    fn sync(&self) -> Result<(), WriteFault> {
        Ok(())
    }

    fn place(&self) -> &Path {
        Path::new("full")
    }
}

/// A machine that may lose its power: what was written is in memory, and on the disk once that was told.
#[derive(Default)]
struct Machine {
    memory: Mutex<Vec<Stored>>,
    disk: Mutex<Vec<Stored>>,
    syncs: AtomicU32,
    is_stuck: AtomicBool,
}

impl Machine {
    /// What stands on the disk, by one who comes after a loss of power.
    fn after_power_loss(&self) -> Arc<Self> {
        let disk = self.disk.lock().unwrap().clone();
        Arc::new(Self { memory: Mutex::new(disk.clone()), disk: Mutex::new(disk), ..Self::default() })
    }
}

impl Store for Machine {
    fn load(&self) -> Result<Vec<Stored>, StoreFault> {
        Ok(self.memory.lock().unwrap().clone())
    }

    fn write(&self, rows: Vec<Row>) -> Result<(), WriteFault> {
        let mut memory = self.memory.lock().unwrap();
        for (name, value) in rows {
            memory.retain(|(other, _)| *other != name);
            memory.extend(value.map(|value| (name, value)));
        }
        drop(memory);
        Ok(())
    }

    fn sync(&self) -> Result<(), WriteFault> {
        if self.is_stuck.load(Ordering::Relaxed) {
            return Err(WriteFault::Io(std::io::ErrorKind::TimedOut.into()));
        }
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.disk.lock().unwrap().clone_from(&self.memory.lock().unwrap());
        Ok(())
    }

    fn place(&self) -> &Path {
        Path::new("machine")
    }
}

/// **Power that goes takes what came since the last wait, and no more.** Each wait is followed by a sync if something was written, by none if
/// not, and by another try if the disk would not; so is the end. Fails if one of the four is left out.
#[test]
fn a_loss_of_power_costs_what_came_since_the_last_sync() {
    let machine = Arc::new(Machine::default());
    let (store, state) = (Arc::clone(&machine) as Arc<dyn Store>, Arc::<KeeperState>::default());
    // Without the thread, whose waits are seconds: here each wait is a step.
    let keeper = Keeper { store, state: Arc::clone(&state), syncing: Mutex::default() };
    let ledger = Ledger { books: Mutex::default(), keeper: Some(keeper) };
    let on_disk = || {
        let ledger = Ledger::kept(machine.after_power_loss(), wall()).unwrap();
        (ledger.micro_usd("a", DAY, wall()), machine.syncs.load(Ordering::Relaxed))
    };
    let mut step = 0;
    keep_in_sync(&*machine, &state, || {
        step += 1;
        match step {
            1 => ledger.book(&cost(1_000), wall()),
            2 => {
                assert_eq!(on_disk(), (1, 1));
                ledger.book(&cost(2_000), wall());
                assert_eq!(on_disk(), (1, 1), "what came since may be lost");
                machine.is_stuck.store(true, Ordering::Relaxed);
            }
            3 => {
                assert_eq!(on_disk(), (1, 1));
                machine.is_stuck.store(false, Ordering::Relaxed);
            }
            4 => assert_eq!(on_disk(), (3, 2), "it was tried again"),
            5 => {
                assert_eq!(on_disk(), (3, 2), "nothing was written, so nothing was synced");
                ledger.book(&cost(4_000), wall());
            }
            _ => {}
        }
        step == 5
    });
    assert_eq!((on_disk(), step), ((7, 3), 5));
}

#[test]
fn what_cannot_be_written_still_counts_and_is_told() {
    let ledger = Ledger::kept(Arc::new(Full), wall()).unwrap();
    ledger.book(&cost(1_000), wall());
    ledger.book(&cost(1_000), wall());
    assert_eq!(ledger.micro_usd("a", DAY, wall()), 2);
    let report = serde_json::to_value(ledger.report(&[], wall())).unwrap();
    assert_eq!(report["failed_writes"], 2);
}
