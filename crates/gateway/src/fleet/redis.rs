//! The fleet's [port](super::port) on Redis, Valkey, or what speaks their protocol and runs their scripts.
//!
//! An exchange is one script (`exchange.lua`), so it is taken in whole and takes one round trip. All names begin with
//! `outrigger:{fleet}:`, whose braces keep them on one node of a cluster. Everything has an end: letters [`SILENCE`] after the last of
//! them, accounts an hour after their period.

use std::{fmt, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use outrigger::config::Secret;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError, aio::MultiplexedConnection};

use super::{
    SILENCE,
    port::{Letter, Port, PortFault, Post, Received},
};

const SCRIPT: &str = include_str!("exchange.lua");
/// So much of what an engine says of a fault is told.
const LONGEST_FAULT: usize = 200;

/// Where an engine is, and how it is entered.
#[derive(Clone)]
pub(super) struct Address {
    client: Client,
}

impl Address {
    /// The address that a URL names.
    ///
    /// # Errors
    /// What is wrong, without a word of the URL: it may be a password that stands in a wrong place.
    pub(super) fn parse(url: &Secret) -> Result<Self, &'static str> {
        let url = url.expose();
        let has = |schemes: &[&str]| {
            schemes.iter().any(|scheme| url.split_once("://").is_some_and(|(known, _)| known == *scheme))
        };
        if has(&["rediss", "valkeys"]) {
            return Err(
                "TLS to Redis is not spoken here; put a tunnel in between, or keep to a network of your own",
            );
        }
        if !has(&["redis", "valkey"]) {
            return Err("not the URL of a Redis or a Valkey");
        }
        let wrong = "not the URL of a Redis or a Valkey: its host, its port, its database or its password cannot be read";
        let info = url.into_connection_info().map_err(|_| wrong)?;
        Ok(Self { client: Client::open(info).map_err(|_| wrong)? })
    }

    /// Host and port, which are no secret.
    pub(super) fn place(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    /// What an engine said of a fault, on one line and without the password: some engines repeat the command that they refuse.
    fn fault(&self, error: &RedisError) -> PortFault {
        let mut said = error.to_string();
        let password = self.client.get_connection_info().redis_settings().password();
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            said = said.replace(password, "...");
        }
        let said = said.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        PortFault(said.take(LONGEST_FAULT).collect())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.place()).finish()
    }
}

/// The names that are used there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    letters: &'static str,
    accounts: &'static str,
}

impl Names {
    /// Of the fleet.
    pub(super) const FLEET: Self =
        Self { letters: "outrigger:{fleet}:replicas", accounts: "outrigger:{fleet}:spend:" };
    /// Of one who only asks whether it works.
    pub(super) const TRIAL: Self =
        Self { letters: "outrigger:{fleet}:check", accounts: "outrigger:{fleet}:check:" };
}

/// A connection to an engine, made anew after each fault.
pub(super) struct RedisPort {
    address: Address,
    names: Names,
    patience: Duration,
    /// Taken out while it is used: an exchange that is dropped half way leaves none that has half an answer in it.
    connection: Option<MultiplexedConnection>,
}

impl RedisPort {
    pub(super) fn new(address: Address, names: Names, patience: Duration) -> Self {
        Self { address, names, patience, connection: None }
    }

    async fn post(&mut self, letter: &Letter) -> Result<Post, RedisError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(self.patience))
                    .set_response_timeout(Some(self.patience));
                self.address.client.get_multiplexed_async_connection_with_config(&config).await?
            }
        };
        let mut command = redis::cmd("EVAL");
        command.arg(SCRIPT).arg(1 + letter.accounts.len()).arg(self.names.letters);
        for account in &letter.accounts {
            command.arg(format!("{}{}", self.names.accounts, account.name));
        }
        let counts = u64::try_from(SILENCE.as_millis()).unwrap_or(u64::MAX);
        command.arg(&letter.replica).arg(&letter.text).arg(counts);
        for account in &letter.accounts {
            command.arg(account.own).arg(account.keep.as_secs());
        }
        let (letters, totals): (Vec<Vec<u8>>, Vec<u64>) = command.query_async(&mut connection).await?;
        self.connection = Some(connection);
        Ok(Post { letters: letters.chunks_exact(3).filter_map(received).collect(), totals })
    }
}

/// A letter from its three parts.
fn received(parts: &[Vec<u8>]) -> Option<Received> {
    let [replica, silent, text] = parts else { return None };
    let silent_ms = std::str::from_utf8(silent).ok()?.parse().ok()?;
    Some(Received {
        replica: String::from_utf8_lossy(replica).into_owned(),
        silent: Duration::from_millis(silent_ms),
        text: text.clone(),
    })
}

impl Port for RedisPort {
    fn exchange<'a>(&'a mut self, letter: &'a Letter) -> BoxFuture<'a, Result<Post, PortFault>> {
        async move {
            let post = self.post(letter).await.map_err(|error| self.address.fault(&error))?;
            if post.totals.len() == letter.accounts.len() {
                return Ok(post);
            }
            self.connection = None;
            Err(PortFault("it answers something else than what was asked".to_owned()))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use redis::ErrorKind;

    use super::*;

    fn parse(url: &str) -> Result<Address, &'static str> {
        Address::parse(&Secret::new(url))
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        let address = parse("redis://:hunter2@localhost:7000/3").unwrap();
        assert_eq!(address.place(), "localhost:7000");
        assert_eq!(format!("{address:?}"), "Address(\"localhost:7000\")");
        assert_eq!(parse("valkey://user:%40x@10.0.0.1").unwrap().place(), "10.0.0.1:6379");
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_shown() {
        for bad in [
            "",
            "hunter2",
            "http://hunter2",
            "redis://",
            "redis://:hunter2@localhost/x",
            "redis://localhost:hunter2",
            "rediss://:hunter2@localhost",
        ] {
            let wrong = parse(bad).unwrap_err();
            assert!(!wrong.contains("hunter2"), "{bad}: {wrong}");
        }
    }

    /// **A password is in no fault**, though the engine repeats the command that it refuses. Fails if its words are passed on as they are.
    #[test]
    fn a_fault_is_told_without_the_password() {
        let address = parse("redis://:hunter2@localhost").unwrap();
        let said =
            "unknown command 'AUTH', with args beginning with: 'hunter2'\r\n".to_owned() + &"x".repeat(500);
        let error = RedisError::from((ErrorKind::UnexpectedReturnType, "ERR", said));
        let PortFault(told) = address.fault(&error);
        assert!(told.contains("AUTH") && !told.contains("hunter2"), "{told}");
        assert!(told.len() <= LONGEST_FAULT && !told.contains(char::is_control), "{told}");
    }
}
