//! Another configuration while the gateway runs, however its file comes to say it: no caller notices, and faults change nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use sim::{Fault, Server, When};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use crate::{
    keys::Made,
    support::{Gateway, exchange, folder, outrigger, post, question, soon, two_regions},
};

/// A gateway whose file lies in a folder of its own.
pub(crate) struct Deck {
    pub(crate) gateway: Gateway,
    path: PathBuf,
    pub(crate) text: String,
}

impl Deck {
    pub(crate) async fn new(more: &str) -> Self {
        let server = Server::start(two_regions()).await.unwrap();
        let text = format!("{more}\n{}", Gateway::text(&server));
        let path = folder().join("outrigger.toml");
        fs::write(&path, &text).unwrap();
        let mut program = outrigger();
        program.env("OUTRIGGER_LOG", "debug");
        let gateway = Gateway::reading(program, server, &path).await;
        Self { gateway, path, text }
    }

    /// The file with one more model.
    pub(crate) fn with(&self, model: &str) -> String {
        let target = "targets = [{ provider = \"holysheep\", model = \"gpt-4.1\" }]";
        format!("{}[models.{model}]\n{target}\n", self.text)
    }

    /// Puts a new file in the place of the old one, as editors do.
    pub(crate) fn replace(&self, text: &str) {
        replace(&self.path, text);
    }

