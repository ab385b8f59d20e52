//! One look at a run: what differs from what was said last is said.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::adapters::forge::ForgeError;
use crate::adapters::forge::reports::{Item, StoreError};
use crate::adapters::journal::JournalError;
use crate::model::check::{Place, Said, Status};
use crate::model::event::Event;
use crate::model::id::RunId;
use crate::report::github::{self, Known};

use super::super::clock;
use super::Inner;
use super::gather::Material;
use super::thing::Thing;

/// Things that may go wrong in one look before the rest has to wait as well.
const PATIENCE: usize = 3;

/// Whether there will be more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Going,
    Over,
}

/// It is to be tried again.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) after: Option<Duration>,
    pub(super) why: String,
}

impl From<JournalError> for Trouble {
    fn from(error: JournalError) -> Self {
        Self { after: None, why: error.to_string() }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self { after: None, why: error.to_string() }
    }
}

impl Inner {
    pub(super) async fn look(&self, run: &RunId) -> Result<Rest, Trouble> {
        if self.store.is_finished(run).await? {
            return Ok(Rest::Over);
        }
        let material = self.gather(run).await?;
        let known = Known {
            request: &material.request,
            run: &material.run,
            rollouts: &material.rollouts,
            tails: &material.tails,
            findings: &material.findings,
        };
        if let (Some(event), Some(said)) = (material.event(), github::said(known, &self.house))
            && let Some(place) = place(event)
        {
            self.say(run, &place, &said, &material).await?;
        }
        if !material.is_over() {
            return Ok(Rest::Going);
        }
        self.store.finish(run, clock::now()).await?;
        Ok(Rest::Over)
    }

    /// What code scanning is told of; `None` where it is told nothing.
    pub(super) fn scanned(&self, material: &Material) -> Option<String> {
        material.event().and_then(reference).filter(|_| self.code_scanning)
    }

    async fn say(&self, run: &RunId, place: &Place, said: &Said, material: &Material) -> Result<(), Trouble> {
        let mut things: Vec<Thing<'_>> = Vec::new();
        if self.github.makes_checks() {
            things.extend(said.checks.iter().map(Thing::Check));
        } else if let Some(check) = said.checks.first() {
            let (context, description, details) = (check.name.clone(), check.title.clone(), check.details.clone());
            things.push(Thing::Status(Status { context, state: check.state, description, details }));
        }
        things.extend(said.deployments.iter().map(Thing::Deployment));
        if let Some(reference) = self.scanned(material) {
            let thing = |(file, path)| Thing::Sarif { file, path, reference: reference.clone(), masker: &self.masker };
            things.extend(material.sarifs.iter().map(|(file, path)| thing((file, path))));
        }
        let mut troubles = Vec::new();
        for thing in &things {
            match self.ensure(run, run.as_str(), place, said, thing).await {
                Ok(()) => {}
                Err(trouble) if trouble.after.is_some() => return Err(trouble),
                Err(trouble) => troubles.push(trouble),
            }
            if troubles.len() >= PATIENCE {
                break;
            }
        }
        if let (Some(line), true) = (&said.line, troubles.is_empty()) {
            // From reading all lines to having said them nobody else does.
            let _alone = self.comments.lock().await;
            let lines = self.store.line(&place.repository, run, material.asked(), line).await?;
            let comment = Thing::Comment { pull: line.pull, body: github::comment(&lines, &self.house) };
            self.ensure(run, &format!("comments of {}", place.repository), place, said, &comment).await?;
        }
        troubles.into_iter().next().map_or(Ok(()), Err)
    }

    /// That a thing is there and says what it shall.
    async fn ensure(&self, run: &RunId, scope: &str, place: &Place, said: &Said, thing: &Thing<'_>) -> Result<(), Trouble> {
        let (key, digest) = (thing.key(), digest(&thing.content()));
        let begun = self.store.item(scope, &key).await?;
        if begun.as_ref().is_some_and(|item| item.digest.as_ref() == Some(&digest) && (item.refused.is_some() || item.notes >= thing.notes())) {
            return Ok(());
        }
        let lost = begun.is_some();
        let mut item = begun.unwrap_or_default();
        if !lost {
            // From here on it may be there.
            self.store.put(scope, &key, &item).await?;
        }
        item.refused = None;
        match self.make_or_change(scope, place, said, thing, &mut item, &digest, lost).await {
            Ok(()) => Ok(()),
            Err(Failed::Trouble(trouble)) => Err(trouble),
            Err(Failed::Forge(ForgeError::Retry { after, why })) => Err(Trouble { after, why }),
            Err(Failed::Forge(ForgeError::Refused { why })) => {
                self.observer.note(format!("run {run}: {key} is not reported: {why}"));
                let refused = Item { digest: Some(digest), refused: Some(why), ..item };
                Ok(self.store.put(scope, &key, &refused).await?)
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one thing, where it is, and what is known of it")]
    async fn make_or_change(
        &self,
        scope: &str,
        place: &Place,
        said: &Said,
        thing: &Thing<'_>,
        item: &mut Item,
        digest: &str,
        lost: bool,
    ) -> Result<(), Failed> {
        let (github, key) = (&self.github, thing.key());
        if item.remote.is_none() {
            let found = if lost { thing.find(github, place, &said.commit).await? } else { None };
            if let Some(found) = found {
                (item.remote, item.notes, item.unsure) = (Some(found.id), found.annotations, false);
            } else {
                let made = thing.make(github, place, &said.commit).await?;
                (item.remote, item.notes, item.unsure) = (Some(made.id), made.annotations, false);
                item.digest = thing.is_complete_when_made().then(|| digest.to_owned());
            }
            self.store.put(scope, &key, item).await?;
        } else if item.unsure {
            item.notes = thing.notes_there(github, place, item.remote.unwrap_or_default()).await?;
            item.unsure = false;
        }
        while item.digest.as_deref() != Some(digest) || item.notes < thing.notes() {
            if item.notes < thing.notes() {
                item.unsure = true;
                self.store.put(scope, &key, item).await?;
            }
            item.notes = thing.change(github, place, &said.commit, item.remote.unwrap_or_default(), item.notes).await?;
            (item.digest, item.unsure) = (Some(digest.to_owned()), false);
            self.store.put(scope, &key, item).await?;
        }
        Ok(())
    }
}

enum Failed {
    Forge(ForgeError),
    Trouble(Trouble),
}

impl From<ForgeError> for Failed {
    fn from(error: ForgeError) -> Self {
        Self::Forge(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Trouble(error.into())
    }
}

fn digest(content: &str) -> String {
    Sha256::digest(content.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where to say it: only of what a forge told of. What a person starts at a terminal concerns nobody else, whatever remote the folder has.
fn place(event: &Event) -> Option<Place> {
    let told = !event.context.is_empty() && event.repository.contains('/');
    told.then(|| Place { repository: event.repository.clone(), installation: event.context.installation })
}

/// For code scanning. What somebody else's commit finds in itself says nothing about the repository.
fn reference(event: &Event) -> Option<String> {
    match &event.context.pull {
        Some(pull) if pull.fork => None,
        Some(pull) => Some(format!("refs/pull/{}/head", pull.number)),
        None => Some(event.reference.clone()).filter(|reference| reference.starts_with("refs/")),
    }
}
