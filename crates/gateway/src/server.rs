//! The running gateway: both listeners, from their binding to the end of the last answer.

use std::{io, net::SocketAddr, sync::Arc};

use outrigger::Client;
use sim::World;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    admin::{self, Admin},
    auth::{Keys, pass::Settle},
    clerk::{Clerk, Clerks},
    connections::Connections,
    entrance::Entrance,
    fleet::Fleet,
    hosts::Hosts,
    ledger::Ledger,
    listener::{Limits, Listener},
    live::Live,
    load::Load,
    phase::{Phase, PhaseControl, phases},
    reload::Order,
    routes::{self, Gateway},
    settings::Settings,
    watch::Watch,
};

/// Connections of operators at once: their own bound, so that callers cannot keep them out.
const OPERATORS: u32 = 256;

/// What a gateway is started with beside its settings.
pub(crate) struct Parts {
    /// The client, built with `watch` as an observer.
    pub(crate) client: Client,
    /// How much is taken on at once, what the client holds included.
    pub(crate) load: Arc<Load>,
    /// Who watches the client.
    pub(crate) watch: Watch,
    /// The callers' keys.
    pub(crate) keys: Arc<Keys>,
    /// What calls have cost; it is a clerk beside the others.
    pub(crate) ledger: Arc<Ledger>,
    /// The other replicas, where there may be some.
    pub(crate) fleet: Option<Arc<Fleet>>,
    /// Who else keeps a record of each request.
    pub(crate) clerks: Vec<Arc<dyn Clerk>>,
    /// Whether the access log is to tell what requests say.
    pub(crate) tells_prompts: bool,
    /// The simulated world that `/chaos` may disturb.
    pub(crate) world: Option<World>,
    /// Who reloads, where there is a file to read again.
    pub(crate) orders: Option<mpsc::Sender<Order>>,
}

/// Binds both ports and serves.
///
/// # Errors
/// An address that cannot be had, with its name.
pub(crate) async fn start(settings: &Settings, parts: Parts) -> Result<Running, StartError> {
    let Parts { client, load, watch, keys, ledger, fleet, mut clerks, tells_prompts, world, orders } = parts;
    clerks.push(Arc::clone(&ledger) as Arc<dyn Clerk>);
    let live = Live::new(settings.clone(), load);
    clerks.push(Arc::new(watch.clone()));
    clerks.push(Arc::new(Settle));
    let (control, phases) = phases();
    let bind = async |address: SocketAddr, limits: Limits| {
        let refused = |error| StartError { address, error };
        let listener = Listener::bind(address, limits).await.map_err(refused)?;
        let bound = listener.address().map_err(refused)?;
        Ok((listener, bound))
    };
    let (callers, listen) = bind(settings.listen, settings.limits()).await?;
    let (operators, admin) =
        bind(settings.admin, Limits { max_connections: OPERATORS, ..settings.limits() }).await?;
    let clerks = Clerks::from(clerks);

    let gateway = Gateway {
        client: client.clone(),
        watch: watch.clone(),
        keys: Arc::clone(&keys),
        clerks: clerks.clone(),
        phases: phases.clone(),
        tells_prompts,
        live: Arc::clone(&live),
    };
    let own = Hosts::Own(settings.hosts.clone());
    let hosts = if listen.ip().is_loopback() { own.clone() } else { Hosts::Any };
    let max_head = settings.limits().max_head;
    let for_callers = Entrance::for_callers(routes::router(Arc::new(gateway)), hosts, clerks, max_head);
    let for_operators = Entrance::for_operators(
        admin::router(
            Admin::new(client.clone(), watch, phases.clone(), (keys, ledger), fleet),
            world,
            orders,
        ),
        own,
    );
    Ok(Running {
        listen,
        admin,
        client,
        live,
        control,
        callers: tokio::spawn(callers.serve(for_callers, phases.clone(), Phase::Draining)),
        operators: tokio::spawn(operators.serve(for_operators, phases, Phase::Over)),
    })
}

/// An address that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}")]
pub(crate) struct StartError {
    address: SocketAddr,
    error: io::Error,
}

/// A gateway that serves.
///
/// # Drop
/// Ends it without waiting for anything: its streams break off, and say so.
#[derive(Debug)]
pub(crate) struct Running {
    listen: SocketAddr,
    admin: SocketAddr,
    client: Client,
    live: Arc<Live>,
    control: PhaseControl,
    callers: JoinHandle<Arc<Connections>>,
    operators: JoinHandle<Arc<Connections>>,
}

impl Running {
    /// The base URL for callers, without `/v1`.
    pub(crate) fn listen_url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// The settings that hold now.
    pub(crate) fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// The base URL for operators.
    pub(crate) fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Takes nothing new on, lets what runs finish for as long as the settings give it, breaks off the rest, and returns when
    /// nothing is left running.
    pub(crate) async fn shutdown(self) {
        self.control.advance(Phase::Draining);
        let mut finished =
            std::pin::pin!(async { tokio::join!(finish(self.callers), self.client.shutdown()) });
        let in_time = tokio::time::timeout(self.live.settings().drain, &mut finished).await;
        self.control.advance(Phase::Over);
        if in_time.is_err() {
            // Every connection ends by itself now, those that cannot finish included.
            finished.await;
        }
        finish(self.operators).await;
    }
}

/// Waits for the connections of a listener that has closed its port.
async fn finish(listener: JoinHandle<Arc<Connections>>) {
    if let Ok(connections) = listener.await {
        connections.gone().await;
    }
}
