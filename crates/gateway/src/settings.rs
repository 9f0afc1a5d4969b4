//! `[server]`: where the gateway listens and how much it takes on. Reasons for each default: docs/defaults.md.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use humantime::format_duration;
use outrigger::config::{Fault, LONGEST, Path};
use serde::{Deserialize, Deserializer, de};

use crate::listener::Limits;

const MIB: u64 = 1 << 20;

/// The least bound of a head: what SDKs send with a key and a path fits in.
const LEAST_HEAD: Size = Size(1 << 10);

/// The table `[server]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// Where callers come in: plain HTTP/1.1 and HTTP/2; TLS is terminated in front.
    #[serde(deserialize_with = "address")]
    pub(crate) listen: SocketAddr,
    /// Where operators come in.
    #[serde(deserialize_with = "address")]
    pub(crate) admin: SocketAddr,
    /// Where this gateway stands: the preferred region of models that name none.
    pub(crate) region: Option<String>,
    /// Whether `listen` may be reached from other machines though callers have no keys.
    pub(crate) allow_open: bool,
    /// Names, beside those of this machine, by which a loopback listener and the admin port may be called.
    pub(crate) hosts: Vec<String>,
    /// A request's body at most.
    pub(crate) max_body: Size,
    /// A plain answer at most that is held until it is whole.
    pub(crate) max_held_answer: Size,
    /// Bodies of all requests together at most.
    pub(crate) max_buffered: Size,
    /// Requests at once at most.
    pub(crate) max_concurrent: u32,
    /// Connections of callers at once at most.
    pub(crate) max_connections: u32,
    /// A request's head at most: its path and its headers.
    pub(crate) max_head: Size,
    /// Time for a connection to bring its first request, and for a further head that it has begun.
    #[serde(with = "humantime_serde")]
    pub(crate) header_timeout: Duration,
    /// Time for a request's body to come in, all of it.
    #[serde(with = "humantime_serde")]
    pub(crate) body_timeout: Duration,
    /// How long a connection may rest between requests.
    #[serde(with = "humantime_serde")]
    pub(crate) idle_timeout: Duration,
    /// How long a caller may take nothing of an answer.
    #[serde(with = "humantime_serde")]
    pub(crate) stall_timeout: Duration,
    /// Time for what runs to finish when the gateway is told to stop.
    #[serde(with = "humantime_serde")]
    pub(crate) drain: Duration,
    /// When status and headers leave before the first content.
    pub(crate) early_status: EarlyStatus,
    /// Where spend is kept; empty for memory only.
    pub(crate) state_dir: String,
}

impl Default for Settings {
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            listen: local(8080),
            admin: local(8081),
            region: None,
            allow_open: false,
            hosts: Vec::new(),
            max_body: Size(32 * MIB),
            max_held_answer: Size(8 * MIB),
            max_buffered: Size(512 * MIB),
            max_concurrent: 4096,
            max_connections: 10_000,
            max_head: Size(64 << 10),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            early_status: EarlyStatus::OFF,
            state_dir: String::new(),
        }
    }
}

