//! One request, and what came back.
//!
//! `cargo run --example transport-tiny -- https://example.com/`

use std::{env, error::Error, sync::Arc};

use http::Method;
use outrigger_transport::{Pool, Request, ReqwestTransport, Transport};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).unwrap_or_else(|| "https://example.com/".to_owned());
    let request = Request::new(Method::GET, url.parse()?, Arc::new(Pool::new("example")));
    let mut response = ReqwestTransport::new().send(request).await?;
    let mut length = 0;
    while let Some(chunk) = response.body.chunk().await {
        length += chunk?.len();
    }
    report(&format!("{} with {length} bytes", response.status));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example shows what it did")]
fn report(line: &str) {
    println!("{line}");
}
