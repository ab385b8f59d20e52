//! Bytes in both directions, as they are, until both ends have had enough.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::hello::{Heard, Hello};
use super::ledger::{Direction, Line};
use super::reach::{Reached, Way};
use super::{BUFFER, HEAD_TIME};
use crate::model::egress::{Blocked, Host};

/// What the client says first is held back until it is known not to be meant for somebody else. Meanwhile the server may speak: some speak first.
pub async fn relay(client: impl AsyncRead + AsyncWrite, reached: Reached, way: &Way) {
    let Reached { host, port, stream, line } = reached;
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = stream.into_split();
    let up = async {
        if let Some(first) = first_words(&mut from_client, &host, port, way).await? {
            to_server.write_all(&first).await?;
            line.count(Direction::Up, first.len());
        }
        copy(&mut from_client, &mut to_server, &line, Direction::Up).await
    };
    let down = copy(&mut from_server, &mut to_client, &line, Direction::Down);
    // Where one direction breaks, so does the other.
    let _ = tokio::try_join!(up, down);
}

async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), line: &Line, direction: Direction) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await? {
            0 => return to.shutdown().await,
            length => {
                to.write_all(&buffer[..length]).await?;
                line.count(direction, length);
            }
        }
    }
}

/// What may be passed on of what the client says first. `None`: it is silent for good.
async fn first_words(client: &mut (impl AsyncRead + Unpin), host: &Host, port: u16, way: &Way) -> io::Result<Option<Vec<u8>>> {
    let mut hello = Hello::default();
    let mut said = Vec::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = client.read(&mut buffer);
        // It may be silent as long as it likes, but not in the middle of a word.
        let length = if said.is_empty() { read.await? } else { timeout(HEAD_TIME, read).await?? };
        if length == 0 && said.is_empty() {
            return Ok(None);
        }
        said.extend_from_slice(&buffer[..length]);
        let heard = if length == 0 { Heard::Broken } else { hello.hear(&buffer[..length]) };
        let refused = |host: &str, because| {
            way.block(host, port, because);
            Err(io::Error::from(io::ErrorKind::PermissionDenied))
        };
        match (heard, host) {
            (Heard::More, _) => {}
            (Heard::Plain, _) => return Ok(Some(said)),
            // Whoever lists an address means whatever is there.
            (Heard::Name(_) | Heard::Nameless, Host::Address(_)) => return Ok(Some(said)),
            (Heard::Name(name), host) if Host::parse(&name).as_ref() == Ok(host) => return Ok(Some(said)),
            (Heard::Name(name), host) => return refused(&name, Blocked::OtherName { asked: host.to_string() }),
            (Heard::Nameless | Heard::Broken, host) => return refused(&host.to_string(), Blocked::NotUnderstood),
        }
    }
}