impl Settings {
    /// What the callers' port takes on.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            header_timeout: self.header_timeout,
            idle_timeout: self.idle_timeout,
            stall_timeout: self.stall_timeout,
            max_connections: self.max_connections,
            max_head: usize::try_from(self.max_head.0).unwrap_or(usize::MAX),
        }
    }

    /// What is bound or handed out at the start holds until the next one, whatever the file says meanwhile.
    pub(crate) fn keep_what_is_fixed(&mut self, at_start: &Self) {
        let Self { listen, admin, hosts, max_held_answer, max_connections, max_head, .. } = at_start.clone();
        (self.listen, self.admin, self.hosts) = (listen, admin, hosts);
        (self.max_held_answer, self.max_connections, self.max_head) =
            (max_held_answer, max_connections, max_head);
        let Self { header_timeout, idle_timeout, stall_timeout, state_dir, .. } = at_start.clone();
        (self.header_timeout, self.idle_timeout, self.stall_timeout) =
            (header_timeout, idle_timeout, stall_timeout);
        self.state_dir = state_dir;
    }

    /// Of what is fixed at the start, the keys that differ.
    pub(crate) fn fixed_that_differ(&self, now: &Self) -> Vec<&'static str> {
        let fixed = [
            ("listen", self.listen == now.listen),
            ("admin", self.admin == now.admin),
            ("hosts", self.hosts == now.hosts),
            ("max_held_answer", self.max_held_answer == now.max_held_answer),
            ("max_connections", self.max_connections == now.max_connections),
            ("max_head", self.max_head == now.max_head),
            ("header_timeout", self.header_timeout == now.header_timeout),
            ("idle_timeout", self.idle_timeout == now.idle_timeout),
            ("stall_timeout", self.stall_timeout == now.stall_timeout),
            ("state_dir", self.state_dir == now.state_dir),
        ];
        fixed.into_iter().filter(|(_, same)| !same).map(|(key, _)| key).collect()
    }

    /// What leaves no room or no time for any request, and what no request can be called by.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let path = |key| Path::new(["server", key]);
        let none = Size(0);
        let sizes = [
            ("max_body", self.max_body, none),
            ("max_buffered", self.max_buffered, none),
            ("max_head", self.max_head, LEAST_HEAD),
        ];
        let counts = [("max_concurrent", self.max_concurrent), ("max_connections", self.max_connections)];
        let times = [
            ("header_timeout", self.header_timeout),
            ("body_timeout", self.body_timeout),
            ("idle_timeout", self.idle_timeout),
            ("stall_timeout", self.stall_timeout),
        ];
        let longest = [("drain", self.drain), ("early_status", self.early_status.0.unwrap_or_default())];
        let sizes = sizes.into_iter().filter(|&(_, size, least)| size.0 < least.0.max(1)).map(
            |(key, size, least)| {
                let least = if least == none { "1B".to_owned() } else { least.written() };
                Fault::new(
                    path(key),
                    format!("expected a size of at least {least}, found {}", size.written()),
                )
            },
        );
        let counts = counts.into_iter().filter(|&(_, count)| count == 0);
        let counts =
            counts.map(|(key, _)| Fault::new(path(key), "expected a whole number of at least 1, found 0"));
        let zeros = times.into_iter().filter(|(_, time)| time.is_zero());
        let zeros = zeros.map(|(key, _)| Fault::new(path(key), "a duration of zero leaves no time"));
        let long = times.into_iter().chain(longest).filter(|&(_, time)| time > LONGEST).map(|(key, time)| {
            Fault::new(path(key), format!("{} is above the longest, 365 days", format_duration(time)))
        });
        let hosts = self.hosts.iter().enumerate().filter(|(_, host)| !is_host(host)).map(|(index, _)| {
            let wrong = "expected the name of a host, without scheme, port and path";
            Fault::new(path("hosts").index(index), wrong)
        });
        sizes.chain(counts).chain(zeros).chain(long).chain(hosts).collect()
    }

    /// Why callers must not come in where they would, if so.
    pub(crate) fn forbids_listen(&self, has_keys: bool) -> Option<String> {
        let Self { listen, admin, .. } = *self;
        if are_one(listen, admin) {
            return Some(format!("{listen} and the admin address, {admin}, are one; give them two ports"));
        }
        (!listen.ip().is_loopback() && !has_keys && !self.allow_open).then(|| {
            format!(
                "{listen} can be reached from other machines, and callers have no keys; make them with `outrigger keys \
                 new NAME`, listen on 127.0.0.1, or set server.allow_open = true"
            )
        })
    }
}

/// Whether two addresses cannot both be bound: the same port, of the same machine's or of all of them.
fn are_one(one: SocketAddr, other: SocketAddr) -> bool {
    let takes =
        |all: SocketAddr, one: SocketAddr| all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || takes(one, other) || takes(other, one))
}

