//! `tidegate runs replay RUN [STEP] [--shell]`: a step once more, of what the journal says that it was asked and given. Nothing is added to its run.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use super::super::args::{ExecutorArgument, GatewayArguments, Global, IsolationArguments, ReplayArguments};
use super::super::exit::Exit;
use super::super::pipeline;
use super::super::place::Place;
use super::super::print::{eprintln, print, println};
use super::super::session::{self, Session, SessionError, fail};
use super::{RunsError, find, shell};
use crate::adapters::executor::{self, LogSink, Watcher};
use crate::adapters::source::{Source, SourceError};
use crate::adapters::state::StateFolder;
use crate::adapters::workspace::{Scratch, WorkspaceError};
use crate::model::fact::RunFact;
use crate::model::id::{Digest, NodeId, RunId};
use crate::model::invocation::{InvocationRecord, InvocationResult};
use crate::model::outcome::{Exit as Code, Outcome};
use crate::model::time::Timestamp;
use crate::report::run::text::clean;
use crate::runtime::replay::{ChoiceError, Past, choose};

#[derive(Debug, thiserror::Error)]
pub(super) enum ReplayError {
    #[error(transparent)]
    Runs(#[from] RunsError),
    #[error("{0}")]
    Choice(#[from] ChoiceError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the step ran on a working tree as it was then, which is not kept: only steps of a commit can be replayed")]
    Worktree,
    #[error("it is not recorded which tree the steps of this run stood on: it was run by an older version")]
    NoTree,
    #[error("commit {commit} of {repository} is not to be had in {place} ({why}): go to the repository that has it, or name it with -C DIR")]
    NoCommit { commit: String, repository: String, place: String, why: String },
    #[error("commit {commit} has the tree {found} here, and had {recorded} then")]
    OtherTree { commit: String, found: String, recorded: String },
    #[error("what {by} left for this step is not to be had: {why}")]
    Layer { by: NodeId, why: executor::Tampered },
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Failed(String),
}

impl ReplayError {
    fn exit(&self) -> Exit {
        match self {
            Self::Choice(_) | Self::Source(_) | Self::Usage(_) => Exit::Usage,
            Self::Runs(error) if error.is_usage() => Exit::Usage,
            Self::Session(error) => error.exit(),
            _ => Exit::Infrastructure,
        }
    }
}

pub(super) fn run(global: &Global, arguments: &ReplayArguments) -> Exit {
    let ended = session::tokio().map_err(|error| ReplayError::Failed(error.to_string())).and_then(|tokio| {
        let ended = tokio.block_on(replay(global, arguments));
        // A read of the terminal that nobody answers any more keeps no one waiting.
        tokio.shutdown_background();
        ended
    });
    ended.unwrap_or_else(|error| fail(error.exit(), clean(&error.to_string())))
}

async fn replay(global: &Global, arguments: &ReplayArguments) -> Result<Exit, ReplayError> {
    let place = Place::of(global).map_err(RunsError::from)?;
    let found = find(&place, &arguments.run).await?;
    let Place::Here(runs) = place else { return Err(RunsError::Unknown(arguments.run.clone()).into()) };
    let facts: Vec<(Timestamp, RunFact)> = found.entries.into_iter().map(|(entry, fact)| (entry.at, fact)).collect();
    let past = choose(&facts, arguments.step.as_deref())?;
    let tree = recorded_tree(&runs.state, past.run().id())?;
    let session = Session::open(global, &as_recorded(arguments, past.record.as_ref()), &GatewayArguments::nowhere()).await?;
    for given in past.given() {
        executor::verify(&session.store, &given.layer, &given.artifacts).map_err(|why| ReplayError::Layer { by: given.by, why })?;
    }
    let commit = commit(global, &session, &past, &tree)?;
    let spec = past.spec(&commit.path().join("tree")).map_err(ReplayError::Failed)?;
    if arguments.shell {
        return shell::open(&session, &past, &spec).await;
    }
    let log = session.store.scratch()?;
    let stop = session::stop_on_signals().map_err(|error| ReplayError::Failed(error.to_string()))?;
    let watcher = Watcher { log: Box::new(Shown::new(global.json)), cancel: unwanted(stop) };
    let aside = RunId::new(format!("replay-{}", session.store.fresh_name()));
    let (file, in_image) = (log.path().join("log"), spec.image.is_some() || !spec.services.is_empty());
    let result = session.executor.invoke_aside(&aside, spec, &file, watcher).await;
    let mut logs = Logs { then: past.record.as_ref().and_then(|record| record.log_digest.clone()), now: result.record.log_digest.clone() };
    let past_log = runs.state.log(past.run().id(), &past.node, past.attempt);
    if in_image {
        logs = Logs { then: digest_without_pulls(&past_log).or(logs.then), now: digest_without_pulls(&file).or(logs.now) };
    } else if logs.then.is_none() {
        // Records that are older do not know it.
        logs.then = digest_of(&past_log, |_| 0);
    }
    Ok(say(global, &past, &result, &logs))
}

/// What was said then and now, by digest.
struct Logs {
    then: Option<Digest>,
    now: Option<Digest>,
}

/// Of what the step itself said: whether its image had to be fetched depends on what else was run here.
fn digest_without_pulls(log: &Path) -> Option<Digest> {
    digest_of(log, |text| {
        let ours = text.split_inclusive(|byte| *byte == b'\n').take_while(|line| line.starts_with(b"[tidegate: "));
        ours.map(<[u8]>::len).sum()
    })
}

/// Of a log, but for so many bytes at its beginning.
fn digest_of(log: &Path, left_out: impl Fn(&[u8]) -> usize) -> Option<Digest> {
    use sha2::Digest as _;
    let text = std::fs::read(log).ok()?;
    Some(Digest::from_sha256(sha2::Sha256::digest(text.get(left_out(&text)..)?).into()))
}

/// The tree's name in git, from where it stood.
pub(super) fn recorded_tree(state: &StateFolder, run: &RunId) -> Result<String, ReplayError> {
    let noted = std::fs::read_to_string(state.tree(run)).map_err(|_| ReplayError::NoTree)?;
    let path = PathBuf::from(noted);
    let is_snapshot = path.starts_with(state.root().join("snapshots"));
    path.file_name().filter(|_| is_snapshot).and_then(|name| name.to_str()).map(str::to_owned).ok_or(ReplayError::Worktree)
}

/// The same tools as then, and an engine where it was one, unless somebody names others. A shell is in the sandbox.
fn as_recorded(arguments: &ReplayArguments, record: Option<&InvocationRecord>) -> IsolationArguments {
    let mut isolation = arguments.isolation.clone();
    let was_in_engine = record.is_some_and(|record| record.executor == "container");
    if was_in_engine && !arguments.shell && isolation.executor == ExecutorArgument::Auto {
        isolation.executor = ExecutorArgument::Container;
    }
    if let Some(record) = record.filter(|_| isolation.host_tools.is_empty()) {
        isolation.host_tools.clone_from(&record.host_tools);
    }
    isolation
}

/// From the repository, not from a snapshot that somebody could have changed since.
fn commit(global: &Global, session: &Session, past: &Past, recorded: &str) -> Result<Scratch, ReplayError> {
    let event = past.event();
    let source = Source::discover(&pipeline::folder(global))?;
    let (scratch, found) = session.store.snapshot_afresh(source.root(), &event.commit).map_err(|error| match error {
        WorkspaceError::Git(why) => ReplayError::NoCommit {
            commit: event.commit.short().to_owned(),
            repository: event.repository.clone(),
            place: source.root().display().to_string(),
            why,
        },
        other => other.into(),
    })?;
    if found != recorded {
        return Err(ReplayError::OtherTree { commit: event.commit.short().to_owned(), found, recorded: recorded.to_owned() });
    }
    Ok(scratch)
}

fn unwanted(mut stop: watch::Receiver<Option<String>>) -> watch::Receiver<bool> {
    let (wish, cancel) = watch::channel(false);
    tokio::spawn(async move {
        if stop.wait_for(Option::is_some).await.is_ok() {
            wish.send_replace(true);
        }
        wish.closed().await;
    });
    cancel
}

/// The log as it comes: as it was said to a pipe, in clean lines to a terminal, as objects to a program.
struct Shown {
    json: bool,
    raw: bool,
    line: Vec<u8>,
}

impl Shown {
    fn new(json: bool) -> Self {
        Self { json, raw: !json && !std::io::stdout().is_terminal(), line: Vec::new() }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        if self.json {
            println!("{}", serde_json::json!({ "line": line }));
        } else {
            println!("{}", clean(&line));
        }
        self.line.clear();
    }
}

/// A line that never ends is shown in pieces.
const LINE: usize = 64 << 10;

impl LogSink for Shown {
    fn write(&mut self, bytes: &[u8]) {
        if self.raw {
            use std::io::Write as _;
            let _ = std::io::stdout().write_all(bytes);
            return;
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
            if piece.ends_with(b"\n") || self.line.len() >= LINE {
                self.end_line();
            }
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

/// Whether it went as it did then.
fn say(global: &Global, past: &Past, result: &InvocationResult, logs: &Logs) -> Exit {
    let same_outcome = is_same(&past.outcome, &result.outcome);
    let same_log = logs.then.is_some() && logs.then == logs.now;
    let (then, now) = (in_words(&past.outcome), in_words(&result.outcome));
    if global.json {
        let all = serde_json::json!({
            "run": past.run().id(), "node": past.node, "attempt": past.attempt, "outcome": result.outcome, "recorded_outcome": past.outcome,
            "log": logs.now, "recorded_log": logs.then, "same_outcome": same_outcome, "same_log": same_log,
        });
        print!("{all}\n");
    } else {
        let shown = |digest: &Option<Digest>| digest.as_ref().map_or("not known".to_owned(), Digest::to_string);
        eprintln!("replayed {} (attempt {}) of run {}", clean(past.node.as_str()), past.attempt, clean(past.run().id().as_str()));
        eprintln!("  outcome: {}{}", clean(&now), if same_outcome { ", as recorded".to_owned() } else { format!("; recorded: {}", clean(&then)) });
        let log = shown(&logs.now);
        eprintln!("  log:     {log}{}", if same_log { ", as recorded".to_owned() } else { format!("; recorded: {}", shown(&logs.then)) });
        for missing in past.record.iter().flat_map(|record| &record.isolation).filter(|name| !result.record.isolation.contains(name)) {
            eprintln!("  without: {} (it had that then)", clean(missing));
        }
    }
    match &result.outcome {
        outcome if outcome.is_success() => Exit::Success,
        Outcome::Infrastructure { .. } => Exit::Infrastructure,
        Outcome::Cancelled { .. } => Exit::Cancelled,
        _ => Exit::Failed,
    }
}

/// In what a step can do: not in how long it took or how it is put.
fn is_same(one: &Outcome, other: &Outcome) -> bool {
    match (one, other) {
        (Outcome::Failed { exit: one, .. }, Outcome::Failed { exit: other, .. }) => one == other,
        (one, other) => one.word() == other.word(),
    }
}

pub(super) fn in_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed { exit: Code::Code(code), .. } => format!("failed with exit code {code}"),
        Outcome::Failed { reason, .. } | Outcome::Infrastructure { reason } => format!("{}: {reason}", outcome.word()),
        other => other.word().to_owned(),
    }
}
