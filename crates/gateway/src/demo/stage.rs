//! What the play is played on: two copies of a world with a port for each region, and the gateway before one of them.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use outrigger::{
    Client, Config,
    config::{Model, Provider, Target},
};
use sim::{Scenario, Server, World};

use super::{
    MODEL, Play,
    ledger::{Accounts, Ledger},
};
use crate::{
    cli::{Failed, out},
    load::Load,
    server::{self, Parts, Running},
    settings::Settings,
    signals::Signals,
    watch::Watch,
};

/// The provider's name, the article's.
const PROVIDER: &str = "holysheep";
/// The last answers are given by the time that the stage is struck; only a stranger's request could still run.
const DRAIN: Duration = Duration::from_secs(2);

/// All that serves.
#[derive(Debug)]
pub(super) struct Stage {
    running: Running,
    client: Client,
    ledger: Ledger,
    regions: Server,
    naive_regions: Server,
}

impl Stage {
    /// Opens all ports.
    pub(super) async fn set(play: &Play) -> Result<Self, Failed> {
        let regions = Server::start(play.scenario.world()?).await?;
        let naive_regions = Server::start(play.scenario.world()?).await?;
        let mut provider = Provider::openai();
        for region in regions.world().regions() {
            provider = provider.region(region, &regions.base_url(region)?)?;
        }
        let mut model = Model::new([Target::new(PROVIDER, MODEL)]);
        model.breaker.recovery_timeout = recovery_timeout(&play.scenario, model.breaker.recovery_timeout);
        let (watch, ledger) = (Watch::new(), Ledger::default());
        let client = Client::builder()
            .config(Config::new().provider(PROVIDER, provider).model(MODEL, model))
            .observer(watch.clone())
            .observer(ledger.clone())
            .seed(play.scenario.seed)
            .build()?;
        let (listen, admin) = free(play.listen, play.admin)?;
        let settings = Settings { listen, admin, drain: DRAIN, ..Settings::default() };
        let world = Some(regions.world().clone());
        let parts = Parts {
            client: client.clone(),
            load: Load::of(&settings),
            watch,
            keys: Arc::default(),
            fleet: None,
            ledger: Arc::new(crate::ledger::Ledger::in_memory()),
            clerks: Vec::new(),
            tells_prompts: false,
            world,
            orders: None,
        };
        let running = server::start(&settings, parts).await?;
        Ok(Self { running, client, ledger, regions, naive_regions })
    }

    /// Says where it is, and how to join in.
    pub(super) fn announce(&self, briefly: bool) {
        let (listen, admin) = (self.running.listen_url(), self.running.admin_url());
        out::note(format_args!("listening {listen}"));
        out::note(format_args!("admin {admin}"));
        if briefly {
            return;
        }
        let messages = r#"[{"role": "user", "content": "ahoy"}]"#;
        out::note(format_args!(
            r#"
curl    curl {listen}/v1/chat/completions -H 'content-type: application/json' -d '{{"model": "{MODEL}", "messages": {messages}}}'
Python  OpenAI(base_url="{listen}/v1", api_key="none").chat.completions.create(model="{MODEL}", messages={messages})
Node    await new OpenAI({{baseURL: "{listen}/v1", apiKey: "none"}}).chat.completions.create({{model: "{MODEL}", messages: {messages}}})
chaos   curl {admin}/chaos -d '{{"region": "us-east", "fault": "reset", "for": "5s"}}'
"#
        ));
    }

    /// Begins the scenario in both worlds.
    pub(super) fn begin(&self, scenario: &Scenario) -> Result<(), Failed> {
        self.world().play(scenario)?;
        self.naive_world().play(scenario)?;
        Ok(())
    }

    /// The API's root of the gateway.
    pub(super) fn base_url(&self) -> String {
        format!("{}/v1", self.running.listen_url())
    }

    /// The API's root of each region of the naive client's world.
    pub(super) fn naive_base_urls(&self) -> Result<Vec<String>, Failed> {
        let regions = self.naive_world().regions().iter();
        Ok(regions.map(|region| self.naive_regions.base_url(region)).collect::<Result<_, _>>()?)
    }

    /// The names of the regions.
    pub(super) fn regions(&self) -> Vec<String> {
        self.world().regions().to_vec()
    }

    pub(super) fn world(&self) -> &World {
        self.regions.world()
    }

    pub(super) fn naive_world(&self) -> &World {
        self.naive_regions.world()
    }

    /// What the gateway's client has done so far.
    pub(super) fn accounts(&self) -> Accounts {
        self.ledger.read()
    }

    /// The regions that the gateway keeps away from, and why.
    pub(super) fn troubles(&self) -> String {
        let deployments = self.client.deployments();
        let troubles = deployments.iter().filter_map(|status| {
            let limited = (status.cooldown_ms > 0).then_some("limited");
            let trouble = Some(status.breaker).filter(|breaker| *breaker != "closed").or(limited)?;
            Some(format!("{} {trouble}", status.region))
        });
        troubles.collect::<Vec<_>>().join(", ")
    }

    /// Ends all that serves. A signal does not wait for it.
    pub(super) async fn strike(self, signals: &mut Signals) {
        self.running.shutdown(signals.next()).await;
        self.regions.shutdown().await;
        self.naive_regions.shutdown().await;
    }
}

/// How long circuits stay open: as long as usual where acts last minutes, and shorter where they are played faster than life,
/// so that each act finds the regions as the last one left them: well.
fn recovery_timeout(scenario: &Scenario, usual: Duration) -> Duration {
    let shortest = scenario.acts.iter().map(|act| act.lasting / 4).filter(|time| !time.is_zero()).min();
    shortest.map_or(usual, |time| time.min(usual))
}

/// The two addresses, each with a free port instead of one that is taken: a demo is not worth stopping a server for.
fn free(listen: SocketAddr, admin: SocketAddr) -> io::Result<(SocketAddr, SocketAddr)> {
    let callers = bind(listen)?;
    let operators = bind(admin)?; // while the first is held, so that they are two
    Ok((callers.local_addr()?, operators.local_addr()?))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            out::note(format_args!("{address} is taken, so the system chooses another port"));
            TcpListener::bind((address.ip(), 0))
        }
        bound => bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circuits_recover_within_an_act_and_never_later_than_usual() {
        let usual = Duration::from_secs(30);
        let of = |seconds| recovery_timeout(&Scenario::eight_acts(Duration::from_secs(seconds), 1), usual);
        assert_eq!([8, 80, 8_000].map(of), [250, 2_500, 30_000].map(Duration::from_millis));
        let mut without = Scenario::eight_acts(Duration::from_secs(8), 1);
        without.acts.clear();
        assert_eq!(recovery_timeout(&without, usual), usual);
    }

    #[test]
    fn a_port_that_is_taken_is_replaced_and_two_are_never_the_same() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let (listen, admin) = free(address, address).unwrap();
        assert_ne!(listen, address);
        assert_ne!(admin, address);
        assert_ne!(listen, admin);
    }
}
