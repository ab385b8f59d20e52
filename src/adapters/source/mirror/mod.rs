//! Mirrors: bare copies of the repositories that deliveries are about, brought up to date when something of them is wanted.
//!
//! ```text
//! STATE/mirrors/REPOSITORY/        bare; refs/tidegate/… only, so that nothing fetched is ever mistaken for something of ours
//! STATE/mirrors/REPOSITORY.lock    locked while something is fetched into it
//! STATE/mirrors/REPOSITORY.json    what the forge says of it
//! STATE/mirrors/REPOSITORY.packing/  packs that become one; REPOSITORY.tidying is locked meanwhile
//! ```
//! A commit that is here already is taken without asking anybody. Knows nothing of forges: an address and a token are handed in.

mod address;
mod http;
mod known;
mod older;
mod packs;
mod room;
mod rounds;
mod tidy;
mod together;

use std::fs::File;
use std::path::PathBuf;

use git2::{AutotagOption, FetchOptions, FetchPrune, Oid, ProxyOptions, Repository as Git};

use super::{Source, SourceError};
use crate::adapters::state::{StateError, StateFolder, file_name};
use crate::model::id::CommitId;
use crate::model::secret::Secret;

pub use known::Known;
pub use tidy::{Limits, Tidied};

#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{repository} can not be fetched: {why}")]
    Fetch { repository: String, why: String },
    #[error("{repository} has no {what} (any more)")]
    Gone { repository: String, what: String },
    #[error("the mirror of {repository} can not be used: {why}")]
    Unusable { repository: String, why: String },
}

impl MirrorError {
    /// Whether it may be otherwise in a minute.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Fetch { .. } | Self::Unusable { .. })
    }
}

/// All mirrors of one state folder.
#[derive(Debug, Clone)]
pub struct Mirrors {
    root: PathBuf,
}

/// What of a repository is wanted. At least one of both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `refs/heads/main`, `refs/pull/7/head`.
    pub reference: Option<String>,
    /// Exactly this one, wherever the reference points to by now.
    pub commit: Option<CommitId>,
    /// Brought up to date as well, if anything has to be asked for.
    pub also: Vec<String>,
    /// Also where the commit is here already.
    pub fresh: bool,
}

impl Mirrors {
    pub fn open(state: &StateFolder) -> Result<Self, StateError> {
        Ok(Self { root: state.folder("mirrors")? })
    }

    fn path(&self, repository: &str, ending: &str) -> PathBuf {
        self.root.join(format!("{}{ending}", file_name(repository)))
    }

    /// What is here already.
    pub fn source(&self, repository: &str) -> Result<Source, MirrorError> {
        let path = self.path(repository, "");
        let unusable = |error: git2::Error| MirrorError::Unusable { repository: repository.to_owned(), why: super::clean(error.message()) };
        let opened = Git::open_bare(&path).map_err(unusable)?;
        Ok(Source { root: path, repository: opened })
    }

    /// Brings what is wanted here, and says which commit it is. Blocks; needs a tokio runtime around it.
    pub fn fetch(&self, repository: &str, url: &str, wanted: &Wanted, token: Option<&Secret>) -> Result<(Source, CommitId), MirrorError> {
        let fetch = |why: String| MirrorError::Fetch { repository: repository.to_owned(), why };
        let _lock = self.lock(repository)?;
        let source = self.open_or_make(repository)?;
        if let Some(commit) = wanted.commit.as_ref().filter(|commit| !wanted.fresh && source.has(commit)) {
            let commit = commit.clone();
            return Ok((source, commit));
        }
        let parsed = address::checked(url).map_err(fetch)?;
        let token = token.filter(|_| address::is_private(&parsed));
        let mut references: Vec<&str> = wanted.reference.iter().chain(&wanted.also).map(String::as_str).collect();
        references.sort_unstable();
        references.dedup();
        references.retain(|name| is_reference(name));
        source.make_room(&references, &parsed, token).map_err(|error| fetch(super::clean(&error.to_string())))?;
        let refspecs: Vec<String> = references.iter().map(|name| format!("+{name}:{}", ours(name))).collect();
        let fetched = if refspecs.is_empty() { Ok(()) } else { source.fetch(&parsed, &refspecs, token) };
        // A commit may be had by its name, but what must be fresh is not what was fetched some time ago.
        fetched.or_else(|error| if wanted.commit.is_some() && !wanted.fresh { Ok(()) } else { Err(fetch(super::clean(error.message()))) })?;
        match (&wanted.commit, &wanted.reference) {
            (Some(commit), _) => {
                if !source.has(commit) && is_whole(commit) {
                    // Forced away since: forges give a commit by its name as long as they have it.
                    source.fetch(&parsed, &[commit.to_string()], token).map_err(|error| fetch(super::clean(error.message())))?;
                }
                if !source.has(commit) {
                    return Err(MirrorError::Gone { repository: repository.to_owned(), what: format!("commit {}", commit.short()) });
                }
                Ok((source, commit.clone()))
            }
            (None, Some(reference)) => {
                let found = source.resolve(&ours(reference));
                let gone = || MirrorError::Gone { repository: repository.to_owned(), what: super::clean(reference) };
                let commit = found.ok_or_else(gone)?;
                Ok((source, commit))
            }
            (None, None) => Err(MirrorError::Gone { repository: repository.to_owned(), what: "commit without a name".to_owned() }),
        }
    }

    /// Whether the other side has a reference of this name now. Blocks; needs a tokio runtime around it.
    pub fn is_there(&self, repository: &str, url: &str, reference: &str, token: Option<&Secret>) -> Result<bool, MirrorError> {
        self.listed(repository, url, token, |heads| heads.iter().any(|head| head.name() == reference))
    }

