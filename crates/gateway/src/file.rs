//! The configuration file, read whole: the client's tables by the client, `[server]` and `[keys]` here.

use std::io;

use outrigger::{
    Config,
    config::{Document, Fault, Faults, Path, Warning, read_file},
};
use serde::de::IgnoredAny;

use crate::{
    auth::entry::{self, Entries, Entry},
    fleet::{self, FleetSettings},
    settings::{self, Settings},
};

/// The tables that are not the client's.
const OTHERS: [&str; 3] = ["server", "keys", "fleet"];

/// What a file says.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) settings: Settings,
    pub(crate) config: Config,
    pub(crate) warnings: Vec<Warning>,
    /// The callers' keys. None: everyone may come in.
    pub(crate) keys: Entries,
    /// Where replicas share, if they do.
    pub(crate) fleet: Option<FleetSettings>,
    /// The listener that the file alone leaves open to the network by mistake, or no port of its own. A flag may choose another one.
    pub(crate) open_listen: Option<Fault>,
    /// What is to be known of the operators' listener of the file alone. The same holds of it.
    pub(crate) open_admin: Option<Warning>,
}

impl File {
    /// Reads a file's text; `name` is what messages call it, `env` looks up variables.
    ///
    /// # Errors
    /// Every fault of the file.
    pub(crate) fn read(text: &str, name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        Self::read_with(text, name, env, &read_file)
    }

    /// The same, where `files` reads those that values name.
    ///
    /// # Errors
    /// Every fault of the file.
    pub(crate) fn read_with(
        text: &str,
        name: &str,
        env: &dyn Fn(&str) -> Option<String>,
        files: &dyn Fn(&std::path::Path) -> io::Result<String>,
    ) -> Result<Self, Faults> {
        let document = Document::parse_with(text, name, env, files)?;
        let server = server(&document);
        let client = Config::from_document(&document, &OTHERS);
        let keys = keys(&document, client.as_ref().ok().map(|(config, _)| config));
        let fleet = fleet(&document);
        let (settings, keys, fleet, (mut config, mut warnings)) = match (server, keys, fleet, client) {
            (Ok(settings), Ok(keys), Ok(fleet), Ok(client)) => (settings, keys, fleet, client),
            (settings, keys, fleet, client) => {
                let faults = [settings.err(), keys.err(), fleet.err(), client.err()].into_iter().flatten();
                // One of the four is a fault, or the arm above had been taken.
                return Err(faults
                    .reduce(Faults::and)
                    .unwrap_or_else(|| Fault::new(Path::default(), "").into()));
            }
        };
        // A file that was torn while it was written must not pass as one that serves nothing.
        if config.models.is_empty() {
            let nothing = Fault::new(Path::default(), "no model is configured, so there is nothing to serve");
            let help = "add a table `[models.NAME]` with its `targets`".to_owned();
            return Err(document.place(nothing.help(help)).into());
        }
        let mut warn = |path: &[&str], message: &str| {
            warnings.push(document.place(Fault::new(Path::new(path.iter().copied()), message)));
        };
        let has = |table: &str| matches!(document.table::<IgnoredAny>(table), Ok(Some(_)) | Err(_));
        if keys.is_empty() && has("keys") {
            warn(&["keys"], "there is no key in it, so callers need none");
        }
        let unpriced: Vec<String> = config.unpriced_models().into_iter().map(str::to_owned).collect();
        for (name, entry) in &keys {
            if let Some(free) = unbound(entry, &unpriced) {
                warn(&["keys", name, "budget_usd"], &free);
            }
            // What a fleet has been told outlives who told it.
            if entry.budget_usd.is_some() && settings.state_dir.is_empty() && fleet.is_none() {
                warn(
                    &["keys", name, "budget_usd"],
                    "what is spent is kept in memory, and forgotten at a restart; set server.state_dir to keep it",
                );
            }
        }
        if let Some(region) = &settings.region
            && !prefer(&mut config, region)
        {
            warn(&["server", "region"], "no provider has a region of this name, so none is preferred");
        }
        warnings.sort_by_key(|warning| warning.place.as_ref().map(|place| (place.line, place.column)));
        let file = Self { settings, keys, fleet, config, warnings, open_listen: None, open_admin: None };
        let place = |key, message| document.place(Fault::new(Path::new(["server", key]), message));
        let open_listen = file.may_serve().err().map(|message| place("listen", message));
        let open_admin = settings::open_admin(file.settings.admin).map(|message| place("admin", message));
        Ok(Self { open_listen, open_admin, ..file })
    }

