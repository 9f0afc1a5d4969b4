//! The operators' port of a gateway that runs, asked over HTTP by the verbs that operate it.

use std::time::Duration;

use bytes::Bytes;
use clap::Args as ClapArgs;
use http::{Method, Request, StatusCode, Uri, header, uri::Authority};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Failed;

/// Nothing that an operator asks takes longer, unless the gateway is not well.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is asked of someone whom nobody understood.
const ELSEWHERE: &str = "is that the admin port of a gateway?";
/// The status of some ten thousand deployments.
const MAX_ANSWER: usize = 16 << 20;

/// Which gateway is meant.
#[derive(Debug, ClapArgs)]
pub(super) struct Gateway {
    /// The gateway's admin address: `http://HOST:PORT`, or without `http://`
    #[arg(long, env = "OUTRIGGER_ADMIN", value_name = "URL", default_value = "127.0.0.1:8081", value_parser = base)]
    admin: String,
}

/// The operators' port.
#[derive(Debug)]
pub(super) struct Operator {
    base: String,
    connections: Client<HttpConnector, Full<Bytes>>,
}

impl Gateway {
    pub(super) fn operator(&self) -> Operator {
        Operator::at(self.admin.clone())
    }
}

/// What an admin address given by hand means: the root that paths are appended to.
///
/// # Errors
/// What is wrong with it.
pub(super) fn base(text: &str) -> Result<String, String> {
    let address = match text.split_once("://") {
        None => text,
        Some(("http", rest)) => rest,
        Some((scheme, _)) => {
            return Err(format!("`{scheme}` is not spoken here: the admin port speaks plain http"));
        }
    };
    let (authority, path) = address.find('/').map_or((address, ""), |at| address.split_at(at));
    let authority: Authority = authority.parse().map_err(|_| "it is no http://HOST:PORT".to_owned())?;
    // What a gateway listens on with all its addresses, it answers at home too.
    let host = match authority.host() {
        "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    let port = authority.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    Ok(format!("http://{host}{port}{}", path.trim_end_matches('/')))
}

impl Operator {
    pub(super) fn at(base: String) -> Self {
        Self { base, connections: Client::builder(TokioExecutor::new()).build(HttpConnector::new()) }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failed> {
        self.ask(Method::POST, path, serde_json::to_vec(body)?.into()).await
    }

    pub(super) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        self.ask(Method::DELETE, path, Bytes::new()).await
    }

    /// # Errors
    /// Where it was asked, what went wrong, and what to do.
    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, Failed> {
        let base = &self.base;
        let uri: Uri = format!("{base}{path}").parse().map_err(|error| format!("{base}: {error}"))?;
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let answered = tokio::time::timeout(PATIENCE, self.exchange(request)).await;
        let late = || format!("{base} does not answer within {} s", PATIENCE.as_secs());
        let (status, body) = answered.map_err(|_| late())??;
        if !status.is_success() {
            let said = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.error.in_words());
            let said = said.unwrap_or_else(|_| ELSEWHERE.to_owned());
            return Err(format!("{base} answers {status}: {said}").into());
        }
        serde_json::from_slice(&body).map_err(|error| {
            format!("{base} answers what is not understood ({error}): is it a gateway?").into()
        })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failed> {
        let base = &self.base;
        let response = self.connections.request(request).await.map_err(|error| {
            format!("cannot reach a gateway's admin port at {base}: {}; does one run there? --admin URL says where", innermost(&error))
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| format!("the answer of {base} broke off: {error}"))?;
        Ok((status, body.to_bytes()))
    }
}

/// An error's first cause: what the system said.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.by_ref().last().map(ToString::to_string).unwrap_or_default()
}

/// An error, as every route gives it.
#[derive(Deserialize)]
struct Refusal {
    error: Said,
}

#[derive(Deserialize)]
struct Said {
    message: String,
    #[serde(default)]
    code: Option<String>,
}

impl Said {
    /// The callers' port refuses in the same form; its codes say that it is one.
    fn in_words(self) -> String {
        match self.code.as_deref() {
            Some("unknown_url" | "invalid_api_key") => format!("{}; {ELSEWHERE}", self.message),
            _ => self.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_address_is_taken_with_and_without_its_scheme() {
        for (given, meant) in [
            ("127.0.0.1:8081", "http://127.0.0.1:8081"),
            ("http://localhost:8081/", "http://localhost:8081"),
            ("http://ops.internal/outrigger/", "http://ops.internal/outrigger"),
            ("0.0.0.0:8081", "http://127.0.0.1:8081"),
            ("[::]:8081", "http://[::1]:8081"),
        ] {
            assert_eq!(base(given).as_deref(), Ok(meant), "{given}");
        }
        assert!(base("https://ops:8081").unwrap_err().contains("plain http"));
        assert!(base("").is_err() && base("two words").is_err());
    }
}
