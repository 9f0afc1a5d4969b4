//! `outrigger schema`: the JSON Schema of the configuration file.

use std::process::ExitCode;

use super::{Failed, out};
use crate::schema::schema;

pub(super) fn run() -> Result<ExitCode, Failed> {
    out::result(serde_json::to_string_pretty(&schema())?);
    Ok(ExitCode::SUCCESS)
}
