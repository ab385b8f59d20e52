//! Texts hidden in bytes: UTF-16, which puts a zero beside each ASCII letter so that no pattern sees it.

/// ASCII text that stands in `bytes` as UTF-16 (either order), with the offset of each letter.
#[derive(Debug, Default)]
pub(super) struct Unfolded {
    pub(super) text: Vec<u8>,
    pub(super) offsets: Vec<usize>,
}

/// Shorter runs are chance.
const LEAST: usize = 16;

/// All runs of UTF-16 text, one behind the other with a line break between; `None` where there are none.
pub(super) fn unfold(bytes: &[u8]) -> Option<Unfolded> {
    let mut out = Unfolded::default();
    let mut at = 0;
    while at + 1 < bytes.len() {
        let run = bytes[at..].chunks_exact(2).take_while(|pair| pair[1] == 0 && printable(pair[0])).count();
        if run < LEAST {
            at += 1;
            continue;
        }
        for letter in 0..run {
            out.text.push(bytes[at + 2 * letter]);
            out.offsets.push(at + 2 * letter);
        }
        out.text.push(b'\n');
        out.offsets.push(at + 2 * run - 1);
        at += 2 * run;
    }
    (!out.text.is_empty()).then_some(out)
}

fn printable(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_16_of_either_order_is_read() {
        let text = "password follows: here";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = [0xfe, 0xff].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).chain([0]).collect();
        for bytes in [little, big] {
            let unfolded = unfold(&bytes).unwrap();
            assert_eq!(String::from_utf8_lossy(&unfolded.text).trim_end(), text);
            assert_eq!(unfolded.text.len(), unfolded.offsets.len());
            assert!(unfolded.offsets.iter().all(|offset| *offset < bytes.len()));
        }
    }

    #[test]
    fn plain_text_and_noise_are_left_alone() {
        assert!(unfold(b"plain text of some length, and no zero in it").is_none());
        assert!(unfold(&[0; 64]).is_none());
        assert!(unfold(b"").is_none());
    }
}
