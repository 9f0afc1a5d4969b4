//! A gateway process before a simulated world, and an HTTP client that shows bytes as they are.

use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use sim::{Region, Server, World};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, Command},
};

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is awaited comes, or the test fails.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes in time")
}

/// A file of this test run alone.
pub(crate) fn file(text: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{}-{}.toml", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    path
}

/// An empty folder of this test alone.
pub(crate) fn folder() -> PathBuf {
    let path = file("").with_extension("folder");
    std::fs::create_dir_all(&path).unwrap();
    for entry in std::fs::read_dir(&path).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    path
}

/// Two regions, fast and well.
pub(crate) fn two_regions() -> World {
    let quick = |name| Region::new(name).latency(Duration::from_millis(2));
    World::builder().seed(7).region(quick("us-east")).region(quick("eu-west")).build().unwrap()
}

/// A gateway and the world behind it.
pub(crate) struct Gateway {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) server: Server,
    pub(crate) child: Child,
    log: Log,
}

impl Gateway {
    /// A gateway before two regions, with a few more lines in its file.
    pub(crate) async fn start(more: &str) -> Self {
        Self::before(two_regions(), more).await
    }

    pub(crate) async fn before(world: World, more: &str) -> Self {
        let server = Server::start(world).await.unwrap();
        let text = format!(
            "{more}\n{}{}",
            at(&server, "holysheep", "openai"),
            model("chat", "holysheep", "gpt-4.1")
        );
        Self::with(server, &text).await
    }

    /// A gateway whose regions speak both dialects: `chat` is served in OpenAI's, `claude` in Anthropic's.
    pub(crate) async fn of_both_dialects(more: &str) -> Self {
        let server = Server::start(two_regions()).await.unwrap();
        let text = format!(
            "{more}\n{}{}{}{}",
            at(&server, "holysheep", "openai"),
            at(&server, "claude", "anthropic"),
            model("chat", "holysheep", "gpt-4.1"),
            model("claude", "claude", "claude-sonnet-4-5"),
        );
        Self::with(server, &text).await
    }

    /// A gateway before two regions with these variables in its environment.
    pub(crate) async fn in_environment(environment: &[(&str, &str)], more: &str) -> Self {
        let mut program = outrigger();
        program.envs(environment.iter().copied());
        Self::started_by(program, more).await
    }

    /// A gateway that is started by a command of its own: the program with an environment, or another one that becomes it.
    pub(crate) async fn started_by(program: Command, more: &str) -> Self {
        let server = Server::start(two_regions()).await.unwrap();
        let text = at(&server, "holysheep", "openai") + &model("chat", "holysheep", "gpt-4.1");
        Self::by(program, server, &format!("{more}\n{text}")).await
    }

    async fn with(server: Server, text: &str) -> Self {
        Self::by(outrigger(), server, text).await
    }

    async fn by(program: Command, server: Server, text: &str) -> Self {
        assert_eq!(crate::schema::faults(text), "", "what is served, the schema takes:\n{text}");
        Self::reading(program, server, &file(text)).await
    }

    /// A gateway that reads this file.
    pub(crate) async fn reading(program: Command, server: Server, path: &Path) -> Self {
        let (child, log, listen, admin) = serve(program, path).await;
        Self { listen, admin, server, child, log }
    }

    /// What a file says of a world: `chat` at all of its regions.
    pub(crate) fn text(server: &Server) -> String {
        at(server, "holysheep", "openai") + &model("chat", "holysheep", "gpt-4.1")
    }

    pub(crate) fn world(&self) -> &World {
        self.server.world()
    }

    /// Asks the model `chat`.
    pub(crate) async fn ask(&self, headers: &str) -> Reply {
        self.post("/v1/chat/completions", headers, &question(false)).await
    }

    pub(crate) async fn post(&self, path: &str, headers: &str, body: &str) -> Reply {
        send(self.listen, &post(path, headers, body)).await
    }

