//! The secrets that count now. Files and variables are looked at again each second, so one can be changed without a new start.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;

use crate::adapters::secrets;
use crate::model::secret::{Secret, SecretSource};
use crate::server::problem::Problem;

const FRESH: Duration = Duration::from_secs(1);

pub(super) struct Secrets {
    sources: Vec<SecretSource>,
    read: Mutex<Option<(Instant, Arc<[Secret]>)>>,
}

impl Secrets {
    pub fn new(sources: Vec<SecretSource>) -> Self {
        Self { sources, read: Mutex::new(None) }
    }

    /// One that can not be read leaves the others; with none at all nothing is believed.
    pub fn current(&self) -> Result<Arc<[Secret]>, Problem> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let secrets = match &*read {
            Some((at, secrets)) if at.elapsed() < FRESH => secrets.clone(),
            _ => {
                let secrets: Arc<[Secret]> = self.sources.iter().filter_map(one).collect();
                *read = Some((Instant::now(), secrets.clone()));
                secrets
            }
        };
        if secrets.is_empty() {
            let why = "no webhook secret can be read here, so no delivery can be believed: see the server's log and `github.webhook_secrets`";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why));
        }
        Ok(secrets)
    }
}

fn one(source: &SecretSource) -> Option<Secret> {
    secrets::read(source).inspect_err(|error| tracing::error!(%error, "a webhook secret is left out")).ok()
}