fn is_host(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// What is to be known of an admin address that other machines reach: whoever does needs no key.
pub(crate) fn open_admin(admin: SocketAddr) -> Option<String> {
    (!admin.ip().is_loopback()).then(|| {
        format!(
            "the admin port {admin} can be reached from other machines and has no keys; who reaches it can read and \
             change how this process stands. Keep it behind a firewall, or listen on 127.0.0.1"
        )
    })
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let expected = "an address and its port, and no name: \"127.0.0.1:8080\" is this machine's";
    text.parse().map_err(|_| de::Error::invalid_value(de::Unexpected::Str(&text), &expected))
}

/// Bytes, written with a unit: `"32MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl Size {
    /// As a file writes it.
    pub(crate) fn written(self) -> String {
        let units = [(1 << 30, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")];
        let unit = units.into_iter().find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        let (unit, name) = unit.unwrap_or((1, "B"));
        format!("{}{name}", self.0 / unit)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        let unit = match text.get(digits.len()..).map(str::trim) {
            Some("B") => 1,
            Some("KiB") => 1 << 10,
            Some("MiB") => MIB,
            Some("GiB") => 1 << 30,
            _ => return Err("a size is a whole number with B, KiB, MiB or GiB, like \"32MiB\"".to_owned()),
        };
        let size = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        size.map(Self).ok_or_else(|| "the size is no whole number, or too large".to_owned())
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

/// How long a stream's status and headers wait for its first content: for ever when `"off"`, or a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EarlyStatus(pub(crate) Option<Duration>);

impl EarlyStatus {
    pub(crate) const OFF: Self = Self(None);
    /// Comments follow each other in this time; more of them would be traffic for its own sake.
    const LEAST: Duration = Duration::from_millis(100);
}

impl FromStr for EarlyStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        let said = "early_status is \"off\" or a duration of at least 100ms, like \"5s\"";
        match humantime::parse_duration(text) {
            Ok(after) if after >= Self::LEAST => Ok(Self(Some(after))),
            _ => Err(said.to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for EarlyStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fixed_is_told_and_kept() {
        let start = Settings::default();
        let changed = Settings {
            listen: start.admin,
            admin: start.listen,
            hosts: vec!["x".to_owned()],
            max_held_answer: Size(1),
            max_connections: 1,
            max_head: Size(1),
            header_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            stall_timeout: Duration::ZERO,
            state_dir: "x".to_owned(),
            max_body: Size(1),
            ..start.clone()
        };
        assert_eq!(start.fixed_that_differ(&changed).len(), 10);
        let mut kept = changed;
        kept.keep_what_is_fixed(&start);
        assert_eq!(kept, Settings { max_body: Size(1), ..start });
    }

    /// **What cannot run is no setting.** Fails if a bound that lets nothing through passes.
    #[test]
    fn what_leaves_no_room_or_time_is_a_fault() {
        let check = |table: &str, expected: &[&str]| {
            let settings: Settings = toml::from_str(table).unwrap();
            let told: Vec<String> = settings.faults().iter().map(ToString::to_string).collect();
            assert_eq!(told, expected, "{table}");
        };
        check("", &[]);
        check("max_held_answer = \"0B\"\ndrain = \"0s\"\nmax_head = \"1KiB\"", &[]);
        check("hosts = [\"gateway\", \"a_b.example.\", \"10.0.0.7\"]\nmax_body = \"1B\"", &[]);
        for key in ["max_body", "max_buffered"] {
            let expected = format!("server.{key}: expected a size of at least 1B, found 0B");
            check(&format!("{key} = \"0KiB\""), &[&expected]);
        }
        check("max_head = \"1023B\"", &["server.max_head: expected a size of at least 1KiB, found 1023B"]);
        for key in ["max_concurrent", "max_connections"] {
            let expected = format!("server.{key}: expected a whole number of at least 1, found 0");
            check(&format!("{key} = 0"), &[&expected]);
        }
        for key in ["header_timeout", "body_timeout", "idle_timeout", "stall_timeout"] {
            let expected = format!("server.{key}: a duration of zero leaves no time");
            check(&format!("{key} = \"0s\""), &[&expected]);
        }
        for key in ["header_timeout", "drain", "early_status"] {
            let expected = format!("server.{key}: 1year is above the longest, 365 days");
            check(&format!("{key} = \"1year\""), &[&expected]);
        }
        let wrong = [0, 1, 2, 3].map(|index| {
            format!("server.hosts[{index}]: expected the name of a host, without scheme, port and path")
        });
        let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
        check("hosts = [\"\", \"a b\", \"https://x\", \"x:80\"]", &wrong);
    }

    /// **Two listeners need two addresses.** Fails if a pair passes that the system does not bind.
    #[test]
    fn one_address_is_not_two() {
        let check = |listen: &str, admin: &str| are_one(listen.parse().unwrap(), admin.parse().unwrap());
        assert!(check("127.0.0.1:80", "127.0.0.1:80"));
        assert!(check("0.0.0.0:80", "127.0.0.1:80") && check("127.0.0.1:80", "0.0.0.0:80"));
        assert!(check("[::]:80", "127.0.0.1:80"));
        assert!(!check("127.0.0.1:0", "127.0.0.1:0"), "the system chooses two");
        assert!(!check("127.0.0.1:80", "127.0.0.1:81") && !check("127.0.0.1:80", "10.0.0.7:80"));
        assert!(!check("0.0.0.0:80", "[::1]:80"));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!("32MiB".parse(), Ok(Size(33_554_432)));
        assert_eq!("7 KiB".parse(), Ok(Size(7168)));
        for size in ["1GiB", "8MiB", "7KiB", "1025B", "0B"] {
            assert_eq!(size.parse::<Size>().unwrap().written(), size);
        }
        for bad in ["32", "", "MiB", "1.5MiB", "-1B", "1MB", "99999999999GiB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_early_status_is_off_or_a_time() {
        assert_eq!("off".parse(), Ok(EarlyStatus::OFF));
        assert_eq!("5s".parse(), Ok(EarlyStatus(Some(Duration::from_secs(5)))));
        for bad in ["on", "", "5", "0s", "99ms"] {
            assert!(bad.parse::<EarlyStatus>().is_err(), "{bad}");
        }
    }
}
