//! One region, one fault, one request in memory: half an answer, and a log that says why.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;

use http::Method;
use outrigger_sim::{Fault, When, World};
use transport::{Pool, Request, Transport};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let world = World::article(7);
    world.inject("us-east", Fault::Cut { after: 3 }, When::always())?;

    let url = format!("{}/chat/completions", world.base_url("us-east")?).parse()?;
    let mut request = Request::new(Method::POST, url, Arc::new(Pool::new("sim/us-east")));
    request.body = br#"{"model":"gpt-4.1","stream":true,"messages":[{"role":"user","content":"ahoy"}]}"#
        .as_slice()
        .into();
    let mut response = world.transport().send(request).await?;
    while let Some(chunk) = response.body.chunk().await {
        match chunk {
            Ok(bytes) => println!("{}", String::from_utf8_lossy(&bytes).trim_end()),
            Err(error) => println!("-- {error}"),
        }
    }
    for line in world.received("us-east")? {
        println!("{:?} {} -> {:?} by {:?}", line.at, line.path, line.outcome, line.fault);
    }
    Ok(())
}
