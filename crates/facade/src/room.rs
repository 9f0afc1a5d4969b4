//! How much may be held of answers over all calls: room that is taken while a plain answer is read and given back when it is
//! handed on.

use std::{fmt, sync::Arc};

use bytes::Bytes;

/// Room for what a client holds over all its calls: plain answers, of which nothing is handed on until they are whole.
///
/// Without one each call holds up to [`max_held_answer`](crate::ClientBuilder::max_held_answer). Where there is no room, an answer is
/// handed on as it comes, like one that is larger than may be held: it can no longer be retried. An answer that must be written
/// anew in another dialect cannot be, so it takes no room and is bounded by that alone.
pub trait Room: Send + Sync {
    /// Takes so many bytes more; `false`, and nothing taken, where there are not so many.
    fn take(&self, bytes: usize) -> bool;

    /// Gives back so many of the bytes that were taken.
    fn give_back(&self, bytes: usize);
}

/// What may be held of plain answers.
#[derive(Clone)]
pub(crate) struct Holding {
    /// Of each, in bytes.
    pub each: usize,
    /// Of all together; absent: as much as each may have.
    pub all: Option<Arc<dyn Room>>,
}

/// Bytes taken of a room.
///
/// # Drop
/// Gives them back.
pub(crate) struct Taken {
    room: Option<Arc<dyn Room>>,
    bytes: usize,
}

impl Taken {
    /// None yet, of this room; of no room at all there is always enough.
    pub(crate) fn of(room: Option<&Arc<dyn Room>>) -> Self {
        Self { room: room.map(Arc::clone), bytes: 0 }
    }

    /// Takes so many more, if they are there.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let Some(room) = &self.room else { return true };
        let fits = room.take(bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }

    /// The bytes that it was taken for, and the room with them: given back when the last of them is gone.
    pub(crate) fn around(self, bytes: Bytes) -> Bytes {
        if self.bytes == 0 { bytes } else { Bytes::from_owner(Kept { bytes, _taken: self }) }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let (Some(room), 1..) = (&self.room, self.bytes) {
            room.give_back(self.bytes);
        }
    }
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Taken").field(&self.bytes).finish()
    }
}

struct Kept {
    bytes: Bytes,
    _taken: Taken,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Ten(AtomicUsize);

    impl Room for Ten {
        fn take(&self, bytes: usize) -> bool {
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
        }

        fn give_back(&self, bytes: usize) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_taken_comes_back_with_the_last_of_its_bytes() {
        let ten = Arc::new(Ten(AtomicUsize::new(10)));
        let room = Arc::clone(&ten) as Arc<dyn Room>;
        let mut taken = Taken::of(Some(&room));
        assert!(taken.take(6) && !taken.take(6), "there is no more than there is");
        let mut bytes = taken.around(Bytes::from_static(b"six by"));
        let rest = bytes.split_off(3);
        drop(bytes);
        assert_eq!(ten.0.load(Ordering::Relaxed), 4);
        drop(rest);
        assert_eq!(ten.0.load(Ordering::Relaxed), 10);
        assert!(Taken::of(None).take(usize::MAX));
    }
}
