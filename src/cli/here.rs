//! The repository around the current folder, and what of it is meant: the commit, or the working tree.

use std::path::{Path, PathBuf};

use super::args::{EventArguments, Global};
use super::pipeline::{self, Loaded};
use super::print::{eprint, eprintln};
use crate::adapters::source::{Head, Revision, Source, SourceError};
use crate::core::spec;
use crate::model::event::Event;
use crate::report::diagnostics::render;

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
    pub fn load(&self, global: &Global, file: Option<&PathBuf>) -> Option<Loaded> {
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

    pub fn event(&self, arguments: &EventArguments) -> Result<Event, String> {
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
}

fn is_yaml(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}
