//! Where the ports that we serve come from: systemd holds them, the process before us gives them, or they are opened. In this order.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use super::handover::{self, HandoverError, Predecessor};

/// Connections that wait while nobody accepts, as far as the kernel allows (`net.core.somaxconn`): all that come during a handover wait here.
const BACKLOG: i32 = 4096;

/// A port that we serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// `gateway`, `server`: what `FileDescriptorName=` of a socket unit says.
    pub name: &'static str,
    pub address: SocketAddr,
}

/// All that were wanted, and the process that still serves them, if there is one.
#[derive(Debug)]
pub struct Opened {
    listeners: BTreeMap<&'static str, TcpListener>,
    /// Asked to leave with [`Predecessor::leave`], as late as possible: until then it serves.
    pub predecessor: Option<Predecessor>,
}

impl Opened {
    /// Each once.
    pub fn take(&mut self, name: &str) -> Option<TcpListener> {
        self.listeners.remove(name)
    }

    /// What is handed over to the process after us.
    pub fn shared(&self) -> std::io::Result<Vec<(String, TcpListener)>> {
        self.listeners.iter().map(|(name, listener)| Ok(((*name).to_owned(), listener.try_clone()?))).collect()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("the {name} can not listen on {address}: {why}. Choose another address")]
    Bind { name: &'static str, address: SocketAddr, why: String },
    #[error("systemd gave a socket that is called {found:?} where one of {expected} was expected: set FileDescriptorName= in its socket unit")]
    Name { found: String, expected: String },
    #[error("systemd gave two sockets that are called {0}: serve has one of each")]
    Twice(&'static str),
    #[error("systemd gave a socket for the {name} that can not be used: {why}. Expected is ListenStream= with an address and a port")]
    Kind { name: &'static str, why: String },
    #[error(transparent)]
    Handover(#[from] HandoverError),
}

/// Opens all. To be called before anything else of this process: before threads, as the environment is changed, and before other processes are begun, as
/// those would hold systemd's sockets open. `state` is the state folder's root.
pub fn open(state: &Path, wanted: &[Wanted]) -> Result<Opened, ListenError> {
    let mut listeners = from_systemd(wanted)?;
    let mut predecessor = None;
    if let Some(mut taken) = handover::ask(state)? {
        for Wanted { name, address } in wanted {
            let Some(theirs) = taken.listeners.remove(*name) else { continue };
            // Of another address it is of no use: the settings have changed.
            if theirs.local_addr().is_ok_and(|there| address.port() == 0 || there == *address) {
                listeners.entry(name).or_insert(theirs);
            }
        }
        predecessor = Some(taken.predecessor);
    }
    for Wanted { name, address } in wanted {
        let failed = |error: std::io::Error| ListenError::Bind { name, address: *address, why: error.to_string() };
        let listener = match listeners.remove(*name) {
            Some(listener) => listener,
            None => bind(*address).map_err(failed)?,
        };
        listener.set_nonblocking(true).map_err(failed)?;
        listeners.insert(name, listener);
    }
    Ok(Opened { listeners, predecessor })
}

/// Whether systemd holds a port of this name for us: then it is wanted, whatever the settings say.
pub fn is_given(name: &str) -> bool {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    variable("LISTEN_PID").parse() == Ok(std::process::id()) && variable("LISTEN_FDNAMES").split(':').any(|given| given == name)
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // Said once more, it only sets the length of the queue.
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// Socket activation: `LISTEN_FDS` sockets from the third descriptor on, called as `LISTEN_FDNAMES` says.
fn from_systemd(wanted: &[Wanted]) -> Result<BTreeMap<&'static str, TcpListener>, ListenError> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut given = listenfd::ListenFd::from_env();
    let mut listeners = BTreeMap::new();
    let mut names = names.split(':');
    for index in 0..given.len() {
        let name = called(names.next().unwrap_or_default(), given.len(), wanted)?;
        let unusable = |why: String| ListenError::Kind { name, why };
        let listener = given.take_tcp_listener(index).map_err(|error| unusable(error.to_string()))?;
        let listener = listener.ok_or_else(|| unusable("it is gone".to_owned()))?;
        if !rustix::net::sockopt::socket_acceptconn(&listener).unwrap_or(false) {
            return Err(unusable("it does not listen (Accept=yes?)".to_owned()));
        }
        if listeners.insert(name, listener).is_some() {
            return Err(ListenError::Twice(name));
        }
    }
    Ok(listeners)
}

/// Which one is meant. The only one for the only one wanted needs no name.
fn called(name: &str, given: usize, wanted: &[Wanted]) -> Result<&'static str, ListenError> {
    if let Some(found) = wanted.iter().find(|wanted| wanted.name == name) {
        return Ok(found.name);
    }
    match wanted {
        [only] if given == 1 => Ok(only.name),
        _ => {
            let expected: Vec<&str> = wanted.iter().map(|wanted| wanted.name).collect();
            Err(ListenError::Name { found: name.to_owned(), expected: expected.join(", ") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [Wanted; 2] = [wanted("gateway"), wanted("server")];

    const fn wanted(name: &'static str) -> Wanted {
        Wanted { name, address: SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0)) }
    }

    #[test]
    fn a_socket_is_the_one_that_it_is_called_or_the_only_one() {
        assert_eq!(called("server", 2, &TWO).unwrap(), "server");
        assert_eq!(called("tidegate.socket", 1, &TWO[..1]).unwrap(), "gateway");
        let error = called("tidegate.socket", 1, &TWO).unwrap_err().to_string();
        assert!(error.contains("\"tidegate.socket\"") && error.contains("gateway, server") && error.contains("FileDescriptorName="), "{error}");
        assert!(called("", 2, &TWO).is_err(), "two without names could be either");
    }

    #[test]
    fn without_anybody_before_us_ports_are_opened() {
        let state = tempfile::tempdir().unwrap();
        let mut opened = open(state.path(), &TWO).unwrap();
        assert!(opened.predecessor.is_none());
        let server = opened.take("server").unwrap();
        assert!(opened.take("server").is_none());
        let taken = Wanted { name: "server", address: server.local_addr().unwrap() };
        let error = open(state.path(), &[taken]).unwrap_err().to_string();
        assert!(error.starts_with("the server can not listen on 127.0.0.1:") && error.ends_with("Choose another address"), "{error}");
    }
}
