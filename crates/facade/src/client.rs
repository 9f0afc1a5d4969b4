//! The client: built once, shared by all tasks, asked for answers.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::SystemTime};

use breaker::Gate;
use registry::{Explanation, Selector, Used};
use transport::Transport;

use crate::{
    answer::Answer,
    chat::ChatCall,
    config::Config,
    driver,
    engine::{Cordon, DeploymentStatus, Engine, Plan, RetryBudgetStatus},
    error::{BuildError, CallError},
    fallback::{self, Fallback, LastResort},
    health,
    news::News,
    observe::{CordonWord, Notice, Observer, Route},
    request::Request,
    room::{Holding, Room},
    shared::{MakeGate, Shared, now},
};

/// A client for many providers and regions. Cloning it is cheap, and all clones share their state.
///
/// # Drop
/// Dropping the last clone stops its health checks. Calls and streams in progress keep what they need and go on.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    checks: Arc<health::Checks>,
    last_resort: Option<Arc<LastResort>>,
    /// Makes the circuits of what a reload brings.
    gate: Option<Arc<MakeGate>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Client {
    /// Begins a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Begins a chat with a model, by its public name.
    pub fn chat(&self, model: impl Into<String>) -> ChatCall<'_> {
        ChatCall::new(self, model.into())
    }

    /// Makes one call: to the best deployment, and on to others before the caller notices.
    ///
    /// # Errors
    /// See [`CallError`]: each variant says what was tried and when to come back.
    ///
    /// # Cancel safety
    /// Dropping the future cancels every upstream request it has running.
    pub async fn send(&self, request: Request) -> Result<Answer, CallError> {
        self.send_until(request, std::future::pending()).await
    }

    /// As [`send`](Self::send), for as long as `end` has not come: for a server whose caller is there still when its own time is over. The
    /// call then counts as failed, not as given up by its caller.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`CallError::CutOff`] when `end` came before the answer's beginning. After it `end` has no say: a stream is ended by
    /// [`AnswerStream::cut_off`](crate::AnswerStream::cut_off).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_until(
        &self,
        request: Request,
        end: impl Future<Output = ()>,
    ) -> Result<Answer, CallError> {
        let Some(last_resort) = &self.last_resort else {
            return driver::drive(&self.shared, request, end).await;
        };
        let (kept, began) = (request.clone(), now());
        match driver::drive(&self.shared, request, end).await {
            Ok(answer) => Ok(answer),
            Err(error @ CallError::CutOff { .. }) => Err(error),
            Err(error) => fallback::answer(&self.shared, &**last_resort, &kept, error, began).await,
        }
    }

    /// The public models, in the order of the configuration.
    pub fn models(&self) -> Vec<Arc<str>> {
        self.shared.plan().model_names().cloned().collect()
    }

    /// The state of every deployment.
    pub fn deployments(&self) -> Vec<DeploymentStatus> {
        self.shared.engine().deployments(now())
    }

    /// The retry budget of every model, by its public name.
    pub fn retry_budgets(&self) -> Vec<(Arc<str>, RetryBudgetStatus)> {
        self.shared.engine().retry_budgets()
    }

    /// Every candidate for a model with the terms of its score, the choice, and why the others lost; tier by tier.
    ///
    /// # Errors
    /// [`CallError::ModelNotFound`], [`CallError::UnknownRegion`].
    pub fn explain(&self, model: &str, region: Option<&str>) -> Result<Vec<Explanation>, CallError> {
        let plan = self.shared.plan();
        let ask = crate::ask::for_explanation(&plan, model, region)?;
        let draw = self.shared.draw();
        Ok(self.shared.engine().explain(&ask, draw, now()))
    }

    /// Takes out by hand what bears a name: all at `provider` and `region`, or only `model` there. It holds for those that are there now,
    /// and for those that a [`reload`](Self::reload) brings, until it is taken back. Returns how many deployments there are now; where there
    /// is none, nothing was said.
    pub fn cordon(&self, provider: &str, region: &str, model: Option<&str>) -> usize {
        let meant = self.shared.engine().cordon(provider, region, model);
        if meant > 0 {
            self.tell_cordon(provider, region, model, CordonWord::Out);
        }
        meant
    }

    /// Puts back what was taken out by hand: all at `provider` and `region`, or only `model` there. Returns how many deployments match. A
    /// cordon over what is not configured any more is taken back by the name of which it was said; one model of a region that is out is
    /// put back only while it is configured.
    pub fn uncordon(&self, provider: &str, region: &str, model: Option<&str>) -> usize {
        let (meant, has_changed) = {
            let mut engine = self.shared.engine();
            let before = engine.cordons();
            (engine.uncordon(provider, region, model), engine.cordons() != before)
        };
        if has_changed {
            self.tell_cordon(provider, region, model, CordonWord::Back);
        }
        meant
    }

    /// Takes one [`cordon`](Self::cordon) back, as if it had not been said: for one that was to last for a while. What was said since of
    /// single models there holds, and so does what was said of the region where this was said of a model.
    pub fn end_cordon(&self, provider: &str, region: &str, model: Option<&str>) {
        self.shared.engine().end_cordon(provider, region, model);
        self.tell_cordon(provider, region, model, CordonWord::Over);
    }

    fn tell_cordon(&self, provider: &str, region: &str, model: Option<&str>, word: CordonWord) {
        let (provider, region, model) = (provider.into(), region.into(), model.map(Into::into));
        self.shared.observe(&Notice::Cordon { provider, region, model, word }, None);
    }

    /// What is taken out by hand, by name, also where the configuration has nothing of that name now.
    pub fn cordons(&self) -> Vec<Cordon> {
        self.shared.engine().cordons()
    }

    /// Hears what another client of the same deployments has learned first-hand; says whether that was new here.
    ///
    /// A wait that a provider named ([`News::CoolDown`]) is kept here too, as if it had been told here: at most 5 min of it, and a longer
    /// one that is known stands. A circuit that tripped elsewhere ([`News::Tripped`]) counts as one failure in the score: places that are as good
    /// are asked before it for half a minute, and it is asked where there is none. It is not believed where a success of the last second
    /// before it says otherwise, where the circuit here is not closed, and when it is 10 s old. News open no circuit, close none, and
    /// touch no cordon. A deployment that is not configured here is passed over.
    pub fn hear(&self, news: &News) -> bool {
        let mut actions = Vec::new();
        let is_new = self.shared.engine().hear(news, now(), &mut actions);
        self.shared.notify(&mut actions, 0, None);
        is_new
    }

    /// What was used here within the last minute of deployments that have a limit per minute (`limits`), in at most thirteen parts each: for other
    /// clients of the same account, who hear it by [`used_elsewhere`](Self::used_elsewhere). What was heard is not told on.
    pub fn used(&self) -> BTreeMap<Route, Vec<Used>> {
        self.shared.engine().used(now())
    }

    /// Hears what other clients of the same account used within the last minute, all of it, in place of what was heard before. It counts beside
    /// what was used here in a deployment's limits per minute, and each part no longer than it says, at most a minute: so a limit
    /// is exceeded by what the others begin between two hearings, and what is heard no more counts no more.
    ///
    /// Deployments that are not configured here, or have no such limit, are passed over. Several clients' parts are put in one list. A limit of
    /// attempts in flight (`concurrent`) stays each client's own.
    pub fn used_elsewhere(&self, used: &BTreeMap<Route, Vec<Used>>) {
        self.shared.engine().used_elsewhere(used, now());
    }

    /// Goes by another configuration from now on, while calls run: swapped whole, or not at all.
    ///
    /// What did not change lives on with all that is known of it: circuits, scores, learned times, cooldowns, counts and retry
    /// budgets. A [`cordon`](Self::cordon) is about a name, and holds for what comes to bear it. An endpoint is the same by provider, region and base URL; a deployment by its endpoint and the
    /// provider's model; a public model by its name. Changed numbers (weights, limits, timeouts, a breaker's rules) hold from now
    /// on, and forget nothing. A changed credential clears what was refused with the old one. What is new begins afresh.
    ///
    /// Calls and streams in progress go on; their next attempts go by the new configuration, never to a place that is gone. What
    /// the builder was given besides the configuration stays as it is.
    ///
    /// ```
    /// use outrigger::{Client, Config, config::{Model, Provider, Target}};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let chat = Model::new([Target::new("acme", "gpt-4.1")]);
    /// let one = Provider::openai().region("us-east", "https://us.example.com/v1")?;
    /// let two = one.clone().region("eu-west", "https://eu.example.com/v1")?;
    ///
    /// let client = Client::builder().config(Config::new().provider("acme", one).model("chat", chat.clone())).build()?;
    /// client.reload(Config::new().provider("acme", two).model("chat", chat))?;
    /// assert_eq!(client.deployments().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`ClientBuilder::build`]; then all goes on by the old configuration.
    pub fn reload(&self, config: Config) -> Result<(), BuildError> {
        self.shared.reload(&config, self.gate.as_deref())?;
        self.checks.restart(&self.shared);
        Ok(())
    }

    /// Takes no new calls, and returns when those in progress have ended and the health checks have stopped.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the client closed to new calls.
    pub async fn shutdown(&self) {
        self.shared.close().await;
        self.checks.stopped().await;
    }
}