    /// What forbids to serve, once flags have been laid over the file.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub(crate) fn may_serve(&self) -> Result<(), String> {
        self.settings.forbids_listen(!self.keys.is_empty()).map_or(Ok(()), Err)
    }

    /// What forbids to take the place of a file that serves. One that was torn before its keys must not open the gateway.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub(crate) fn may_follow(&self, had_keys: bool) -> Result<(), String> {
        if had_keys && self.keys.is_empty() && !self.settings.allow_open {
            let gone = "there were keys and now there is none, so everyone could come in; a file that was torn looks like this. \
                        Put them back, or set server.allow_open = true";
            return Err(gone.to_owned());
        }
        self.may_serve()
    }
}

/// `[server]`, or its defaults.
fn server(document: &Document<'_>) -> Result<Settings, Faults> {
    let settings = document.table::<Settings>("server")?.unwrap_or_default();
    let faults = settings.faults().into_iter().map(|fault| document.place(fault));
    Faults::of(faults.collect()).map_or(Ok(settings), Err)
}

/// The callers' keys of a document. Their models are looked for where the client's configuration could be read.
fn keys(document: &Document<'_>, config: Option<&Config>) -> Result<Entries, Faults> {
    let entries = entry::read(document)?;
    let faults = entry::faults(&entries, config).into_iter().map(|fault| document.place(fault));
    Faults::of(faults.collect()).map_or(Ok(entries), Err)
}

/// What is to be known of a budget that some models do not draw on.
fn unbound(entry: &Entry, unpriced: &[String]) -> Option<String> {
    entry.budget_usd?;
    let is_allowed = |name: &&String| entry.models.as_ref().is_none_or(|models| models.contains(name));
    let free: Vec<String> = unpriced.iter().filter(is_allowed).map(|name| format!("`{name}`")).collect();
    (!free.is_empty()).then(|| {
        format!(
            "it does not hold back what nobody counts: no price is known for a target of {}",
            free.join(", ")
        )
    })
}

