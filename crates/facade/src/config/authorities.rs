//! The files of certificate authorities that regions name (`ca_file`): whether they hold any, and what tells one's content from
//! what it says later.
//!
//! A region whose file is not there would be found out by the first call that goes to it. And connections are kept by what they
//! were made of, the file's name among it: a file that is written anew makes new ones only where its content counts too.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path as FilePath, PathBuf},
};

use super::{
    Config,
    fault::{Fault, Path},
    interpolate::Files,
};

/// How a certificate begins in a PEM file.
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// Reads each file once, and gives the regions that name it its edition. A file is at fault once for each provider.
pub(super) fn read(config: &mut Config, files: Files<'_>) -> Vec<Fault> {
    let mut known: BTreeMap<PathBuf, Result<u64, String>> = BTreeMap::new();
    let mut faults = Vec::new();
    for (name, provider) in &mut config.providers {
        let mut told = Vec::new();
        for (region, settings) in &mut provider.regions {
            let Some(file) = &settings.ca_file else { continue };
            match known.entry(file.clone()).or_insert_with(|| edition(file, files)) {
                Ok(edition) => settings.ca_edition = *edition,
                Err(message) if !told.contains(file) => {
                    told.push(file.clone());
                    let path = Path::new(["providers", name, "regions", region, "ca_file"]);
                    faults.push(Fault::new(path, message.clone()));
                }
                Err(_) => {}
            }
        }
    }
    faults
}

fn edition(file: &FilePath, files: Files<'_>) -> Result<u64, String> {
    let shown = file.display();
    let content = files(file).map_err(|error| format!("cannot read the file `{shown}`: {error}"))?;
    if !content.contains(BEGIN) {
        return Err(format!("no certificate is in the file `{shown}`; it is to be PEM, with `{BEGIN}`"));
    }
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    Ok(hasher.finish())
}
