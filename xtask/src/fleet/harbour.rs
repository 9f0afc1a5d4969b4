//! The processes of the fleet's proof: a Redis, simulated regions, gateways before them. Each is ended when it is dropped.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::running::Running;

use super::{BUDGET, COST, LIMIT};

/// Of Redis. It is to be in no log.
pub(super) const PASSWORD: &str = "barnacle-7f3a";
/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// All that is not a gateway, and what gateways are started with.
pub(super) struct Harbour {
    program: PathBuf,
    redis: PathBuf,
    folder: PathBuf,
    port: u16,
    server: Option<Running>,
    regions: Vec<String>,
    sim_admin: String,
    config: PathBuf,
    /// Callers' keys by their names.
    keys: Vec<(String, String)>,
    _sim: Running,
}

impl Harbour {
    pub(super) fn start(program: &Path, redis: &Path, folder: &Path) -> Result<Self, String> {
        let said = |error: std::io::Error| error.to_string();
        fs::create_dir_all(folder).map_err(said)?;
        let listener = TcpListener::bind("127.0.0.1:0").map_err(said)?;
        let port = listener.local_addr().map_err(said)?.port();
        drop(listener);
        let sim = ["sim", "--json", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut sim = Running(
            Command::new(program)
                .args(sim)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .map_err(said)?,
        );
        let mut line = String::new();
        let stdout = sim.0.stdout.take().ok_or("the simulator says nothing")?;
        BufReader::new(stdout).read_line(&mut line).map_err(said)?;
        let addresses: Value = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let regions = addresses["regions"].as_array().cloned().unwrap_or_default();
        let mut harbour = Self {
            program: program.to_owned(),
            redis: redis.to_owned(),
            folder: folder.to_owned(),
            port,
            server: None,
            regions: regions.iter().map(|region| text(&region["region"])).collect(),
            sim_admin: text(&addresses["admin"]),
            config: folder.join("outrigger.toml"),
            keys: Vec::new(),
            _sim: sim,
        };
        harbour.start_redis()?;
        let mut config = format!("[fleet]\nredis = \"redis://:{PASSWORD}@127.0.0.1:{port}\"\n");
        let input = COST * 1e6;
        config.push_str(&format!(
            "[models.chat]\ntargets = [{{ provider = \"sim\", model = \"gpt-4.1\", price = {{ input = 0.0, output = {input} }} }}]\n\
             routing = {{ preferred_region = {:?} }}\n[providers.sim]\ndialect = \"openai\"\napi_key = \"sk-sim\"\n",
            harbour.region()
        ));
        for region in &regions {
            let (name, url) = (text(&region["region"]), text(&region["base_url"]));
            config.push_str(&format!("[providers.sim.regions.{name}]\nbase_url = \"{url}\"\n"));
        }
        // The same region under another name, which alone has a limit.
        let url = regions.last().map(|region| text(&region["base_url"])).unwrap_or_default();
        config.push_str(&format!(
            "[models.metered]\ntargets = [{{ provider = \"metered\", model = \"gpt-4.1\" }}]\n[providers.metered]\n\
             dialect = \"openai\"\napi_key = \"sk-sim\"\nbase_url = \"{url}\"\nlimits = {{ requests_per_minute = {LIMIT} }}\n"
        ));
        for (name, limits) in [
            ("limited", format!("requests_per_minute = {LIMIT}")),
            ("budgeted", format!("budget_usd = {{ amount = {BUDGET:?}, every = \"30d\" }}")),
            ("free", String::new()),
        ] {
            let made = Command::new(program).args(["keys", "new", name, "--json"]).output().map_err(said)?;
            let made: Value = serde_json::from_slice(&made.stdout).map_err(|error| error.to_string())?;
            config.push_str(&format!("[keys.{name}]\nhash = {}\n{limits}\n", made["hash"]));
            harbour.keys.push((name.to_owned(), text(&made["key"])));
        }
        fs::write(&harbour.config, config).map_err(said)?;
        Ok(harbour)
    }

    /// The region that is preferred.
    pub(super) fn region(&self) -> &str {
        self.regions.first().map_or("", String::as_str)
    }

    pub(super) fn start_redis(&mut self) -> Result<(), String> {
        let port = self.port.to_string();
        let child = Command::new(&self.redis)
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--requirepass", PASSWORD, "--dir"])
            .arg(&self.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        self.server = Some(Running(child));
        let port = self.port;
        super::until("Redis listens", || Ok(TcpStream::connect(("127.0.0.1", port)).is_ok()))
    }

    pub(super) fn kill_redis(&mut self) {
        self.server = None;
    }

    /// The region that is furthest from being preferred.
    pub(super) fn last_region(&self) -> &str {
        self.regions.last().map_or("", String::as_str)
    }

    /// A region answers 500.
    pub(super) fn break_region(&self, region: &str, lasting: &str) -> Result<(), String> {
        let order = serde_json::json!({ "region": region, "fault": "status", "for": lasting, "status": 500 });
        self.chaos("POST", &order.to_string())
    }

    /// The preferred region names a wait to whoever asks.
    pub(super) fn limit_region(&self, lasting: &str, wait_secs: u64) -> Result<(), String> {
        let region = self.region();
        let order = serde_json::json!({
            "region": region, "fault": "rate_limit", "for": lasting, "retry_after": wait_secs,
        });
        self.chaos("POST", &order.to_string())
    }

    pub(super) fn well_again(&self) -> Result<(), String> {
        self.chaos("DELETE", "")
    }

    fn chaos(&self, method: &str, body: &str) -> Result<(), String> {
        let admin = self.sim_admin.trim_start_matches("http://");
        let answer = send(admin, method, "/chaos", "", body)?;
        if (200..300).contains(&answer.status) {
            Ok(())
        } else {
            Err(format!("/chaos: {} {}", answer.status, answer.body))
        }
    }

    /// Another gateway of the fleet, on ports of its own.
    pub(super) fn gateway(&self) -> Result<Gateway, String> {
        let mut child = Command::new(&self.program)
            .args(["serve", "--log-level", "info,access=off"])
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"])
            .arg(&self.config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let stderr = child.stderr.take();
        let running = Running(child);
        let mut lines = BufReader::new(stderr.ok_or("a gateway says nothing")?).lines();
        let mut early = String::new();
        let mut announced = |what: &str| {
            let found = lines.by_ref().map_while(Result::ok).find_map(|line| {
                early.push_str(&format!("{line}\n"));
                Some(line.strip_prefix(what)?.to_owned())
            });
            found.ok_or_else(|| format!("a gateway ended before it said `{what}`:\n{early}"))
        };
        let (listen, admin) = (announced("listening http://")?, announced("admin http://")?);
        let log = Arc::new(Mutex::new(early));
        let written = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                written.lock().unwrap_or_else(PoisonError::into_inner).push_str(&(line + "\n"));
            }
        });
        Ok(Gateway { listen, admin, log, keys: self.keys.clone(), _running: running })
    }
}

