//! Reads the secrets that the settings name.

use std::io::Read as _;

use crate::model::secret::{Secret, SecretSource};

/// Bytes of one secret; a private key is the longest that there is.
const MAX_BYTES: u64 = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the secret in {place} can not be used: {why}")]
pub struct SecretError {
    place: String,
    why: String,
}

/// Without the line break that editors leave at its end.
pub fn read(source: &SecretSource) -> Result<Secret, SecretError> {
    let unusable = |why: String| SecretError { place: source.to_string(), why };
    let bytes = match source {
        SecretSource::Env(name) => std::env::var(name).map_err(|_| unusable("it is not set".to_owned()))?.into_bytes(),
        SecretSource::File(path) => {
            let file = std::fs::File::open(path).map_err(|error| unusable(error.to_string()))?;
            let mut bytes = Vec::new();
            file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unusable(error.to_string()))?;
            bytes
        }
    };
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unusable(format!("it is longer than {MAX_BYTES} bytes")));
    }
    let trimmed = bytes.trim_ascii_end();
    if trimmed.is_empty() {
        return Err(unusable("it is empty".to_owned()));
    }
    Ok(Secret::new(trimmed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_without_its_last_line_break_and_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("webhook");
        std::fs::write(&path, "s3cr3t\n").expect("written");
        let secret = read(&SecretSource::File(path.clone())).expect("read");
        assert_eq!(secret.reveal(), b"s3cr3t");
        assert!(!format!("{secret:?}").contains("s3cr3t"));
        std::fs::write(&path, "\n").expect("written");
        let said = read(&SecretSource::File(path.clone())).expect_err("empty").to_string();
        assert_eq!(said, format!("the secret in the file {} can not be used: it is empty", path.display()));
        assert!(read(&SecretSource::Env("TIDEGATE_NO_SUCH_SECRET".to_owned())).is_err());
    }
}
