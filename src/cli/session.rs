//! What every command that changes something begins with: the state folder, the journal, and the end of what dead processes left.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::args::{ExecutorArgument, GatewayArguments, Global, IsolationArguments, PullArgument, Size};
use super::exit::Exit;
use super::settings::{self, SettingsError};
use crate::adapters::executor::{self, AnyExecutor, Choice, Configuration, EngineError, Refusal};
use crate::adapters::gateway::Isolation;
use crate::adapters::image::{ImageError, Images, Keyring, PullPolicy};
use crate::adapters::journal::{self, AnyJournal, JournalError};
use crate::adapters::mailbox::Mailbox;
use crate::adapters::provider::LocalOptions;
use crate::adapters::sandbox;
use crate::adapters::state::{self, Owner, StateError, StateFolder};
use crate::adapters::workspace::{Store, WorkspaceError};
use crate::core::run::Run;
use crate::model::settings::{Limits, Pull};
use crate::runtime::drive_run::{Rest, Surroundings};
use crate::runtime::observer::Observer;
use crate::runtime::recover::{Follower, RecoverError, recover};
use crate::runtime::rollouts::Rollouts;

/// Held for the life of the command. Fields are dropped in order: who we are goes last.
pub struct Session {
    pub rollouts: Rollouts,
    pub executor: Arc<AnyExecutor>,
    pub store: Store,
    pub observer: Observer,
    pub journal: AnyJournal,
    pub state: StateFolder,
    pub limits: Limits,
    owner: Owner,
}

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Recover(#[from] RecoverError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("{0}")]
    Refused(#[from] Refusal),
}

impl SessionError {
    /// What the command line asked for and can not be had, or what the machine lacks.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Settings(_) | Self::Refused(Refusal::Engine(EngineError::Remote { .. }) | Refusal::HostTools { .. }) => Exit::Usage,
            _ => Exit::Infrastructure,
        }
    }
}

impl Session {
    /// Opens everything. Needs a tokio runtime around it.
    pub async fn open(global: &Global, isolation: &IsolationArguments, gateway: &GatewayArguments) -> Result<Self, SessionError> {
        let settings = settings::load(global)?.settings;
        sandbox::set_warm(settings.warm);
        let state = StateFolder::open(state::locate(global.state_dir.as_deref(), |name| std::env::var_os(name))?)?;
        let owner = state.claim()?;
        let journal = journal::open(&state.journal(), owner.id())?;
        let store = Store::open(state.root(), sandbox::outer_uid())?;
        let choice = match isolation.executor {
            ExecutorArgument::Auto => Choice::Auto,
            ExecutorArgument::Sandbox => Choice::Sandbox,
            ExecutorArgument::Container => Choice::Container,
        };
        let configuration = Configuration {
            state: state.root().to_owned(),
            store: store.clone(),
            allow_unisolated: isolation.allow_unisolated,
            host_tools: isolation.host_tools.clone(),
            engine: isolation.engine.clone(),
            pull: pull_policy(isolation.pull, settings.images.pull),
            keep_images: isolation.keep_images.map(|Size(bytes)| bytes).or(settings.images.keep).unwrap_or(KEEP_IMAGES),
            keyring: Keyring::new(settings.registries),
            require: settings.require.clone(),
        };
        let executor = Arc::new(executor::open(choice, configuration).await?);
        // Before anything new is made, what dead processes left is removed: first whoever may still write, then what was written.
        executor.tidy().await.map_err(Refusal::from)?;
        store.sweep()?;
        sandbox::sweep_groups();
        if Images::are_there(state.root()) {
            Images::open(state.root(), store.clone(), sandbox::outer_uid())?.sweep()?;
        }
        let options = LocalOptions {
            isolation: if executor.isolates() { Isolation::Full } else { Isolation::None },
            host_tools: isolation.host_tools.clone(),
            required: settings.require,
            listener: gateway.listener.clone(),
            ..LocalOptions::new(gateway.listen)
        };
        let observer = Observer::default();
        let mailbox = Mailbox::new(state.folder("letters")?);
        let rollouts = Rollouts::new(journal.clone(), state.clone(), mailbox, observer.clone(), options);
        Ok(Self { rollouts, executor, store, observer, journal, state, limits: settings.limits, owner })
    }

    /// Ends what dead processes left unfinished, or goes on with it.
    pub async fn recover(&self, rest: Rest) -> Result<(), SessionError> {
        let around = self.around(PathBuf::new(), processors());
        Ok(recover(&around, self.owner.id(), rest, &|_| Follower::nobody()).await?)
    }

    /// The same, where somebody looks after the runs that are gone on with.
    pub async fn recover_with(&self, around: &Surroundings, follower: &(dyn Fn(&Run) -> Follower + Sync)) -> Result<(), SessionError> {
        Ok(recover(around, self.owner.id(), Rest::Run, follower).await?)
    }

    /// What runs on this tree are performed with.
    pub fn around(&self, snapshot: PathBuf, parallel: NonZeroUsize) -> Surroundings {
        Surroundings {
            journal: self.journal.clone(),
            executor: self.executor.clone(),
            rollouts: self.rollouts.clone(),
            observer: self.observer.clone(),
            state: self.state.clone(),
            snapshot,
            limits: self.limits,
            parallel,
        }
    }
}

/// Bytes of images that are kept where nobody says.
const KEEP_IMAGES: u64 = 32 << 30;

/// What was typed comes before what the settings say.
fn pull_policy(typed: Option<PullArgument>, settings: Option<Pull>) -> PullPolicy {
    match (typed, settings) {
        (Some(PullArgument::Always), _) | (None, Some(Pull::Always)) => PullPolicy::Always,
        (Some(PullArgument::Never), _) | (None, Some(Pull::Never)) => PullPolicy::Never,
        (Some(PullArgument::Missing), _) | (None, None | Some(Pull::Missing)) => PullPolicy::Missing,
    }
}

/// How many invocations a run has at once where nobody says.
pub fn processors() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// A runtime for one command.
pub fn tokio() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Says what is wrong and how the command ends for it.
pub fn fail(exit: Exit, why: impl std::fmt::Display) -> Exit {
    super::print::eprintln!("error: {why}");
    exit
}

/// Turns the first Ctrl-C or TERM into a wish to stop; the second ends the process at once (what it leaves, the next start removes).
pub fn stop_on_signals() -> std::io::Result<watch::Receiver<Option<String>>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (wish, stop) = watch::channel(None);
    tokio::spawn(async move {
        let by = tokio::select! { _ = interrupt.recv() => "Ctrl-C", _ = terminate.recv() => "a signal to terminate" };
        wish.send_replace(Some(by.to_owned()));
        tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () }
        std::process::exit(130);
    });
    Ok(stop)
}
