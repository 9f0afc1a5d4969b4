//! The files of certificate authorities: read where the configuration is, and told apart by what is in them.

use std::{io, path::Path};

use outrigger::config::{Config, Document, Faults};

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";

/// Reads a file whose authorities are read by `files`.
fn read(text: &str, files: &dyn Fn(&Path) -> io::Result<String>) -> Result<Config, Faults> {
    let document = Document::parse_with(text, "outrigger.toml", &|_| None, files)?;
    Config::from_document(&document, &[]).map(|(config, _)| config)
}

const REGIONS: &str = "[providers.p]\ndialect = \"openai\"\nca_file = \"ca.pem\"\n\
                       regions.a = { base_url = \"http://a/v1\" }\nregions.b = { base_url = \"http://b/v1\" }";

/// **Authorities that are not there are a fault of the file**, told once. Fails if the first call to go there finds it out.
#[test]
fn a_file_without_authorities_is_a_fault() {
    let gone = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let told = read(REGIONS, &gone).map(|_| ()).unwrap_err().to_string();
    let place = "outrigger.toml:3:11: providers.p.regions.a.ca_file: ";
    assert_eq!(told, format!("{place}cannot read the file `ca.pem`: entity not found"));
    let other = |_: &Path| Ok("-----BEGIN PRIVATE KEY-----\nc2VrcmV0\n".to_owned());
    let told = read(REGIONS, &other).map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        told,
        format!(
            "{place}no certificate is in the file `ca.pem`; it is to be PEM, with `-----BEGIN CERTIFICATE-----`"
        )
    );
}

/// **A file written anew is another edition**, and one that says the same is not. Fails if connections would outlive what they trust.
#[test]
fn authorities_are_told_apart_by_what_is_in_them() {
    let editions = |content: &str| {
        let config = read(REGIONS, &|_| Ok(content.to_owned())).unwrap();
        config.providers[0].1.regions.iter().map(|(_, region)| region.ca_edition).collect::<Vec<_>>()
    };
    let first = editions(PEM);
    assert_eq!(first[0], first[1]);
    assert_eq!(editions(PEM), first);
    assert_ne!(editions(&format!("{PEM}{PEM}")), first);
    let without = REGIONS.replace("ca_file = \"ca.pem\"\n", "");
    let config = read(&without, &|path| panic!("nobody named {path:?}")).unwrap();
    assert_eq!(config.providers[0].1.regions[0].1.ca_edition, 0);
}
