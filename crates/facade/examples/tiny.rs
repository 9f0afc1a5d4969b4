//! The smallest run: a client before three simulated regions, one of which is dead.

use outrigger::{
    Client, Config,
    config::{Model, Provider, Target},
};
use sim::{Fault, When, World};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example talks to its reader")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let world = World::article(7);
    world.inject("us-east", Fault::Reset, When::always())?;
    let mut provider = Provider::openai();
    for region in world.regions() {
        provider = provider.region(region, world.base_url(region)?.as_str())?;
    }
    let model = Model::new([Target::new("holysheep", "gpt-4.1")]);
    let config = Config::new().provider("holysheep", provider).model("chat", model);
    let client = Client::builder().config(config).transport(world.transport()).build()?;

    let mut stream = client.chat("chat").user("How high is the swell?").region("us-east").stream().await?;
    println!("from {}, {} attempts:", stream.route(), stream.attempts().len());
    while let Some(piece) = stream.next().await {
        print!("{}", piece?);
    }
    println!("\n{:?}", stream.summary());
    Ok(())
}
