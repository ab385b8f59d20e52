//! GitHub, as an App or with a token. GitHub's words and shapes stay in this folder.
//!
//! ```text
//! checks · statuses · deployments · comments · people · sarif          what can be said and asked: one small shape each
//!                      │
//!                    call          one request: whom it is made as, how long it may take, what its answer means
//!                 │        │
//!              login      gate     tokens, renewed in time, once for all who wait · not before GitHub wants to hear again
//! ```
//! octocrab brings the transport, TLS, redirects, JWTs and headers. Its types are not used: they have no buttons on checks, and want to know more of an answer
//! than matters here, so that a word that GitHub adds would be an error.

mod call;
mod checks;
mod comments;
mod deployments;
mod gate;
mod login;
mod names;
mod people;
mod sarif;
mod statuses;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use octocrab::Octocrab;

use crate::model::settings::{Github as Settings, GithubLogin};

use super::ForgeError;
use gate::Gate;
use login::Tokens;

pub use checks::Found;
pub use login::CloneLogin;

/// Where GitHub is, unless the settings say otherwise.
const API: &str = "https://api.github.com";

/// How patient one is with GitHub, and how much it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manners {
    /// For one request, from its beginning to the end of its answer.
    pub patience: Duration,
    /// Between two requests that change something, in the long run.
    pub between: Duration,
    /// So many of them may come at once.
    pub burst: u32,
}

impl Default for Manners {
    /// What GitHub asks of its clients: a second between two changes, when there are many.
    fn default() -> Self {
        Self { patience: Duration::from_secs(30), between: Duration::from_secs(1), burst: 20 }
    }
}

/// Clones share it.
#[derive(Clone)]
pub struct Github {
    inner: Arc<Inner>,
}

struct Inner {
    crab: Octocrab,
    login: GithubLogin,
    tokens: Tokens,
    gate: Gate,
    manners: Manners,
}

impl fmt::Debug for Github {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Github").field("login", &self.inner.login).finish_non_exhaustive()
    }
}

impl Github {
    /// `None` where the settings name no login. Asks nothing yet. To be called within a runtime.
    pub fn open(settings: &Settings, manners: Manners) -> Result<Option<Self>, ForgeError> {
        let Some(login) = settings.login.clone() else { return Ok(None) };
        // Somebody else may have chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let api = settings.api.as_deref().unwrap_or(API).trim_end_matches('/');
        let unusable = |error: octocrab::Error| ForgeError::never(format!("GitHub can not be spoken to at {api}: {}", call::said(&error)));
        let crab = Octocrab::builder()
            .base_uri(api)
            .map_err(unusable)?
            .set_connect_timeout(Some(manners.patience))
            .set_read_timeout(Some(manners.patience))
            .build()
            .map_err(unusable)?;
        Ok(Some(Self { inner: Arc::new(Inner { crab, login, tokens: Tokens::default(), gate: Gate::default(), manners }) }))
    }

    /// Only an App may make checks; with a token there are statuses.
    pub fn makes_checks(&self) -> bool {
        matches!(self.inner.login, GithubLogin::App { .. })
    }
}
