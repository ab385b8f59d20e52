//! `tidegate runs`: past runs, as the journal has them and as the locks of their owners say. Writes nothing.
//!
//! A run without an end whose process is dead is shown as interrupted: by the machine that will record it so at the next start.

mod logs;
mod replay;
mod shell;
mod show;
mod usage;

use std::collections::HashMap;
use std::io::Write;

use crate::adapters::journal::{self, AnyJournal, Journal as _, JournalError};
use crate::adapters::state::{self, StateError, StateFolder};
use crate::model::fact::{Entry, Fact, RunFact, Stream};
use crate::model::id::RunId;
use crate::model::outcome::RunOutcome;
use crate::model::settings::Prices;
use crate::model::time::Timestamp;
use crate::report::run::text::{clean, duration, fit, pad, width};

use super::args::{Global, ReplayArguments, RunsArguments, RunsCommand};
use super::exit::Exit;
use super::print::eprintln;
use super::settings::{self, SettingsError};

/// Runs that a prefix of an id is looked for among.
const KNOWN_RUNS: usize = 10_000;

pub fn run(global: &Global, arguments: &RunsArguments) -> Exit {
    if let RunsCommand::Replay(arguments) = &arguments.command {
        return replay::run(global, arguments);
    }
    match answer(global, &arguments.command) {
        Ok(()) => Exit::Success,
        // Whoever reads has seen enough.
        Err(RunsError::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => {
            eprintln!("error: {error}");
            if matches!(
                error,
                RunsError::Unknown(_) | RunsError::Ambiguous { .. } | RunsError::NoStep { .. } | RunsError::NoRepository(_) | RunsError::Settings(_)
            ) {
                Exit::Usage
            } else {
                Exit::Infrastructure
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum RunsError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("there is no run {0:?}; `tidegate runs ls` lists them")]
    Unknown(String),
    #[error("{found} runs begin with {given:?}; write more of the id")]
    Ambiguous { given: String, found: usize },
    #[error("the run has no step {given:?}; it has {known}")]
    NoStep { given: String, known: String },
    #[error("no step asked for has a service {given:?}; there is {known}")]
    NoService { given: String, known: String },
    #[error("there are no runs of a repository {0:?}; `tidegate runs usage` lists those that there are")]
    NoRepository(String),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("{0}")]
    Print(#[from] std::io::Error),
}

/// What the subcommands look things up in.
struct Past {
    state: StateFolder,
    journal: AnyJournal,
    /// Who appended last to each run that has no end.
    owners: HashMap<Stream, String>,
}

fn answer(global: &Global, command: &RunsCommand) -> Result<(), RunsError> {
    let root = state::locate(global.state_dir.as_deref(), |name| std::env::var_os(name))?;
    let mut out = std::io::stdout().lock();
    if !root.join("journal.db").exists() {
        return nothing_yet(command, global.json);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let past = Past::open(root).await?;
        match command {
            RunsCommand::Ls { limit } => ls(&past, *limit, global, &mut out).await,
            RunsCommand::Show { run } => show::show(&past, &past.find(run).await?, global, &mut out).await,
            RunsCommand::Usage { run: Some(run), .. } => usage::of_one(&past.find(run).await?, &prices(global)?, global, &mut out),
            RunsCommand::Usage { run: None, of } => usage::of_all(&past, of.as_deref(), &prices(global)?, global, &mut out).await,
            RunsCommand::Logs { run, step, service } => {
                logs::logs(&past, &past.find(run).await?, step.as_deref(), service.as_deref(), global, &mut out)
            }
            RunsCommand::Replay(_) => Ok(()),
        }
    })
}

fn nothing_yet(command: &RunsCommand, json: bool) -> Result<(), RunsError> {
    match command {
        RunsCommand::Ls { .. } | RunsCommand::Usage { run: None, of: None } if !json => {
            eprintln!("There are no runs yet: `tidegate run` starts one.")
        }
        RunsCommand::Ls { .. } | RunsCommand::Usage { run: None, of: None } => {}
        RunsCommand::Usage { run: None, of: Some(of) } => return Err(RunsError::NoRepository(of.clone())),
        RunsCommand::Show { run }
        | RunsCommand::Logs { run, .. }
        | RunsCommand::Usage { run: Some(run), .. }
        | RunsCommand::Replay(ReplayArguments { run, .. }) => {
            return Err(RunsError::Unknown(run.clone()));
        }
    }
    Ok(())
}

fn prices(global: &Global) -> Result<Prices, SettingsError> {
    Ok(settings::load(global)?.settings.prices)
}

impl Past {
    async fn open(root: std::path::PathBuf) -> Result<Self, RunsError> {
        let state = StateFolder::open(root)?;
        let journal = journal::open(&state.journal(), "reader")?;
        let owners = journal.unfinished().await?.into_iter().map(|left| (left.stream, left.owner)).collect();
        Ok(Self { state, journal, owners })
    }

    /// The facts of the run with this id, of the only one whose id begins so, or of the `latest`.
    async fn find(&self, given: &str) -> Result<Vec<(Entry, RunFact)>, RunsError> {
        let mut entries = self.journal.read(&Stream::Run(RunId::new(given))).await?;
        if entries.is_empty() {
            let limit = if given == "latest" { 1 } else { KNOWN_RUNS };
            let known = self.journal.runs(limit).await?.into_iter().map(|(first, _)| first.stream);
            let begins = |stream: &Stream| matches!(stream, Stream::Run(id) if given == "latest" || id.as_str().starts_with(given));
            let found: Vec<Stream> = known.filter(begins).collect();
            entries = match found.as_slice() {
                [] => return Err(RunsError::Unknown(given.to_owned())),
                [stream] => self.journal.read(stream).await?,
                several => return Err(RunsError::Ambiguous { given: given.to_owned(), found: several.len() }),
            };
        }
        let facts = entries.into_iter().filter_map(|entry| match &entry.fact {
            Fact::Run(fact) => Some((entry.clone(), fact.clone())),
            Fact::Rollout(_) | Fact::Request(_) => None,
        });
        Ok(facts.collect())
    }

    /// Whether it has no end and nobody is left to give it one.
    fn is_interrupted(&self, stream: &Stream) -> Result<bool, RunsError> {
        match self.owners.get(stream) {
            Some(owner) => Ok(!self.state.is_alive(owner)?),
            None => Ok(false),
        }
    }

    fn word(&self, last: &Entry) -> Result<&'static str, RunsError> {
        match &last.fact {
            Fact::Run(RunFact::Ended { outcome }) => Ok(outcome.word()),
            _ if self.is_interrupted(&last.stream)? => Ok(RunOutcome::Interrupted.word()),
            _ => Ok("running"),
        }
    }
}

async fn ls(past: &Past, limit: usize, global: &Global, out: &mut impl Write) -> Result<(), RunsError> {
    let runs = past.journal.runs(limit).await?;
    let wide = super::terminal::table_width();
    if runs.is_empty() && !global.json {
        eprintln!("There are no runs yet: `tidegate run` starts one.");
    }
    for (first, last) in runs {
        let (Stream::Run(run), Fact::Run(RunFact::Started { pipeline, event, .. })) = (&first.stream, &first.fact) else { continue };
        let outcome = past.word(&last)?;
        if global.json {
            let line = serde_json::json!({
                "run": run, "pipeline": pipeline, "outcome": outcome, "started": first.at, "last": last.at,
                "commit": event.commit, "branch": event.branch, "subject": event.subject,
            });
            writeln!(out, "{line}")?;
            continue;
        }
        let took = if outcome == "running" { String::new() } else { duration(last.at.since(first.at)) };
        let about = clean(&format!("{} {} {}", event.branch.as_deref().unwrap_or("-"), event.commit.short(), event.subject));
        let columns = format!("{}  {}  {}  {}", clean(run.as_str()), date(first.at), pad(outcome, 14), pad(&took, 11));
        let rest = format!("{}  {about}", clean(pipeline));
        writeln!(out, "{columns}  {}", fit(&rest, wide.saturating_sub(width(&columns) + 2).max(12)).trim_end())?;
    }
    Ok(())
}

/// A moment for people, in UTC.
pub(super) fn date(at: Timestamp) -> String {
    let moment = i64::try_from(at.as_micros()).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    moment.map_or_else(|| "?".to_owned(), |moment| moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}
