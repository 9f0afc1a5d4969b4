//! A way to standard error that nobody waits on.
//!
//! Standard error may be a pipe whose reader has stopped. A task that writes to it then stands still, and with it the worker
//! that runs it. So lines go through a bounded queue to a thread of their own; what does not fit is dropped, and the log says
//! how many lines that were.

use std::{
    io::{BufWriter, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

/// Lines that wait for the writer at most: a second of very bad weather.
const BACKLOG: usize = 4096;
/// And bytes of them: lines with prompts in them are long.
const WAITING: usize = 8 << 20;

/// The near end of the queue.
#[derive(Debug)]
pub(super) struct Queue {
    entries: Option<SyncSender<Entry>>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    dropped: AtomicU64,
    /// Bytes that wait.
    waiting: AtomicUsize,
}

#[derive(Debug)]
enum Entry {
    /// A line with its end.
    Line(Vec<u8>),
    /// All lines before are written: say so.
    Mark(SyncSender<()>),
}

impl Queue {
    /// A queue to a writer; `complain` is the line that says how many others were dropped.
    pub(super) fn start(
        to: impl Write + Send + 'static,
        complain: impl Fn(u64) -> String + Send + 'static,
    ) -> Self {
        Self::of_length(BACKLOG, to, complain)
    }

    fn of_length(
        backlog: usize,
        to: impl Write + Send + 'static,
        complain: impl Fn(u64) -> String + Send + 'static,
    ) -> Self {
        let (queue, entries) = sync_channel(backlog);
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        let started = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(to, &entries, &shared, complain));
        // A process that cannot have one more thread has other troubles, and goes on without a log.
        Self { entries: started.is_ok().then_some(queue), state }
    }

    /// Writes a line, soon, or drops it.
    pub(super) fn line(&self, line: &[u8]) {
        let Some(entries) = &self.entries else { return };
        let State { dropped, waiting } = &*self.state;
        // Counted before it is sent, or the writer could take it off first.
        let before = waiting.fetch_add(line.len(), Ordering::Relaxed);
        let has_place = before.saturating_add(line.len()) <= WAITING;
        let sent = if has_place {
            entries.try_send(Entry::Line(line.to_vec()))
        } else {
            Err(TrySendError::Full(Entry::Line(Vec::new())))
        };
        if sent.is_err() {
            waiting.fetch_sub(line.len(), Ordering::Relaxed);
        }
        if let Err(TrySendError::Full(_)) = sent {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns when all lines so far are written, or after that time.
    pub(super) fn finish(&self, patience: Duration) {
        let Some(entries) = &self.entries else { return };
        let (written, mark) = sync_channel(1);
        if entries.try_send(Entry::Mark(written)).is_ok() {
            // In time or not: the process ends.
            let _ = mark.recv_timeout(patience);
        }
    }
}

/// The far end: a reader that went away is no fault of the server, so a failed write is let go. Lines that wait together are
/// written together.
fn write(to: impl Write, entries: &Receiver<Entry>, state: &State, complain: impl Fn(u64) -> String) {
    let mut to = BufWriter::new(to);
    loop {
        let entry = match entries.try_recv() {
            Ok(entry) => entry,
            Err(TryRecvError::Empty) => {
                drop(to.flush());
                let Ok(entry) = entries.recv() else { return };
                entry
            }
            Err(TryRecvError::Disconnected) => return,
        };
        let missed = state.dropped.swap(0, Ordering::Relaxed);
        if missed > 0 {
            drop(writeln!(to, "{}", complain(missed)));
        }
        match entry {
            Entry::Line(line) => {
                drop(to.write_all(&line));
                state.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            }
            Entry::Mark(written) => drop(to.flush().map(|()| written.send(()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Mutex};

    use super::*;

    /// A pipe whose reader reads only while `open` is free.
    #[derive(Clone, Default)]
    struct Pipe {
        open: Arc<Mutex<()>>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Pipe {
        fn text(&self) -> String {
            String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let open = self.open.lock().unwrap();
            self.text.lock().unwrap().extend_from_slice(bytes);
            drop(open);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn complain(missed: u64) -> String {
        format!("{missed} lines are missing")
    }

    #[test]
    fn lines_are_written_in_order_before_the_end() {
        let pipe = Pipe::default();
        let log = Queue::of_length(8, pipe.clone(), complain);
        for number in 0..3 {
            log.line(format!("{number}\n").as_bytes());
        }
        log.finish(Duration::from_secs(20));
        assert_eq!(pipe.text(), "0\n1\n2\n");
    }

    /// **Nobody waits for the log.** Fails if a line is sent with a waiting `send`, or dropped without a word.
    #[test]
    fn a_reader_that_stops_costs_lines_and_no_time() {
        let pipe = Pipe::default();
        let log = Queue::of_length(4, pipe.clone(), complain);
        let stopped = pipe.open.lock().unwrap();
        for number in 0..100 {
            log.line(format!("{number}\n").as_bytes());
        }
        log.finish(Duration::ZERO);
        drop(stopped);
        while !pipe.text().contains("3\n") {
            thread::yield_now();
        }
        log.line(b"after\n");
        log.finish(Duration::from_secs(20));
        assert!(pipe.text().contains("lines are missing\n"), "{}", pipe.text());
    }

    /// **Long lines do not fill the memory.** Fails if only their number is bounded.
    #[test]
    fn bytes_that_wait_are_bounded_too() {
        let pipe = Pipe::default();
        let log = Queue::start(pipe.clone(), complain);
        let stopped = pipe.open.lock().unwrap();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..40 {
            log.line(&line);
        }
        assert!(log.state.waiting.load(Ordering::Relaxed) <= WAITING);
        assert!(log.state.dropped.load(Ordering::Relaxed) >= 20);
        drop(stopped);
        log.finish(Duration::from_secs(20));
        assert_eq!(log.state.waiting.load(Ordering::Relaxed), 0, "what is written waits no longer");
    }
}