/// A gateway of the fleet.
pub(super) struct Gateway {
    listen: String,
    admin: String,
    log: Arc<Mutex<String>>,
    keys: Vec<(String, String)>,
    _running: Running,
}

impl Gateway {
    /// What it has logged.
    pub(super) fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for a short answer with the key of this name.
    pub(super) fn ask(&self, key: &str) -> Result<Answer, String> {
        self.ask_for("chat", key, "")
    }

    /// The same of any model and with more headers, which are whole lines.
    pub(super) fn ask_for(&self, model: &str, key: &str, headers: &str) -> Result<Answer, String> {
        let text = self.keys.iter().find(|(name, _)| name == key).map_or("", |(_, text)| text.as_str());
        let messages = r#"[{"role":"user","content":"ahoy"}]"#;
        let body = format!(r#"{{"model":"{model}","max_tokens":1,"messages":{messages}}}"#);
        send(&self.listen, "POST", "/v1/chat/completions", &format!("x-api-key: {text}\r\n{headers}"), &body)
    }

    /// Asks the operators' port.
    pub(super) fn operate(&self, method: &str, path: &str, body: &str) -> Result<Answer, String> {
        send(&self.admin, method, path, "", body)
    }
}

/// What came back: the status, and the body where it is JSON.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

fn send(address: &str, method: &str, path: &str, headers: &str, body: &str) -> Result<Answer, String> {
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n{headers}\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| format!("{method} {path}: {error}"))?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let json = body.find('{').zip(body.rfind('}')).and_then(|(from, to)| body.get(from..=to));
    let body = json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_else(|| body.into());
    status.map(|status| Answer { status, body }).ok_or_else(|| format!("{method} {path}: no status"))
}
