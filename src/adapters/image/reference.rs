//! What an image is called: `debian`, `debian:12`, `ghcr.io/owner/name:tag`, `name@sha256:…`.

use std::net::IpAddr;

use oci_client::Reference;

use super::error::ImageError;

/// A reference with everything that it left out filled in, as Docker does it: docker.io, `library/`, `latest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName(Reference);

impl ImageName {
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let refused = |why: String| ImageError::Reference { text: super::error::said(text), why };
        let reference = Reference::try_from(text).map_err(|error| refused(error.to_string()))?;
        match reference.digest() {
            Some(digest) if !is_sha256(digest) => Err(refused("only sha256 digests are known here".to_owned())),
            _ => Ok(Self(reference)),
        }
    }

    pub(super) fn reference(&self) -> &Reference {
        &self.0
    }

    pub(super) fn registry(&self) -> &str {
        self.0.registry()
    }

    pub(super) fn digest(&self) -> Option<&str> {
        self.0.digest()
    }

    /// Whether its registry is on this machine: only there nobody listens in who should not, and plain HTTP will do.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.registry().rsplit_once(':').map_or(self.registry(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// In full, always the same for the same image.
impl std::fmt::Display for ImageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.whole())
    }
}

/// `sha256:` and 64 lowercase hexadecimal digits.
pub(super) fn is_sha256(digest: &str) -> bool {
    hex_of(digest).is_some()
}

/// The hexadecimal part of a digest, which is a safe file name.
pub(super) fn hex_of(digest: &str) -> Option<&str> {
    digest.strip_prefix("sha256:").filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_filled_in() {
        let whole = |text: &str| ImageName::parse(text).unwrap().to_string();
        assert_eq!(whole("debian"), "docker.io/library/debian:latest");
        assert_eq!(whole("debian:12"), "docker.io/library/debian:12");
        assert_eq!(whole("owner/name"), "docker.io/owner/name:latest");
        assert_eq!(whole("localhost:5000/a/b:c"), "localhost:5000/a/b:c");
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(whole(&format!("ghcr.io/o/n@{digest}")), format!("ghcr.io/o/n@{digest}"));
    }

    #[test]
    fn what_is_no_reference_is_refused_and_shown_harmlessly() {
        for text in ["", "Debian", "a b", "../../etc", "name:", "x@sha256:short", "name\u{1b}[2J", &format!("x@sha512:{}", "0".repeat(128))] {
            let error = ImageName::parse(text).unwrap_err().to_string();
            assert!(error.contains("is no image reference") && !error.contains('\u{1b}'), "{error}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        let loopback = |text: &str| ImageName::parse(text).unwrap().is_loopback();
        assert!(loopback("localhost:5000/a") && loopback("127.0.0.1:5000/a") && loopback("127.8.9.1:1/a"));
        assert!(!loopback("localhost.example.com/a") && !loopback("10.0.0.1:5000/a") && !loopback("debian"));
    }
}
