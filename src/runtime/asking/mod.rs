//! From an event to requests: which of a repository's pipelines want it, with what trust, and what they would run.
//!
//! ```text
//!  Event ─▶ fetch: the commit, the default branch, the base ─▶ policy ─▶ core::trust::decide ─┬─▶ refused
//!                                                                                             └─▶ each pipeline file: load, select, plan, guard, restrict ─▶ Asked
//! ```
//! Deliveries, schedules, the API and the repetition of a run all come through here, so that trust is decided in one place. The id of a request follows from
//! what asked for it and the pipeline's file: asked for twice, it is there once.

mod again;
mod looked;

use std::sync::Arc;

use crate::adapters::forge::ForgeError;
use crate::adapters::forge::github::Github;
use crate::adapters::journal::{AnyJournal, JournalError};
use crate::adapters::source::mirror::{MirrorError, Mirrors};
use crate::adapters::source::{Revision, Source, SourceError};
use crate::core::plan::{self, Plan, Selection};
use crate::core::spec::{self, Pipeline, Triggers};
use crate::core::trust::{self, Decision, Who};
use crate::model::check::Place;
use crate::model::diagnostic::{Diagnostic, Level};
use crate::model::event::{Event, EventKind};
use crate::model::id::{CommitId, RunId};
use crate::model::policy::{Policy, Text, is_policy};
use crate::model::request::{Group, RequestFact};
use crate::model::time::Timestamp;
use crate::model::trigger::Repository;
use crate::model::trust::{Approval, Permission, Trust};
use crate::report::diagnostics::{Look, render};

use super::dispatcher::Dispatcher;
use super::ids;
use super::tell::TellError;

pub use crate::core::run::Repeat;

/// Pipeline files of one repository that are looked at.
const MAX_FILES: usize = 100;
const FOLDER: &str = ".tidegate";

/// Answers the text of one of Tidegate's own actions.
pub type OwnAction = fn(&str) -> Option<String>;

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    #[error(transparent)]
    Forge(#[from] ForgeError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Unknown(String),
    #[error(transparent)]
    Told(#[from] TellError),
    #[error("internal error: {0}")]
    Died(#[from] tokio::task::JoinError),
}

impl AskError {
    /// Whether it may go well in a minute.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Mirror(error) => error.is_passing(),
            Self::Forge(error) => matches!(error, ForgeError::Retry { .. }),
            Self::Journal(_) | Self::Told(TellError::Silent(_) | TellError::Journal(_)) => true,
            Self::Refused(_) | Self::Unknown(_) | Self::Told(_) | Self::Died(_) => false,
        }
    }
}

/// What asks, and when: the ids of what it asks for follow from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    pub at: Timestamp,
    /// Unique among all that ask at the same moment: a delivery's id.
    pub name: String,
}

