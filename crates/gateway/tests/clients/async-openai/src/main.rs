//! Asks the gateway once through async-openai, and prints what it gave as one line of JSON.
//!
//! `async-openai-client BASE_URL VERB ASKED`, where `ASKED` is JSON with `model`, `key`, `prompt` and `headers`. The verbs are `plain`,
//! `stream`, `tools` and `stream-tools`; `leave-stream` drops a stream after its first chunk, `leave-plain` a call at the first line on
//! standard input. Whoever leaves goes on waiting for a line, so that what the gateway makes of it can be seen.

use std::error::Error;

use async_openai::{
    Client, config::OpenAIConfig, error::OpenAIError, types::chat::CreateChatCompletionRequest,
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, verb, asked] = arguments.as_slice() else { return Err("usage: BASE_URL VERB ASKED".into()) };
    let asked: Value = serde_json::from_str(asked)?;
    let said = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
    let mut config = OpenAIConfig::new().with_api_base(base.as_str()).with_api_key(said("key"));
    for (name, value) in asked["headers"].as_object().into_iter().flatten() {
        // The names live as long as the process, which is short.
        let name: &'static str = name.clone().leak();
        config = config.with_header(name, value.as_str().unwrap_or_default())?;
    }
    let client = Client::with_config(config);
    let messages = json!([{"role": "user", "content": said("prompt")}]);
    let mut request = json!({"model": said("model"), "messages": messages});
    if verb.ends_with("tools") {
        let parameters = json!({"type": "object", "properties": {"what": {"type": "string"}}});
        request["tools"] = json!([{"type": "function", "function": {"name": "count", "parameters": parameters}}]);
        request["tool_choice"] = json!("required");
    }
    let request: CreateChatCompletionRequest = serde_json::from_value(request)?;
    let mut lines = BufReader::new(stdin()).lines();
    let leaves = verb.starts_with("leave");
    let given = if verb == "leave-plain" {
        tokio::select! {
            given = plain(&client, request) => given,
            _ = lines.next_line() => json!({"left": true}),
        }
    } else if verb.contains("stream") {
        stream(&client, request, leaves).await
    } else {
        plain(&client, request).await
    };
    println!("{given}");
    if leaves {
        lines.next_line().await?;
    }
    Ok(())
}

async fn plain(client: &Client<OpenAIConfig>, request: CreateChatCompletionRequest) -> Value {
    match client.chat().create(request).await {
        Ok(answer) => json!({"answer": answer}),
        Err(error) => json!({"error": told(&error)}),
    }
}

async fn stream(client: &Client<OpenAIConfig>, request: CreateChatCompletionRequest, leave: bool) -> Value {
    let mut stream = match client.chat().create_stream(request).await {
        Ok(stream) => stream,
        Err(error) => return json!({"text": "", "error": told(&error)}),
    };
    let (mut text, mut finish, mut chunks) = (String::new(), Value::Null, 0);
    let (mut name, mut arguments) = (String::new(), String::new());
    while let Some(chunk) = stream.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => return json!({"text": text, "finish": finish, "error": told(&error)}),
        };
        chunks += 1;
        for choice in chunk.choices {
            text.push_str(choice.delta.content.as_deref().unwrap_or_default());
            for piece in choice.delta.tool_calls.into_iter().flatten().filter_map(|call| call.function) {
                name.push_str(piece.name.as_deref().unwrap_or_default());
                arguments.push_str(piece.arguments.as_deref().unwrap_or_default());
            }
            if let Some(reason) = choice.finish_reason {
                finish = json!(reason);
            }
        }
        if leave {
            break;
        }
    }
    json!({"text": text, "finish": finish, "chunks": chunks, "call": {"name": name, "arguments": arguments}})
}

/// The error's kind, and of an API's error its status and code.
fn told(error: &OpenAIError) -> Value {
    match error {
        OpenAIError::ApiError(api) => {
            json!({"kind": "api", "status": api.status_code.as_u16(), "code": api.api_error.code})
        }
        other => json!({"kind": "other", "message": other.to_string()}),
    }
}
