//! What git says about an event: the commit itself, what it changes, and the policy of the default branch.

use super::{AskError, Asking, found, login};
use crate::adapters::source::Source;
use crate::adapters::source::mirror::Wanted;
use crate::core::trust;
use crate::model::event::{Event, EventKind};
use crate::model::id::CommitId;
use crate::model::policy::{self, Policy};
use crate::model::text::clean;
use crate::model::trigger::Repository;

/// An event with everything that only git knows.
pub(super) struct Looked {
    pub source: Source,
    pub event: Event,
    pub policy: Policy,
    /// Where the branch is by now that a pull request wants to get into.
    pub base: Option<CommitId>,
}

impl Asking {
    pub(super) async fn look(&self, repository: &Repository, event: Event) -> Result<Looked, AskError> {
        let token = login(self.github.as_ref(), &Self::place(repository)).await?;
        let (mirrors, repository) = (self.mirrors.clone(), repository.clone());
        let looked = tokio::task::spawn_blocking(move || {
            mirrors.remember(&repository)?;
            let default = format!("refs/heads/{}", repository.default_branch);
            let wanted = wanted(&event, &default);
            let (source, commit) = mirrors.fetch(&repository.name, &repository.url, &wanted, token.as_ref())?;
            let head = |name: &str| mirrors.resolve(&repository.name, name);
            // A push to the default branch is its newest state: what it says of itself counts, not what a later one has made of it.
            let trusted = if event.kind == EventKind::Push && event.reference == default { Some(commit.clone()) } else { head(&default) };
            let policy = match &trusted {
                Some(at) => trust::policy(&found(&source, policy::FILE, at)),
                None => trust::policy(&trust::Found::Unreadable { why: format!("there is no branch {:?}", repository.default_branch) }),
            };
            let event = match event.kind {
                EventKind::Deployment if event.reference.is_empty() => {
                    let branches = mirrors.branches_at(&repository.name, &repository.url, &commit, token.as_ref())?;
                    at_branch(event, branches, &default)
                }
                _ => event,
            };
            let base = event.context.pull.as_ref().and_then(|pull| head(&format!("refs/heads/{}", pull.base.branch)));
            let event = filled(&source, event, commit, base.as_ref());
            Ok(Looked { source, event, policy, base })
        });
        looked.await?
    }

    /// Whether a branch or tag is there now, whatever a delivery says.
    pub async fn is_there(&self, repository: &Repository, reference: &str) -> Result<bool, AskError> {
        let token = login(self.github.as_ref(), &Self::place(repository)).await?;
        let (mirrors, repository, reference) = (self.mirrors.clone(), repository.clone(), reference.to_owned());
        let asked = tokio::task::spawn_blocking(move || Ok(mirrors.is_there(&repository.name, &repository.url, &reference, token.as_ref())?));
        asked.await?
    }

    /// The policy of the default branch as it is now.
    pub async fn policy(&self, repository: &Repository) -> Result<Policy, AskError> {
        let token = login(self.github.as_ref(), &Self::place(repository)).await?;
        let (mirrors, repository) = (self.mirrors.clone(), repository.clone());
        let read = tokio::task::spawn_blocking(move || {
            let wanted = Wanted { reference: Some(format!("refs/heads/{}", repository.default_branch)), fresh: true, ..Wanted::default() };
            let (source, commit) = mirrors.fetch(&repository.name, &repository.url, &wanted, token.as_ref())?;
            Ok(trust::policy(&found(&source, policy::FILE, &commit)))
        });
        read.await?
    }
}

/// What was named by its number only is of the branch that ends there: the default branch, or the only one. Where several do, nobody knows which was meant.
fn at_branch(event: Event, branches: Vec<String>, default: &str) -> Event {
    let found = match branches.as_slice() {
        all if all.iter().any(|name| name == default) => default,
        [only] => only,
        _ => return event,
    };
    Event { reference: found.to_owned(), branch: found.strip_prefix("refs/heads/").map(clean), ..event }
}

fn wanted(event: &Event, default: &str) -> Wanted {
    let commit = Some(event.commit.clone()).filter(|commit| !commit.as_str().is_empty());
    let mut also = vec![default.to_owned()];
    let reference = match &event.context.pull {
        Some(pull) => {
            also.push(format!("refs/heads/{}", pull.base.branch));
            format!("refs/pull/{}/head", pull.number)
        }
        None => event.reference.clone(),
    };
    // What the default branch says of others must be what it says now. What it says of itself is in the commit.
    let own = event.kind == EventKind::Push && event.reference == default;
    Wanted { reference: Some(reference).filter(|name| !name.is_empty()), commit, also, fresh: !own }
}

fn filled(source: &Source, event: Event, commit: CommitId, base: Option<&CommitId>) -> Event {
    let about = source.about(&commit);
    let since = match event.kind {
        EventKind::PullRequest => base.and_then(|base| source.merge_base(base, &commit)),
        _ => event.context.before.clone(),
    };
    let changed = event.changed.clone().or_else(|| source.changed_since(since.as_ref(), &commit));
    let (subject, author) = about.unwrap_or_default();
    let or = |given: String, known: String| if given.is_empty() { known } else { given };
    Event { subject: or(event.subject, subject), author: or(event.author, author), commit, changed, ..event }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Context;

    #[test]
    fn a_commit_is_of_the_default_branch_or_of_the_only_one_that_ends_there() {
        let event = || Event {
            kind: EventKind::Deployment,
            repository: "acme/shop".to_owned(),
            reference: String::new(),
            branch: None,
            commit: CommitId::new("0".repeat(40)),
            subject: String::new(),
            author: String::new(),
            changed: None,
            params: std::collections::BTreeMap::new(),
            context: Context::default(),
        };
        for (branches, found) in [
            (vec!["refs/heads/topic"], Some("topic")),
            (vec!["refs/heads/topic", "refs/heads/main"], Some("main")),
            (vec!["refs/heads/topic", "refs/heads/other"], None),
            (Vec::new(), None),
        ] {
            let now = at_branch(event(), branches.iter().map(|name| (*name).to_owned()).collect(), "refs/heads/main");
            let reference = found.map(|name| format!("refs/heads/{name}")).unwrap_or_default();
            assert_eq!((now.reference, now.branch.as_deref()), (reference, found), "{branches:?}");
        }
    }
}