/// With whose authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The forge is asked what those may do who are part of the event.
    Forge,
    /// The server has let somebody do this already.
    Server,
}

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AskedFor {
    pub runs: Vec<RunId>,
    /// Why nothing may run.
    pub refused: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Asking {
    pub journal: AnyJournal,
    pub mirrors: Mirrors,
    pub dispatcher: Dispatcher,
    /// `None`: nobody can be asked what somebody may do, so nobody may do anything that is not shown by what they did.
    pub github: Option<Github>,
    pub own_action: OwnAction,
}

impl Asking {
    pub fn place(repository: &Repository) -> Place {
        Place { repository: repository.name.clone(), installation: repository.installation }
    }

    /// Everything of an event: `only` one pipeline, by file or name.
    pub async fn event(
        &self,
        repository: &Repository,
        event: Event,
        seed: &Seed,
        only: Option<&str>,
        authority: Authority,
        approvals: &[Approval],
    ) -> Result<AskedFor, AskError> {
        let here = self.look(repository, event).await?;
        let who = match authority {
            Authority::Forge => self.who(repository, &here.event, &here.policy).await?,
            Authority::Server => Who { actor: Permission::Admin, author: Permission::Admin },
        };
        let (trust, approval) = match trust::decide(&here.policy, &here.event, who, approvals) {
            Decision::Run { trust } => (trust, None),
            Decision::Wait { trust, because } => (trust, Some(because)),
            Decision::Refuse { because } => return Ok(AskedFor { runs: Vec::new(), refused: Some(because) }),
        };
        let at = match trust::text(&here.policy, trust) {
            Text::Head => Some(here.event.commit.clone()),
            Text::Base => here.base.clone(),
        };
        let Some(at) = at else {
            return Ok(AskedFor { runs: Vec::new(), refused: Some("the branch that it wants to get into is gone".to_owned()) });
        };
        let mut wanted = Vec::new();
        for (file, text) in files(&here.source, &at)? {
            let wish = self.wish(&here, &file, text, &at, trust);
            let meant = |wish: &Wish| only.is_none_or(|only| only == file || only == wish.name);
            wanted.extend(wish.filter(meant).map(|wish| (file, wish)));
        }
        if let (Some(only), true) = (only, wanted.is_empty()) {
            return Err(AskError::Unknown(format!("{} has no pipeline {only:?} at {}", repository.name, at.short())));
        }
        drop(here.source);
        let mut runs = Vec::new();
        for (file, wish) in wanted {
            let run = ids::asked(seed.at, &[&seed.name, &repository.name, &file]);
            let (plan, why_not) = match wish.plan {
                Ok(plan) => (serde_json::to_value(&plan).unwrap_or_default(), None),
                Err(why) => (serde_json::Value::Null, Some(why)),
            };
            let asked = RequestFact::Asked {
                run: run.clone(),
                pipeline: wish.name,
                event: Box::new(here.event.clone()),
                plan,
                trust,
                url: repository.url.clone(),
                group: wish.group,
                priority: wish.priority,
                approval: approval.clone().filter(|_| why_not.is_none()),
                again: None,
            };
            match why_not {
                None => self.dispatcher.ask(asked).await?,
                Some(why) => self.dispatcher.reject(asked, why).await?,
            };
            runs.push(run);
        }
        Ok(AskedFor { runs, refused: None })
    }

    /// What somebody may do in a repository. Where nobody can be asked, nothing is known.
    pub async fn permission(&self, repository: &Repository, login: &str) -> Result<Permission, AskError> {
        let Some(github) = &self.github else { return Ok(Permission::None) };
        match github.permission(&Self::place(repository), login).await {
            Ok(permission) => Ok(permission),
            Err(ForgeError::Refused { .. }) => Ok(Permission::None),
            Err(error) => Err(error.into()),
        }
    }

    async fn who(&self, repository: &Repository, event: &Event, policy: &Policy) -> Result<Who, AskError> {
        // Whoever pushes may write: the forge is asked only where that is not enough.
        let told = matches!(event.kind, EventKind::PullRequest | EventKind::Manual) || policy.push.0 > Permission::Write;
        if !told {
            return Ok(Who { actor: Permission::None, author: Permission::None });
        }
        let actor = match &event.context.actor {
            Some(actor) => self.permission(repository, &actor.login).await?,
            None => Permission::None,
        };
        let author = match (&event.context.pull, &event.context.actor) {
            (Some(pull), Some(other)) if pull.author.id == other.id => actor,
            (Some(pull), _) => self.permission(repository, &pull.author.login).await?,
            (None, _) => Permission::None,
        };
        Ok(Who { actor, author })
    }

    /// What one pipeline file makes of the event; `None` if it does not want it.
    fn wish(&self, here: &looked::Looked, file: &str, text: Result<String, String>, at: &CommitId, trust: Trust) -> Option<Wish> {
        let broken = |why: String| Some(Wish { name: file.to_owned(), group: None, priority: 0, plan: Err(why) });
        let text = match text {
            Ok(text) => text,
            Err(why) => return broken(why),
        };
        let said = |errors: &[Diagnostic]| render(file, &text, errors, Look::default()).trim_end().to_owned();
        let action = |name: &str| self.action(&here.source, name, at);
        let pipeline = match spec::load(file, &text, &action) {
            Ok(pipeline) => pipeline,
            Err(errors) => return broken(said(&errors)),
        };
        if let Selection::Not { .. } = plan::select(&pipeline, &here.event) {
            return None;
        }
        let named = |plan, group| Some(Wish { name: pipeline.name.clone(), group, priority: pipeline.priority, plan });
        let mut missing = spec::unsupported(&pipeline);
        if !missing.is_empty() {
            missing.iter_mut().for_each(|diagnostic| diagnostic.level = Level::Error);
            return named(Err(said(&missing)), None);
        }
        match planned(&pipeline, here, trust) {
            Ok((plan, group)) => named(Ok(plan), group),
            Err(errors) => named(Err(said(&errors)), None),
        }
    }

    /// What starts the pipelines of a commit that is here. Those that are not valid are left out.
    pub fn triggers(&self, repository: &str, at: &CommitId) -> Vec<(String, Triggers)> {
        let Ok(source) = self.mirrors.source(repository) else { return Vec::new() };
        let loaded = |(file, text): PipelineFile| {
            let pipeline = spec::load(&file, &text.ok()?, &|name| self.action(&source, name, at)).ok()?;
            Some((file, pipeline.on))
        };
        files(&source, at).unwrap_or_default().into_iter().filter_map(loaded).collect()
    }

    /// One of Tidegate's own, or a folder of the commit that the pipeline is from.
    fn action(&self, source: &Source, name: &str, at: &CommitId) -> Option<String> {
        let Some(folder) = name.strip_prefix("./") else { return (self.own_action)(name) };
        let bytes = source.read(&format!("{folder}/action.yaml"), &Revision::Commit(at.clone()), spec::MAX_BYTES as u64).ok()?;
        String::from_utf8(bytes).ok()
    }
}

/// A pipeline that wants the event: its plan, or why there is none.
struct Wish {
    name: String,
    group: Option<Group>,
    priority: i32,
    plan: Result<Plan, String>,
}

fn planned(pipeline: &Pipeline, here: &looked::Looked, trust: Trust) -> Result<(Plan, Option<Group>), Vec<Diagnostic>> {
    let group = plan::group(pipeline, &here.event)?;
    let plan = trust::guard(plan::build(pipeline, &here.event, &[])?, &here.policy);
    let plan = if trust.is_trusted() { plan } else { trust::restrict(plan, &here.policy) };
    Ok((plan, group))
}

/// A pipeline file, with its text or why it has none.
type PipelineFile = (String, Result<String, String>);

/// Every pipeline file of a commit.
fn files(source: &Source, at: &CommitId) -> Result<Vec<PipelineFile>, MirrorError> {
    let revision = Revision::Commit(at.clone());
    let names = source.list(FOLDER, &revision)?;
    let yaml = |name: &String| (name.ends_with(".yaml") || name.ends_with(".yml")) && !is_policy(name);
    let read = |name: String| {
        let path = format!("{FOLDER}/{name}");
        let text = source.read(&path, &revision, spec::MAX_BYTES as u64).map_err(|error| error.to_string());
        let text = text.and_then(|bytes| String::from_utf8(bytes).map_err(|_| format!("{path} is not text in UTF-8: save it as UTF-8")));
        (path, text)
    };
    Ok(names.into_iter().filter(yaml).take(MAX_FILES).map(read).collect())
}

/// What is found at a place of a commit.
fn found(source: &Source, path: &str, at: &CommitId) -> trust::Found {
    match source.read(path, &Revision::Commit(at.clone()), spec::MAX_BYTES as u64) {
        Ok(bytes) => trust::Found::File(bytes),
        Err(SourceError::NoFile { .. }) => trust::Found::Nothing,
        Err(error) => trust::Found::Unreadable { why: error.to_string() },
    }
}

/// What a repository is fetched with, if the forge gives anything.
async fn login(github: Option<&Github>, place: &Place) -> Result<Option<crate::model::secret::Secret>, ForgeError> {
    match github {
        Some(github) => Ok(Some(github.clone_login(place).await?.password)),
        None => Ok(None),
    }
}

/// Shared by those who ask.
pub type SharedAsking = Arc<Asking>;