    /// The branches of the other side that end at a commit now. Blocks; needs a tokio runtime around it.
    pub fn branches_at(&self, repository: &str, url: &str, commit: &CommitId, token: Option<&Secret>) -> Result<Vec<String>, MirrorError> {
        let Ok(commit) = Oid::from_str(commit.as_str()) else { return Ok(Vec::new()) };
        let is_one = |head: &git2::RemoteHead<'_>| head.oid() == commit && head.name().starts_with("refs/heads/") && is_reference(head.name());
        self.listed(repository, url, token, |heads| heads.iter().filter(|head| is_one(head)).map(|head| head.name().to_owned()).collect())
    }

    /// What is made of all references that the other side has.
    fn listed<T>(
        &self,
        repository: &str,
        url: &str,
        token: Option<&Secret>,
        then: impl FnOnce(&[git2::RemoteHead<'_>]) -> T,
    ) -> Result<T, MirrorError> {
        let failed = |why: String| MirrorError::Fetch { repository: repository.to_owned(), why };
        let parsed = address::checked(url).map_err(failed)?;
        let token = token.filter(|_| address::is_private(&parsed));
        let _lock = self.lock(repository)?;
        let source = self.open_or_make(repository)?;
        source.listed(&parsed, token, then).map_err(|error| failed(super::clean(error.message())))
    }

    /// Where a reference pointed to when it was fetched last.
    pub fn resolve(&self, repository: &str, reference: &str) -> Option<CommitId> {
        self.source(repository).ok()?.resolve(&ours(reference))
    }

    fn open_or_make(&self, repository: &str) -> Result<Source, MirrorError> {
        let path = self.path(repository, "");
        if !path.is_dir() {
            // Beside and renamed: a half-made one is never found.
            let beside = self.path(repository, ".new");
            let _ = std::fs::remove_dir_all(&beside);
            let unusable = |why: String| MirrorError::Unusable { repository: repository.to_owned(), why };
            make(&beside).map_err(|error| unusable(super::clean(error.message())))?;
            std::fs::rename(&beside, &path).map_err(|error| unusable(error.to_string()))?;
        }
        self.source(repository)
    }

    fn lock(&self, repository: &str) -> Result<File, MirrorError> {
        let unusable = |why: String| MirrorError::Unusable { repository: repository.to_owned(), why };
        let file = File::create(self.path(repository, ".lock")).map_err(|error| unusable(error.to_string()))?;
        file.lock().map_err(|error| unusable(error.to_string()))?;
        Ok(file)
    }
}

/// A new one. A commit stays whatever becomes of its branch, as nothing is ever pruned: a reference for each would be offered to the other side with every fetch,
/// which so would take the longer the more there are.
fn make(at: &std::path::Path) -> Result<(), git2::Error> {
    Git::init_bare(at)?;
    older::settle(at)
}

/// Under which name a reference of theirs is kept.
fn ours(reference: &str) -> String {
    format!("refs/tidegate/{}", reference.strip_prefix("refs/").unwrap_or(reference))
}

/// A whole name of one reference, that means nothing else in a refspec.
fn is_reference(name: &str) -> bool {
    name.starts_with("refs/") && !name.contains([':', '*', '+', '^']) && git2::Reference::is_valid_name(name)
}

/// Means nothing else in a refspec either.
fn is_whole(commit: &CommitId) -> bool {
    commit.as_str().len() == 40 && commit.as_str().bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Source {
    fn fetch(&self, url: &url::Url, refspecs: &[String], token: Option<&Secret>) -> Result<(), git2::Error> {
        http::with_access(token, || {
            let mut options = FetchOptions::new();
            // No proxy of the environment, no tags that nobody asked for, no reference log.
            options.download_tags(AutotagOption::None).update_fetchhead(false).proxy_options(ProxyOptions::new());
            // To libgit2 a name that the other side has not got is no error. Of those asked for it is gone here as well then: nobody takes what was for what is.
            options.prune(FetchPrune::On);
            self.repository.remote_anonymous(url.as_str())?.fetch(refspecs, Some(&mut options), None)
        })
    }

    /// What is made of all references that the other side has.
    fn listed<T>(&self, url: &url::Url, token: Option<&Secret>, then: impl FnOnce(&[git2::RemoteHead<'_>]) -> T) -> Result<T, git2::Error> {
        http::with_access(token, || {
            let mut remote = self.repository.remote_anonymous(url.as_str())?;
            remote.connect(git2::Direction::Fetch)?;
            let found = then(remote.list()?);
            remote.disconnect()?;
            Ok(found)
        })
    }

    /// For references of these names, if they are there. Only for who holds the lock.
    fn make_room(&self, references: &[&str], url: &url::Url, token: Option<&Secret>) -> Result<(), git2::Error> {
        let mut narrow = Vec::new();
        for name in references {
            room::unlock(&self.root, &ours(name)).map_err(|error| git2::Error::from_str(&error.to_string()))?;
            let others = room::in_the_way(&self.repository, &ours(name))?;
            narrow.extend((!others.is_empty()).then_some((*name, others)));
        }
        if narrow.is_empty() {
            return Ok(());
        }
        let there = self.listed(url, token, |heads| heads.iter().map(|head| head.name().to_owned()).collect::<std::collections::HashSet<_>>())?;
        narrow.iter().filter(|(name, _)| there.contains(*name)).try_for_each(|(_, others)| room::remove(&self.repository, others))
    }

    fn has(&self, commit: &CommitId) -> bool {
        Oid::from_str(commit.as_str()).is_ok_and(|id| self.repository.find_commit(id).is_ok())
    }

    fn resolve(&self, reference: &str) -> Option<CommitId> {
        let commit = self.repository.find_reference(reference).ok()?.peel_to_commit().ok()?;
        Some(CommitId::new(commit.id().to_string()))
    }
}
