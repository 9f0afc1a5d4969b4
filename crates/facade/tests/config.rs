//! The configuration: what a file becomes, what is wrong with it and where, and that code passes the same
//! check.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of tests fails by panic, as they do")]

#[path = "config/authorities.rs"]
mod authorities;
#[path = "config/azure.rs"]
mod azure;
#[path = "config/code.rs"]
mod code;
#[path = "config/faults.rs"]
mod faults;
#[path = "config/presets.rs"]
mod presets;
#[path = "config/reading.rs"]
mod reading;
#[path = "config/secrets.rs"]
mod secrets;
#[path = "config/warnings.rs"]
mod warnings;

use outrigger::config::{Config, Faults, Warning};

/// The tables of a whole file that are the gateway's.
const OTHERS: [&str; 3] = ["server", "keys", "fleet"];

/// Reads a file with two variables set.
fn read(text: &str) -> Result<(Config, Vec<Warning>), Faults> {
    Config::from_toml(text, "outrigger.toml", &env, &OTHERS)
}

fn env(name: &str) -> Option<String> {
    match name {
        "OPENAI_API_KEY" => Some("sk-from-the-environment".to_owned()),
        "TWO_LINES" => Some("sk-first-line\nsk-second-line".to_owned()),
        "NAMES_A_FILE" => Some("file:/run/secrets/key".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// A provider and a model without fault or warning, for files that are about something else.
const SOUND: &str = r#"
[providers.openai]
dialect = "openai"
regions.us-east.base_url = "https://us.api.example.com/v1"
regions.eu-west.base_url = "https://eu.api.example.com/v1"
[models.chat]
targets = [{ provider = "openai", model = "gpt-4.1" }]
"#;