/// Where replicas share.
fn fleet(document: &Document<'_>) -> Result<Option<FleetSettings>, Faults> {
    let settings = document.table::<FleetSettings>("fleet")?;
    let fault = settings.as_ref().and_then(fleet::faults).map(|fault| document.place(fault));
    fault.map_or(Ok(settings), |fault| Err(fault.into()))
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
    fn what_is_probably_not_meant_is_said() {
        let text = "[server]\nregion = \"mars\"\n[keys]\n[fleet]\nredis = \"redis://x\"";
        let file = read(text).unwrap();
        let said: Vec<_> = file.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 2, "{said:#?}");
        assert!(file.fleet.is_some());
        assert!(
            said.iter().any(|line| line.starts_with("x.toml:2:") && line.contains("region")),
            "{said:#?}"
        );
        assert!(said.iter().any(|line| line.contains("callers need none")), "{said:#?}");
    }

    /// **A fleet that leads nowhere is a fault with its place, and its URL is in no message**, wherever it comes from.
    #[test]
    fn a_faulty_fleet_is_told_with_its_place() {
        for (table, place, words) in [
            ("[fleet]\nredis = \"http://:hunter2@x\"", "x.toml:2:9: fleet.redis: ", "not the URL"),
            ("[fleet]\nredis = \"rediss://:hunter2@x\"", "x.toml:2:9: fleet.redis: ", "TLS"),
            ("[fleet]\nredis = \"redis://:hunter2@x/y\"", "x.toml:2:9: fleet.redis: ", "database"),
            ("[fleet]\nredis = \"${HUNTER2}\"", "x.toml:2:9: fleet.redis: ", "HUNTER2"),
            ("[fleet]\nredis = 7", "x.toml:2:9: fleet.redis: ", "string"),
            ("[fleet]\nvalkey = \"redis://x\"", "x.toml:2:1: fleet.valkey: ", "redis"),
            ("[fleet]", "x.toml:1:", "`redis` is missing"),
        ] {
            let faults = read(table).unwrap_err();
            let said = faults.to_string();
            assert!(said.contains(place) && said.contains(words), "{table}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    /// A key's table with a hash that is its own.
    fn key(name: &str, more: &str) -> String {
        let digit = name.len() % 10;
        format!("[keys.{name}]\nhash = \"sha256:{}\"\n{more}\n", digit.to_string().repeat(64))
    }

    #[test]
    fn a_documented_key_is_read() {
        let more = "models = [\"chat\"]\nrequests_per_minute = 600\ntokens_per_minute   = 200000\n\
                    budget_usd = { amount = 50.0, every = \"30d\" }";
        let file = read(&key("team-a", more)).unwrap();
        let entry = &file.keys["team-a"];
        assert_eq!(entry.models.as_deref(), Some(&["chat".to_owned()][..]));
        assert_eq!(entry.requests_per_minute.map(u32::from), Some(600));
        assert_eq!(entry.tokens_per_minute.map(u64::from), Some(200_000));
        let budget = entry.budget_usd.unwrap();
        assert_eq!((budget.amount, budget.every.as_secs()), (50.0, 30 * 86_400));
        let bare = &read(&key("b", "")).unwrap().keys["b"];
        assert_eq!((&bare.models, bare.requests_per_minute, bare.budget_usd), (&None, None, None));
    }

    #[test]
    fn a_faulty_key_is_told_with_its_place_and_what_was_meant() {
        for (table, place, words) in [
            (key("a", "modles = [\"chat\"]"), "x.toml:3:1: keys.a.modles: ", "`models`"),
            (key("a", "models = [\"far\", \"chatt\"]"), "x.toml:3:18: keys.a.models[1]: ", "`chat`"),
            (key("a", "models = []"), "x.toml:3:10: keys.a.models: ", "every model"),
            (key("a", "requests_per_minute = 0"), "x.toml:3:23: keys.a.requests_per_minute: ", "at least 1"),
            (key("a", "tokens_per_minute = -5"), "x.toml:3:21: keys.a.tokens_per_minute: ", "at least 1"),
            (key("a", "budget_usd = 5"), "x.toml:3:14: keys.a.budget_usd: ", "table"),
            (
                key("a", "budget_usd = { amount = 5 }"),
                "x.toml:3:1: keys.a.budget_usd: ",
                "`every` is missing",
            ),
            (key("a", "budget_usd = { amount = 0.0, every = \"1d\" }"), "x.toml:3:25: ", "above 0"),
            (key("a", "budget_usd = { amount = nan, every = \"1d\" }"), "x.toml:3:25: ", "above 0"),
            (key("a", "budget_usd = { amount = 1, every = \"0s\" }"), "x.toml:3:36: ", "between"),
            (key("\"a b\"", ""), "x.toml:1:", "letters, digits"),
            (key("_open", ""), "x.toml:1:", "begin with `_`"),
            ("[keys.a]\nhash = \"or-secret\"".to_owned(), "x.toml:2:8: keys.a.hash: ", "outrigger keys new"),
            ("[keys.a]".to_owned(), "x.toml:1:", "`hash` is missing"),
            (key("a", "") + &key("b", ""), "x.toml:5:8: keys.b.hash: ", "`a`"),
        ] {
            let faults = read(&table).unwrap_err();
            let [fault] = faults.as_slice() else { panic!("{table}: {faults}") };
            let said = fault.to_string();
            assert!(said.starts_with(place) && said.contains(words), "{table}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }

    /// **A hash from elsewhere is told apart from none**, by where it comes from and not by what is there. Fails if who puts the key
    /// itself into the secret's file is told no more than that something is wrong.
    #[test]
    fn a_faulty_hash_from_elsewhere_says_what_is_wished() {
        let (_, models) = CLIENT.split_once("[models.chat]").unwrap();
        let provider =
            "[providers.a]\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n[models.chat]";
        let text = format!(
            "[keys.a]\nhash = \"${{HASH}}\"\n{provider}{}",
            models.split_once("[models.far]").unwrap().0
        );
        let said = File::read(&text, "x.toml", &|_| Some("or-secret".to_owned())).unwrap_err().to_string();
        assert!(
            said.starts_with("x.toml:2:8: keys.a.hash: expected `sha256:` and 64 hexadecimal digits"),
            "{said}"
        );
        assert!(
            said.contains("keys new") && said.contains("`${HASH}`") && !said.contains("secret"),
            "{said}"
        );
    }

    /// **A budget that does not bind says so.** Fails if a key that may ask a model without a price passes in silence.
    #[test]
    fn a_budget_that_some_models_do_not_draw_on_is_a_warning() {
        let (priced, own) = ("gpt-4.1", "home-made");
        let told = |models: &str, more: &str, model: &str| {
            let (more, text) = (
                format!("{models}\n{more}"),
                CLIENT.replace("gpt-4.1\" }]\nrouting", &format!("{model}\" }}]\nrouting")),
            );
            let text =
                text.replacen("[providers.a.", "[providers.a]\ndialect = \"openai\"\n[providers.a.", 1);
            let text = format!("[server]\nstate_dir = \"/x\"\n{}{text}", key("a", &more));
            let file = File::read(&text, "x.toml", &|_| None).unwrap();
            file.warnings
                .iter()
                .map(ToString::to_string)
                .filter(|said| said.contains("keys.a"))
                .collect::<Vec<_>>()
        };
        let budget = "budget_usd = { amount = 5, every = \"1d\" }";
        let said = told("", budget, own);
        let expected = "x.toml:6:1: keys.a.budget_usd: it does not hold back what nobody counts: no price is known for a target of `far`";
        assert_eq!(said, [expected]);
        assert_eq!(told("models = [\"chat\", \"far\"]", budget, own).len(), 1);
        for (models, more, model) in
            [("models = [\"chat\"]", budget, own), ("", "", own), ("", budget, priced)]
        {
            assert!(told(models, more, model).is_empty(), "{models} {more} {model}");
        }
    }

    /// **Who reaches the admin port from elsewhere needs no key**, which whoever checks the file is told.
    #[test]
    fn an_open_admin_port_is_a_warning() {
        assert!(read("").unwrap().open_admin.is_none());
        let said = read("[server]\nadmin = \"0.0.0.0:8081\"").unwrap().open_admin.unwrap().to_string();
        assert!(
            said.starts_with("x.toml:2:9: server.admin: the admin port 0.0.0.0:8081 can be reached"),
            "{said}"
        );
    }

    #[test]
    fn one_port_for_both_is_a_fault_and_so_is_what_cannot_run() {
        let file = read("[server]\nlisten = \"127.0.0.1:8081\"").unwrap();
        let said = file.open_listen.unwrap().to_string();
        assert!(said.starts_with("x.toml:2:10: server.listen: ") && said.contains("two ports"), "{said}");
        let faults =
            read("[server]\nmax_concurrent = 0\nhosts = [\"a\", \"https://x\"]").unwrap_err().to_string();
        assert!(faults.contains("x.toml:2:18: server.max_concurrent: "), "{faults}");
        assert!(faults.contains("x.toml:3:15: server.hosts[1]: "), "{faults}");
    }

    #[test]
    fn a_port_that_asks_for_keys_may_be_open() {
        let file = read(&format!("[server]\nlisten = \"0.0.0.0:0\"\n{}", key("a", ""))).unwrap();
        assert!(file.may_serve().is_ok() && file.open_listen.is_none());
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
