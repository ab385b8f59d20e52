//! What a command was answered, where it was said: a sign at the comment. The sentence is in the store (`tidegate deliveries show`).
//!
//! A sign is there once, however often it is made, and tells nobody anew. Whoever may not even triage gets none but for what they were obeyed in: so that nobody from
//! outside can have anything written by us, as often as they like.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::Intake;
use crate::model::check::Reaction;
use crate::model::delivery::Handled;
use crate::model::trigger::{About, Command, Repository, Trigger, Wish};
use crate::model::trust::Permission;
use crate::runtime::asking::Asking;

/// Signs that are made at once.
const AT_ONCE: usize = 16;

/// Room for signs: many commands that come at once are no reason to ask the forge for each at once.
#[derive(Debug, Clone)]
pub struct Signs(Arc<Semaphore>);

impl Default for Signs {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// Where a command stands, and who wrote it.
#[derive(Debug)]
pub(super) struct Said {
    repository: Repository,
    login: String,
    at_commit: bool,
    comment: u64,
    is_none: bool,
}

impl Said {
    /// `None` if it is no command.
    pub(super) fn of(trigger: &Trigger) -> Option<Self> {
        let Wish::Command { about, comment, command } = &trigger.wish else { return None };
        let (repository, login) = (trigger.repository.clone()?, trigger.actor.as_ref()?.login.clone());
        let at_commit = matches!(about, About::Commit(_));
        Some(Self { repository, login, at_commit, comment: *comment, is_none: matches!(command, Command::Unknown { .. }) })
    }

    fn reaction(&self, how: &Handled) -> Reaction {
        match how {
            Handled::Obeyed { .. } | Handled::Asked { .. } => Reaction::Done,
            Handled::Refused { .. } => Reaction::Refused,
            Handled::Ignored { .. } | Handled::Failed { .. } => Reaction::Unclear,
        }
    }
}

impl Intake {
    /// Nobody waits for it, and one that can not be made, or for which there is no room, is missed by nobody.
    pub(super) fn answer(&self, said: Said, how: &Handled) {
        let Some(github) = self.asking.github.clone() else { return };
        let Ok(room) = self.signs.0.clone().try_acquire_owned() else { return };
        let (asking, reaction) = (self.asking.clone(), said.reaction(how));
        tokio::spawn(async move {
            let heard = reaction == Reaction::Done && !said.is_none;
            let known = heard || asking.permission(&said.repository, &said.login).await.is_ok_and(|permission| permission >= Permission::Triage);
            if known {
                let _ = github.react(&Asking::place(&said.repository), said.at_commit, said.comment, reaction).await;
            }
            drop(room);
        });
    }
}
