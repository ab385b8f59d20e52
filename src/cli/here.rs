//! The repository around the current folder, and what of it is meant: the commit, or the working tree.

use std::path::{Path, PathBuf};

use super::args::{EventArguments, Global};
use super::pipeline::{self, Loaded};
use super::print::{eprint, eprintln};
use super::workflow::Workflow;
use crate::adapters::source::{Head, Revision, Source, SourceError};
use crate::adapters::trigger::github;
use crate::core::spec;
use crate::core::trust::{self, Found};
use crate::model::event::Event;
use crate::model::policy::{self, Policy, is_policy};
use crate::model::trigger::Wish;
use crate::report::diagnostics::render;
use crate::report::workflow::of_diagnostics;

/// Where pipelines live when no file is named.
const FOLDER: &str = ".tidegate";

pub struct Here {
    pub source: Source,
    pub head: Head,
    pub revision: Revision,
}

impl Here {
    pub fn discover(global: &Global, worktree: bool) -> Result<Self, SourceError> {
        let source = Source::discover(&pipeline::folder(global))?;
        let head = source.head()?;
        let revision = if worktree { Revision::Worktree } else { Revision::Commit(head.commit.clone()) };
        Ok(Self { source, head, revision })
    }

    /// A sentence when what is run is not what the person sees in their editor.
    ///
    /// `doing` is what the command does with it: "running".
    pub fn difference(&self, doing: &str) -> Result<Option<String>, SourceError> {
        let dirty = self.source.dirty()?;
        if dirty.is_clean() {
            return Ok(None);
        }
        Ok(Some(match &self.revision {
            Revision::Commit(commit) => {
                format!("{doing} commit {}; the working tree differs ({dirty}) and is not looked at: --worktree takes it instead", commit.short())
            }
            Revision::Worktree => format!("{doing} the working tree: {dirty} since commit {}", self.head.commit.short()),
        }))
    }

    /// The pipeline as it is in the commit (or the working tree), or `None` after its errors have been said.
    pub fn load(&self, global: &Global, file: Option<&PathBuf>, workflow: &mut Workflow) -> Option<Loaded> {
        let path = self.choose(global, file).map_err(|message| eprintln!("error: {message}")).ok()?;
        let bytes = self.source.read(&path, &self.revision, spec::MAX_BYTES as u64).map_err(|error| eprintln!("error: {error}")).ok()?;
        let Ok(text) = String::from_utf8(bytes) else {
            eprintln!("error: {path} is not text in UTF-8: save it as UTF-8");
            return None;
        };
        let action = |name: &str| self.action(name);
        match spec::load(&path, &text, &action) {
            Ok(pipeline) => Some(Loaded { file: path, text, pipeline }),
            Err(errors) => {
                eprint!("{}", render(&path, &text, &errors, pipeline::look(global)));
                workflow.told.annotations.extend(of_diagnostics(&path, &errors));
                None
            }
        }
    }

    fn choose(&self, global: &Global, file: Option<&PathBuf>) -> Result<String, String> {
        if let Some(file) = file {
            return self.source.relative(&pipeline::folder(global), file).map_err(|error| error.to_string());
        }
        let names = self.source.list(FOLDER, &self.revision).unwrap_or_default();
        let yaml: Vec<String> = names.into_iter().filter(|name| is_yaml(name)).collect();
        match yaml.as_slice() {
            [only] => Ok(format!("{FOLDER}/{only}")),
            [] if self.has_uncommitted_pipelines() => {
                Err(format!("the pipelines in {FOLDER}/ are not in {}: commit them, or run the working tree with --worktree", self.revision))
            }
            [] => Err(format!("there is no pipeline in {FOLDER}/ of {}: name a file, or write {FOLDER}/NAME.yaml", self.revision)),
            many => Err(format!("there are several pipelines in {FOLDER}/, name one: {}", many.join(", "))),
        }
    }

    fn has_uncommitted_pipelines(&self) -> bool {
        let names = self.source.list(FOLDER, &Revision::Worktree).unwrap_or_default();
        self.revision != Revision::Worktree && names.iter().any(|name| is_yaml(name))
    }

