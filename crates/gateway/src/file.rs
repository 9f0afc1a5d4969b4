//! The configuration file, read whole: the client's tables by the client, `[server]` here.

use outrigger::{
    Config,
    config::{Document, Fault, Faults, Path, Warning},
};
use serde::de::IgnoredAny;

use crate::settings::Settings;

/// The tables that are not the client's.
const OTHERS: [&str; 3] = ["server", "keys", "fleet"];

/// What a file says.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) settings: Settings,
    pub(crate) config: Config,
    pub(crate) warnings: Vec<Warning>,
    /// Whether the file has callers' keys. This version cannot check them, so it must not serve as if it did.
    pub(crate) has_keys: bool,
    /// The listener that the file alone leaves open to the network by mistake. A flag may choose another one.
    pub(crate) open_listen: Option<Fault>,
}

impl File {
    /// Reads a file's text; `name` is what messages call it, `env` looks up variables.
    ///
    /// # Errors
    /// Every fault of the file.
    pub(crate) fn read(text: &str, name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let document = Document::parse(text, name, env)?;
        let server = document.table::<Settings>("server");
        let (settings, (mut config, mut warnings)) = match (server, Config::from_document(&document, &OTHERS))
        {
            (Ok(settings), Ok(client)) => (settings.unwrap_or_default(), client),
            (Err(ours), Err(theirs)) => return Err(ours.and(theirs)),
            (Err(faults), Ok(_)) | (Ok(_), Err(faults)) => return Err(faults),
        };
        let mut warn = |path: &[&str], message: &str| {
            warnings.push(document.place(Fault::new(Path::new(path.iter().copied()), message)));
        };
        let has = |table: &str| matches!(document.table::<IgnoredAny>(table), Ok(Some(_)) | Err(_));
        let has_keys = has("keys");
        if has_keys {
            warn(&["keys"], "this version checks no callers' keys; `serve` refuses to start with them");
        }
        if has("fleet") {
            warn(&["fleet"], "this version shares nothing with other replicas; each stands alone");
        }
        if !settings.state_dir.is_empty() {
            warn(&["server", "state_dir"], "this version keeps nothing over a restart");
        }
        if let Some(region) = &settings.region
            && !prefer(&mut config, region)
        {
            warn(&["server", "region"], "no provider has a region of this name, so none is preferred");
        }
        warnings.sort_by_key(|warning| warning.place.as_ref().map(|place| (place.line, place.column)));
        let open_listen = settings
            .forbids_listen()
            .map(|message| document.place(Fault::new(Path::new(["server", "listen"]), message)));
        Ok(Self { settings, config, warnings, has_keys, open_listen })
    }

    /// What forbids to serve, once flags have been laid over the file.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub(crate) fn may_serve(&self) -> Result<(), String> {
        if self.has_keys {
            return Err("this version checks no callers' keys; remove [keys], and let what stands in front check them".into());
        }
        self.settings.forbids_listen().map_or(Ok(()), Err)
    }
}

/// Prefers a region in all models that name none; `false` when no provider has it.
fn prefer(config: &mut Config, region: &str) -> bool {
    let is_there =
        config.providers.iter().any(|(_, provider)| provider.regions.iter().any(|(name, _)| name == region));
    if is_there {
        for (_, model) in &mut config.models {
            model.routing.preferred_region.get_or_insert_with(|| region.to_owned());
        }
    }
    is_there
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = r#"
[providers.a.regions.here]
base_url = "http://127.0.0.1:1/v1"
[providers.a.regions.there]
base_url = "http://127.0.0.1:2/v1"
[models.chat]
targets = [{ provider = "a", model = "gpt-4.1" }]
[models.far]
targets = [{ provider = "a", model = "gpt-4.1" }]
routing = { preferred_region = "there" }
"#;

    fn read(server: &str) -> Result<File, Faults> {
        let dialect = CLIENT.replacen(
            "[providers.a.regions.here]",
            "[providers.a]\ndialect = \"openai\"\n[providers.a.regions.here]",
            1,
        );
        File::read(&format!("{server}\n{dialect}"), "x.toml", &|_| None)
    }

    #[test]
    fn the_documented_table_is_the_defaults() {
        let documented = r#"
[server]
listen   = "127.0.0.1:8080"
admin    = "127.0.0.1:8081"
region   = "here"
allow_open = false
max_body = "32MiB"
max_held_answer = "8MiB"
max_buffered    = "512MiB"
max_concurrent  = 4096
early_status = "off"
drain    = "30s"
state_dir = ""
"#;
        let expected = Settings { region: Some("here".to_owned()), ..Settings::default() };
        assert_eq!(read(documented).unwrap().settings, expected);
        assert_eq!(read("").unwrap().settings, Settings::default());
    }

    #[test]
    fn the_gateways_region_is_preferred_where_a_model_names_none() {
        let file = read("[server]\nregion = \"here\"").unwrap();
        let preferred: Vec<_> =
            file.config.models.iter().map(|(_, model)| model.routing.preferred_region.as_deref()).collect();
        assert_eq!(preferred, [Some("here"), Some("there")]);
        assert_eq!(file.warnings, []);
    }

    #[test]
    fn what_this_version_cannot_do_is_said() {
        let text = "[server]\nregion = \"mars\"\nstate_dir = \"x\"\n[keys.a]\nhash = \"sha256:00\"\n[fleet]\nredis = \"redis://x\"";
        let file = read(text).unwrap();
        let said: Vec<_> = file.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 4, "{said:#?}");
        assert!(
            said.iter().any(|line| line.starts_with("x.toml:2:") && line.contains("region")),
            "{said:#?}"
        );
        assert!(file.may_serve().unwrap_err().contains("keys"));
    }

    #[test]
    fn an_open_port_must_be_meant() {
        let open =
            |extra: &str| read(&format!("[server]\nlisten = \"0.0.0.0:0\"\n{extra}")).unwrap().may_serve();
        assert!(open("").unwrap_err().contains("allow_open"));
        assert!(open("allow_open = true").is_ok());
        assert!(read("").unwrap().may_serve().is_ok());
    }

    #[test]
    fn faults_of_both_readers_are_told_together() {
        let faults = read("[server]\nmax_bdoy = \"1MiB\"\n[retry]\nbudgt = 1").unwrap_err().to_string();
        assert!(faults.contains("max_body") && faults.contains("budget"), "{faults}");
    }
}
