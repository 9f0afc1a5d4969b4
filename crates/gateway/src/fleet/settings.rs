//! `[fleet]`: where the replicas share.

use outrigger::config::{Fault, Path, Secret};
use serde::Deserialize;

use super::redis::Address;

/// The table `[fleet]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct FleetSettings {
    /// The URL of a Redis or Valkey. It may hold a password.
    pub(crate) redis: Secret,
}

/// What is wrong with the table. Nothing of the URL is quoted.
pub(crate) fn faults(settings: &FleetSettings) -> Option<Fault> {
    let wrong = Address::parse(&settings.redis).err()?;
    let fault = Fault::new(Path::new(["fleet", "redis"]), wrong);
    Some(fault.help("write it as redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]; what is no letter or digit in a password as %XX".to_owned()))
}
