//! The first words of a connection: whether they are TLS, and whose name they ask for.

use rustls::server::Acceptor;

/// No honest client's first message is longer.
const LONGEST: usize = 32 << 10;

/// First bytes of a handshake record of any version of TLS.
const HANDSHAKE: [u8; 2] = [0x16, 0x03];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Not enough of it to know.
    More,
    /// Something else than TLS.
    Plain,
    /// TLS, for this server.
    Name(String),
    /// TLS, for whoever is there.
    Nameless,
    /// It begins like TLS and is none.
    Broken,
}

/// What a client has said so far.
#[derive(Default)]
pub struct Hello {
    acceptor: Acceptor,
    begin: Vec<u8>,
    heard: usize,
}

impl Hello {
    /// Takes in what comes next.
    pub fn hear(&mut self, mut bytes: &[u8]) -> Heard {
        self.heard += bytes.len();
        if self.begin.len() < HANDSHAKE.len() {
            self.begin.extend(bytes.iter().take(HANDSHAKE.len() - self.begin.len()));
        }
        match self.begin.as_slice() {
            [] | [0x16] => {}
            begin if *begin != HANDSHAKE => return Heard::Plain,
            _ => {}
        }
        loop {
            match self.acceptor.read_tls(&mut bytes) {
                Ok(0) => return if self.heard > LONGEST { Heard::Broken } else { Heard::More },
                Ok(_) => {}
                Err(_) => return Heard::Broken,
            }
            match self.acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => return accepted.client_hello().server_name().map_or(Heard::Nameless, |name| Heard::Name(name.to_owned())),
                Err(_) => return Heard::Broken,
            }
        }
    }
}
