//! `X-Hub-Signature-256`: HMAC-SHA256 over the body as it came.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::model::secret::Secret;

/// Why a body is not believed. Says nothing that would help to forge one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    #[error("the signature is not sha256= and 64 hex digits")]
    Malformed,
    #[error("the signature is none of a secret that is known here: the secret is another one, or the body was changed on its way")]
    Wrong,
}

/// Whether any of the secrets signed the body. Compares in constant time; with several, that one is in use by now is nobody's secret.
pub fn verify(secrets: &[Secret], signature: &str, body: &[u8]) -> Result<(), Unsigned> {
    let said = digest(signature).ok_or(Unsigned::Malformed)?;
    let signed = secrets.iter().any(|secret| {
        // HMAC takes keys of any length.
        Hmac::<Sha256>::new_from_slice(secret.reveal()).is_ok_and(|mac| mac.chain_update(body).verify_slice(&said).is_ok())
    });
    if signed { Ok(()) } else { Err(Unsigned::Wrong) }
}

fn digest(signature: &str) -> Option<[u8; 32]> {
    let hex = signature.strip_prefix("sha256=")?.as_bytes();
    let mut bytes = [0; 32];
    if hex.len() != bytes.len() * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    // GitHub's own example (docs: "Validating webhook deliveries").
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn a_body_is_believed_when_any_of_the_secrets_signed_it_and_nothing_was_changed() {
        let (good, other) = (Secret::new(SECRET), Secret::new("another"));
        for secrets in [vec![good.clone()], vec![other.clone(), good.clone()], vec![good.clone(), other.clone()]] {
            assert_eq!(verify(&secrets, SIGNATURE, BODY), Ok(()));
            assert_eq!(verify(&secrets, SIGNATURE, b"Hello, world!"), Err(Unsigned::Wrong));
        }
        assert_eq!(verify(&[other], SIGNATURE, BODY), Err(Unsigned::Wrong));
        assert_eq!(verify(&[], SIGNATURE, BODY), Err(Unsigned::Wrong), "who knows no secret believes nobody");
    }

    #[test]
    fn what_is_no_signature_is_told_from_a_wrong_one() {
        let secrets = [Secret::new(SECRET)];
        let sha1 = "sha1=757107ea0eb2509fc211221cce984b8a37570b6d";
        for bad in [
            "",
            "sha256=",
            sha1,
            &SIGNATURE[..70],
            &format!("{SIGNATURE}0"),
            &SIGNATURE.replace('7', "g"),
            &SIGNATURE.replace("71", "+1"),
            "sha256=é",
        ] {
            assert_eq!(verify(&secrets, bad, BODY), Err(Unsigned::Malformed), "{bad}");
        }
        assert_eq!(verify(&secrets, &SIGNATURE.to_uppercase().replace("SHA", "sha"), BODY), Ok(()), "digits are digits");
    }
}
