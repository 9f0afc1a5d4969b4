//! `serve --record FILE`: what attempts come to and what is asked for, written down as a trace.
//!
//! Lines go through a bounded queue to a thread of their own, so that a disk that stands still costs lines and no call any time; lines
//! that do not fit are counted and said. The file is appended to, never cut or renamed: times are calendar time, so runs go on from
//! one another, and whoever rotates logs can rotate it by copying and truncating. No prompt, no key, no caller's name is in it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use outrigger::{Notice, Observer, wire::Class};
use tracing::{error, warn};

use super::trace::{Cordon, Ended, Line, Pick, Said};
use crate::clerk::{Clerk, Subject};

/// Lines that wait for the disk at most: some seconds of a busy gateway, and a few megabytes.
const BACKLOG: usize = 16_384;
/// How long a line stays in memory at most, however many come after it.
const FLUSH: Duration = Duration::from_secs(1);
/// How many bytes of lines stay in memory at most.
const KEPT: usize = 32 << 10;

/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Writes a trace.
#[derive(Debug)]
pub(crate) struct Recorder {
    queue: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
    /// One instant in both times: its beginning.
    epoch: (Instant, SystemTime),
    /// Whether there was something in the file.
    goes_on: bool,
}

#[derive(Debug)]
enum Entry {
    Line(Line),
    /// All lines before are written: say so.
    Mark(SyncSender<()>),
}

impl Recorder {
    /// Opens the file, which its owner alone may read where it is new, and begins to write.
    ///
    /// # Errors
    /// The file cannot be opened, or there can be no thread.
    pub(crate) fn start(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        let goes_on = file.metadata()?.len() > 0;
        Ok(Self { goes_on, ..Self::to(file, BACKLOG)? })
    }

    /// The gateway is there. One that does not come to that says nothing: another may be writing the same file.
    pub(crate) fn serves(&self) {
        if self.goes_on {
            // Cordons end with the process that they were said to. What operators have said to this one came later.
            self.cordon(None, self.epoch.0);
        }
    }

    fn to(file: impl Write + Send + 'static, backlog: usize) -> io::Result<Self> {
        let (queue, entries) = sync_channel(backlog);
        let dropped = Arc::new(AtomicU64::new(0));
        let missed = Arc::clone(&dropped);
        let write = move || write(file, &entries, &missed);
        thread::Builder::new().name("trace".to_owned()).spawn(write)?;
        Ok(Self { queue, dropped, epoch: (Instant::now(), SystemTime::now()), goes_on: false })
    }

    /// Returns when all lines so far are written, or will not be in time. It blocks.
    pub(crate) fn finish(&self) {
        let (end, (written, mark)) = (Instant::now() + LAST_LINES, sync_channel(1));
        let mut entry = Entry::Mark(written);
        while let Err(TrySendError::Full(full)) = self.queue.try_send(entry) {
            if Instant::now() > end {
                break;
            }
            entry = full;
            thread::sleep(Duration::from_millis(1));
        }
        if mark.recv_timeout(end.saturating_duration_since(Instant::now())).is_err() {
            error!("the last lines of the trace are lost: its disk is too slow");
        }
    }

    /// Calendar time of an instant. It never goes back within one run, whatever is done to the system's clock.
    fn at_ms(&self, at: Instant) -> f64 {
        let since = self.epoch.1.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        ms(since + at.saturating_duration_since(self.epoch.0))
    }

    /// Writes down what operators say, which is no call's.
    pub(crate) fn of_operators(recorder: Option<&Arc<Self>>) -> impl Observer + use<> {
        let recorder = recorder.map(Arc::clone);
        move |notice: &Notice| {
            if let (Some(recorder), Notice::Cordon { provider, region, model, word, .. }) =
                (&recorder, notice)
            {
                let said = Said {
                    word: *word,
                    provider: provider.to_string(),
                    region: region.to_string(),
                    model: model.as_deref().map(str::to_owned),
                };
                recorder.cordon(Some(said), Instant::now());
            }
        }
    }

    fn cordon(&self, said: Option<Said>, at: Instant) {
        self.line(Line::Cordon(Cordon { at_ms: self.at_ms(at), said }));
    }

    fn line(&self, line: Line) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Entry::Line(line)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Clerk for Recorder {
    fn notice(&self, subject: &Subject, notice: &Notice) {
        match notice {
            Notice::AttemptEnded { route, class, judged, retry_after, took, first_token, .. } => {
                self.line(Line::Ended(Ended {
                    at_ms: self.at_ms(Instant::now()),
                    provider: route.provider.to_string(),
                    region: route.region.to_string(),
                    model: route.model.to_string(),
                    // A replay judges by the class.
                    class: if *judged { *class } else { Some(Class::Cancelled) },
                    ttft_ms: first_token.map(ms),
                    answer_ms: Some(ms(*took)),
                    retry_after_ms: retry_after.map(ms),
                    stream: subject.stream,
                }));
            }
            // Told at the end, with the time of the beginning: a replay goes by times.
            Notice::CallEnded { model, .. } => self.line(Line::Pick(Pick {
                at_ms: self.at_ms(subject.began),
                model: model.to_string(),
                region: subject.region.as_deref().map(str::to_owned),
            })),
            _ => {}
        }
    }
}

/// Lines that are written together.
#[derive(Debug, Default)]
struct Kept {
    text: String,
    /// When the first of them came.
    since: Option<Instant>,
}

impl Kept {
    fn add(&mut self, line: &Line, now: Instant) {
        self.text.push_str(&line.write());
        self.text.push('\n');
        self.since.get_or_insert(now);
    }

