//! What is remembered of people while they are here. In memory only, and bounded.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::super::problem::Problem;
use super::github::Oauth;
use crate::model::secret::Secret;
use crate::model::trust::Permission;

/// Log-ins under way, people, and answers about what they may. Past it the oldest goes.
const LOGINS: usize = 1_024;
const PEOPLE: usize = 10_000;
const ANSWERS: usize = 10_000;
/// How long an answer is believed: whoever has lost a right has lost it here by then.
const BELIEVED: Duration = Duration::from_secs(60);

type Key = [u8; 32];

/// A log-in under way.
#[derive(Debug)]
pub(super) struct Pending {
    pub verifier: String,
    pub to: String,
}

#[derive(Debug)]
pub struct People {
    oauth: Option<Oauth>,
    pending: Mutex<HashMap<Key, (Instant, Pending)>>,
    tokens: Mutex<HashMap<Key, (Instant, Secret)>>,
    answers: Mutex<HashMap<(Key, String), (Instant, Permission)>>,
}

impl People {
    /// Without a `url` nobody can be sent back.
    pub fn new(oauth: Option<Oauth>, url: Option<String>) -> Self {
        let oauth = oauth.filter(|_| url.is_some());
        Self { oauth, pending: Mutex::default(), tokens: Mutex::default(), answers: Mutex::default() }
    }

    pub(super) fn oauth(&self) -> Option<&Oauth> {
        self.oauth.as_ref()
    }

    pub(super) fn begin(&self, state: &str, pending: Pending, until: Instant) {
        put(&self.pending, LOGINS, key(state.as_bytes()), (until, pending));
    }

    /// Once: a log-in can not be ended twice.
    pub(super) fn pending(&self, state: &str, now: Instant) -> Option<Pending> {
        lock(&self.pending).remove(&key(state.as_bytes())).filter(|(until, _)| now < *until).map(|(_, pending)| pending)
    }

    pub(super) fn remember(&self, session: &[u8], token: Secret, until: Instant) {
        put(&self.tokens, PEOPLE, key(session), (until, token));
    }

    pub(super) fn forget(&self, session: &[u8]) {
        lock(&self.tokens).remove(&key(session));
    }

    /// What the person of this session may in a repository, as the forge says it to the person.
    pub async fn permission(&self, session: &[u8], repository: &str) -> Result<Permission, Problem> {
        let (key, now) = (key(session), Instant::now());
        let asked = (key, repository.to_owned());
        if let Some((until, permission)) = lock(&self.answers).get(&asked)
            && now < *until
        {
            return Ok(*permission);
        }
        let token = lock(&self.tokens).get(&key).filter(|(until, _)| now < *until).map(|(_, token)| token.clone());
        let (Some(oauth), Some(token)) = (&self.oauth, token) else {
            return Err(Problem::forbidden("the server has been started anew since: log in again, from /login"));
        };
        let permission = oauth.permission(&token, repository).await?;
        put(&self.answers, ANSWERS, asked, (now + BELIEVED, permission));
        Ok(permission)
    }
}

fn key(secret: &[u8]) -> Key {
    Sha256::digest(secret).into()
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn put<K: std::hash::Hash + Eq + Clone, V>(map: &Mutex<HashMap<K, (Instant, V)>>, most: usize, key: K, value: (Instant, V)) {
    let mut map = lock(map);
    if map.len() >= most {
        let now = Instant::now();
        map.retain(|_, (until, _)| now < *until);
        if map.len() >= most {
            let soonest = map.iter().min_by_key(|(_, (until, _))| *until).map(|(key, _)| key.clone());
            soonest.map(|soonest| map.remove(&soonest));
        }
    }
    map.insert(key, value);
}
