//! A streamed chat with every limit set, as a client of a language model would send it.
//!
//! `OPENAI_API_KEY=... cargo run --example transport-real -- https://api.openai.com/v1/chat/completions gpt-4.1`

use std::{env, error::Error, io::Write, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use outrigger_transport::{Body, Pool, Request, ReqwestTransport, Sent, Transport};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(url), Some(model)) = (arguments.next(), arguments.next()) else {
        return Err("usage: real URL MODEL".into());
    };
    let mut pool = Pool::new("openai/us-east");
    pool.connect_timeout = Duration::from_secs(2);
    let mut request = Request::new(Method::POST, url.parse()?, Arc::new(pool));
    request.timeouts.head = Some(Duration::from_secs(30));
    request.timeouts.idle = Some(Duration::from_secs(20));
    request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(key) = env::var("OPENAI_API_KEY") {
        request.headers.insert(header::AUTHORIZATION, format!("Bearer {key}").parse()?);
    }
    // Three slices: another model replaces the middle one, and nothing else is touched.
    request.body = Body::from_slices([
        Bytes::from_static(b"{\"model\":\""),
        Bytes::from(model),
        Bytes::from_static(
            b"\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}]}",
        ),
    ]);

    let mut response = match ReqwestTransport::new().send(request).await {
        Ok(response) => response,
        Err(error) if error.sent() == Sent::No => {
            return Err(format!("{error}; safe to try elsewhere").into());
        }
        Err(error) => return Err(format!("{error}; it may have been billed").into()),
    };
    let mut out = std::io::stdout();
    writeln!(out, "{}", response.status)?;
    while let Some(chunk) = response.body.chunk().await {
        out.write_all(&chunk?)?;
    }
    Ok(())
}
