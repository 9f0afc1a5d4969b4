//! `outrigger serve`: the gateway, until it is told to stop.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::SystemTime,
};

use clap::Args as ClapArgs;
use outrigger::{Client, Room};
use tracing::{Level, info};

use super::{Env, Failed, address, block_on, warn_of_open_admin};
#[cfg(feature = "otel")]
use crate::otel::Tracing;
#[cfg(not(feature = "otel"))]
use crate::untraced::Tracing;
use crate::{
    auth::{Keys, spent::Spent},
    clerk::Clerk,
    descriptors,
    file::File,
    fleet::{Ears, Fleet, Sharing},
    ledger::Ledger,
    load::Load,
    log::{self, access::AccessLog, beside, changes},
    reload::{self, Read, Reloader, Source},
    replay::Recorder,
    server::{self, Ended, Parts, Running},
    settings::Settings,
    signals::{HangUps, Signals},
    supervisor::Supervisor,
    watch::Watch,
};

/// Run the gateway
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The configuration file
    #[arg(long, env = "OUTRIGGER_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Where callers come in, instead of the file's `server.listen`
    #[arg(long, env = "OUTRIGGER_LISTEN", value_name = "ADDRESS", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Where operators come in, instead of the file's `server.admin`
    #[arg(long, env = "OUTRIGGER_ADMIN", value_name = "ADDRESS", value_parser = address)]
    admin: Option<SocketAddr>,
    #[command(flatten)]
    log: log::Options,
    /// Append a trace for `replay`: what attempts came to, without prompts or keys
    #[arg(long, env = "OUTRIGGER_RECORD", value_name = "FILE")]
    record: Option<PathBuf>,
    /// Write what callers say to models into the access log too, up to 16 KiB a request; off unless you ask for it
    #[arg(long)]
    log_prompts: bool,
}

pub(super) fn run(args: &Args, env: Env<'_>) -> Result<ExitCode, Failed> {
    log::start(&args.log, env);
    let source = Source { path: args.config.clone(), listen: args.listen, admin: args.admin };
    let Read { made_of, mut file } = source.read(env).map_err(|faults| faults.join("\n"))?;
    for warning in &file.warnings {
        beside::tell(Level::WARN, warning);
    }
    file.may_serve()?;
    warn_of_open_admin(file.settings.admin);
    if args.log_prompts {
        beside::tell(
            Level::WARN,
            "--log-prompts: WHAT CALLERS WRITE TO MODELS IS WRITTEN INTO THIS LOG, up to 16 KiB a request. Whoever reads \
             the log reads it; whatever keeps the log keeps it. Start without it when you have seen what you wanted to",
        );
    }
    let fixed = file.settings.clone();
    file.settings.max_connections = affordable(file.settings.max_connections);
    let supervisor = Supervisor::of(env);
    let start = Start { source, made_of, file, fixed, supervisor, tells_prompts: args.log_prompts };
    let recorder = args.record.as_deref().map(record).transpose()?;
    let ledger = Arc::new(Ledger::open(&start.file.settings.state_dir, SystemTime::now())?);
    let done = block_on(serve(start, (recorder.clone(), Arc::clone(&ledger)), env));
    ledger.finish();
    if let Some(recorder) = recorder {
        recorder.finish();
    }
    done
}

fn record(path: &Path) -> Result<Arc<Recorder>, String> {
    let recorder = Recorder::start(path);
    recorder.map(Arc::new).map_err(|error| format!("cannot record to {}: {error}", path.display()))
}

/// The connections that there are descriptors for.
fn affordable(wanted: u32) -> u32 {
    let affordable = descriptors::afford(wanted, descriptors::raise());
    if affordable < wanted {
        beside::tell(
            Level::WARN,
            format_args!(
                "this process may open too few files for server.max_connections = {wanted}; it takes on {affordable}. \
             Raise the limit (ulimit -Hn, or LimitNOFILE= in a systemd unit)"
            ),
        );
    }
    affordable
}

