//! LiteLLM's configuration, read for what it means and written as ours.
//!
//! Entries of `model_list` that bear one name are targets of one model; a base URL with its key is a region of a provider;
//! `order` and fallbacks are tiers. What has no counterpart is named in a comment, each thing once, with what to do instead. No
//! credential that the file holds is written: a variable takes its place, and a comment says which.
//!
//! The YAML is read as a loose tree and not by a strict schema: LiteLLM takes numbers as texts and the other way round, the same
//! setting in three places, and grows new ones every week.

mod chains;
mod deployment;
mod notes;
mod places;
mod settings;
mod vendors;
mod write;
mod yaml;

use notes::Notes;
use serde::Serialize;

/// What became of a file.
#[derive(Debug, Serialize)]
pub(crate) struct Imported {
    /// The configuration, comments and all.
    pub(crate) config: String,
    /// What has no counterpart, and what is to be done by hand; the same is in the comments.
    pub(crate) notes: Vec<String>,
}

/// Turns the text of a LiteLLM configuration into ours; `name` is what it is called in comments.
///
/// # Errors
/// The text is no YAML, or names no model that could be served.
pub(crate) fn import(text: &str, name: &str) -> Result<Imported, String> {
    let tree = yaml::parse(text).map_err(|fault| format!("{name}:{fault}"))?;
    let mut notes = Notes::default();
    let deployments = deployment::all(&tree, &mut notes);
    let places = places::Places::of(&deployments, &mut notes);
    let models = chains::models(&deployments, &places, &tree, &mut notes);
    if models.is_empty() {
        let why = notes.lines().join("\n  ");
        return Err(format!("{name}: `model_list` names no model that can be served here\n  {why}"));
    }
    let settings = settings::Settings::of(&tree, &models, &mut notes);
    let notes = notes.lines();
    let config = write::config(name, &settings, &places, &models, &notes);
    Ok(Imported { config, notes })
}