/// Builds a [`Client`]. Each piece has a default and can be swapped.
#[derive(Default)]
pub struct ClientBuilder {
    config: Config,
    transport: Option<Arc<dyn Transport>>,
    selector: Option<Box<dyn Selector>>,
    gate: Option<Arc<MakeGate>>,
    observers: Vec<Arc<dyn Observer>>,
    seed: Option<u64>,
    max_held: Option<usize>,
    room: Option<Arc<dyn Room>>,
    max_in_progress: Option<usize>,
    last_resort: Option<Arc<LastResort>>,
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// Providers, models and their numbers.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// What sends requests. Default: reqwest.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// What chooses among eligible deployments. Default: the scoring that the configuration names.
    #[must_use]
    pub fn selector(mut self, selector: impl Selector + 'static) -> Self {
        self.selector = Some(Box::new(selector));
        self
    }

    /// What guards each circuit: every endpoint and deployment gets a clone. Default: the breaker.
    #[must_use]
    pub fn gate(mut self, gate: impl Gate + Clone + Sync + 'static) -> Self {
        self.gate = Some(Arc::new(move || Box::new(gate.clone())));
        self
    }

    /// Someone who watches. There may be several.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// The seed of all chance. Default: from the operating system's randomness.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The largest plain answer that is held until it is whole, in bytes; a larger one flows, and is no longer retryable.
    /// Default 8 MiB.
    #[must_use]
    pub fn max_held_answer(mut self, bytes: usize) -> Self {
        self.max_held = Some(bytes);
        self
    }

