//! A real use, on real threads and a real clock: workers share a registry, each fetches from the mirror it is given, and the
//! slow and the broken one lose their share. The mirrors are functions here; a download would stand in their place.

use outrigger_registry::{
    Deployment, DeploymentId, Kind, Query, Registry, RegistryConfig, Sample, SharedRegistry,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const MIRRORS: [(&str, u64); 3] = [("near", 2), ("far", 8), ("broken", 1)];
const WORKERS: u64 = 4;
const FILES: u64 = 200;

/// One download: waits as the mirror's distance has it, and says whether it came.
fn download(mirror: &str, distance_ms: u64) -> bool {
    // A channel that nobody writes to is a wait without a sleep.
    let (_keep, nothing) = mpsc::channel::<()>();
    let waited = nothing.recv_timeout(Duration::from_millis(distance_ms));
    mirror != "broken" && waited.is_err()
}

#[expect(clippy::disallowed_methods, reason = "a program has a clock")]
fn work(shared: &SharedRegistry, ids: &[DeploymentId], next: &AtomicU64) -> [u64; 3] {
    let mut fetched = [0; 3];
    let mut query = Query::new(ids);
    query.kind = Kind::Whole;
    while next.load(Ordering::Relaxed) < FILES {
        let file = next.fetch_add(1, Ordering::Relaxed);
        let Ok(attempt) = shared.begin(&query, file, Instant::now()) else { continue };
        let started = Instant::now();
        let parts = ids.iter().zip(MIRRORS).zip(&mut fetched).find(|((id, _), _)| **id == attempt.id());
        let Some(((_, (mirror, distance_ms)), count)) = parts else { continue };
        let sample = if download(mirror, distance_ms) {
            *count += 1;
            Sample::answer(started.elapsed())
        } else {
            Sample::Failure
        };
        attempt.finish(sample, Instant::now());
    }
    fetched
}

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program has a clock and a screen")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut registry = Registry::new(RegistryConfig::default())?;
    let ids = MIRRORS.map(|(mirror, _)| registry.insert(Deployment::new("mirror", mirror, "files")));
    let shared = SharedRegistry::new(registry);
    let next = AtomicU64::new(0);
    let fetched = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(|| work(&shared, &ids, &next))).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).fold([0; 3], |sum, fetched| {
            std::array::from_fn(|at| sum.get(at).unwrap_or(&0) + fetched.get(at).unwrap_or(&0))
        })
    });
    for ((mirror, _), fetched) in MIRRORS.iter().zip(fetched) {
        println!("{mirror:>8}: {fetched} of {FILES} files");
    }
    let mut query = Query::new(&ids);
    query.kind = Kind::Whole;
    print!("{}", shared.with(|registry| registry.explain(&query, 0, Instant::now())));
    Ok(())
}
