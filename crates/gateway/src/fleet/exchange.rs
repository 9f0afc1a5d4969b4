//! The task that exchanges letters, and what it does when there is nobody to exchange them with.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use outrigger::News;
use serde::Serialize;
use tokio::{sync::oneshot, task::JoinHandle, time::MissedTickBehavior};
use tracing::{info, warn};

use super::{
    EVERY, Ears, Fleet, FleetSettings, Now, PRESENT, SILENCE, Standing,
    board::{self, Board, Budgeted, Heard},
    port::{Letter, Port, PortFault, Post},
    redis::{Address, Names, RedisPort},
    words::{Place, Told},
};
use crate::auth::spent::period;

/// An engine that takes longer is taken for gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// An engine that is spoken with.
struct Line {
    port: Box<dyn Port>,
    place: String,
    /// Whether the last exchange succeeded; none before the first.
    is_well: Option<bool>,
    heard: Option<Instant>,
}

impl Line {
    /// None where the settings name no engine; that they name one that can be spoken with was checked when they were read.
    fn of(settings: Option<&FleetSettings>) -> Option<Self> {
        let address = Address::parse(&settings?.redis).ok()?;
        let place = address.place();
        let port = Box::new(RedisPort::new(address, Names::FLEET, PATIENCE));
        Some(Self { port, place, is_well: None, heard: None })
    }
}

/// The task, while it runs.
#[derive(Debug)]
pub(crate) struct Sharing {
    leave: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Sharing {
    /// Tells the others the last, which takes as long as two exchanges at most.
    pub(crate) async fn end(self) {
        drop(self.leave);
        // A task that is gone has nothing more to tell.
        drop(self.task.await);
    }
}

impl Fleet {
    /// Begins to share.
    pub(crate) fn share(self: &Arc<Self>, ears: Ears) -> Sharing {
        let (leave, leaving) = oneshot::channel();
        Sharing { leave, task: tokio::spawn(Arc::clone(self).run(ears, leaving)) }
    }

    /// Exchanges letters for as long as the process lives, and once more when it is to leave: dropping the other end of `leave` says so.
    async fn run(self: Arc<Self>, ears: Ears, mut leave: oneshot::Receiver<()>) {
        let mut settings = self.settings.subscribe();
        let mut line = Line::of(settings.borrow_and_update().as_ref());
        let mut ticks = tokio::time::interval(EVERY);
        // After a slow exchange the next is a second away, and no two follow at once.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let leaves = tokio::select! {
                _ = ticks.tick() => false,
                _ = &mut leave => true,
                // The sender is this fleet's own, so it lives.
                _ = settings.changed() => {
                    line = Line::of(settings.borrow_and_update().as_ref());
                    self.forget(&ears);
                    false
                }
            };
            if let Some(line) = &mut line {
                self.exchange_over(line, &ears).await;
            }
            if leaves {
                return;
            }
        }
    }

    /// One exchange, and what came of it.
    async fn exchange_over(&self, line: &mut Line, ears: &Ears) {
        let now = (Instant::now(), SystemTime::now());
        let exchanged = self.exchange(&mut *line.port, ears, now).await;
        let place = &line.place;
        match exchanged {
            Ok(standing) => {
                if line.is_well != Some(true) {
                    info!(redis = %place, replicas = standing.replicas, "shares with other replicas");
                }
                (line.is_well, line.heard) = (Some(true), Some(now.0));
                self.stand(standing);
            }
            Err(fault) => {
                if line.is_well != Some(false) {
                    warn!(redis = %place, %fault, "cannot share with other replicas; each goes on with what it knows");
                }
                line.is_well = Some(false);
                self.stand(Standing { connected: false, replicas: 1 });
                if line.heard.is_none_or(|heard| now.0.saturating_duration_since(heard) >= SILENCE) {
                    ears.hear_nothing();
                }
            }
        }
    }

    /// One exchange of letters.
    pub(super) async fn exchange(
        &self,
        port: &mut dyn Port,
        ears: &Ears,
        now: Now,
    ) -> Result<Standing, PortFault> {
        let (letter, budgets) = self.write(ears, now);
        let post = tokio::time::timeout(PATIENCE, port.exchange(&letter)).await;
        let post = post.unwrap_or_else(|_| Err(PortFault(format!("no answer within {PATIENCE:?}"))))?;
        Ok(self.read(&post, &budgets, ears, now.0))
    }

    /// What this replica has to say.
    fn write(&self, Ears { keys, client }: &Ears, (now, wall): Now) -> (Letter, Vec<Budgeted>) {
        // What is held comes first: what is let go and booked meanwhile is then told twice, and not left out.
        let news = self.board().newsroom.told(now);
        let places = client.used().iter().map(|(route, used)| Place::new(route, used)).collect();
        let told = Told { life: self.identity.life, keys: keys.told(now), places, news };
        let budgets = keys.budgets().into_iter().map(|(key, every)| {
            let (number, left) = period(every, wall);
            let own = self.own.micro_usd(&key, every, wall);
            Budgeted { key: key.to_string(), every, number, left, own }
        });
        let budgets: Vec<Budgeted> = budgets.collect();
        let accounts = budgets.iter().map(Budgeted::account).collect();
        (Letter { replica: self.identity.name.clone(), text: told.written(), accounts }, budgets)
    }

    /// What the others say.
    fn read(&self, post: &Post, budgets: &[Budgeted], ears: &Ears, now: Instant) -> Standing {
        let letters = board::letters(post);
        ears.keys.hear(Board::used_elsewhere(&letters, now));
        ears.client.used_elsewhere(&Board::places_elsewhere(&letters));
        let mut board = self.board();
        board.learn_totals(budgets, &post.totals);
        board.newsroom.keep(letters.iter().map(|letter| letter.replica));
        let hear = |letter: &Heard<'_>| {
            board.newsroom.hear(letter.replica, letter.told.life, &letter.told.news, letter.silent)
        };
        let news: Vec<News> = letters.iter().flat_map(hear).collect();
        drop(board);
        for news in &news {
            ears.client.hear(news);
        }
        let present = post.letters.iter().filter(|letter| letter.silent < PRESENT).count();
        Standing { connected: true, replicas: present.saturating_add(1) }
    }

    /// There is no fleet any more, or another one.
    pub(super) fn forget(&self, ears: &Ears) {
        self.board().forget();
        ears.hear_nothing();
        self.stand(Standing::default());
    }
}

/// What `check --probe` found.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) redis: String,
    pub(crate) ok: bool,
    pub(crate) took_ms: u64,
    pub(crate) message: Option<String>,
}

/// Asks an engine for an exchange, beside the fleet's own.
pub(crate) async fn probe(settings: &FleetSettings, patience: Duration) -> Option<Finding> {
    let address = Address::parse(&settings.redis).ok()?;
    let redis = address.place();
    let mut port = RedisPort::new(address, Names::TRIAL, patience);
    let (letter, began) = (Letter { replica: "check".to_owned(), ..Letter::default() }, Instant::now());
    let asked = tokio::time::timeout(patience, port.exchange(&letter)).await;
    let message = match asked {
        Ok(Ok(_)) => None,
        Ok(Err(fault)) => Some(fault.to_string()),
        Err(_) => Some(format!("no answer within {patience:?}")),
    };
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Some(Finding { redis, ok: message.is_none(), took_ms, message })
}
