//! A list of durations as strings (`["5s", "30s"]`), for serde.

use std::time::Duration;

use humantime_serde::Serde;
use serde::{Deserialize, Deserializer, Serializer};

pub(crate) fn serialize<S: Serializer>(list: &[Duration], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.iter().map(|duration| Serde::from(*duration)))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Duration>, D::Error> {
    let list = Vec::<Serde<Duration>>::deserialize(deserializer)?;
    Ok(list.into_iter().map(Serde::into_inner).collect())
}
