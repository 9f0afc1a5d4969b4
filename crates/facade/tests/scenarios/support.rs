//! A harbour: the article's three regions in memory, a client before them, and what was noticed.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use outrigger::{
    AnswerBody, AnswerStream, CallError, ChatAnswer, ChatError, Client, ClientBuilder, Config, Notice,
    Request,
    config::{Model, Provider, Target},
};
use sim::{Fault, LAST_WORD, Outcome, Received, Region, Step, When, World, WorldBuilder};

pub(crate) const REGIONS: [&str; 3] = ["us-east", "eu-west", "ap-southeast"];

pub(crate) struct Harbour {
    pub(crate) world: World,
    pub(crate) client: Client,
    notices: Arc<Mutex<Vec<Notice>>>,
}

/// Three regions that differ in nothing but their names.
pub(crate) fn alike() -> World {
    let regions = REGIONS.map(|name| Region::new(name).latency(ms(40)));
    regions.into_iter().fold(World::builder().seed(7), WorldBuilder::region).build().unwrap()
}

/// One public model, `chat`, served by GPT-4.1 at all of the world's regions; `us-east` is preferred.
pub(crate) fn config(world: &World) -> Config {
    config_with(world, [Target::new("holysheep", "gpt-4.1")])
}

pub(crate) fn config_with(world: &World, targets: impl IntoIterator<Item = Target>) -> Config {
    let mut provider = Provider::openai().api_key("sk-test-not-a-secret");
    for region in world.regions() {
        provider = provider.region(region, world.base_url(region).unwrap().as_str()).unwrap();
    }
    let mut config = Config::new().provider("holysheep", provider);
    config.routing.preferred_region = Some("us-east".to_owned());
    let mut model = Model::new(targets);
    model.routing = config.routing.clone();
    config.model("chat", model)
}

pub(crate) fn harbour() -> Harbour {
    harbour_with(World::article(7), config, |builder| builder)
}

pub(crate) fn harbour_with(
    world: World,
    config: impl FnOnce(&World) -> Config,
    change: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Harbour {
    let notices = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&notices);
    let builder = Client::builder()
        .config(config(&world))
        .transport(world.transport())
        .observer(move |notice: &Notice| seen.lock().unwrap().push(notice.clone()))
        .seed(7);
    let client = change(builder).build().unwrap();
    Harbour { world, client, notices }
}

impl Harbour {
    pub(crate) fn inject(&self, region: &str, fault: Fault) {
        self.world.inject(region, fault, When::always()).unwrap();
    }

    pub(crate) fn inject_everywhere(&self, fault: &Fault) {
        for region in REGIONS {
            self.inject(region, fault.clone());
        }
    }

    pub(crate) async fn ask(&self) -> Result<ChatAnswer, ChatError> {
        self.client.chat("chat").user("How high is the swell?").send().await
    }

    /// Asks for a stream and reads it to its end.
    pub(crate) async fn ask_stream(&self) -> Result<String, ChatError> {
        let mut stream = self.client.chat("chat").user("How high is the swell?").stream().await?;
        let mut text = String::new();
        while let Some(piece) = stream.next().await {
            text.push_str(&piece?);
        }
        Ok(text)
    }

    /// Asks either way with a deadline, and returns the text.
    pub(crate) async fn text_within(&self, stream: bool, limit: Duration) -> Result<String, ChatError> {
        let deadline = tokio::time::Instant::now().into_std() + limit;
        let chat = self.client.chat("chat").user("How high is the swell?").deadline(deadline);
        if !stream {
            return Ok(chat.send().await?.text);
        }
        let mut stream = chat.stream().await?;
        let mut text = String::new();
        while let Some(piece) = stream.next().await {
            text.push_str(&piece?);
        }
        Ok(text)
    }

    /// Asks for a stream of bytes, and returns it at its first content.
    pub(crate) async fn open_stream(&self) -> Box<AnswerStream> {
        match self.client.send(stream_request()).await.unwrap().body {
            AnswerBody::Stream(stream) => stream,
            AnswerBody::Whole { .. } => panic!("not a stream"),
        }
    }

    /// Asks for a stream of bytes, and reads it until it ends or breaks off.
    pub(crate) async fn read_stream(&self) -> (Bytes, Option<CallError>) {
        let mut stream = self.open_stream().await;
        let mut all = Vec::new();
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(chunk) => all.extend_from_slice(&chunk),
                Err(error) => {
                    assert!(stream.next().await.is_none(), "an error is the last item");
                    return (all.into(), Some(error));
                }
            }
        }
        assert!(stream.next().await.is_none(), "an end is an end");
        (all.into(), None)
    }

    /// Whichever region is asked next, it answers with these steps.
    pub(crate) fn answer_next(&self, steps: &[Step]) {
        for region in REGIONS {
            self.world.answer_next(region, steps.to_vec()).unwrap();
        }
    }

    /// Asks either way, and returns the text.
    pub(crate) async fn text(&self, stream: bool) -> Result<String, ChatError> {
        if stream { self.ask_stream().await } else { Ok(self.ask().await?.text) }
    }

    pub(crate) fn received(&self, region: &str) -> Vec<Received> {
        self.world.received(region).unwrap()
    }

    pub(crate) fn count(&self, region: &str) -> u64 {
        self.world.count(region).unwrap()
    }

    pub(crate) fn total(&self) -> u64 {
        REGIONS.iter().map(|region| self.count(region)).sum()
    }

    pub(crate) fn notices(&self) -> Vec<Notice> {
        self.notices.lock().unwrap().clone()
    }

    /// Nothing is in flight anywhere, and no circuit leaks: the sim and the registry agree.
    pub(crate) fn assert_idle(&self) {
        for region in REGIONS {
            assert_eq!(self.world.in_flight(region).unwrap(), 0, "{region} still answers somebody");
        }
        for deployment in self.client.deployments() {
            assert_eq!(deployment.in_flight, 0, "{} is still in flight here", deployment.region);
        }
    }
}

pub(crate) fn stream_request() -> Request {
    Request::chat(
        r#"{"model":"chat","messages":[{"role":"user","content":"How high is the swell?"}],"stream":true,"stream_options":{"include_usage":true}}"#,
    )
    .unwrap()
}

/// What a chat's error holds when the call failed.
pub(crate) fn call_error(error: ChatError) -> CallError {
    match error {
        ChatError::Call(error) => error,
        other => panic!("not a call's error: {other}"),
    }
}

/// Whether the text is a whole answer.
pub(crate) fn is_whole(text: &str) -> bool {
    text.ends_with(LAST_WORD)
}

/// Whether a region saw its caller leave before it had finished.
pub(crate) fn was_left(received: &Received) -> bool {
    received.cancelled_by_caller && received.outcome != Outcome::Answered
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
