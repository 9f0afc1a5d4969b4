//! The clients of each pool: built at first use, found by a read lock and one hash, bounded in number.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::Client;
use rustls::ClientConfig;
use tokio::{sync::OnceCell, task::spawn_blocking};

use super::{invalid, tls};
use crate::{Pool, TransportError};

/// Below the 60 s after which common load balancers drop an idle connection: we let go first.
const POOL_IDLE: Duration = Duration::from_secs(50);
/// How soon a dead HTTP/2 connection is noticed: one ping's interval and its patience.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// All pools in use.
#[derive(Debug)]
pub(super) struct Pools {
    slots: RwLock<HashMap<Arc<Pool>, Arc<Slot>>>,
    max_pools: NonZeroUsize,
    /// Counts uses, to tell which pool has been unused for the longest. A count needs no clock.
    uses: AtomicU64,
    system: OnceCell<ClientConfig>,
}

/// One pool's clients. `http` and `https` are apart, so that the first never waits for roots.
#[derive(Debug, Default)]
struct Slot {
    plain: OnceCell<Vec<Client>>,
    secure: OnceCell<Vec<Client>>,
    turn: AtomicUsize,
    last_use: AtomicU64,
}

impl Pools {
    pub(super) fn new(max_pools: NonZeroUsize) -> Self {
        Self { slots: RwLock::default(), max_pools, uses: AtomicU64::new(0), system: OnceCell::new() }
    }

    /// The client whose turn it is.
    ///
    /// # Errors
    /// `InvalidRequest` for a bad CA file or proxy, `Tls` where the system has no roots. Neither is remembered: the next
    /// request tries again.
    pub(super) async fn client(&self, pool: &Arc<Pool>, is_https: bool) -> Result<Client, TransportError> {
        let slot = self.slot(pool);
        let needs_tls = is_https || pool.proxy.as_ref().is_some_and(|proxy| proxy.scheme() == "https");
        let cell = if needs_tls { &slot.secure } else { &slot.plain };
        let clients = cell
            .get_or_try_init(|| async {
                let config = if needs_tls { self.trust(pool).await? } else { tls::trusting_nobody()? };
                build(pool, &config)
            })
            .await?;
        let turn = if clients.len() == 1 { 0 } else { slot.turn.fetch_add(1, Ordering::Relaxed) };
        clients.get(turn % clients.len().max(1)).cloned().ok_or_else(|| invalid("a pool without connections"))
    }

    fn slot(&self, pool: &Arc<Pool>) -> Arc<Slot> {
        let now = self.uses.fetch_add(1, Ordering::Relaxed);
        let found = self.slots.read().unwrap_or_else(PoisonError::into_inner).get(pool).map(Arc::clone);
        let slot = found.unwrap_or_else(|| self.add(pool));
        slot.last_use.store(now, Ordering::Relaxed);
        slot
    }

    fn add(&self, pool: &Arc<Pool>) -> Arc<Slot> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if !slots.contains_key(pool) && slots.len() >= self.max_pools.get() {
            let oldest = slots.iter().min_by_key(|(_, slot)| slot.last_use.load(Ordering::Relaxed));
            if let Some(oldest) = oldest.map(|(pool, _)| Arc::clone(pool)) {
                slots.remove(&oldest);
            }
        }
        Arc::clone(slots.entry(Arc::clone(pool)).or_default())
    }

    /// Whom a pool trusts. Files are read off the runtime's own threads.
    async fn trust(&self, pool: &Pool) -> Result<ClientConfig, TransportError> {
        match pool.ca_file.clone() {
            Some(path) => spawn_blocking(move || tls::trusting_file(&path)).await.map_err(invalid)?,
            None => {
                let load = || async { spawn_blocking(tls::trusting_system).await.map_err(invalid)? };
                self.system.get_or_try_init(load).await.cloned()
            }
        }
    }
}

/// One client per connection asked for: an HTTP/2 client keeps a single connection per host.
fn build(pool: &Pool, config: &ClientConfig) -> Result<Vec<Client>, TransportError> {
    (0..pool.connections.get())
        .map(|_| {
            let mut builder = Client::builder()
                .retry(reqwest::retry::never())
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .no_proxy()
                .connect_timeout(pool.connect_timeout)
                .tcp_nodelay(true)
                .http2_adaptive_window(true)
                .http2_keep_alive_interval(PING_INTERVAL)
                .http2_keep_alive_timeout(PING_TIMEOUT)
                .http2_keep_alive_while_idle(true)
                .pool_idle_timeout(POOL_IDLE)
                .tls_backend_preconfigured(config.clone());
            if let Some(proxy) = &pool.proxy {
                builder = builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(invalid)?);
            }
            builder.build().map_err(invalid)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str) -> Arc<Pool> {
        Arc::new(Pool::new(name))
    }

    #[test]
    fn equal_pools_are_one_pool() {
        let pools = Pools::new(NonZeroUsize::MIN);
        assert!(Arc::ptr_eq(&pools.slot(&pool("a")), &pools.slot(&pool("a"))));
    }

    #[test]
    fn the_pool_unused_for_the_longest_makes_room() {
        let pools = Pools::new(NonZeroUsize::new(2).expect("two"));
        let [first, second] = ["a", "b"].map(|name| pools.slot(&pool(name)));
        pools.slot(&pool("a"));
        pools.slot(&pool("c"));
        assert!(Arc::ptr_eq(&first, &pools.slot(&pool("a"))));
        assert!(!Arc::ptr_eq(&second, &pools.slot(&pool("b"))));
        assert_eq!(pools.slots.read().expect("not poisoned").len(), 2);
    }

    #[tokio::test]
    async fn a_pool_spreads_over_its_connections() {
        let mut wide = Pool::new("wide");
        wide.connections = std::num::NonZeroU16::new(3).expect("three");
        let pools = Pools::new(NonZeroUsize::MIN);
        pools.client(&Arc::new(wide.clone()), false).await.expect("no file is read");
        let slot = pools.slot(&Arc::new(wide));
        assert_eq!(slot.plain.get().map(Vec::len), Some(3));
        assert!(slot.secure.get().is_none(), "http loads no roots");
    }
}
