//! The table of the layers. A change here is a change of the design: it comes with a page in docs/decisions.

/// What one package may lean on, and what it must never hold.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) package: &'static str,
    /// Members that it may lean on.
    pub(super) may: &'static [&'static str],
    /// Members that its tests may lean on besides.
    pub(super) may_in_tests: &'static [&'static str],
    /// Crates that its manifest may not name. They may lie below what it does name.
    pub(super) never_named: &'static [&'static str],
    /// Crates that may be nowhere in its tree, with all features on.
    pub(super) never_below: &'static [&'static [&'static str]],
    /// Handed time and chance as arguments; its clippy.toml forbids the clock.
    pub(super) is_pure: bool,
    /// Without features it has no dependency at all.
    pub(super) is_bare: bool,
}

/// Optional helpers for the tests of a crate's users; they bring their own randomness, and purity is not claimed for them.
pub(super) const AIDS: &[&str] = &["proptest"];

/// Runtimes and threads: who waits is not pure.
const RUNTIMES: &[&str] =
    &["tokio", "async-std", "smol", "futures-executor", "mio", "rayon", "crossbeam-channel"];
/// The network, in any form.
const NETWORK: &[&str] = &["http", "hyper", "reqwest", "axum", "h2", "rustls", "socket2", "url"];
/// Chance that is not an argument.
const CHANCE: &[&str] = &["rand", "rand_core", "fastrand", "getrandom"];
/// Clocks that are not an argument.
const CLOCKS: &[&str] = &["chrono", "time", "jiff", "quanta", "coarsetime", "minstant", "web-time"];
/// Globals that collect what a library says; a pure crate returns its events.
const LOGS: &[&str] = &["log", "tracing", "metrics", "opentelemetry"];
/// All that a pure crate does without.
const IMPURE: &[&[&str]] = &[RUNTIMES, NETWORK, CHANCE, CLOCKS, LOGS];

/// Wrappers that retry behind the caller's back: the policy alone decides about attempts.
const RETRIERS: &[&str] = &["tower", "reqwest-middleware", "reqwest-retry", "backon", "backoff", "again"];
/// Servers. A client has no use for one.
const SERVERS: &[&str] = &["axum", "actix-web", "warp"];

const PURE: Row = Row {
    package: "",
    may: &[],
    may_in_tests: &[],
    never_named: &[],
    never_below: IMPURE,
    is_pure: true,
    is_bare: true,
};
const EDGE: Row = Row { never_below: &[], is_pure: false, is_bare: false, ..PURE };

const FIVE: &[&str] =
    &["outrigger-breaker", "outrigger-registry", "outrigger-policy", "outrigger-wire", "outrigger-transport"];

/// The layers, from the leaves up.
pub(super) const ROWS: &[Row] = &[
    Row { package: "outrigger-breaker", ..PURE },
    Row { package: "outrigger-registry", ..PURE },
    Row { package: "outrigger-policy", ..PURE },
    // It reads JSON, which is hostile, with the parser that everybody's hostile JSON has already been through.
    Row { package: "outrigger-wire", is_bare: false, ..PURE },
    Row { package: "outrigger-transport", never_named: RETRIERS, never_below: &[SERVERS], ..EDGE },
    Row {
        package: "outrigger",
        may: FIVE,
        may_in_tests: &["outrigger-sim"],
        // Whoever swaps the transport must be able to leave these behind: its API knows them only through `transport`.
        never_named: &["reqwest", "hyper", "hyper-util", "rustls"],
        never_below: &[SERVERS],
        ..EDGE
    },
    Row { package: "outrigger-sim", may: &["outrigger-transport", "outrigger-wire"], ..EDGE },
    // What providers say is the facade's business, and so is reaching them.
    Row {
        package: "outrigger-gateway",
        may: &["outrigger", "outrigger-sim"],
        never_named: &["reqwest"],
        ..EDGE
    },
    Row { package: "xtask", ..EDGE },
];