    /// How long the next line may be waited for.
    fn patience(&self, now: Instant) -> Duration {
        self.since.map_or(FLUSH, |since| FLUSH.saturating_sub(now.saturating_duration_since(since)))
    }

    fn is_due(&self, now: Instant) -> bool {
        self.text.len() >= KEPT || self.patience(now).is_zero()
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The far end: it ends when the recorder is gone. Only whole lines are handed to the system, so that a process that is killed
/// leaves no half of one.
fn write(mut file: impl Write, entries: &Receiver<Entry>, dropped: &AtomicU64) {
    let mut broken = false;
    let mut kept = Kept::default();
    loop {
        let entry = match entries.recv_timeout(kept.patience(Instant::now())) {
            Ok(entry) => Some(entry),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let now = Instant::now();
        if let Some(Entry::Line(line)) = &entry {
            kept.add(line, now);
        }
        let is_time = kept.is_due(now) || matches!(entry, Some(Entry::Mark(_)));
        let written = (is_time && !kept.text.is_empty()).then(|| file.write_all(kept.text.as_bytes()));
        let missed = dropped.swap(0, Ordering::Relaxed);
        if missed > 0 {
            warn!("{missed} lines of the trace were dropped: its disk is too slow");
        }
        if let Some(written) = written {
            kept = Kept::default();
            // Said once, until it goes well again: a full disk must not fill the log too.
            if let (Err(error), false) = (&written, broken) {
                error!("the trace cannot be written: {error}");
            }
            broken = written.is_err();
        }
        if let Some(Entry::Mark(done)) = entry {
            // Nobody waits any more: the process ends.
            let _ = done.send(());
        }
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::log::{Format, tests::told};

    /// A disk that writes only while `still` is free.
    #[derive(Clone, Default)]
    struct Disk {
        still: Arc<Mutex<()>>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let still = self.still.lock().unwrap();
            self.text.lock().unwrap().extend_from_slice(bytes);
            drop(still);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A disk that is full for its first writes.
    struct Full(u32);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_sub(1);
            if self.0 > 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// **A full disk is said once.** Fails if each piece that cannot be written is an error in the log, or a line in between is taken for
    /// one that could be.
    #[test]
    fn a_disk_that_stays_full_is_no_flood_in_the_log() {
        let (queue, entries) = sync_channel(16);
        for _ in 0..3 {
            let long = "m".repeat(KEPT);
            queue.send(Entry::Line(pick("short"))).unwrap();
            queue.send(Entry::Line(pick(&long))).unwrap();
            queue.send(Entry::Mark(sync_channel(1).0)).unwrap();
        }
        drop(queue);
        let text = told(Format::Human, "info", || write(Full(4), &entries, &AtomicU64::new(0)));
        assert_eq!(text.matches("cannot be written").count(), 1, "{text}");
    }

    /// **A line waits a second and no longer.** Fails if each line that comes puts off the writing of those before it.
    #[test]
    fn a_steady_trickle_of_lines_is_written_every_second() {
        let (start, mut kept) = (Instant::now(), Kept::default());
        let mut is_written_at = |ms| {
            let now = start + Duration::from_millis(ms);
            kept.add(&pick("chat"), now);
            assert!(kept.is_due(now) == kept.patience(now).is_zero() && kept.patience(now) <= FLUSH);
            let is_due = kept.is_due(now);
            if is_due {
                kept = Kept::default();
            }
            is_due
        };
        let written: Vec<u64> = (0..12).map(|call| call * 450).filter(|&ms| is_written_at(ms)).collect();
        assert_eq!(written, [1350, 3150, 4950]);
    }

    fn pick(model: &str) -> Line {
        Line::Pick(Pick { at_ms: 1.0, model: model.to_owned(), region: None })
    }

    /// **Nobody waits for the disk.** Fails if a line is sent with a waiting `send`, or the last lines are not written.
    #[test]
    fn a_disk_that_stands_still_costs_lines_and_no_time() {
        let disk = Disk::default();
        let still = disk.still.lock().unwrap();
        let recorder = Recorder::to(disk.clone(), 4).unwrap();
        let long = "m".repeat(64 << 10); // longer than what is kept in memory, so that the writer stands still at once
        for _ in 0..100 {
            recorder.line(pick(&long));
        }
        assert!(recorder.dropped.load(Ordering::Relaxed) >= 90);
        drop(still);
        recorder.finish();
        recorder.line(pick("after"));
        recorder.finish();
        let text = String::from_utf8(disk.text.lock().unwrap().clone()).unwrap();
        assert!(text.lines().count() >= 4 && text.ends_with("\"after\"}\n"), "{}", text.lines().count());
    }
}