    /// Waits until a model is served.
    pub(crate) async fn serves(&self, model: &str) {
        soon(async {
            while !self.gateway.get("/v1/models").await.text().contains(&format!("\"{model}\"")) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// So many reloads came to this.
    pub(crate) async fn reloads(&self, result: &str) -> u64 {
        let name = format!("outrigger_config_reloads_total{{result=\"{result}\"}} ");
        let metrics = self.gateway.metrics().await;
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until so many reloads were counted, which comes after they have taken effect.
    async fn counted(&self, times: u64) {
        soon(async { while self.reloads("ok").await < times {} }).await;
    }

    async fn logs(&self, what: &str) {
        soon(async {
            while !self.gateway.log().contains(what) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

fn replace(path: &Path, text: &str) {
    let other = path.with_extension("new");
    fs::write(&other, text).unwrap();
    fs::rename(&other, path).unwrap();
}

/// Callers who ask one after the other until they are told to stop; how many were served, or what somebody got instead.
pub(crate) fn callers(
    deck: &Deck,
    headers: &str,
    until: &Arc<AtomicBool>,
) -> (Arc<AtomicU64>, Vec<JoinHandle<Result<(), String>>>) {
    let served = Arc::new(AtomicU64::new(0));
    let caller = |stream: bool| {
        let (listen, until, served) = (deck.gateway.listen, Arc::clone(until), Arc::clone(&served));
        let request = post("/v1/chat/completions", headers, &question(stream));
        tokio::spawn(async move {
            while !until.load(Ordering::Relaxed) {
                let text = String::from_utf8_lossy(&exchange(listen, &request).await).into_owned();
                let whole =
                    if stream { text.contains("data: [DONE]") } else { text.contains("\"finish_reason\"") };
                if !text.starts_with("HTTP/1.1 200") || !whole {
                    return Err(text);
                }
                served.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })
    };
    let callers = (0..4).map(|number| caller(number % 2 == 0)).collect();
    (served, callers)
}

/// **No caller notices a reload.** While callers ask without a pause and a slow stream runs, the file is written anew by a new file in its
/// place, by half of it and then the rest, by hand with a signal, and by a POST: every answer is whole, and each file is taken
/// once it is whole. Fails if a torn file takes effect, or if anybody is dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_caller_notices_a_reload() {
    let deck = Deck::new("").await;
    let slow = Fault::SlowTokens { delay: Duration::from_millis(60) };
    deck.gateway.world().inject("us-east", slow, When::always().first(1)).unwrap();
    let mut stream = TcpStream::connect(deck.gateway.listen).await.unwrap();
    stream.write_all(post("/v1/chat/completions", "", &question(true)).as_bytes()).await.unwrap();
    let mut streamed = vec![0; 1];
    soon(stream.read_exact(&mut streamed)).await.unwrap();

    let until = Arc::new(AtomicBool::new(false));
    let (served, asking) = callers(&deck, "", &until);
    deck.replace(&deck.with("renamed"));
    deck.serves("renamed").await;

    let whole = deck.with("written");
    let torn = deck.reloads("error").await;
    let half = whole.find("targets").unwrap() + 20;
    fs::write(&deck.path, &whole[..half]).unwrap();
    soon(async { while deck.reloads("error").await == torn {} }).await;
    deck.serves("renamed").await;
    fs::write(&deck.path, &whole).unwrap();
    deck.serves("written").await;

    deck.gateway.signal("HUP");
    deck.logs("trigger=\"signal\"").await;
    assert_eq!(deck.gateway.operate("POST", "/reload", "").await.json()["result"], "ok");

    // Some more are served by the last one.
    let so_far = served.load(Ordering::Relaxed);
    soon(async {
        while served.load(Ordering::Relaxed) < so_far + 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    until.store(true, Ordering::Relaxed);
    for caller in asking {
        assert_eq!(soon(caller).await.unwrap(), Ok(()));
    }
    soon(stream.read_to_end(&mut streamed)).await.unwrap();
    assert!(String::from_utf8_lossy(&streamed).contains("data: [DONE]"), "the stream over all of it");
}

/// **A ConfigMap is taken as Kubernetes swaps it**: the file is a link by way of `..data`, which is put in place as a whole while
/// the file itself, as named, does not change.
#[cfg(unix)]
#[tokio::test]
async fn a_config_map_is_taken_as_kubernetes_swaps_it() {
    use std::os::unix::fs::symlink;

    let server = Server::start(two_regions()).await.unwrap();
    let text = Gateway::text(&server);
    let folder = folder();
    let fill = |name: &str, text: &str| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("outrigger.toml"), text).unwrap();
    };
    fill("..1", &text);
    symlink("..1", folder.join("..data")).unwrap();
    symlink("..data/outrigger.toml", folder.join("outrigger.toml")).unwrap();
    let gateway = Gateway::reading(outrigger(), server, &folder.join("outrigger.toml")).await;
    let deck = Deck { gateway, path: folder.join("outrigger.toml"), text };
    for (round, model) in ["second", "third"].into_iter().enumerate() {
        let name = format!("..{}", round + 2);
        fill(&name, &deck.with(model));
        symlink(&name, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        fs::remove_dir_all(folder.join(format!("..{}", round + 1))).unwrap();
        deck.serves(model).await;
    }
    deck.counted(2).await;
    assert_eq!((deck.reloads("ok").await, deck.reloads("error").await), (2, 0));
    drop(deck);
    fs::remove_dir_all(folder).unwrap();
}

/// **A link is followed wherever it leads.** The file is a link by way of a folder that is a link itself: that one is put elsewhere,
/// and then the file there is written anew. Fails if only the folder is watched in which the file lay at first.
#[cfg(unix)]
#[tokio::test]
async fn a_link_is_followed_wherever_it_leads() {
    use std::os::unix::fs::symlink;

    let server = Server::start(two_regions()).await.unwrap();
    let text = Gateway::text(&server);
    let folder = folder();
    for name in ["named", "releases/1", "releases/2"] {
        fs::create_dir_all(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("outrigger.toml"), &text).unwrap();
    }
    let path = folder.join("named/outrigger.toml");
    fs::remove_file(&path).unwrap();
    symlink("1", folder.join("releases/current")).unwrap();
    symlink("../releases/current/outrigger.toml", &path).unwrap();
    let mut program = outrigger();
    program.env("OUTRIGGER_LOG", "debug");
    let gateway = Gateway::reading(program, server, &path).await;
    let deck = Deck { gateway, path, text };
    // The first look is over, so what comes now is heard of or missed.
    deck.logs("was touched").await;
    fs::write(folder.join("releases/2/outrigger.toml"), deck.with("second")).unwrap();
    symlink("2", folder.join("releases/next")).unwrap();
    fs::rename(folder.join("releases/next"), folder.join("releases/current")).unwrap();
    deck.serves("second").await;
    deck.counted(1).await;
    replace(&folder.join("releases/2/outrigger.toml"), &deck.with("third"));
    deck.serves("third").await;
    drop(deck);
    fs::remove_dir_all(folder).unwrap();
}

/// **A secret that changes in its file is taken**, swapped as Kubernetes does it, and the log names the file and not what is in it. Fails if
/// only the configuration's own file is watched.
#[cfg(unix)]
#[tokio::test]
async fn a_secret_that_changes_in_its_file_is_taken() {
    use std::os::unix::fs::symlink;

    let (first, second) = (Made::new("any", "").await, Made::new("any", "").await);
    let third = Made::new("any", "").await;
    let hash = |made: &Made| made.entry.split('"').nth(1).unwrap().to_owned();
    let folder = folder();
    let put = |name: &str, made: &Made| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("hash"), hash(made)).unwrap();
        symlink(name, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    put("..1", &first);
    symlink("..data/hash", folder.join("hash")).unwrap();
    let secret = folder.join("hash").display().to_string();
    let deck = Deck::new(&format!("[keys.any]\nhash = \"file:{secret}\"\n")).await;
    assert_eq!(deck.gateway.ask(&first.bearer()).await.status, 200);
    let mut reloads = 0;
    for (name, made, gone) in [("..2", &second, "..1"), ("..3", &third, "..2")] {
        put(name, made);
        fs::remove_dir_all(folder.join(gone)).unwrap();
        reloads += 1;
        deck.counted(reloads).await;
        assert_eq!(deck.gateway.ask(&made.bearer()).await.status, 200);
        assert_eq!(deck.gateway.ask(&first.bearer()).await.status, 401);
    }
    deck.logs(&format!("changed=\"{secret}\"")).await;
    let log = deck.gateway.log();
    assert!(!log.contains(&hash(&second)) && !log.contains(&hash(&third)), "{log}");
    drop(deck);
    fs::remove_dir_all(folder).unwrap();
}

/// **Authorities that change in their file are taken**, as secrets are. Fails if `ca_file` is not watched, or if one that is none any more is.
#[tokio::test]
async fn authorities_that_change_in_their_file_are_taken() {
    let authorities = folder().join("ca.pem");
    let pem = "-----BEGIN CERTIFICATE-----\n";
    fs::write(&authorities, pem).unwrap();
    let more = format!(
        "[providers.p]\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\nca_file = \"{}\"\n",
        authorities.display()
    );
    let deck = Deck::new(&more).await;
    replace(&authorities, &pem.repeat(2));
    deck.counted(1).await;
    deck.logs(&format!("changed=\"{}\"", authorities.display())).await;
    replace(&authorities, "nothing");
    deck.logs("no certificate is in the file").await;
    assert_eq!(deck.reloads("ok").await, 1);
}

/// **What has faults is refused, and everybody is told**: who asked, with line and column, the metrics, the log and those who listen.
/// Callers are served as before; and a file that is mended is taken.
#[tokio::test]
async fn what_has_faults_is_refused_and_told() {
    let deck = Deck::new("").await;
    let mut events = TcpStream::connect(deck.gateway.admin).await.unwrap();
    events.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    soon(async {
        while !String::from_utf8_lossy(&heard).contains(": listening") {
            events.read_buf(&mut heard).await.unwrap();
        }
    })
    .await;
    let lines = deck.text.lines().count();
    fs::write(&deck.path, format!("{}surprise = 1\n", deck.with("more"))).unwrap();
    let refused = deck.gateway.operate("POST", "/reload", "").await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "invalid_config"));
    let fault = refused.json()["faults"][0].as_str().unwrap().to_owned();
    assert!(
        fault.contains(&format!("outrigger.toml:{}:1: ", lines + 3)) && fault.contains("surprise"),
        "{fault}"
    );
    soon(async {
        while !String::from_utf8_lossy(&heard).contains("\"warnings\":[],\"line\":") {
            events.read_buf(&mut heard).await.unwrap();
        }
    })
    .await;
    let told = String::from_utf8_lossy(&heard).into_owned();
    assert!(told.contains("\"result\":\"error\"") && told.contains("surprise"), "{told}");
    deck.logs("surprise").await;
    assert!(deck.reloads("error").await >= 1);
    assert_eq!(deck.gateway.ask("").await.status, 200);
    assert!(!deck.gateway.get("/v1/models").await.text().contains("\"more\""));
    assert!(!deck.gateway.log().contains("sk-secret"));

    deck.replace(&deck.with("more"));
    assert_eq!(deck.gateway.operate("POST", "/reload", "").await.status, 200);
    assert!(deck.gateway.get("/v1/models").await.text().contains("\"more\""));
    fs::remove_file(&deck.path).unwrap();
    let gone = deck.gateway.operate("POST", "/reload", "").await;
    assert!(gone.status == 422 && gone.text().contains("cannot read"), "{}", gone.text());
    assert_eq!(deck.gateway.ask("").await.status, 200);
}

/// **A signal takes what is written**, also where the watch hears of nothing: the file is written by another name of it. Fails if the signal is
/// announced and the file is not read.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_signal_takes_what_is_written() {
    let deck = Deck::new("").await;
    let other = folder().join("other-name.toml");
    fs::hard_link(&deck.path, &other).unwrap();
    // The first looks are over: the one at the start, and the one at what came to be watched.
    soon(async {
        while deck.gateway.log().matches("was touched").count() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    fs::write(&other, deck.with("more")).unwrap();
    deck.gateway.signal("HUP");
    deck.serves("more").await;
    deck.logs("the configuration is reloaded trigger=\"signal\"").await;
    assert_eq!(deck.reloads("ok").await, 1);
}

/// **A touch is no reload.** A file that is written anew and says what it said is left alone.
#[tokio::test]
async fn a_touch_is_no_reload() {
    let deck = Deck::new("").await;
    deck.replace(&deck.text);
    deck.logs("was touched").await;
    assert_eq!((deck.reloads("ok").await, deck.reloads("error").await), (0, 0));
    deck.replace(&deck.with("more"));
    deck.serves("more").await;
    deck.counted(1).await;
    assert_eq!(deck.reloads("ok").await, 1);
}

/// **What can change does, and what cannot is said.** The size of bodies changes at once; how long a head may be waits for a restart, and
/// whoever reloads is told so. What a flag says lies over the file as it did.
#[tokio::test]
async fn what_is_fixed_at_the_start_is_said() {
    let deck = Deck::new("").await;
    let long = format!(
        "{{\"model\":\"chat\",\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]}}",
        "a".repeat(2048)
    );
    assert_eq!(deck.gateway.post("/v1/chat/completions", "", &long).await.status, 200);
    let server = "[server]\nmax_body = \"1KiB\"\nmax_head = \"2KiB\"\nlisten = \"127.0.0.1:9\"\n";
    deck.replace(&format!("{server}{}", deck.text));
    let reloaded = deck.gateway.operate("POST", "/reload", "").await.json();
    let warnings: Vec<&str> =
        reloaded["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap()).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("server.max_head") && warnings[0].contains("at a restart"), "{warnings:?}");
    assert_eq!(deck.gateway.post("/v1/chat/completions", "", &long).await.status, 413);
    assert_eq!(deck.gateway.ask("").await.status, 200);
}
