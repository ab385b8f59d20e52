//! SOCKS version 5 (RFC 1928), as much as a client needs to be connected: no authentication, CONNECT, names and addresses.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::HEAD_TIME;
use super::reach::{NotReached, Reached, Way};
use crate::model::egress::Blocked;

/// First byte of everything that a client says.
pub const VERSION: u8 = 5;

const NO_AUTHENTICATION: u8 = 0;
const NOTHING_ACCEPTABLE: u8 = 0xff;

/// What the answer to a request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Answer {
    Succeeded = 0,
    NotAllowed = 2,
    Unreachable = 4,
    NoSuchCommand = 7,
    NoSuchAddress = 8,
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Connect {
        host: String,
        port: u16,
    },
    /// Listen for somebody, or pass on datagrams.
    SomethingElse,
    NoAddress,
}

/// Until there is a connection, or the client has been told why there is none.
pub async fn connect(client: &mut (impl AsyncRead + AsyncWrite + Unpin), way: &Way) -> io::Result<Option<Reached>> {
    let asked = timeout(HEAD_TIME, async {
        if !greet(client).await? {
            return Ok(None);
        }
        request(client).await.map(Some)
    });
    let (host, port) = match asked.await?? {
        None => return Ok(None),
        Some(Asked::Connect { host, port }) => (host, port),
        Some(Asked::SomethingElse) => return answer(client, Answer::NoSuchCommand).await.map(|()| None),
        Some(Asked::NoAddress) => return answer(client, Answer::NoSuchAddress).await.map(|()| None),
    };
    match way.reach(&host, port).await {
        Ok(reached) => answer(client, Answer::Succeeded).await.map(|()| Some(reached)),
        Err(NotReached::Blocked(Blocked::NotUnderstood)) => answer(client, Answer::NoSuchAddress).await.map(|()| None),
        Err(NotReached::Blocked(_)) => answer(client, Answer::NotAllowed).await.map(|()| None),
        Err(NotReached::Failed(_)) => answer(client, Answer::Unreachable).await.map(|()| None),
    }
}

/// Whether there is a way to authenticate that both know: none.
async fn greet(client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<bool> {
    version(client).await?;
    let mut methods = vec![0; usize::from(client.read_u8().await?)];
    client.read_exact(&mut methods).await?;
    let known = methods.contains(&NO_AUTHENTICATION);
    client.write_all(&[VERSION, if known { NO_AUTHENTICATION } else { NOTHING_ACCEPTABLE }]).await?;
    Ok(known)
}

async fn version(client: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    if client.read_u8().await? == VERSION { Ok(()) } else { Err(io::Error::from(io::ErrorKind::InvalidData)) }
}

async fn request(client: &mut (impl AsyncRead + Unpin)) -> io::Result<Asked> {
    version(client).await?;
    let command = client.read_u8().await?;
    let _reserved = client.read_u8().await?;
    let host = match client.read_u8().await? {
        1 => Ipv4Addr::from(client.read_u32().await?).to_string(),
        4 => Ipv6Addr::from(client.read_u128().await?).to_string(),
        3 => {
            let mut name = vec![0; usize::from(client.read_u8().await?)];
            client.read_exact(&mut name).await?;
            String::from_utf8_lossy(&name).into_owned()
        }
        _ => return Ok(Asked::NoAddress),
    };
    let port = client.read_u16().await?;
    Ok(if command == 1 { Asked::Connect { host, port } } else { Asked::SomethingElse })
}

/// The address that a connection has on our side is nobody's business.
async fn answer(client: &mut (impl AsyncWrite + Unpin), answer: Answer) -> io::Result<()> {
    client.write_all(&[VERSION, answer as u8, 0, 1, 0, 0, 0, 0, 0, 0]).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Asked> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(async {
            let mut bytes = bytes;
            request(&mut bytes).await
        })
    }

    #[test]
    fn what_is_asked_for() {
        let connect = |host: &str, port| Asked::Connect { host: host.to_owned(), port };
        assert_eq!(read(b"\x05\x01\0\x03\x09crates.io\x01\xbb").unwrap(), connect("crates.io", 443));
        assert_eq!(read(b"\x05\x01\0\x01\x7f\0\0\x01\0\x50").unwrap(), connect("127.0.0.1", 80));
        assert_eq!(read(b"\x05\x01\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50").unwrap(), connect("::1", 80));
        assert_eq!(read(b"\x05\x03\0\x01\x7f\0\0\x01\0\x50").unwrap(), Asked::SomethingElse);
        assert_eq!(read(b"\x05\x01\0\x02\x7f\0\0\x01\0\x50").unwrap(), Asked::NoAddress);
        assert!(read(b"\x04\x01\0\x01\x7f\0\0\x01\0\x50").is_err() && read(b"\x05\x01\0\x03\xffab").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_name_arrives_as_it_was_sent(name in "[a-z0-9.-]{1,255}", port in any::<u16>()) {
            let mut bytes = vec![VERSION, 1, 0, 3, u8::try_from(name.len()).unwrap()];
            bytes.extend(name.bytes().chain(port.to_be_bytes()));
            prop_assert_eq!(read(&bytes).unwrap(), Asked::Connect { host: name, port });
        }
    }
}
