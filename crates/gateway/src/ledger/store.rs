//! Where a ledger's rows are kept: a small trait, and its implementation by an embedded store.
//!
//! The store is a folder of its own within `server.state_dir`. A write goes to its journal and from there to the operating system before it
//! returns; nothing waits for the disk then. The disk is told by a descriptor of our own ([`OnDisk::sync`]): the store's own way
//! would hold its writer meanwhile, and with it every call that ends in that time.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::books::Row;

/// The folder within `server.state_dir`.
const FOLDER: &str = "spend";
/// The row that says how the others are written.
const FORMAT: (&[u8], &[u8]) = (b"format", b"1");
/// The store would take tens of MiB for a cache of what the books hold anyway.
const CACHE: u64 = 1 << 20;
/// Rows are written again and again; so much of that is held in memory before it is put in order.
const MEMTABLE: u64 = 4 << 20;
/// The least that the store allows.
const JOURNAL: u64 = 64 << 20;

/// A row as it is read: its name and what stands in it.
pub(super) type Stored = (Vec<u8>, Vec<u8>);

/// Keeps rows.
pub(super) trait Store: Send + Sync {
    /// All rows.
    ///
    /// # Errors
    /// They cannot be read.
    fn load(&self) -> Result<Vec<Stored>, StoreFault>;

    /// Writes all of these rows or none. They outlive this process when it returns.
    ///
    /// # Errors
    /// Why not.
    fn write(&self, rows: Vec<Row>) -> Result<(), WriteFault>;

    /// What was written before outlives the machine when this returns.
    ///
    /// # Errors
    /// Why not.
    fn sync(&self) -> Result<(), WriteFault>;

    /// Where it is, for those who are told of a fault.
    fn place(&self) -> &Path;
}

impl dyn Store + '_ {
    /// A row is there that is none of ours.
    pub(super) fn unreadable(&self, row: &str) -> StoreFault {
        StoreFault::new(self.place(), format!("the row {row} is none that this version knows"), DAMAGED)
    }

    pub(super) fn without_thread(&self, error: &io::Error) -> StoreFault {
        let what = format!("its thread does not start: {error}");
        StoreFault::new(self.place(), what, "raise the limit of threads")
    }
}

/// What to do when what is there cannot be read.
const DAMAGED: &str = "bring back a copy, or move the folder away to begin with nothing spent";

/// A folder that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep spend in {} (server.state_dir): {what}; {help}, or leave server.state_dir empty to keep spend in memory only", place.display())]
pub(crate) struct StoreFault {
    place: PathBuf,
    what: String,
    help: &'static str,
}

impl StoreFault {
    fn new(place: &Path, what: impl Into<String>, help: &'static str) -> Self {
        Self { place: place.to_owned(), what: what.into(), help }
    }

    fn of(place: &Path, error: &fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => {
                Self::new(place, "another process has it", "give each gateway a state_dir of its own")
            }
            fjall::Error::Io(error) => Self::io(place, error),
            fjall::Error::InvalidVersion(_) => {
                Self::new(place, "it was written by another version of the store", DAMAGED)
            }
            other => Self::new(place, format!("what is there cannot be read ({other})"), DAMAGED),
        }
    }

    fn io(place: &Path, error: &io::Error) -> Self {
        use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
        let help = match error.kind() {
            InvalidData | UnexpectedEof | NotFound => DAMAGED,
            _ => "make it a folder that this program may write to",
        };
        Self::new(place, error.to_string(), help)
    }
}

/// A row was not written, or is not on the disk.
#[derive(Debug)]
pub(super) enum WriteFault {
    Store(fjall::Error),
    Io(io::Error),
}

impl fmt::Display for WriteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "{error}"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

/// Rows in a folder.
pub(super) struct OnDisk {
    database: Database,
    rows: Keyspace,
    place: PathBuf,
}

impl OnDisk {
    /// Opens the folder, which is made if it is not there.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub(super) fn open(state_dir: &Path) -> Result<Self, StoreFault> {
        let place = state_dir.join(FOLDER);
        let unusable = |error: io::Error| {
            StoreFault::new(&place, error.to_string(), "make it a folder that this program may write to")
        };
        fs::create_dir_all(&place).map_err(unusable)?;
        let fault = |error: fjall::Error| StoreFault::of(&place, &error);
        let database = Database::builder(&place)
            .cache_size(CACHE)
            .max_journaling_size(JOURNAL)
            .worker_threads(1)
            .open()
            .map_err(fault)?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE);
        let rows = database.keyspace("rows", options).map_err(fault)?;
        let (name, value) = FORMAT;
        match rows.get(name).map_err(fault)? {
            Some(written) if *written == *value => {}
            Some(_) => {
                let what = "it was written by another version of this program";
                return Err(StoreFault::new(&place, what, DAMAGED));
            }
            None => {
                rows.insert(name, value).map_err(fault)?;
                database.persist(PersistMode::SyncAll).map_err(fault)?;
            }
        }
        Ok(Self { database, rows, place })
    }

    /// The journals, by descriptors of our own.
    fn journals(&self) -> io::Result<Vec<File>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.place)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "jnl") {
                match File::open(path) {
                    Ok(file) => files.push(file),
                    // It has been put in order, and is on the disk elsewhere.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(files)
    }
}

impl Store for OnDisk {
    fn load(&self) -> Result<Vec<Stored>, StoreFault> {
        let fault = |error: fjall::Error| StoreFault::of(&self.place, &error);
        let mut rows = Vec::new();
        for row in self.rows.iter() {
            let (name, value) = row.into_inner().map_err(fault)?;
            if *name != *FORMAT.0 {
                rows.push((name.to_vec(), value.to_vec()));
            }
        }
        Ok(rows)
    }

    fn write(&self, rows: Vec<Row>) -> Result<(), WriteFault> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        for (name, value) in rows {
            match value {
                Some(value) => batch.insert(&self.rows, name, value),
                None => batch.remove(&self.rows, name),
            }
        }
        batch.commit().map_err(WriteFault::Store)
    }

    fn sync(&self) -> Result<(), WriteFault> {
        let journals = self.journals().map_err(WriteFault::Io)?;
        if journals.is_empty() {
            return self.database.persist(PersistMode::SyncAll).map_err(WriteFault::Store);
        }
        journals.iter().try_for_each(File::sync_data).map_err(WriteFault::Io)
    }

    fn place(&self) -> &Path {
        &self.place
    }
}
