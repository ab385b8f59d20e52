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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with_length(bytes: usize, inner: &[u8]) -> Vec<u8> {
        [&u32::try_from(inner.len()).unwrap().to_be_bytes()[4 - bytes..], inner].concat()
    }

    fn extension(kind: u16, inner: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &with_length(2, inner)].concat()
    }

    /// What a client says first, in records of so many bytes.
    fn client_hello(name: Option<&str>, record: usize) -> Vec<u8> {
        let server_name = |name: &str| extension(0, &with_length(2, &[&[0][..], &with_length(2, name.as_bytes())].concat()));
        let signatures = extension(13, &with_length(2, &[0x04, 0x03]));
        let extensions = [name.map(server_name).unwrap_or_default(), signatures].concat();
        let body = [&[3, 3][..], &[7; 32], &[0], &with_length(2, &[0x13, 0x01]), &[1, 0], &with_length(2, &extensions)].concat();
        let message = [&[1][..], &with_length(3, &body)].concat();
        message.chunks(record).flat_map(|part| [&[0x16, 3, 1][..], &with_length(2, part)].concat()).collect()
    }

    fn heard(said: &[u8], piece: usize) -> Heard {
        let mut hello = Hello::default();
        said.chunks(piece).map(|part| hello.hear(part)).find(|heard| *heard != Heard::More).unwrap_or(Heard::More)
    }

    #[test]
    fn the_name_is_heard() {
        assert_eq!(heard(&client_hello(Some("crates.io"), 9999), 9999), Heard::Name("crates.io".to_owned()));
        assert_eq!(heard(&client_hello(None, 9999), 9999), Heard::Nameless);
        assert_eq!(heard(b"SSH-2.0-x\r\n", 99), Heard::Plain);
        assert_eq!(heard(b"\x16\x03\x01\0\x05hello", 99), Heard::Broken);
        assert_eq!(heard(b"\x16", 99), Heard::More);
        assert_eq!(heard(b"\x16SSH", 1), Heard::Plain);
        assert_eq!(heard(&client_hello(Some("crates.io"), 9999)[..30], 99), Heard::More);
    }

    #[test]
    fn a_hello_without_end_is_none() {
        let endless = [&[1, 0xff, 0xff, 0xff][..], &[0; 16_000]].concat();
        let said: Vec<u8> = std::iter::repeat_n(endless, 5).flat_map(|part| [&[0x16, 3, 1][..], &with_length(2, &part)].concat()).collect();
        assert_eq!(heard(&said, 4096), Heard::Broken);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn however_it_is_cut_the_name_is_the_same(name in "[a-z]{1,20}\\.[a-z]{2,6}", record in 1..200_usize, piece in 1..200_usize) {
            prop_assert_eq!(heard(&client_hello(Some(&name), record), piece), Heard::Name(name));
        }

        #[test]
        fn no_bytes_make_it_panic(mut said in proptest::collection::vec(any::<u8>(), 2..400), piece in 1..50_usize, tls in any::<bool>()) {
            if tls {
                said[..2].copy_from_slice(&HANDSHAKE);
            }
            let heard = heard(&said, piece);
            prop_assert!(tls || heard != Heard::Broken || said[..2] == HANDSHAKE);
        }
    }
}
