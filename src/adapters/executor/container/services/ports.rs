//! Who listens in the network of a container, by the tables of its first process: it needs no right to be there, and disturbs nobody.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// As the kernel says it.
const LISTENS: &str = "0A";

/// Whether somebody would answer at this address.
pub(super) fn answers(first: i64, address: Ipv4Addr, port: u16) -> bool {
    let at = |table: &str| fs::read_to_string(format!("/proc/{first}/net/{table}")).unwrap_or_default();
    ["tcp", "tcp6"].into_iter().any(|table| at(table).lines().any(|line| line_answers(line, address, port)))
}

/// `  0: 0100007F:1F90 00000000:0000 0A …`
fn line_answers(line: &str, address: Ipv4Addr, port: u16) -> bool {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (Some(local), Some(_), Some(LISTENS)) = (words.next(), words.next(), words.next()) else { return false };
    let Some((host, at)) = local.split_once(':') else { return false };
    u16::from_str_radix(at, 16) == Ok(port) && host_of(host).is_some_and(|host| host.is_unspecified() || host == IpAddr::V4(address))
}

/// Words of 32 bits, each as this machine keeps it.
fn host_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut octets = [0; 16];
            for at in 0..4 {
                octets[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(octets).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn who_listens_is_seen_and_who_only_speaks_is_not() {
        let own = i64::from(std::process::id());
        let address = Ipv4Addr::new(127, 0, 1, 7);
        for (listens_at, there) in
            [("127.0.1.7:0", true), ("0.0.0.0:0", true), ("[::]:0", true), ("[::ffff:127.0.1.7]:0", true), ("127.0.0.1:0", false)]
        {
            let listener = TcpListener::bind(listens_at).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert_eq!(answers(own, address, port), there, "{listens_at}");
            assert_eq!(TcpStream::connect((address, port)).is_ok(), there, "{listens_at}");
            drop(listener);
            assert!(!answers(own, address, port), "{listens_at}");
        }
        assert!(!line_answers("  sl  local_address rem_address   st", address, 0));
    }
}