    /// One of Tidegate's own, or a folder of the same commit.
    fn action(&self, name: &str) -> Option<String> {
        match name.strip_prefix("./") {
            None => pipeline::own_action(name),
            Some(folder) => {
                let file = Path::new(folder).join("action.yaml");
                let bytes = self.source.read(&file.to_string_lossy(), &self.revision, spec::MAX_BYTES as u64).ok()?;
                String::from_utf8(bytes).ok()
            }
        }
    }

    /// Of the default branch as this clone knows it; without a remote, of what is run.
    pub fn policy(&self) -> Policy {
        let revision = self.source.default_branch().map_or_else(|| self.revision.clone(), Revision::Commit);
        trust::policy(&match self.source.read(policy::FILE, &revision, spec::MAX_BYTES as u64) {
            Ok(bytes) => Found::File(bytes),
            Err(SourceError::NoFile { .. } | SourceError::OnlyInWorktree { .. }) => Found::Nothing,
            Err(error) => Found::Unreadable { why: error.to_string() },
        })
    }

    pub fn event(&self, arguments: &EventArguments) -> Result<Event, String> {
        if let Some(file) = &arguments.event_file {
            return self.event_of_workflow(file, arguments);
        }
        Ok(Event {
            kind: pipeline::kind(arguments.on),
            repository: self.source.name(),
            reference: self.head.reference.clone(),
            branch: self.head.branch.clone(),
            commit: self.head.commit.clone(),
            subject: self.head.subject.clone(),
            author: self.head.author.clone(),
            changed: self.head.changed.clone(),
            params: pipeline::params(arguments)?,
            context: Default::default(),
        })
    }

    /// What a workflow's event file says, of the commit that the workflow has checked out.
    fn event_of_workflow(&self, file: &Path, arguments: &EventArguments) -> Result<Event, String> {
        let name = arguments.event_name.as_deref().filter(|name| !name.is_empty());
        let name = name.ok_or("--event FILE says nothing of what it is called: give --event-name NAME, or GITHUB_EVENT_NAME")?;
        let body = event_file(file)?;
        let mut event = match github::in_workflow(name, body).map_err(|error| format!("{}: {error}", file.display()))? {
            Wish::Happened(event) => *event,
            Wish::Deleted { reference } => return Err(format!("{reference} is gone: there is nothing to run")),
            Wish::Nothing { because } => return Err(format!("the workflow's event {name} starts no pipeline: {because}")),
            _ => return Err(format!("the workflow's event {name} starts no pipeline")),
        };
        event.changed = self.changed_by(&event).map_err(|error| error.to_string())?;
        event.params.extend(pipeline::params(arguments)?);
        if event.repository.is_empty() {
            event.repository = self.source.name();
        }
        if event.reference.is_empty() {
            (event.reference, event.branch) = (self.head.reference.clone(), self.head.branch.clone());
        }
        Ok(Event { commit: self.head.commit.clone(), subject: self.head.subject.clone(), author: self.head.author.clone(), ..event })
    }

    /// Since what was there before. Where that is not known, as in a clone without history, everything may have.
    fn changed_by(&self, event: &Event) -> Result<Option<Vec<String>>, SourceError> {
        match (&event.context.before, &event.context.pull) {
            (Some(before), _) => Ok(self.source.changed_since(Some(before), &self.head.commit)),
            // A workflow of a pull request has the merge checked out, whose first parent is the base, if nobody has asked for another commit.
            (None, Some(pull)) if pull.head.commit != self.head.commit => Ok(self.head.changed.clone()),
            _ => Ok(None),
        }
    }
}

/// As large as GitHub's may be.
const EVENT_BYTES: u64 = 25 << 20;

fn event_file(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let unreadable = |why: &dyn std::fmt::Display| format!("--event {} can not be read: {why}", path.display());
    let file = std::fs::File::open(path).map_err(|error| unreadable(&error))?;
    if !file.metadata().is_ok_and(|data| data.is_file()) {
        return Err(unreadable(&"it is not a file"));
    }
    let mut body = Vec::new();
    file.take(EVENT_BYTES + 1).read_to_end(&mut body).map_err(|error| unreadable(&error))?;
    if body.len() as u64 > EVENT_BYTES { Err(unreadable(&"it is larger than 25 MiB")) } else { Ok(body) }
}

fn is_yaml(name: &str) -> bool {
    (name.ends_with(".yaml") || name.ends_with(".yml")) && !is_policy(name)
}
