//! One delivery while it is read: what all events share, and how a field is taken.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::Misunderstood;
use super::payload::{self, Common, User};
use crate::model::delivery::Delivery;
use crate::model::event::{Actor, Context, Event, EventKind};
use crate::model::id::CommitId;
use crate::model::text::clean;
use crate::model::trigger::Repository;

/// Bytes of a reference or a name at most; GitHub takes less.
const NAME: usize = 255;
/// Bytes of an address at most.
const ADDRESS: usize = 1000;

pub(super) struct Scene<'a> {
    delivery: &'a Delivery,
    common: Common,
}

impl<'a> Scene<'a> {
    pub fn of(delivery: &'a Delivery) -> Result<Self, Misunderstood> {
        Ok(Self { delivery, common: parse(delivery)? })
    }

    /// The event's own part of the body.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Misunderstood> {
        parse(self.delivery)
    }

    /// The forge's own for the event.
    pub fn word(&self) -> &str {
        &self.delivery.event
    }

    pub fn action(&self) -> &str {
        self.common.action.as_deref().unwrap_or_default()
    }

    pub fn installation(&self) -> Option<u64> {
        self.common.installation.as_ref()?.id
    }

    pub fn actor(&self) -> Option<Actor> {
        self.common.sender.as_ref().and_then(actor)
    }

    pub fn need<T>(&self, found: Option<T>, what: &'static str) -> Result<T, Misunderstood> {
        found.ok_or_else(|| Misunderstood::Missing { event: clean(&self.delivery.event), what })
    }

    pub fn odd(&self, what: &'static str, found: &str, expected: &'static str) -> Misunderstood {
        Misunderstood::Odd { event: clean(&self.delivery.event), what, found: clean(found), expected }
    }

    pub fn repository(&self) -> Result<Repository, Misunderstood> {
        let found = self.need(self.common.repository.as_ref(), "repository")?;
        let name = self.repository_name(found, "repository.full_name")?;
        let url = self.need(found.clone_url.clone(), "repository.clone_url")?;
        let web = url.starts_with("https://") || url.starts_with("http://");
        // Git has addresses that run programs and that read local files.
        if !web || url.len() > ADDRESS || url.chars().any(|c| c.is_whitespace() || crate::model::text::hidden(c)) {
            return Err(self.odd("repository.clone_url", &url, "an address that begins with https://"));
        }
        Ok(Repository {
            id: self.need(found.id, "repository.id")?,
            name,
            url,
            default_branch: self.name(found.default_branch.clone(), "repository.default_branch")?,
            // Who does not say so does not want it shown.
            private: found.private.unwrap_or(true),
            installation: self.installation(),
        })
    }

    /// `owner/name`, as it may stand in a path.
    pub fn repository_name(&self, found: &payload::Repository, what: &'static str) -> Result<String, Misunderstood> {
        let name = self.need(found.full_name.clone(), what)?;
        let part = |part: &str| {
            let plain = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            plain && !matches!(part, "" | "." | "..")
        };
        let good = name.len() <= NAME && name.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name));
        if good { Ok(name) } else { Err(self.odd(what, &name, "owner/name")) }
    }

    /// A branch, a tag, an environment: never cut, as then it could be another one's.
    pub fn name(&self, found: Option<String>, what: &'static str) -> Result<String, Misunderstood> {
        let name = self.need(found, what)?;
        if name.is_empty() || name.len() > NAME {
            return Err(self.odd(what, &name, "a name of at most 255 bytes"));
        }
        Ok(shown(&name))
    }

    /// `refs/…`.
    pub fn reference(&self, found: Option<String>, what: &'static str) -> Result<String, Misunderstood> {
        let reference = self.name(found, what)?;
        if reference.starts_with("refs/") { Ok(reference) } else { Err(self.odd(what, &reference, "a reference: refs/…")) }
    }

    pub fn commit(&self, found: Option<String>, what: &'static str) -> Result<CommitId, Misunderstood> {
        let found = self.need(found, what)?;
        let good = found.len() == 40 && found.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if good { Ok(CommitId::new(found)) } else { Err(self.odd(what, &found, "a commit of 40 hex digits")) }
    }

    /// An event about which only git knows more.
    pub fn event(&self, kind: EventKind, reference: String, branch: Option<String>, commit: CommitId) -> Result<Event, Misunderstood> {
        let repository = self.repository()?;
        Ok(Event {
            kind,
            repository: repository.name,
            reference,
            branch,
            commit,
            subject: String::new(),
            author: String::new(),
            changed: None,
            params: BTreeMap::new(),
            context: Context {
                action: self.common.action.as_deref().map(clean),
                actor: self.actor(),
                default_branch: Some(repository.default_branch),
                delivery: Some(self.delivery.id.clone()),
                installation: repository.installation,
                ..Context::default()
            },
        })
    }
}

fn parse<T: DeserializeOwned>(delivery: &Delivery) -> Result<T, Misunderstood> {
    serde_json::from_slice(&delivery.body).map_err(|error| Misunderstood::Shape { event: clean(&delivery.event), why: clean(&error.to_string()) })
}

/// Clean, and whole: the caller has looked at its length.
fn shown(text: &str) -> String {
    text.chars().map(|c| if crate::model::text::hidden(c) { '\u{fffd}' } else { c }).collect()
}

/// Nobody without a number: a name alone can be given to another.
pub(super) fn actor(user: &User) -> Option<Actor> {
    let login = clean(user.login.as_deref()?);
    let bot = user.kind.as_deref() == Some("Bot") || login.ends_with("[bot]");
    Some(Actor { login, id: user.id?, bot })
}
