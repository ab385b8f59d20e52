//! Who is let in: tokens of programs and sessions of people, as digests of what they are recognised by.
//!
//! ```text
//! tgp_… ──SHA-256──▶ STATE/access.db: tokens, sessions        what is kept opens nothing
//! ```
//! What is random has 256 bits, so a plain digest of it can not be guessed backwards, and looking one up tells nobody anything about another.

mod schema;
mod sessions;
mod tokens;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use crate::adapters::database;
use crate::model::secret::Secret;

pub use sessions::MAX_SESSIONS;
pub use tokens::{MAX_NAME, MAX_TOKENS, PREFIX};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    #[error("the tokens in {path} can not be used: {why}")]
    Unusable { path: String, why: String },
    #[error("there is a token {0:?} already: revoke it first, or choose another name")]
    Taken(String),
    #[error("there is no token {0:?}: `tidegate tokens ls` lists them")]
    Unknown(String),
    #[error("{given:?} is no name for a token: expected 1 to {MAX_NAME} letters, digits, dots, dashes and underscores")]
    Name { given: String },
    #[error("there are {MAX_TOKENS} tokens already: revoke some first")]
    TooMany,
}

/// Clones share the connection.
#[derive(Debug, Clone)]
pub struct Access {
    connection: Arc<Mutex<Connection>>,
    path: String,
}

impl Access {
    /// Opens the file, and makes it if it is not there.
    pub fn open(path: &Path) -> Result<Self, AccessError> {
        let shown = path.display().to_string();
        let connection =
            database::open(path, &schema::SCHEMA).map_err(|error| AccessError::Unusable { path: shown.clone(), why: error.to_string() })?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), path: shown })
    }

    /// Beside the async threads.
    pub async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&Self) -> Result<T, AccessError> + Send + 'static) -> Result<T, AccessError> {
        let me = self.clone();
        let asked = tokio::task::spawn_blocking(move || question(&me)).await;
        asked.map_err(|error| AccessError::Unusable { path: self.path.clone(), why: error.to_string() })?
    }

    /// A statement that panicked has changed nothing that the next one looks at.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unusable(&self, error: impl std::fmt::Display) -> AccessError {
        AccessError::Unusable { path: self.path.clone(), why: error.to_string() }
    }
}

/// 256 bits that nobody can guess, as text that goes anywhere.
pub fn random() -> std::io::Result<Secret> {
    let mut bytes = [0_u8; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}
