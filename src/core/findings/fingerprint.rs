//! What makes a finding the same one in another commit.

use sha2::{Digest as _, Sha256};

/// What a fingerprint may take from the secret that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secret<'d> {
    /// A token nobody can guess: its digest identifies it, wherever it stands.
    Token(&'d [u8; 32]),
    /// A password, say. Whoever has its digest can try words until one fits, so only 12 bits of it go in: enough to notice that it was changed, too few
    /// to learn it. The path stands in for the rest.
    Guessable(&'d [u8; 32]),
}

/// 32 hex digits. Does not change with the line; changes with the secret, so that allowing one never allows the next.
pub fn fingerprint(rule: &str, path: &str, secret: Secret<'_>) -> String {
    let mut hash = Sha256::new();
    hash.update(b"tidegate secret 1\0");
    hash.update(rule.as_bytes());
    hash.update(b"\0");
    match secret {
        Secret::Token(digest) => hash.update(digest),
        Secret::Guessable(digest) => {
            hash.update(path.as_bytes());
            hash.update([0, digest[0], digest[1] & 0xf0]);
        }
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_same_wherever_it_stands_and_a_guess_is_not() {
        let digest = [7; 32];
        assert_eq!(fingerprint("r", "a", Secret::Token(&digest)), fingerprint("r", "b", Secret::Token(&digest)));
        assert_ne!(fingerprint("r", "a", Secret::Token(&digest)), fingerprint("s", "a", Secret::Token(&digest)));
        assert_ne!(fingerprint("r", "a", Secret::Guessable(&digest)), fingerprint("r", "b", Secret::Guessable(&digest)));
        assert_ne!(fingerprint("r", "a", Secret::Token(&digest)), fingerprint("r", "a", Secret::Token(&[8; 32])));
    }

    #[test]
    fn a_guess_gives_away_no_more_than_12_bits() {
        let (mut one, mut other) = ([7; 32], [7; 32]);
        one[1] = 0xa1;
        other[1] = 0xaf;
        other[31] = 0;
        assert_eq!(fingerprint("r", "a", Secret::Guessable(&one)), fingerprint("r", "a", Secret::Guessable(&other)));
    }
}
