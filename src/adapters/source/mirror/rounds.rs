//! One request less for each fetch.
//!
//! Which commits both sides have is asked in rounds: libgit2 names twenty of its own and hears which of them the other side knows, and where it knows one, asks once more
//! for what is wanted. The twenty newest are enough but where history was written anew. So the first round is sent as if it were the last one, which is answered with what
//! is known and with what is wanted at once; libgit2 is given the first part, and the second when it asks for it. Where nothing is known, or the answer is odd, the round is
//! sent as it was.
//!
//! Source: gitprotocol-pack(5), "Packfile Negotiation".

const FLUSH: &[u8] = b"0000";
const DONE: &[u8] = b"0009done\n";
/// What says that a round is over.
pub(super) const NAK: &[u8] = b"0008NAK\n";
/// Of what is known: twenty lines, and some.
const MAX_KNOWN: usize = 64 << 10;

/// The same as the last round, if it is one that names commits and is not the last.
pub(super) fn as_last(asked: &[u8]) -> Option<Vec<u8>> {
    let lines = asked.strip_suffix(FLUSH)?;
    // `0032have ` and forty digits, and a line's end.
    let last = lines.len().checked_sub(50).map(|at| &lines[at..])?;
    (last.starts_with(b"0032have ") && last.ends_with(b"\n")).then(|| [lines, DONE].concat())
}

pub(super) fn is_last(asked: &[u8]) -> bool {
    asked.ends_with(DONE)
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// More has to be read.
    NotYet,
    /// Lines that say what is known, up to here; then the one that says that this was all, and what is wanted.
    Some(usize),
    Nothing,
}

/// How the answer begins.
pub(super) fn known(answer: &[u8]) -> Known {
    let mut at = 0;
    loop {
        let rest = &answer[at..];
        if at > MAX_KNOWN {
            return Known::Nothing;
        }
        let Some(digits) = rest.get(..4) else { return Known::NotYet };
        // A sign would be taken as well.
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let length = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let Some(length) = length.filter(|length| *length > 4) else { return Known::Nothing };
        let Some(line) = rest.get(4..length) else { return Known::NotYet };
        let words: Vec<&[u8]> = line.trim_ascii_end().split(|byte| *byte == b' ').collect();
        match words.as_slice() {
            [b"ACK", _, b"common" | b"ready" | b"continue"] => at += length,
            [b"ACK", _] if at > 0 => return Known::Some(at),
            _ => return Known::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        format!("{:04x}{text}", text.len() + 4)
    }

    #[test]
    fn a_round_that_names_commits_can_be_the_last_one() {
        let id = "a".repeat(40);
        let wants = format!("{}0000", line(&format!("want {id} multi_ack_detailed\n")));
        let have = line(&format!("have {id}\n"));
        let last = format!("{wants}{have}{have}0009done\n");
        assert_eq!(as_last(format!("{wants}{have}{have}0000").as_bytes()), Some(last.clone().into_bytes()));
        assert!(is_last(last.as_bytes()));
        for other in [String::new(), "0000".to_owned(), wants, last, format!("{have}0001")] {
            assert_eq!(as_last(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn what_is_known_ends_where_the_rest_begins() {
        let id = "a".repeat(40);
        let some = format!("{}{}", line(&format!("ACK {id} common\n")), line(&format!("ACK {id} ready\n")));
        let end = line(&format!("ACK {id}\n"));
        let whole = format!("{some}{end}and a pack");
        assert_eq!(known(whole.as_bytes()), Known::Some(some.len()));
        // However it comes.
        for read in 0..some.len() + end.len() {
            assert_eq!(known(&whole.as_bytes()[..read]), Known::NotYet, "{read}");
        }
        for odd in ["0008NAK\nand a pack", "0000", "0004", "zzzz", "+02a", &end, &line("ERR no\n"), &format!("{some}0008NAK\n"), &some.repeat(1_000)]
        {
            assert_eq!(known(odd.as_bytes()), Known::Nothing, "{odd}");
        }
    }
}
