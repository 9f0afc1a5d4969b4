//! The primitives of the shared handle, so that its test can put shuttle's in their place.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
pub(crate) use std::sync::{Mutex, MutexGuard};
