//! The engine: registry, circuits, budgets and calls joined into one pure machine.
//!
//! [`Engine::on`] takes an event, the time and one random draw, and appends what is to be done. It reads no clock, sends
//! nothing, and holds no lock: the client's driver, a replay of last night's trace and a simulation of next year's traffic
//! drive the very same engine.
//!
//! # Who decides what?
//! The call's machine ([`policy::Call`]) owns tiers, exclusions, the deadline and the order of rescue. The registry ranks
//! what it is asked for. The circuits admit or refuse. The engine owns none of these decisions: it carries the question of
//! one to the other, and charges each outcome to the level it belongs to (`attribute`).
//!
//! # Limits
//! Calls in progress are bounded by whoever starts them. All else is bounded by the configuration.

mod attempt;
mod attribute;
mod bill;
mod candidates;
mod charge;
mod check;
mod circuits;
mod cordons;
mod costs;
mod early;
mod ending;
mod event;
mod hedge;
mod limits;
mod news;
mod notices;
mod parts;
mod pick;
mod places;
mod plan;
mod record;
mod reload;
mod rescue;
mod shares;
mod succession;
mod view;

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant, SystemTime},
};

use breaker::Gate;
pub use policy::Mode;
use policy::{Budget, Call, CallPlan, HedgeBudget, Picked, Step};
use registry::{DeploymentId, Kind, Registry};
use wire::PriceTable;

pub use bill::Heard;
pub use check::Check;
pub use cordons::Cordon;
pub use costs::CostBound;
pub use event::{Action, Ask, AttemptFailure, CallId, Event};
pub use plan::Plan;
pub(crate) use plan::{Endpoint, ModelPlan, VERSION as ANTHROPIC_VERSION};
pub use record::Recorded;
pub use view::{DeploymentStatus, RetryBudgetStatus};

use crate::{
    error::BuildError,
    observe::{Outcome, Route},
};
use attempt::Attempt;
use bill::Tab;
use candidates::Candidates;
use circuits::Circuits;
use cordons::Cordons;
use limits::Learned;
use places::Places;

/// Registry, circuits, budgets and calls, joined. See the [module](self).
#[derive(Debug)]
pub struct Engine {
    plan: Arc<Plan>,
    /// The plans before it that somebody may still go by.
    former: Vec<Weak<Plan>>,
    registry: Registry,
    /// The registry's name of each deployment, by its number in the plan.
    ids: Vec<DeploymentId>,
    candidates: Candidates,
    numbers: HashMap<DeploymentId, usize>,
    /// Whether the selector is the user's, so that the models' scoring does not count.
    own_selector: bool,
    circuits: Circuits,
    /// What an operator took out.
    cordons: Cordons,
    /// By model.
    budgets: Vec<Budget>,
    hedges: Vec<HedgeBudget>,
    /// What the answers of each deployment took lately.
    learned: Vec<Learned>,
    calls: HashMap<CallId, CallState>,
    places: Places,
    counters: Vec<view::Counters>,
    /// Deployments that refused to go on from an assistant's message, whatever the configuration says.
    refuse_to_continue: Vec<bool>,
    prices: PriceTable,
    /// One instant in both times; calendar time is this plus the monotonic time since.
    epoch: (Instant, SystemTime),
}

/// One call in progress: its machine, and what it has running.
#[derive(Debug)]
struct CallState {
    /// Its numbers stay what they are for as long as it runs.
    _plan: Arc<Plan>,
    ask: Ask,
    began: Instant,
    machine: Call,
    attempts: Vec<Attempt>,
    /// What the last withdrawal cost, to be given back by a success.
    paid: Option<u32>,
    /// The last failure and its place, until the attempt after it starts: then it is a failover.
    failed: Option<(usize, wire::Class)>,
    first_token: Option<Duration>,
    /// Whether its answer is flowing: then nothing is left to decide, unless it breaks off.
    decided: bool,
    /// Where the attempt that is to start next runs beside a slow one.
    hedge: Option<usize>,
    /// Where its answer came from last.
    answered_by: Option<usize>,
    /// Where and how its answer broke off, while the rest may be sought.
    broken: Option<(usize, wire::Class)>,
    /// What its attempts cost.
    tab: Tab,
    /// Those that it has not asked, and where another attempt might cost more than is left of what it may.
    too_dear: Vec<usize>,
    /// Whether one was not asked for that since its last attempt began, though it was chosen: a second try, or a price that has changed.
    is_again_too_dear: bool,
    /// Whether its last pick found nobody for that.
    is_held_back: bool,
}

