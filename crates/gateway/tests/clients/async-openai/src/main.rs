//! Asks the gateway once through async-openai, and prints what it gave as one line of JSON.
//!
//! `async-openai-client BASE_URL MODEL plain|stream|tools|leave`: `leave` drops a stream after its first chunk and goes on waiting
//! for a line on standard input, so that what the gateway makes of it can be seen.

use std::error::Error;

use async_openai::{
    Client, config::OpenAIConfig, error::OpenAIError, types::chat::CreateChatCompletionRequest,
};
use futures_util::StreamExt;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, model, verb] = arguments.as_slice() else { return Err("usage: BASE_URL MODEL VERB".into()) };
    let client = Client::with_config(OpenAIConfig::new().with_api_base(base.as_str()).with_api_key("none"));
    let mut request = json!({"model": model, "messages": [{"role": "user", "content": "ahoy"}]});
    if verb == "tools" {
        let parameters = json!({"type": "object", "properties": {"what": {"type": "string"}}});
        request["tools"] = json!([{"type": "function", "function": {"name": "count", "parameters": parameters}}]);
        request["tool_choice"] = json!("required");
    }
    let request: CreateChatCompletionRequest = serde_json::from_value(request)?;
    let given = match verb.as_str() {
        "stream" | "leave" => stream(&client, request, verb == "leave").await,
        _ => plain(&client, request).await,
    };
    println!("{given}");
    if verb == "leave" {
        std::io::stdin().read_line(&mut String::new())?;
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
    while let Some(chunk) = stream.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => return json!({"text": text, "finish": finish, "error": told(&error)}),
        };
        chunks += 1;
        for choice in chunk.choices {
            text.push_str(choice.delta.content.as_deref().unwrap_or_default());
            if let Some(reason) = choice.finish_reason {
                finish = json!(reason);
            }
        }
        if leave {
            break;
        }
    }
    json!({"text": text, "finish": finish, "chunks": chunks})
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
