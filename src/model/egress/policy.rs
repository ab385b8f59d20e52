//! What is held against a step's wish to reach something.

use ::core::net::IpAddr;
use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::address::{Kind, special};
use super::host::Host;
use super::rule::Rule;
use crate::model::limits::Network;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    Only(Vec<Rule>),
    /// Everything public, to find out what a list would have to hold.
    Learn,
}

/// Why something may not be reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blocked {
    NotListed,
    /// Only an entry that lists it as an address leads there.
    NotPublic {
        address: IpAddr,
        kind: Kind,
    },
    /// The connection was asked for one name, and what came over it was for another.
    OtherName {
        asked: String,
    },
    /// No address or name that anybody could mean, or a protocol that is none.
    NotUnderstood,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListed => f.write_str("not listed"),
            Self::NotPublic { address, kind } => write!(f, "{address} is {kind}"),
            Self::OtherName { asked } => write!(f, "over a connection to {asked}"),
            Self::NotUnderstood => f.write_str("not understood"),
        }
    }
}

impl Policy {
    /// Of a step that has a network, and not all of it.
    pub fn of(network: &Network) -> Option<Self> {
        match network {
            Network::None | Network::Open => None,
            Network::Only(rules) => Some(Self::Only(rules.clone())),
            Network::Learn => Some(Self::Learn),
        }
    }

    /// Asked first: what is not admitted is not even looked up.
    pub fn admits(&self, host: &Host, port: u16) -> Result<(), Blocked> {
        match (self, host) {
            (_, Host::Address(address)) => self.admits_address(host, *address, port, false),
            (Self::Learn, Host::Name(_)) => Ok(()),
            (Self::Only(rules), Host::Name(name)) if rules.iter().any(|rule| rule.names(name, port)) => Ok(()),
            (Self::Only(_), Host::Name(_)) => Err(Blocked::NotListed),
        }
    }

    /// Asked of each address that an admitted host turned out to have, right before a connection to it. `own`: the machine has it itself.
    pub fn admits_address(&self, host: &Host, address: IpAddr, port: u16, own: bool) -> Result<(), Blocked> {
        let address = address.to_canonical();
        let special = special(address).or(own.then_some((IpNet::from(address), Kind::Own)));
        match (special, host, self) {
            // A wide network does not mean the special one in it: 0.0.0.0/0 is the internet, not the metadata address.
            (Some((around, _)), ..) if self.lists(address, port, |net| around.contains(net)) => Ok(()),
            (Some((_, kind)), ..) => Err(Blocked::NotPublic { address, kind }),
            (None, Host::Name(_), _) | (None, _, Self::Learn) => Ok(()),
            (None, Host::Address(_), Self::Only(_)) if self.lists(address, port, |_| true) => Ok(()),
            (None, Host::Address(_), Self::Only(_)) => Err(Blocked::NotListed),
        }
    }

    fn lists(&self, address: IpAddr, port: u16, narrow: impl Fn(&IpNet) -> bool) -> bool {
        let Self::Only(rules) = self else { return false };
        rules.iter().filter_map(|rule| rule.network(address, port)).any(|net| narrow(&net))
    }
}
