//! The running gateway: both listeners, from their binding to the end of the last answer.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

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

/// In a hurry, callers have so long to take what they are told last.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(250);

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

/// How a gateway ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Requests that were cut off.
    pub(crate) cut_off: u64,
    /// Whether it was told to hurry.
    pub(crate) hurried: bool,
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

    /// Takes nothing new on, lets what runs finish for as long as the settings give it or until `hurry` comes, breaks off the
    /// rest, and returns when nothing is left running; in a hurry, soon.
    pub(crate) async fn shutdown(self, hurry: impl Future<Output = ()>) -> Ended {
        let (mut hurry, mut hurried) = (pin!(hurry), false);
        let mut finished = pin!(async { tokio::join!(finish(self.callers), self.client.shutdown()) });
        self.control.advance(Phase::Draining);
        let in_time = tokio::select! {
            biased;
            _ = &mut finished => true,
            () = tokio::time::sleep(self.live.settings().drain) => false,
            () = &mut hurry => { hurried = true; false }
        };
        let cut_off = if in_time { 0 } else { self.live.load.under_way() };
        self.control.advance(Phase::Over);
        // Every connection ends by itself now, those that cannot finish included.
        let mut gone = pin!(async {
            if !in_time {
                finished.await;
            }
            finish(self.operators).await;
        });
        if !hurried {
            tokio::select! {
                biased;
                () = &mut gone => return Ended { cut_off, hurried },
                () = hurry => hurried = true,
            }
        }
        if tokio::time::timeout(LAST_WORDS, &mut gone).await.is_err() {
            // What still runs is ended here, so that the log and the books have it.
            self.control.advance(Phase::Gone);
            drop(tokio::time::timeout(LAST_WORDS, gone).await);
        }
        Ended { cut_off, hurried }
    }
}

/// Waits for the connections of a listener that has closed its port.
async fn finish(listener: JoinHandle<Arc<Connections>>) {
    if let Ok(connections) = listener.await {
        connections.gone().await;
    }
}

#[cfg(test)]
mod tests {
    use outrigger::{
        Config,
        config::{Model, Provider, Target},
    };
    use sim::{Fault, Region, Server, When};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn ask(address: SocketAddr, stream: bool) -> TcpStream {
        let messages = "[{\"role\":\"user\",\"content\":\"ahoy\"}]";
        let body = format!("{{\"model\":\"chat\",\"stream\":{stream},\"messages\":{messages}}}");
        let length = body.len();
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
        let mut caller = TcpStream::connect(address).await.unwrap();
        caller
            .write_all(format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes())
            .await
            .unwrap();
        caller
    }

    /// **What the end cuts off is counted as such.** The operators' port is closed by then, so the count is read here. Fails if a
    /// stream or a plain request counts as given up by its caller.
    #[tokio::test]
    async fn what_the_end_cuts_off_is_no_callers_doing() {
        let region = Region::new("here").latency(Duration::from_millis(1));
        let regions = Server::start(World::builder().region(region).build().unwrap()).await.unwrap();
        let provider = Provider::openai().region("here", &regions.base_url("here").unwrap()).unwrap();
        let model = Model::new([Target::new("holysheep", "gpt-4.1")]);
        let watch = Watch::new();
        let client = Client::builder()
            .config(Config::new().provider("holysheep", provider).model("chat", model))
            .observer(watch.clone())
            .build()
            .unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let drain = Duration::from_millis(1);
        let settings = Settings { listen: any, admin: any, drain, ..Settings::default() };
        let parts = Parts {
            client: client.clone(),
            load: Load::of(&settings),
            watch: watch.clone(),
            keys: Arc::default(),
            fleet: None,
            ledger: Arc::new(Ledger::in_memory()),
            clerks: Vec::new(),
            tells_prompts: false,
            world: None,
            orders: None,
        };
        let running = start(&settings, parts).await.unwrap();
        regions.world().inject("here", Fault::Stall { after: 3 }, When::always()).unwrap();
        let mut stream = ask(running.listen, true).await;
        stream.read_exact(&mut [0; 15]).await.unwrap();
        regions.world().inject("here", Fault::Silent, When::always()).unwrap();
        let mut plain = ask(running.listen, false).await;
        while regions.world().count("here").unwrap() < 2 {
            tokio::task::yield_now().await;
        }
        let ended = running.shutdown(std::future::pending()).await;
        assert_eq!(ended, Ended { cut_off: 2, hurried: false });
        for (caller, status) in [(&mut stream, "\"draining\""), (&mut plain, " 503 ")] {
            let mut told = Vec::new();
            drop(caller.read_to_end(&mut told).await);
            let told = String::from_utf8_lossy(&told);
            assert!(told.contains(status), "{told}");
        }
        let page = watch.metrics().page(&client);
        for outcome in ["truncated", "error"] {
            let line = format!("outrigger_requests_total{{model=\"chat\",outcome=\"{outcome}\"}} 1\n");
            assert!(page.contains(&line), "no {line}in\n{page}");
        }
        assert!(!page.contains("outcome=\"cancelled\""), "{page}");
    }
}
