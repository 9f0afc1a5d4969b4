//! What a connection is told for which there is no place: the same in few bytes, without reading what it asks.
//!
//! Nobody knows yet which API it speaks, so the words are OpenAI's; an SDK of any kind reads the status and `retry-after`.

use std::time::Duration;

use http::HeaderValue;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::routes::{
    error::ApiError,
    words::{self, Words},
};

/// How long what the peer sends is read away, so that the answer is not lost by the reset that unread bytes cause.
const LINGER: Duration = Duration::from_millis(500);
/// And how much of it.
const READ_AWAY: u64 = 64 << 10;

/// Answers 503 `overloaded` to whatever the connection asks, and ends it.
pub(crate) async fn tell(mut stream: TcpStream) {
    let answer = answer();
    let told = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(READ_AWAY), &mut tokio::io::sink()).await
    };
    // Who is gone, or does not listen, has lost nothing but the reason.
    drop(timeout(LINGER, told).await);
}

fn answer() -> Vec<u8> {
    let body = words::body(&ApiError::overloaded(), Words::OpenAi, &HeaderValue::from_static(""));
    let mut answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    answer
}
