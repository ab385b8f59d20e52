//! From what somebody asks for to a connection, or the reason why there is none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::ledger::{Ledger, Line};
use super::{ADDRESSES, CONNECT_TIME, LOOKUP_TIME, LOOKUPS};
use crate::model::egress::{Blocked, Host, Policy, Verdict};

/// What all connections share.
#[derive(Debug, Clone)]
pub struct Way {
    policy: Arc<Policy>,
    ledger: Ledger,
    lookups: Arc<Semaphore>,
}

/// A connection to an address that was checked.
#[derive(Debug)]
pub struct Reached {
    pub host: Host,
    pub port: u16,
    pub stream: TcpStream,
    pub line: Line,
}

/// It was entered already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReached {
    Blocked(Blocked),
    /// Admitted, but there is no such name, or nobody answers there.
    Failed(String),
}

impl std::fmt::Display for NotReached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Blocked(because) => write!(f, "blocked by this step's `network`: {because}"),
            Self::Failed(why) => write!(f, "allowed, but {why}"),
        }
    }
}

impl Way {
    pub fn new(policy: Policy, ledger: Ledger) -> Self {
        Self { policy: Arc::new(policy), ledger, lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }

    /// Asks the rules, looks up the name, asks the rules about each address, and connects to one of those.
    pub async fn reach(&self, host: &str, port: u16) -> Result<Reached, NotReached> {
        let Ok(host) = Host::parse(host) else { return Err(self.block(host, port, Blocked::NotUnderstood)) };
        let name = shown(&host);
        if let Err(because) = self.policy.admits(&host, port) {
            return Err(self.block(&name, port, because));
        }
        let addresses = match self.look_up(&host, port).await {
            Ok(addresses) => addresses,
            Err(why) => return Err(self.fail(&name, port, &[], why)),
        };
        // One that is not admitted among others is no mistake of anybody's.
        for address in &addresses {
            let own = is_own(*address, port).await;
            if let Err(because) = self.policy.admits_address(&host, *address, port, own) {
                return Err(self.block(&name, port, because));
            }
        }
        let mut last = "it has no address".to_owned();
        for address in &addresses {
            match timeout(CONNECT_TIME, TcpStream::connect(SocketAddr::new(*address, port))).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    let line = self.ledger.enter(&name, port, Verdict::Allowed, &addresses);
                    return Ok(Reached { host, port, stream, line });
                }
                Ok(Err(error)) => last = plain(&error),
                Err(_) => last = "it does not answer".to_owned(),
            }
        }
        Err(self.fail(&name, port, &addresses, last))
    }

    pub fn block(&self, host: &str, port: u16, because: Blocked) -> NotReached {
        let addresses = if let Blocked::NotPublic { address, .. } = &because { std::slice::from_ref(address) } else { &[] };
        self.ledger.enter(host, port, Verdict::Blocked { because: because.clone() }, addresses);
        NotReached::Blocked(because)
    }

    fn fail(&self, host: &str, port: u16, addresses: &[IpAddr], why: String) -> NotReached {
        self.ledger.enter(host, port, Verdict::Failed { why: why.clone() }, addresses);
        NotReached::Failed(why)
    }

    async fn look_up(&self, host: &Host, port: u16) -> Result<Vec<IpAddr>, String> {
        let name = match host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name.as_str(),
        };
        let _turn = self.lookups.acquire().await.map_err(|error| error.to_string())?;
        let found = match timeout(LOOKUP_TIME, lookup_host((name, port))).await {
            Ok(found) => found.map_err(|_| "there is no such name".to_owned())?,
            Err(_) => return Err("its name could not be looked up in time".to_owned()),
        };
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.map(|found| found.ip().to_canonical()).take(64) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses.truncate(ADDRESSES);
        Ok(addresses)
    }
}

/// A host as an entry of the record.
fn shown(host: &Host) -> String {
    host.to_string()
}

/// Whether this machine would be talking to itself. A socket that is given an address to send to takes, without sending anything, the address that it would be
/// sent from: the same one, if it is its own.
async fn is_own(address: IpAddr, port: u16) -> bool {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let Ok(socket) = UdpSocket::bind((any, 0)).await else { return false };
    let connected = timeout(Duration::from_secs(1), socket.connect((address, port))).await.is_ok_and(|connected| connected.is_ok());
    connected && socket.local_addr().is_ok_and(|local| local.ip().to_canonical() == address)
}

/// Without numbers, which differ from system to system.
fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "it refuses the connection".to_owned(),
        std::io::ErrorKind::NetworkUnreachable | std::io::ErrorKind::HostUnreachable => "there is no way to it".to_owned(),
        kind => format!("the connection failed: {kind}"),
    }
}