    /// Returns once nothing is under way at a region any more.
    pub(crate) async fn lets_go_of(&self, region: &str) {
        soon(async {
            while self.world().in_flight(region).unwrap() > 0 {
                self.get("/v1/models").await;
            }
        })
        .await;
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        send(self.listen, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))
            .await
    }

    /// Asks the operators' port.
    pub(crate) async fn operate(&self, method: &str, path: &str, body: &str) -> Reply {
        operate(self.admin, method, path, body).await
    }

    pub(crate) async fn metrics(&self) -> String {
        String::from_utf8(self.operate("GET", "/metrics", "").await.body).unwrap()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// What it has logged since it began to listen.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

/// A provider at all regions of a world.
fn at(server: &Server, name: &str, dialect: &str) -> String {
    let mut text = format!("[providers.{name}]\ndialect = \"{dialect}\"\napi_key = \"sk-secret\"\n");
    for region in server.world().regions() {
        let url = server.base_url(region).unwrap();
        text.push_str(&format!("[providers.{name}.regions.{region}]\nbase_url = \"{url}\"\n"));
    }
    text
}

fn model(name: &str, provider: &str, model: &str) -> String {
    format!(
        "[models.{name}]\ntargets = [{{ provider = \"{provider}\", model = \"{model}\" }}]\n\
         routing = {{ preferred_region = \"us-east\" }}\n"
    )
}

type Log = Arc<Mutex<String>>;

/// The program.
pub(crate) fn outrigger() -> Command {
    Command::new(env!("CARGO_BIN_EXE_outrigger"))
}

/// Starts `outrigger serve` with this file, on ports of its own.
async fn serve(mut program: Command, path: &Path) -> (Child, Log, SocketAddr, SocketAddr) {
    let mut child = program
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"])
        .arg(path)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let listen = announced(&mut lines, "listening").await;
    let admin = announced(&mut lines, "admin").await;
    let log = Log::default();
    let read = Arc::clone(&log);
    // Read to the end: a full pipe would be another test.
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            read.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    (child, log, listen, admin)
}

/// The address on the line that begins so.
pub(crate) async fn announced<R: tokio::io::AsyncRead + Unpin>(
    log: &mut Lines<BufReader<R>>,
    what: &str,
) -> SocketAddr {
    let mut seen = String::new();
    while let Some(line) = soon(log.next_line()).await.unwrap() {
        if let Some(url) = line.strip_prefix(&format!("{what} http://")) {
            return url.parse().unwrap();
        }
        seen.push_str(&line);
        seen.push('\n');
    }
    panic!("no line `{what}`, but:\n{seen}");
}

pub(crate) fn question(stream: bool) -> String {
    format!(
        "{{\"model\":\"chat\",\"stream\":{stream},\"messages\":[{{\"role\":\"user\",\"content\":\"ahoy\"}}]}}"
    )
}

/// A POST with a JSON body; the caller's headers are whole lines.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    )
}

pub(crate) async fn operate(admin: SocketAddr, method: &str, path: &str, body: &str) -> Reply {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n"
    );
    send(admin, &format!("{head}\r\n{body}")).await
}

/// Sends these bytes and reads all that comes back until the connection ends.
pub(crate) async fn exchange(address: SocketAddr, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // A connection that is reset after its bytes is an end as well; the bytes are what counts.
    drop(soon(stream.read_to_end(&mut bytes)).await);
    bytes
}

pub(crate) async fn send(address: SocketAddr, request: &str) -> Reply {
    Reply::of(&exchange(address, request).await)
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its proper end.
    pub(crate) whole: bool,
}

impl Reply {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let split = find(bytes, b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(bytes)));
        let head = std::str::from_utf8(&bytes[..split]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").expect("a header has a value"))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let rest = &bytes[split + 4..];
        let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        let length = headers
            .iter()
            .find(|(name, _)| name == "content-length")
            .map(|(_, value)| value.parse::<usize>());
        let (body, whole) = match length {
            _ if chunked => unchunked(rest),
            Some(length) => (rest.to_vec(), rest.len() == length.expect("a length is a number")),
            None => (rest.to_vec(), true),
        };
        Self { status, headers, body, whole }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().expect("an error has a code").to_owned()
    }
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The chunks put together, and whether the last one came.
fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line) = find(rest, b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if length == 0 {
            return (body, true);
        }
        let end = (line + 2 + length).min(rest.len());
        body.extend_from_slice(&rest[line + 2..end]);
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    (body, false)
}
