//! One entry of `network: […]`.

use ::core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::address::special;
use super::host::Host;

/// Where an entry that names no port leads to: TLS. Anything else is written down.
const PORT: u16 = 443;

/// `host`, `host:port`, `*.domain`, an address, or a network such as `10.1.0.0/16:5432`. It says one port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    to: To,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum To {
    Name(String),
    /// Every name below this one, however deep, and not the name itself.
    Below(String),
    Network(IpNet),
}

impl Rule {
    pub fn names(&self, name: &str, port: u16) -> bool {
        let fits = match &self.to {
            To::Name(own) => own == name,
            To::Below(own) => name.strip_suffix(own.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            To::Network(_) => false,
        };
        fits && self.port == port
    }

    /// What both lead to, as one entry; `None` if there is nothing, or nothing that one entry can say.
    ///
    /// A wide network does not mean the special one in it, nor this machine's own address: a part of it that does would be more than both.
    pub fn within(&self, cap: &Self) -> Option<Self> {
        let narrower = |own: &str, below: &str| own.strip_suffix(below).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
        let to = match (&self.to, &cap.to) {
            _ if self.port != cap.port => return None,
            (own, other) if own == other => own,
            (To::Name(own) | To::Below(own), To::Below(other)) if narrower(own, other) => &self.to,
            (To::Below(own), To::Name(other) | To::Below(other)) if narrower(other, own) => &cap.to,
            (To::Network(own), To::Network(other)) if own.contains(other) => &cap.to,
            (To::Network(own), To::Network(other)) if other.contains(own) => {
                let meant = |address| special(address).is_none_or(|(around, _)| around.contains(other));
                if own.prefix_len() == own.max_prefix_len() || !meant(own.network()) || !meant(own.broadcast()) {
                    return None;
                }
                &self.to
            }
            _ => return None,
        };
        Some(Self { to: to.clone(), port: self.port })
    }

    /// The network that it lists, if an address in it is meant.
    pub(super) fn network(&self, address: IpAddr, port: u16) -> Option<IpNet> {
        match self.to {
            To::Network(net) if net.contains(&address) && self.port == port => Some(net),
            _ => None,
        }
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return Err("it is a URL: write only host or host:port".into());
        }
        let (host, port) = split(text)?;
        let port = match port {
            None => PORT,
            Some(digits) => number(digits).ok_or_else(|| format!("{digits:?} is no port"))?,
        };
        Ok(Self { to: to(host)?, port })
    }
}

/// Only digits: `+443` and ` 443` are somebody else's port.
fn number(digits: &str) -> Option<u16> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?.filter(|port| *port > 0)
}

/// Before and behind the colon that stands before a port. In an IPv6 address there are others, so it has brackets where there is a port.
fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or("there is no ] behind the address")?;
        return match port {
            "" => Ok((address, None)),
            port => port.strip_prefix(':').map(|port| (address, Some(port))).ok_or_else(|| format!("{port:?} is no port")),
        };
    }
    Ok(match text.split_once(':') {
        Some((_, more)) if more.contains(':') => (text, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    })
}

fn to(host: &str) -> Result<To, String> {
    if host.contains('/') {
        let net: IpNet = host.parse().map_err(|_| "it is no network such as 10.1.0.0/16; a path has no place in it".to_owned())?;
        return match net.trunc() {
            whole if whole == net => Ok(To::Network(net)),
            whole => Err(format!("the network is {whole}")),
        };
    }
    if host == "*" {
        return Err("it would be everything: say network: open".into());
    }
    if host.contains('%') {
        return Err("\"%\" can not be part of it".into());
    }
    let (host, below) = host.strip_prefix("*.").map_or((host, false), |rest| (rest, true));
    match (Host::parse(host)?, below) {
        (Host::Name(name), true) if !name.contains('.') => Err(format!("*.{name} would be everything in {name}: name a domain in it")),
        (Host::Name(name), true) => Ok(To::Below(name)),
        (Host::Name(name), false) => Ok(To::Name(name)),
        (Host::Address(_), true) => Err("an address has nothing below it: list a network, such as 10.1.0.0/16".into()),
        (Host::Address(address), false) if host.parse() != Ok(address) => Err(format!("it is another way to write {address}: write that")),
        (Host::Address(address), false) => Ok(To::Network(address.into())),
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, port } = self;
        match to {
            To::Name(name) => write!(f, "{name}:{port}"),
            To::Below(name) => write!(f, "*.{name}:{port}"),
            To::Network(net) if net.prefix_len() == net.max_prefix_len() => write!(f, "{}:{port}", Host::Address(net.addr())),
            To::Network(IpNet::V4(net)) => write!(f, "{net}:{port}"),
            To::Network(IpNet::V6(net)) => write!(f, "[{net}]:{port}"),
        }
    }
}

impl TryFrom<String> for Rule {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}
