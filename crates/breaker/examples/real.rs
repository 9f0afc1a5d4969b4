//! A client of a TCP service that falls sick for a while: four threads, one breaker, and a count of what the sick
//! service is spared.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use outrigger_breaker::{BreakerConfig, Ratio, Rejected, Report, SharedBreaker, Verdict};

/// Between two questions of one thread.
const PACE: Duration = Duration::from_millis(5);

#[expect(clippy::disallowed_methods, reason = "an example is the edge, where the clock is read")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "an example is the edge, where one waits")]
fn pause(duration: Duration) {
    thread::sleep(duration);
}

/// Asks a service of one line per connection.
struct Client {
    address: SocketAddr,
    breaker: SharedBreaker,
}

impl Client {
    /// Outside: whether the circuit let it go. Inside: what came of it.
    fn ask(&self, question: &str) -> Result<io::Result<String>, Rejected> {
        let began = now();
        let guard = self.breaker.guard(began)?;
        let answer = self.exchange(question);
        let ended = now();
        let verdict = if answer.is_ok() { Verdict::Success } else { Verdict::Failure };
        let draw = RandomState::new().hash_one(question);
        guard.report(Report::new(verdict).duration(ended - began).draw(draw), ended);
        Ok(answer)
    }

    fn exchange(&self, question: &str) -> io::Result<String> {
        let timeout = Duration::from_millis(500);
        let mut stream = TcpStream::connect_timeout(&self.address, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        writeln!(stream, "{question}")?;
        let mut answer = String::new();
        match BufReader::new(stream).read_line(&mut answer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(answer),
        }
    }
}

/// Echoes a line; while sick it hangs up instead.
#[derive(Default)]
struct Service {
    sick: AtomicBool,
    hung_up: AtomicU32,
}

impl Service {
    fn serve(&self, listener: &TcpListener) {
        for stream in listener.incoming() {
            if let Err(error) = stream.and_then(|stream| self.answer(stream)) {
                println!("service: {error}");
            }
        }
    }

    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut question = String::new();
        BufReader::new(&stream).read_line(&mut question)?;
        if self.sick.load(Relaxed) {
            self.hung_up.fetch_add(1, Relaxed);
            return Ok(());
        }
        stream.write_all(question.as_bytes())
    }
}

#[derive(Default)]
struct Totals {
    answered: AtomicU32,
    failed: AtomicU32,
    refused: AtomicU32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut config = BreakerConfig::default();
    config.recovery_timeout = Duration::from_millis(50);
    config.jitter = Ratio::HALF;
    let client = Client { address: listener.local_addr()?, breaker: SharedBreaker::new(config, now())? };
    let service: &'static Service = Box::leak(Box::default());
    thread::spawn(move || service.serve(&listener)); // Ends with the process.

    let (totals, done) = (Totals::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    let total = match client.ask("how are you?") {
                        Ok(Ok(_)) => &totals.answered,
                        Ok(Err(_)) => &totals.failed,
                        Err(_) => &totals.refused,
                    };
                    total.fetch_add(1, Relaxed);
                    pause(PACE);
                }
            });
        }
        for sick in [false, true, false] {
            service.sick.store(sick, Relaxed);
            pause(Duration::from_millis(300));
        }
        done.store(true, Relaxed);
    });

    while let Some(event) = client.breaker.poll_event() {
        let reason = event.reason.map_or("", |reason| reason.as_str());
        println!("{} -> {} {reason}", event.from, event.to);
    }
    println!(
        "answered {}, failed {}, refused at no cost {}; the sick service saw {} questions",
        totals.answered.load(Relaxed),
        totals.failed.load(Relaxed),
        totals.refused.load(Relaxed),
        service.hung_up.load(Relaxed),
    );
    Ok(())
}
