//! `tidegate runs`: past runs, as the journal has them and as the locks of their owners say. Writes nothing, but for what runs a past run again.
//!
//! A run without an end whose process is dead is shown as interrupted: by the machine that will record it so at the next start.

mod logs;
mod replay;
mod rerun;
mod shell;
mod show;
mod usage;

use std::io::Write;

use crate::core::run::Run;
use crate::model::fact::{Entry, RunFact};
use crate::model::id::RunId;
use crate::model::policy::Verdict;
use crate::model::time::Timestamp;
use crate::runtime::records::Found;
use crate::runtime::tell::{self, TellError};

use super::approvals;
use super::args::{Global, RunsArguments, RunsCommand};
use super::exit::Exit;
use super::place::{Place, PlaceError};
use super::print::{eprintln, println};

pub fn run(global: &Global, arguments: &RunsArguments) -> Exit {
    match &arguments.command {
        RunsCommand::Replay(arguments) => return replay::run(global, arguments),
        RunsCommand::Rerun(arguments) => return rerun::run(global, arguments),
        _ => {}
    }
    match answer(global, &arguments.command) {
        Ok(()) => Exit::Success,
        // Whoever reads has seen enough.
        Err(RunsError::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => {
            eprintln!("error: {error}");
            if error.is_usage() { Exit::Usage } else { Exit::Infrastructure }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum RunsError {
    #[error(transparent)]
    Place(PlaceError),
    #[error("there is no run {0:?}; `tidegate runs ls` lists them")]
    Unknown(String),
    #[error("the run has no step {given:?}; it has {known}")]
    NoStep { given: String, known: String },
    #[error("no step asked for has a service {given:?}; there is {known}")]
    NoService { given: String, known: String },
    #[error("there are no runs of a repository {0:?}; `tidegate runs usage` lists those that there are")]
    NoRepository(String),
    #[error("{0}")]
    Untold(String),
    #[error(transparent)]
    Tell(#[from] TellError),
    #[error("{0}")]
    Print(#[from] std::io::Error),
}

impl RunsError {
    fn is_usage(&self) -> bool {
        match self {
            Self::Unknown(_) | Self::NoStep { .. } | Self::NoRepository(_) | Self::Untold(_) => true,
            Self::Tell(error) => matches!(error, TellError::Ended { .. } | TellError::Nobody(_)),
            Self::Place(error) => error.is_usage(),
            _ => false,
        }
    }
}

impl From<PlaceError> for RunsError {
    fn from(error: PlaceError) -> Self {
        match error {
            // Of standard output, where a log is shown as it comes.
            PlaceError::File(error) => Self::Print(error),
            error => Self::Place(error),
        }
    }
}

fn answer(global: &Global, command: &RunsCommand) -> Result<(), RunsError> {
    let place = Place::of(global)?;
    let mut out = std::io::stdout().lock();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            RunsCommand::Ls { limit } => ls(&place, *limit, global, &mut out).await,
            RunsCommand::Show { run } => show::show(&place, &find(&place, run).await?, global, &mut out).await,
            RunsCommand::Usage { run: Some(run), .. } => usage::of_one(&place, &find(&place, run).await?, global, &mut out).await,
            RunsCommand::Usage { run: None, of } => usage::of_all(&place, of.as_deref(), global, &mut out).await,
            RunsCommand::Logs { run, step, service, follow } => {
                let wanted = logs::Wanted { step: step.as_deref(), service: service.as_deref() };
                let found = find(&place, run).await?;
                if *follow {
                    logs::follow(&place, found, &wanted, global, &mut out).await
                } else {
                    logs::logs(&place, &found, &wanted, global, &mut out).await
                }
            }
            RunsCommand::Cancel { run } => cancel(&place, run).await,
            RunsCommand::Approve { run, environment } => tell(&place, run, environment.as_deref(), Verdict::Approve).await,
            RunsCommand::Reject { run, environment, reason } => {
                tell(&place, run, environment.as_deref(), Verdict::Reject { reason: reason.clone() }).await
            }
            RunsCommand::Replay(_) | RunsCommand::Rerun(_) => Ok(()),
        }
    })
}

/// To the process that drives it.
async fn tell(place: &Place, given: &str, environment: Option<&str>, verdict: Verdict) -> Result<(), RunsError> {
    let found = find(place, given).await?;
    let Place::Here(records) = place else {
        return Err(RunsError::Untold("environments are approved where the run is: at GitHub, or on the server's own machine".to_owned()));
    };
    if found.interrupted {
        return Err(RunsError::Untold(format!("the process that drove {given} is dead: `tidegate serve` goes on with it")));
    }
    let facts: Vec<(Timestamp, RunFact)> = found.entries.into_iter().map(|(entry, fact)| (entry.at, fact)).collect();
    let said = if verdict == Verdict::Approve { "Approved" } else { "Rejected" };
    let run = Run::replay(&facts).map_err(|error| RunsError::Untold(error.to_string()))?;
    let about = approvals::environments(&run, environment).map_err(RunsError::Untold)?;
    for environment in &about {
        tell::say(&records.state, &records.journal, run.id(), &approvals::word(environment, &verdict)).await?;
    }
    println!("{said}: {}. `tidegate runs show {given}` says what comes of it.", about.join(", "));
    Ok(())
}

/// A run that somebody has named.
async fn find(place: &Place, given: &str) -> Result<Found, RunsError> {
    match place.run(given).await {
        Ok(found) if !found.entries.is_empty() => Ok(found),
        Ok(_) => Err(RunsError::Unknown(given.to_owned())),
        Err(error) if error.is_unknown() => Err(RunsError::Unknown(given.to_owned())),
        Err(error) => Err(error.into()),
    }
}

/// Whose facts these are.
fn id_of(found: &[(Entry, RunFact)]) -> Option<&RunId> {
    found.first().and_then(|(_, fact)| if let RunFact::Started { run, .. } = fact { Some(run) } else { None })
}

async fn ls(place: &Place, limit: usize, global: &Global, out: &mut impl Write) -> Result<(), RunsError> {
    let runs = place.runs(limit).await?;
    let wide = super::terminal::table_width();
    if runs.is_empty() && !global.json {
        eprintln!("There are no runs yet: `tidegate run` starts one.");
    }
    for line in runs {
        if global.json {
            writeln!(out, "{}", serde_json::to_string(&line).map_err(std::io::Error::other)?)?;
        } else {
            writeln!(out, "{}", line.render(wide))?;
        }
    }
    Ok(())
}

async fn cancel(place: &Place, given: &str) -> Result<(), RunsError> {
    let found = find(place, given).await?;
    let Some(run) = id_of(&found.entries) else { return Ok(()) };
    match place {
        Place::Nothing => return Err(RunsError::Unknown(given.to_owned())),
        Place::Here(records) => {
            let letters = crate::adapters::mailbox::Mailbox::new(records.state.folder("letters").map_err(PlaceError::from)?);
            tell::cancel(&records.state, &records.journal, &letters, run, "a person cancelled it").await?;
        }
        Place::There(remote) => drop(remote.act("runs", run.as_str(), "cancel", &serde_json::json!({})).await.map_err(PlaceError::from)?),
    }
    println!("told the process that drives {run} to cancel it");
    Ok(())
}