    /// Room for what is held of plain answers over all calls. Default: as much as each call may hold.
    #[must_use]
    pub fn room(mut self, room: Arc<dyn Room>) -> Self {
        self.room = Some(room);
        self
    }

    /// The most calls and streams in progress at once; one more is refused with [`CallError::Overloaded`]. Default: as many
    /// as the caller starts.
    #[must_use]
    pub fn max_in_progress(mut self, calls: usize) -> Self {
        self.max_in_progress = Some(calls);
        self
    }

    /// The application's own last resort: asked when a call ends without an answer and that is not its caller's fault, with the
    /// request and the error; `None` leaves the error as it is. What it gives is marked ([`Answer::fallback`]) and counts as no
    /// provider's success. It has 5 s, though the call's deadline may have passed, and is dropped when the caller goes away. What the
    /// caller could not read is not given: a stream gets [`Fallback::chat`] or [`Fallback::events`].
    ///
    /// ```
    /// use outrigger::{Client, Config, Fallback, config::{Model, Provider, Target}};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let world = sim::World::article(7);
    /// # world.inject("us-east", sim::Fault::Refuse, sim::When::always())?;
    /// # let provider = Provider::openai().region("us-east", world.base_url("us-east")?.as_str())?;
    /// # let model = Model::new([Target::new("holysheep", "gpt-4.1")]);
    /// # let config = Config::new().provider("holysheep", provider).model("chat", model);
    /// let client = Client::builder()
    ///     .config(config)
    /// #   .transport(world.transport())
    ///     .on_exhausted(|request, error| {
    ///         let text = format!("{} is out of reach ({}); please hail the harbour.", request.model(), error.code());
    ///         async move { Some(Fallback::chat(text)) }
    ///     })
    ///     .build()?;
    ///
    /// let answer = client.chat("chat").user("How high is the swell?").send().await?;
    /// assert!(answer.fallback && answer.text.ends_with("please hail the harbour."));
    /// assert!(answer.attempts.iter().all(|attempt| attempt.class.is_some())); // what was tried, and failed
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn on_exhausted<F, Fut>(mut self, ask: F) -> Self
    where
        F: Fn(&Request, &CallError) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<Fallback>> + Send + 'static,
    {
        self.last_resort = Some(fallback::kept(ask));
        self
    }

    /// The client. Health checks start here and need a tokio runtime: built outside of one, the client makes none.
    ///
    /// # Errors
    /// [`BuildError::Config`] with every fault of the configuration; [`BuildError::Machine`] when a machine refuses its
    /// numbers.
    pub fn build(self) -> Result<Client, BuildError> {
        self.config.check()?;
        let plan = Arc::new(Plan::new(&self.config));
        let epoch = (now(), SystemTime::now());
        let gate = self.gate.as_deref().map(|gate| gate as &dyn Fn() -> Box<dyn Gate>);
        let engine = Engine::with_parts(plan, epoch, self.selector, gate)?;
        let transport = self.transport.unwrap_or_else(|| Arc::new(transport::ReqwestTransport::new()));
        let seed = self.seed.unwrap_or_else(random_seed);
        let holding = Holding { each: self.max_held.unwrap_or(8 << 20), all: self.room };
        let max_in_progress = self.max_in_progress.unwrap_or(usize::MAX);
        let shared =
            Arc::new(Shared::new(engine, transport, self.observers, seed, holding, max_in_progress, epoch));
        let checks = Arc::new(health::Checks::start(&shared));
        Ok(Client { shared, checks, last_resort: self.last_resort, gate: self.gate })
    }
}

/// The standard library seeds its hash maps from the operating system; that is all the randomness a seed needs.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u64)
}
