//! The log of a server: lines on standard error that nobody waits for.
//!
//! Standard error may be a pipe whose reader has stopped. A task that writes to it then stands still, and with it the worker
//! that runs it. So lines go through a bounded queue to a thread of their own; what does not fit is dropped, and the log says
//! how many lines that were.

use std::{
    fmt::Display,
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

/// Lines that wait for the writer at most: a second of very bad weather, and less than a megabyte.
const BACKLOG: usize = 4096;
/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Standard error belongs to the process, and so does its one writer.
static LOG: OnceLock<Log> = OnceLock::new();

/// Writes a line, soon, or drops it.
pub(crate) fn line(line: impl Display) {
    LOG.get_or_init(|| Log::start(io::stderr(), BACKLOG)).line(line);
}

/// Returns when all lines are written, or will not be.
pub(crate) fn finish() {
    if let Some(log) = LOG.get() {
        log.finish(LAST_LINES);
    }
}

/// The near end of the queue.
#[derive(Debug)]
struct Log {
    queue: Option<SyncSender<Entry>>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Entry {
    Line(String),
    /// All lines before are written: say so.
    Mark(SyncSender<()>),
}

impl Log {
    fn start(to: impl Write + Send + 'static, backlog: usize) -> Self {
        let (queue, entries) = sync_channel(backlog);
        let dropped = Arc::new(AtomicU64::new(0));
        let missed = Arc::clone(&dropped);
        let started =
            thread::Builder::new().name("log".to_owned()).spawn(move || write(to, &entries, &missed));
        // A process that cannot have one more thread has other troubles, and goes on without a log.
        Self { queue: started.is_ok().then_some(queue), dropped }
    }

    fn line(&self, line: impl Display) {
        let Some(queue) = &self.queue else { return };
        if let Err(TrySendError::Full(_)) = queue.try_send(Entry::Line(line.to_string())) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn finish(&self, patience: Duration) {
        let Some(queue) = &self.queue else { return };
        let (written, mark) = sync_channel(1);
        if queue.try_send(Entry::Mark(written)).is_ok() {
            // In time or not: the process ends.
            let _ = mark.recv_timeout(patience);
        }
    }
}

/// The far end: a reader that went away is no fault of the server, so a failed write is let go.
fn write(mut to: impl Write, entries: &Receiver<Entry>, dropped: &AtomicU64) {
    while let Ok(entry) = entries.recv() {
        let missed = dropped.swap(0, Ordering::Relaxed);
        if missed > 0 {
            drop(writeln!(to, "{missed} lines of this log were dropped: its reader is too slow"));
        }
        match entry {
            Entry::Line(line) => drop(writeln!(to, "{line}")),
            Entry::Mark(written) => drop(to.flush().map(|()| written.send(()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

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

    #[test]
    fn lines_are_written_in_order_before_the_end() {
        let pipe = Pipe::default();
        let log = Log::start(pipe.clone(), 8);
        for number in 0..3 {
            log.line(number);
        }
        log.finish(Duration::from_secs(20));
        assert_eq!(pipe.text(), "0\n1\n2\n");
    }

    /// **Nobody waits for the log.** Fails if a line is sent with a waiting `send`, or dropped without a word.
    #[test]
    fn a_reader_that_stops_costs_lines_and_no_time() {
        let pipe = Pipe::default();
        let log = Log::start(pipe.clone(), 4);
        let stopped = pipe.open.lock().unwrap();
        for number in 0..100 {
            log.line(number);
        }
        log.finish(Duration::ZERO);
        drop(stopped);
        while !pipe.text().contains("3\n") {
            thread::yield_now();
        }
        log.line("after");
        log.finish(Duration::from_secs(20));
        assert!(pipe.text().contains("lines of this log were dropped"), "{}", pipe.text());
    }
}
