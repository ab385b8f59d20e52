//! Tokens for servers: from TIDEGATE_TOKEN, or a file of the person's own for each server.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::PathBuf;

use url::Url;

use super::RemoteError;
use crate::adapters::state::file_name;
use crate::model::secret::Secret;

/// Bytes of a token.
const MAX: u64 = 4_096;

/// The variable goes first; no token is no error here, as the server says what it needs.
pub fn find(server: &Url) -> Result<Option<Secret>, RemoteError> {
    if let Some(token) = std::env::var_os("TIDEGATE_TOKEN").filter(|token| !token.is_empty()) {
        return Ok(Some(Secret::new(token.into_encoded_bytes().trim_ascii())));
    }
    let Some(path) = path(server) else { return Ok(None) };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(RemoteError::Usage(format!("{} can not be read: {error}", path.display()))),
    };
    if file.metadata()?.mode() & 0o077 != 0 {
        return Err(RemoteError::Usage(format!("others may look into {0}: `chmod 600 {0}`, and make a new token", path.display())));
    }
    let mut token = Vec::new();
    file.take(MAX).read_to_end(&mut token)?;
    Ok(Some(Secret::new(token.trim_ascii())))
}

/// Only the person can read it.
pub fn keep(server: &Url, token: &Secret) -> Result<PathBuf, RemoteError> {
    let nowhere = || RemoteError::Usage("there is no place for it: neither XDG_CONFIG_HOME nor HOME is set".to_owned());
    let path = path(server).ok_or_else(nowhere)?;
    let folder = path.parent().ok_or_else(nowhere)?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = tempfile::Builder::new().prefix(".new").tempfile_in(folder)?;
    file.write_all(token.reveal())?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(path)
}

/// Whether there was one.
pub fn forget(server: &Url) -> Result<bool, RemoteError> {
    match path(server).map(std::fs::remove_file) {
        Some(Ok(())) => Ok(true),
        Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(false),
    }
}

/// By scheme, host and port: a token is for one server only.
fn path(server: &Url) -> Option<PathBuf> {
    let settings = super::super::settings::usual(|name| std::env::var_os(name))?;
    Some(settings.parent()?.join("servers").join(file_name(&server.origin().ascii_serialization())))
}