/// What the gateway starts with.
struct Start {
    source: Source,
    made_of: reload::Parts,
    file: File,
    /// The settings as the file and the flags have them.
    fixed: Settings,
    supervisor: Supervisor,
    tells_prompts: bool,
}

async fn serve(
    start: Start,
    (recorder, ledger): (Option<Arc<Recorder>>, Arc<Ledger>),
    env: Env<'_>,
) -> Result<ExitCode, Failed> {
    let Start { source, made_of, file, fixed, supervisor, tells_prompts } = start;
    let (mut signals, hang_ups) = (Signals::listen()?, HangUps::listen()?);
    let watch = Watch::new();
    let tracing = Tracing::start(env, &file.config)?.map(Arc::new);
    let max_held = usize::try_from(file.settings.max_held_answer.0).unwrap_or(usize::MAX);
    let load = Load::of(&file.settings);
    let fleet = Fleet::new(&file, Arc::clone(&ledger) as Arc<dyn Spent>);
    let client = Client::builder()
        .config(file.config)
        .observer(watch.clone())
        .observer(changes::tell)
        .observer(fleet.observer())
        .observer(Recorder::of_operators(recorder.as_ref()))
        .max_held_answer(max_held)
        .room(Arc::clone(&load) as Arc<dyn Room>)
        .build()?;
    let keys = Arc::new(Keys::new(file.keys, Arc::clone(&fleet) as Arc<dyn Spent>));
    let mut clerks: Vec<Arc<dyn Clerk>> = vec![Arc::new(AccessLog)];
    clerks.extend(recorder.clone().map(|recorder| recorder as Arc<dyn Clerk>));
    clerks.extend(tracing.clone().map(|tracing| tracing as Arc<dyn Clerk>));
    let (orders, ordered) = reload::orders();
    let parts = Parts {
        client: client.clone(),
        load,
        watch: watch.clone(),
        keys: Arc::clone(&keys),
        ledger,
        fleet: Some(Arc::clone(&fleet)),
        clerks,
        tells_prompts,
        world: None,
        orders: Some(orders),
    };
    let (listen, admin) = (file.settings.listen, file.settings.admin);
    let running = server::start(&file.settings, parts).await?;
    if let Some(recorder) = recorder {
        recorder.serves();
    }
    let sharing = fleet.share(Ears { keys: Arc::clone(&keys), client: client.clone() });
    watch.metrics().may_reload();
    let reloader = Reloader {
        source,
        client,
        keys,
        fleet,
        live: Arc::clone(running.live()),
        watch,
        tracing: tracing.clone(),
        supervisor: supervisor.clone(),
        made_of,
        fixed,
    };
    drop(tokio::spawn(reloader.run(hang_ups, ordered)));
    beside::tell_address("listening", &running.listen_url(), listen.port() == 0);
    beside::tell_address("admin", &running.admin_url(), admin.port() == 0);
    supervisor.ready();
    drop(tokio::spawn(supervisor.clone().feed_watchdog()));
    signals.next().await;
    supervisor.stopping(running.live().settings().drain);
    stop(running, sharing, tracing, signals).await
}

/// Lets what runs finish and tells the last of it. A second signal ends it at once, and that counts as a failure.
async fn stop(
    running: Running,
    sharing: Sharing,
    tracing: Option<Arc<Tracing>>,
    mut signals: Signals,
) -> Result<ExitCode, Failed> {
    info!("draining; a second signal ends it at once");
    let Ended { cut_off, hurried } = running.shutdown(signals.next()).await;
    let told = async {
        sharing.end().await;
        if let Some(tracing) = tracing {
            // The last spans leave on the runtime, so who waits for them must not be of it.
            tokio::task::spawn_blocking(move || tracing.finish()).await?;
        }
        Ok::<(), Failed>(())
    };
    let hurry = async {
        if hurried {
            tokio::time::sleep(server::LAST_WORDS).await;
        } else {
            signals.next().await;
        }
    };
    let hurried = tokio::select! {
        done = told => done.map(|()| hurried)?,
        () = hurry => true,
    };
    info!(cut_off, "stopped");
    Ok(if hurried { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