impl CallState {
    /// Which latency matters to it.
    fn kind(&self) -> Kind {
        if self.ask.stream { Kind::Stream } else { Kind::Whole }
    }
}

impl Engine {
    /// An engine for a plan, with the built-in scoring and circuits. `epoch` is one instant in both times, from which
    /// calendar time is told.
    ///
    /// # Errors
    /// [`BuildError::Machine`] when a machine refuses its numbers.
    pub fn new(plan: Arc<Plan>, epoch: (Instant, SystemTime)) -> Result<Self, BuildError> {
        Self::with_parts(plan, epoch, None, None)
    }

    /// An engine with another selector, another gate, or both.
    ///
    /// # Errors
    /// [`BuildError::Machine`] when a machine refuses its numbers.
    pub fn with_parts(
        plan: Arc<Plan>,
        epoch: (Instant, SystemTime),
        selector: Option<Box<dyn registry::Selector>>,
        gate: Option<&dyn Fn() -> Box<dyn Gate>>,
    ) -> Result<Self, BuildError> {
        let own_selector = selector.is_some();
        let mut registry = parts::registry(selector)?;
        let prices = PriceTable::builtin();
        let entries = parts::entries(&plan, &prices, epoch.1)?;
        let ids: Vec<_> = entries.into_iter().map(|(_, entry)| registry.insert(entry)).collect();
        let numbers = ids.iter().enumerate().map(|(number, id)| (*id, number)).collect();
        let mut engine = Self {
            former: Vec::new(),
            registry,
            candidates: Candidates::new(&plan, &ids),
            ids,
            numbers,
            own_selector,
            circuits: Circuits::new(&plan, gate, epoch.0)?,
            cordons: Cordons::default(),
            budgets: Vec::new(),
            hedges: Vec::new(),
            learned: Vec::new(),
            calls: HashMap::new(),
            places: Places::new(&plan)?,
            counters: Vec::new(),
            refuse_to_continue: Vec::new(),
            prices,
            epoch,
            plan,
        };
        engine.begin_anew();
        Ok(engine)
    }

    /// The plan it runs on.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Takes note of `event` and appends to `actions` what is to be done now, in order. `draw` is one random number; all
    /// chance in the decision comes from it.
    ///
    /// An event of a call that is not in progress changes nothing.
    pub fn on(&mut self, event: Event, now: Instant, draw: u64, actions: &mut Vec<Action>) {
        self.take_note(event, now, &mut Draws::of(draw), actions);
        self.offer_places(now, actions);
    }

    fn take_note(&mut self, event: Event, now: Instant, draws: &mut Draws, actions: &mut Vec<Action>) {
        let call = event.call();
        match event {
            Event::Asked { ask, .. } => self.begin(call, ask, now),
            // A head decides nothing: it only tells the endpoint's circuit.
            Event::Head { attempt, headroom, .. } => {
                return self.on_head(call, attempt, &headroom, now, actions);
            }
            Event::Speaking { attempt, .. } => return self.on_speaking(call, attempt, now, actions),
            Event::Content { attempt, .. } => self.on_content(call, attempt, now, actions),
            Event::Answered { attempt, heard, .. } => {
                return self.on_answered(call, attempt, heard, now, actions);
            }
            Event::Failed { attempt, failure, .. } => {
                self.on_failed(call, attempt, failure, now, draws.next(), actions);
            }
            Event::Broke { attempt, failure, rescuable, .. } => {
                self.on_broke(call, attempt, failure, rescuable, now, draws.next(), actions);
            }
            Event::Tick { .. } => return self.on_tick(call, now, draws, actions),
            Event::Cancelled { reading, .. } => {
                return self.on_given_up(call, reading, |_| Outcome::Cancelled, now, actions);
            }
            Event::CutOff { reading, .. } => {
                return self.on_given_up(call, reading, ending::of_cut_off, now, actions);
            }
        }
        self.advance(call, now, draws, actions);
    }

