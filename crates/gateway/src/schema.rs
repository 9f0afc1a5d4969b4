//! The JSON Schema of the configuration file: the client's tables by the client, the gateway's own here.

use outrigger::config::schema::{
    self,
    words::{defined, duration, each, flag, list, needs, or, pattern, table, text, whole, written},
};
use serde_json::{Value, json};

use crate::settings::{Settings, Size};

/// The whole file.
pub(crate) fn schema() -> Value {
    schema::schema([
        ("server", server()),
        ("keys", each("Callers' keys, by the name of who holds each.", key())),
        ("fleet", fleet()),
    ])
}

/// `[fleet]`.
fn fleet() -> Value {
    let redis = defined("The Redis or Valkey: `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`.", "secret");
    let about = "Where replicas share budgets, limits, cooldowns and news of circuits.";
    needs(table(about, [("redis", redis)]), &["redis"])
}

fn server() -> Value {
    let default = Settings::default();
    let size = |about: &str, size: Size| or(pattern(about, "^[0-9]+ *(B|KiB|MiB|GiB)$"), size.written());
    let time = |about, default| or(duration(about), written(default));
    let address = |about, default: std::net::SocketAddr| or(text(about), default.to_string());
    table(
        "Where the gateway listens, and how much it takes on.",
        [
            ("listen", address("Where callers come in: plain HTTP/1.1 and HTTP/2.", default.listen)),
            ("admin", address("Where operators come in.", default.admin)),
            ("region", text("Where this gateway stands: the preferred region of models that name none.")),
            (
                "allow_open",
                or(
                    flag("Whether `listen` may be reached from other machines though callers have no keys."),
                    default.allow_open,
                ),
            ),
            (
                "hosts",
                list(
                    "Further names by which a loopback listener and the admin port may be called.",
                    text("A name."),
                ),
            ),
            ("max_body", size("A request's body at most.", default.max_body)),
            (
                "max_held_answer",
                size("A plain answer at most that is held until it is whole.", default.max_held_answer),
            ),
            ("max_buffered", size("Bodies of all requests together at most.", default.max_buffered)),
            ("max_concurrent", or(whole("Requests at once at most.", 1, u32::MAX), default.max_concurrent)),
            (
                "max_connections",
                or(whole("Connections of callers at once at most.", 1, u32::MAX), default.max_connections),
            ),
            ("max_head", size("A request's path and headers at most.", default.max_head)),
            ("header_timeout", time("For a connection to bring its first request.", default.header_timeout)),
            ("body_timeout", time("For a request's body to come in.", default.body_timeout)),
            ("idle_timeout", time("How long a connection may rest between requests.", default.idle_timeout)),
            (
                "stall_timeout",
                time("How long a caller may take nothing of an answer.", default.stall_timeout),
            ),
            ("drain", time("For what runs to finish when the gateway is told to stop.", default.drain)),
            ("early_status", or(early_status(), "off")),
            ("state_dir", or(text("Where spend is kept; empty for memory only."), default.state_dir)),
        ],
    )
}

fn early_status() -> Value {
    json!({
        "description": "`off`, or how long a stream's status waits for its first content, at least 100ms.",
        "anyOf": [{ "const": "off" }, { "$ref": "#/$defs/duration" }],
    })
}

/// `[keys.NAME]`.
fn key() -> Value {
    let amount = json!({ "type": "number", "description": "USD.", "minimum": 0 });
    let budget = [("amount", amount), ("every", duration("The period."))];
    let tokens =
        json!({ "type": "integer", "description": "Tokens a minute, read and written.", "minimum": 1 });
    let hash = pattern("What `outrigger keys new` prints.", "^sha256:[0-9A-Fa-f]{64}$");
    let key = table(
        "A caller's key, and what it may.",
        [
            ("hash", hash),
            (
                "models",
                list(
                    "The models that it may ask. Absent: all.",
                    text("A model, by the name that callers use."),
                ),
            ),
            ("requests_per_minute", whole("Requests a minute.", 1, u32::MAX)),
            ("tokens_per_minute", tokens),
            ("budget_usd", needs(table("What it may cost in a period.", budget), &["amount", "every"])),
        ],
    );
    needs(key, &["hash"])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use outrigger::config::schema::words::keys_of;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::{
        auth::entry::{Budget, Entry},
        fleet::FleetSettings,
    };

    #[track_caller]
    fn check<T: DeserializeOwned>(form: &Value) {
        let known: BTreeSet<&str> = keys_of::<T>().iter().copied().collect();
        assert_eq!(known, form["properties"].as_object().unwrap().keys().map(String::as_str).collect());
    }

    /// Fails if a key is added to a table and forgotten in the schema.
    #[test]
    fn the_schema_has_the_keys_of_the_gateways_tables() {
        check::<Settings>(&server());
        check::<FleetSettings>(&fleet());
        check::<Entry>(&key());
        check::<Budget>(&key()["properties"]["budget_usd"]);
    }
}
