//! Where a command looks: the state folder of this machine, or a server. Whatever it is, the same facts come out of it, and the same code shows them.

mod credentials;
mod remote;
mod sse;

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::time::Duration;

use super::args::Global;
use super::settings::{self, SettingsError};
use crate::adapters::journal::{self, Journal as _, JournalError};
use crate::adapters::state::{self, StateError, StateFolder, service_log};
use crate::model::fact::{Entry, Fact, Stream};
use crate::model::id::{NodeId, RolloutId, RunId};
use crate::model::settings::Prices;
use crate::report::run::list::Line;
use crate::report::run::usage::Repository;
use crate::runtime::records::{Filter, Found, Records, RecordsError};
use crate::runtime::said::{Piece, Said, SaidError};

pub use credentials::{forget, keep};
pub use remote::{Remote, RemoteError, address};

/// How often a log of this machine is looked at.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub enum Place {
    /// Nothing has ever been kept here.
    Nothing,
    Here(Records),
    There(Remote),
}

#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Said(#[from] SaidError),
    #[error("{0}")]
    File(#[from] std::io::Error),
}

impl PlaceError {
    /// Whether it is the command line that is wrong.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Settings(_) | Self::Records(RecordsError::Unknown { .. } | RecordsError::Ambiguous { .. }) => true,
            Self::Remote(error) => error.is_usage(),
            _ => false,
        }
    }

    /// What was asked for is not there.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Records(RecordsError::Unknown { .. }) => true,
            Self::Remote(RemoteError::Problem(problem)) => problem.status == 404,
            _ => false,
        }
    }
}

/// An attempt's log, or what a service beside it said.
#[derive(Debug, Clone, Copy)]
pub struct Log<'a> {
    pub run: &'a RunId,
    pub node: &'a NodeId,
    pub attempt: u32,
    pub service: Option<&'a str>,
}

impl Place {
    /// The server that was named, or else the state folder. Makes nothing.
    pub fn of(global: &Global) -> Result<Self, PlaceError> {
        if let Some(remote) = Remote::of(global)? {
            return Ok(Self::There(remote));
        }
        let root = state::locate(global.state_dir.as_deref(), |name| std::env::var_os(name))?;
        if !root.join("journal.db").exists() {
            return Ok(Self::Nothing);
        }
        let state = StateFolder::open(root)?;
        let journal = journal::open(&state.journal(), "reader")?;
        Ok(Self::Here(Records { state, journal }))
    }

    pub async fn runs(&self, limit: usize) -> Result<Vec<Line>, PlaceError> {
        match self {
            Self::Nothing => Ok(Vec::new()),
            Self::Here(records) => Ok(records.runs(&Filter::default(), None, limit).await?.0),
            Self::There(remote) => Ok(remote.runs(limit).await?),
        }
    }

    /// The run with this id, the only one whose id begins so, or the `latest`.
    pub async fn run(&self, given: &str) -> Result<Found, PlaceError> {
        match self {
            Self::Nothing => Err(RecordsError::Unknown { kind: "run", given: given.to_owned() }.into()),
            Self::Here(records) => Ok(records.run(&records.run_id(given).await?).await?),
            Self::There(remote) => Ok(remote.run(given).await?),
        }
    }

    pub async fn rollouts(&self, limit: usize) -> Result<Vec<(Entry, Entry)>, PlaceError> {
        match self {
            Self::Nothing => Ok(Vec::new()),
            Self::Here(records) => Ok(records.journal.rollouts(limit).await?),
            Self::There(remote) => Ok(remote.rollouts(limit).await?),
        }
    }

    pub async fn rollout(&self, given: &str) -> Result<(RolloutId, Vec<Entry>), PlaceError> {
        match self {
            Self::Nothing => Err(RecordsError::Unknown { kind: "rollout", given: given.to_owned() }.into()),
            Self::Here(records) => {
                let id = records.rollout_id(given).await?;
                let entries = records.journal.read(&Stream::Rollout(id.clone())).await?;
                Ok((id, entries))
            }
            Self::There(remote) => Ok(remote.rollout(given).await?),
        }
    }

    /// Those of the machine where the runs are.
    pub async fn prices(&self, global: &Global, run: &RunId) -> Result<Prices, PlaceError> {
        match self {
            Self::There(remote) => Ok(remote.usage_of(run).await?.prices),
            _ => Ok(settings::load(global)?.settings.prices),
        }
    }

    pub async fn usage(&self, global: &Global, only: Option<&str>) -> Result<(Vec<Repository>, Prices), PlaceError> {
        match self {
            Self::Nothing => Ok((Vec::new(), Prices::default())),
            Self::Here(records) => Ok((records.usage(only).await?, settings::load(global)?.settings.prices)),
            Self::There(remote) => Ok(remote.usage(only).await?),
        }
    }

    /// What is kept of a log, or its last bytes; `None` where nothing was said.
    pub async fn log(&self, log: Log<'_>, last: Option<u64>) -> Result<Option<Box<dyn Read>>, PlaceError> {
        let mut file = match self {
            Self::Nothing => return Ok(None),
            Self::Here(records) => match File::open(path(records, log)) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            },
            Self::There(remote) => match remote.log(log).await? {
                Some(file) => file,
                None => return Ok(None),
            },
        };
        if let Some(last) = last {
            let skipped = file.metadata()?.len().saturating_sub(last);
            file.seek(SeekFrom::Start(skipped))?;
        }
        Ok(Some(Box::new(file)))
    }

    /// What is said, as it is said, until nothing more can come.
    pub async fn follow(&self, log: Log<'_>, mut told: impl FnMut(&[u8]) -> std::io::Result<()>) -> Result<(), PlaceError> {
        let records = match self {
            Self::Nothing => return Ok(()),
            Self::Here(records) => records,
            Self::There(remote) => return Ok(remote.follow(log, told).await?),
        };
        let attempt = (log.run.clone(), log.node.clone(), log.attempt);
        let mut said = Said::new(records.clone(), attempt, path(records, log), 0);
        loop {
            match said.next().await? {
                Piece::Bytes(bytes) => told(&bytes)?,
                Piece::Nothing => tokio::time::sleep(LOOK).await,
                Piece::End => return Ok(()),
            }
        }
    }
}

fn path(records: &Records, log: Log<'_>) -> std::path::PathBuf {
    let path = records.state.log(log.run, log.node, log.attempt);
    log.service.map_or_else(|| path.clone(), |service| service_log(&path, service))
}

/// A run's facts out of entries of any kind.
fn run_facts(entries: Vec<Entry>, interrupted: bool) -> Found {
    let facts = entries.into_iter().filter_map(|entry| match &entry.fact {
        Fact::Run(fact) => Some((entry.clone(), fact.clone())),
        Fact::Rollout(_) | Fact::Request(_) => None,
    });
    Found { entries: facts.collect(), interrupted }
}

/// Says that a command is for this machine only, if a server was named.
pub fn only_here(global: &Global, command: &str) -> Result<(), String> {
    match &global.server {
        Some(_) => Err(format!("{command} works on this machine: leave out --server (and TIDEGATE_SERVER)")),
        None => Ok(()),
    }
}
