//! `outrigger sim`: simulated regions of a provider on loopback ports, for anyone's tests.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Args as ClapArgs;
use serde::Serialize;
use sim::{Scenario, Server, World};

use super::{Env, Failed, address, block_on, out, scenario::scenario, warn_of_open_admin};
use crate::{
    admin,
    entrance::Entrance,
    hosts::Hosts,
    listener::Listener,
    log,
    phase::{Phase, phases},
    settings::Settings,
    signals::Signals,
};

/// Run simulated regions, a mock provider for tests
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Regions, faults and limits with their times; without it the article's three regions, all well
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// The first region's address; the others follow port by port
    #[arg(long, env = "OUTRIGGER_SIM_LISTEN", default_value = "127.0.0.1:9101", value_name = "ADDRESS", value_parser = address)]
    listen: SocketAddr,
    /// Where `/chaos` comes in
    #[arg(long, env = "OUTRIGGER_SIM_ADMIN", default_value = "127.0.0.1:9100", value_name = "ADDRESS", value_parser = address)]
    admin: SocketAddr,
    /// The seed of all chance, where no scenario says it
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Print the regions and their addresses as one JSON document
    #[arg(long)]
    json: bool,
}

/// Where everything is.
#[derive(Serialize)]
struct Addresses {
    regions: Vec<Address>,
    admin: String,
}

#[derive(Serialize)]
struct Address {
    region: String,
    base_url: String,
}

pub(super) fn run(args: &Args, env: Env<'_>) -> Result<ExitCode, Failed> {
    log::start(&log::Options::default(), env);
    let scenario = args.scenario.as_deref().map(scenario).transpose()?;
    warn_of_open_admin(args.admin);
    block_on(serve(args, scenario))
}

async fn serve(args: &Args, scenario: Option<Scenario>) -> Result<ExitCode, Failed> {
    let mut signals = Signals::listen()?;
    let world = match &scenario {
        Some(scenario) => scenario.world()?,
        None => World::article(args.seed),
    };
    let server = Server::bind(world.clone(), args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let listener = Listener::bind(args.admin, Settings::default().limits())
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.admin))?;
    let admin = listener.address()?;
    let (control, phases) = phases();
    let mut regions = Vec::new();
    for region in world.regions() {
        regions
            .push(Address { region: (*region).to_owned(), base_url: server.base_url(region)?.to_string() });
    }
    let places = regions.iter().map(|place| (place.region.clone(), place.base_url.clone()));
    let router = admin::sim_router(world.clone(), places.collect());
    tokio::spawn(listener.serve(
        Entrance::for_operators(router, Hosts::Own(Vec::new())),
        phases,
        Phase::Over,
    ));
    if let Some(scenario) = &scenario {
        world.play(scenario)?;
    }
    if args.json {
        out::result(serde_json::to_string(&Addresses { regions, admin: format!("http://{admin}") })?);
    } else {
        for Address { region, base_url } in &regions {
            out::result(format_args!("{region} {base_url}"));
        }
    }
    if let Some(first) = world.regions().first() {
        out::note(format_args!("listening http://{}", server.addr(first)?));
    }
    out::note(format_args!("admin http://{admin}"));
    signals.next().await;
    control.advance(Phase::Over);
    server.shutdown().await;
    Ok(ExitCode::SUCCESS)
}
