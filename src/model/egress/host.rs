//! What somebody wants to reach, written one way however it was spelt.

use ::core::net::IpAddr;
use std::fmt;

/// Bytes of a name in the DNS.
const LONGEST: usize = 253;

/// A name in lower-case ASCII without its last dot, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    Name(String),
    /// Never an IPv4 address dressed up as IPv6.
    Address(IpAddr),
}

impl Host {
    /// Reads it as a browser does: letters of all alphabets become what the DNS has, percent signs what they stand for, and each of the ways to write an IPv4
    /// address (`2852039166`, `0xa9fea9fe`, `0251.0376.0251.0376`, `169.254.43518`) that address. What none of this makes sense of is refused.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(address.into());
        }
        let name = match url::Host::parse(text.strip_suffix('.').unwrap_or(text)).map_err(|why| why.to_string())? {
            url::Host::Ipv4(address) => return Ok(IpAddr::V4(address).into()),
            url::Host::Ipv6(address) => return Ok(IpAddr::V6(address).into()),
            url::Host::Domain(name) => name,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} characters"));
        }
        match name.split('.').find(|part| part.is_empty() || part.len() > 63 || !part.chars().all(plain)) {
            Some(part) => Err(format!("{part:?} is no part of a host name")),
            None => Ok(Self::Name(name)),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}
