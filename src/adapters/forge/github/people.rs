//! What is asked before anything is trusted: what somebody may do, and what a pull request is now.

use serde::Deserialize;

use crate::model::check::{Place, PullHead};
use crate::model::id::CommitId;
use crate::model::trust::Permission;

use super::super::ForgeError;
use super::call::Request;
use super::{Github, names};

#[derive(Deserialize)]
struct Allowed {
    permission: String,
    /// Finer; it can be a role of the organisation's own making.
    #[serde(default)]
    role_name: String,
}

#[derive(Deserialize)]
struct Pull {
    state: String,
    head: Head,
}

#[derive(Deserialize)]
struct Head {
    sha: String,
}

impl Github {
    /// What somebody may do in a repository, teams and organisation counted. What is not known is nothing.
    pub async fn permission(&self, place: &Place, login: &str) -> Result<Permission, ForgeError> {
        // Nobody is called so, and a path with it could ask about something else.
        if !names::is_login(login) {
            return Ok(Permission::None);
        }
        let path = format!("{}/collaborators/{}/permission", names::repository(place)?, names::encoded(login));
        let allowed: Allowed = self.call(place, Request::get(path)).await?;
        Ok(known(&allowed.role_name).or_else(|| known(&allowed.permission)).unwrap_or(Permission::None))
    }

    pub async fn pull(&self, place: &Place, number: u64) -> Result<PullHead, ForgeError> {
        let pull: Pull = self.call(place, Request::get(format!("{}/pulls/{number}", names::repository(place)?))).await?;
        Ok(PullHead { commit: CommitId::new(pull.head.sha), open: pull.state == "open" })
    }
}

fn known(word: &str) -> Option<Permission> {
    use Permission::{Admin, Maintain, None, Read, Triage, Write};
    [None, Read, Triage, Write, Maintain, Admin].into_iter().find(|permission| permission.word() == word)
}