    /// A wake-up: the call's own, or because a place is kept for it, which it then takes, if it still can.
    fn on_tick(&mut self, call: CallId, now: Instant, draws: &mut Draws, actions: &mut Vec<Action>) {
        let kept = self.places.take_kept(call);
        if let Some(state) = self.calls.get_mut(&call).filter(|_| kept.is_some()) {
            state.machine.on_place();
        }
        self.advance(call, now, draws, actions);
        // One who waits again could not use it; to offer it again at this instant would go round in a circle.
        if let Some(deployment) = kept.filter(|_| !self.places.is_waiting(call)) {
            self.places.on_freed(deployment);
        }
    }

    fn begin(&mut self, call: CallId, mut ask: Ask, now: Instant) {
        self.plan.narrow(&mut ask);
        let model_number = ask.model;
        let Some(model) = self.plan.models.get(model_number) else { return };
        let total = now.checked_add(model.timeouts.total).unwrap_or(now);
        let deadline = ask.deadline.map_or(total, |own| own.min(total));
        let tiers = u8::try_from(model.tiers.len()).unwrap_or(u8::MAX);
        let mut plan = CallPlan::new(tiers, model.retry.max_attempts, deadline);
        if ask.single {
            plan.max_attempts = plan.max_attempts.min(2);
            plan.budget = false;
        }
        let mut machine = Call::new(plan);
        self.hold_to_cost(&ask, &mut machine, now);
        let state = CallState {
            _plan: Arc::clone(&self.plan),
            tab: Tab::of(&ask),
            ask,
            began: now,
            machine,
            attempts: Vec::new(),
            paid: None,
            failed: None,
            first_token: None,
            decided: false,
            hedge: None,
            answered_by: None,
            broken: None,
            too_dear: Vec::new(),
            is_again_too_dear: false,
            is_held_back: false,
        };
        self.calls.insert(call, state);
        if let Some(hedges) = self.hedges.get_mut(model_number) {
            hedges.on_request();
        }
    }

    /// Asks the call's machine what to do until it waits or ends.
    fn advance(&mut self, call: CallId, now: Instant, draws: &mut Draws, actions: &mut Vec<Action>) {
        // The state is taken out for the while, so that it and the rest of the engine can be changed side by side.
        if self.calls.get(&call).is_none_or(|state| state.decided) {
            return;
        }
        let Some(mut state) = self.calls.remove(&call) else { return };
        loop {
            match state.machine.next(now) {
                Step::Pick { tier, mode } => {
                    self.find_too_dear(&mut state, mode, now);
                    let mut picked = self.pick(&state, tier, mode, draws.next(), now);
                    if matches!(picked, Picked::Nothing { .. }) {
                        picked = self.last_resort(&state, tier, draws.next(), now).unwrap_or(picked);
                    }
                    // Where somebody was found, whatever stands in the way after that is no matter of cost.
                    state.is_held_back = matches!(picked, Picked::Nothing { .. })
                        && (state.is_again_too_dear || !state.too_dear.is_empty());
                    state.machine.on_pick(picked, now);
                }
                Step::Start { deployment, price, mode } => {
                    self.start(&mut state, deployment as usize, price, mode, now, actions);
                }
                Step::Hedge { tier } => self.hedge(&mut state, tier, draws.next(), now),
                Step::Queue { until } => {
                    self.places.enrol(call);
                    actions.extend([Action::Queue, Action::Wake { at: until }]);
                    self.calls.insert(call, state);
                    return;
                }
                Step::GiveUp { attempt } => self.give_up(&mut state, attempt, now, actions),
                Step::Wait(at) => {
                    self.places.leave(call);
                    actions.push(Action::Wake { at });
                    self.calls.insert(call, state);
                    return;
                }
                Step::Finish(finish) => {
                    self.places.leave(call);
                    self.finish(call, state, finish, now, actions);
                    return;
                }
            }
        }
    }

    /// Calendar time at an instant.
    fn wall(&self, now: Instant) -> SystemTime {
        self.epoch.1 + now.saturating_duration_since(self.epoch.0)
    }

    fn route(&self, number: usize) -> Option<Route> {
        self.plan.deployments.get(number).map(|deployment| deployment.route.clone())
    }
}

/// As many numbers as a decision needs, all from the one that was drawn (splitmix64, Steele, Lea and Flood 2014).
struct Draws(u64);

impl Draws {
    /// Neighbouring draws are mixed apart first, so that their series do not overlap.
    fn of(draw: u64) -> Self {
        Self(mix(draw))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// One of the many numbers that one draw stands for.
pub(crate) fn mixed(draw: u64, number: u64) -> u64 {
    mix(mix(draw).wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
