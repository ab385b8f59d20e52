//! Which executor there is to be had on this machine, or why none.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use super::auto::{Auto, Engines};
use super::container::{self, ContainerExecutor, Engine, EngineError, Pull};
use super::sandbox::{Attended, SandboxExecutor, Whence};
use super::{Desk, Executor, Mixed, Watcher, Way};
use crate::adapters::image::{Keyring, Progress, PullPolicy};
use crate::adapters::sandbox::{self, Isolation, Verdict};
use crate::adapters::workspace::Store;
use crate::model::id::{NodeId, RunId};
use crate::model::invocation::{InvocationResult, InvocationSpec};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The way that fits a step: `Way::of`.
    Auto,
    Sandbox,
    Container,
}

#[derive(Debug, Clone)]
pub struct Configuration {
    /// The state folder, which `store` is in.
    pub state: PathBuf,
    pub store: Store,
    /// Run without isolation where the machine has none.
    pub allow_unisolated: bool,
    /// Host folders shown read-only; their `bin` folders are put on the path.
    pub host_tools: Vec<PathBuf>,
    /// The container engine's socket, where it was named.
    pub engine: Option<String>,
    /// When a registry is asked for an image.
    pub pull: PullPolicy,
    /// Bytes of images that are kept when another one was pulled.
    pub keep_images: u64,
    /// Who we are to registries.
    pub keyring: Keyring,
    /// Protections without which nothing runs, by their names in a record (or `cgroup`).
    pub require: Vec<String>,
}

/// Why there is no executor, and the ways out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0}\n  Without --executor container steps run in the sandbox, which needs no engine")]
    Engine(#[from] EngineError),
    #[error("the state folder can not be told from others: {0}")]
    Identity(String),
    #[error(
        "this machine can not isolate steps: {why}\n  {remedy}\n  Or run without isolation: --allow-unisolated (steps can then read and change whatever you can)"
    )]
    NoIsolation { why: String, remedy: String },
    #[error(
        "the settings require what this machine does not give: {why}\n  {remedy}\n  Or take it out of `require:` in the settings: steps then run without it"
    )]
    Unprotected { why: String, remedy: String },
    #[error("--host-tools {}: {why}; name a folder that exists, and that no other user's secrets are in", path.display())]
    HostTools { path: PathBuf, why: String },
}

/// Every executor there is.
#[derive(Debug)]
pub enum AnyExecutor {
    Sandbox(SandboxExecutor),
    Container(ContainerExecutor),
    /// What `auto` is where steps can be isolated.
    Auto(Box<Auto>),
    /// What `auto` is where nothing but an engine isolates.
    Mixed(Box<Mixed>),
}

impl Executor for AnyExecutor {
    fn desk(&self) -> &Desk {
        match self {
            Self::Sandbox(executor) => executor.desk(),
            Self::Container(executor) => executor.desk(),
            Self::Auto(executor) => executor.desk(),
            Self::Mixed(executor) => executor.desk(),
        }
    }
    async fn invoke(&self, spec: InvocationSpec, log: &Path, watcher: Watcher) -> InvocationResult {
        match self {
            Self::Sandbox(executor) => executor.invoke(spec, log, watcher).await,
            Self::Container(executor) => executor.invoke(spec, log, watcher).await,
            Self::Auto(executor) => executor.invoke(spec, log, watcher).await,
            Self::Mixed(executor) => executor.invoke(spec, log, watcher).await,
        }
    }
    async fn resume(&self, run: &RunId, node: &NodeId, attempt: u32, log: &Path, watcher: Watcher) -> InvocationResult {
        match self {
            Self::Sandbox(executor) => executor.resume(run, node, attempt, log, watcher).await,
            Self::Container(executor) => executor.resume(run, node, attempt, log, watcher).await,
            Self::Auto(executor) => executor.resume(run, node, attempt, log, watcher).await,
            Self::Mixed(executor) => executor.resume(run, node, attempt, log, watcher).await,
        }
    }
}

impl AnyExecutor {
    /// See `SandboxExecutor::invoke_aside`.
    pub async fn invoke_aside(&self, name: &RunId, spec: InvocationSpec, log: &Path, watcher: Watcher) -> InvocationResult {
        match self {
            Self::Sandbox(executor) => executor.invoke_aside(name, spec, log, watcher).await,
            Self::Auto(executor) => executor.sandbox.invoke_aside(name, spec, log, watcher).await,
            Self::Container(executor) => executor.invoke_aside(name, spec, log, watcher).await,
            Self::Mixed(mixed) => match &mixed.bare {
                Ok(bare) if spec.image.is_none() => bare.invoke_aside(name, spec, log, watcher).await,
                Err(why) if spec.image.is_none() => mixed.container.refuse(why),
                _ => mixed.container.invoke_aside(name, spec, log, watcher).await,
            },
        }
    }

    /// See `SandboxExecutor::attend`.
    pub async fn attend(
        &self,
        spec: &InvocationSpec,
        from: Whence,
        terminal: (&str, BorrowedFd<'_>),
        progress: Progress<'_>,
    ) -> Result<Attended, String> {
        match self {
            Self::Sandbox(executor) => executor.attend(spec, from, terminal, progress).await,
            Self::Auto(executor) => executor.sandbox.attend(spec, from, terminal, progress).await,
            Self::Container(_) | Self::Mixed(_) => Err("not supported yet: a shell in a container of an engine".to_owned()),
        }
    }

    /// Whether its invocations are kept apart.
    pub fn isolates(&self) -> bool {
        match self {
            Self::Sandbox(executor) => executor.isolation() == Isolation::Full,
            Self::Auto(_) | Self::Container(_) => true,
            Self::Mixed(mixed) => mixed.bare.is_err(),
        }
    }

    /// Removes what killed processes left where it is not in the state folder. Answers how many invocations that were of.
    pub async fn tidy(&self) -> Result<usize, EngineError> {
        match self {
            Self::Sandbox(_) => Ok(0),
            Self::Container(executor) => executor.tidy().await,
            Self::Auto(executor) => executor.tidy().await,
            Self::Mixed(mixed) => mixed.container.tidy().await,
        }
    }
}

/// Opens an executor. Where it needs isolation, the machine is tried first: better no run than one that is not what it says.
pub async fn open(choice: Choice, configuration: Configuration) -> Result<AnyExecutor, Refusal> {
    match choice {
        Choice::Container => {
            let engine = engine(&configuration).await?;
            if let Some(missing) = lacking(&engine, &configuration.require) {
                let why = format!("steps in containers of {} do not have `{missing}`", engine.name);
                return Err(Refusal::Unprotected { why, remedy: "run steps in the sandbox: leave --executor container out".to_owned() });
            }
            let executor = ContainerExecutor::new(&configuration.state, configuration.store, engine, Pull::from(configuration.pull));
            let executor = executor.map(|executor| executor.knowing(configuration.keyring));
            executor.map(AnyExecutor::Container).map_err(|error| Refusal::Identity(error.to_string()))
        }
        Choice::Auto | Choice::Sandbox => {
            let mut host_tools = Vec::new();
            for path in &configuration.host_tools {
                let real = path.canonicalize().map_err(|error| Refusal::HostTools { path: path.clone(), why: error.to_string() })?;
                if !real.is_dir() || real.parent().is_none() {
                    return Err(Refusal::HostTools { path: path.clone(), why: "it is no folder below the root".to_owned() });
                }
                host_tools.push(real);
            }
            let isolation = match sandbox::try_isolation() {
                Verdict::Present { .. } => Isolation::Full,
                Verdict::Missing { why, remedy } if !configuration.require.is_empty() => return Err(Refusal::Unprotected { why, remedy }),
                Verdict::Missing { why, remedy } => {
                    let lacks = format!("this machine can not isolate steps: {why}\n  {remedy}");
                    let refusal = (!configuration.allow_unisolated).then_some(Refusal::NoIsolation { why, remedy });
                    match (choice, engine(&configuration).await) {
                        (Choice::Auto, Ok(engine)) => return mixed(configuration, engine, host_tools, refusal, lacks),
                        _ if let Some(refusal) = refusal => return Err(refusal),
                        _ => Isolation::None,
                    }
                }
            };
            if !configuration.require.is_empty()
                && let Verdict::Missing { why, remedy } = sandbox::try_protections(&configuration.require)
            {
                return Err(Refusal::Unprotected { why, remedy });
            }
            let Configuration { state, store, pull, keep_images, keyring, require, engine: named, .. } = configuration;
            let executor = SandboxExecutor::new(&state, store.clone(), host_tools, isolation).requiring(require.clone());
            let sandbox = executor.chosen(choice).pulling(pull, keep_images).knowing(keyring.clone());
            Ok(match (choice, isolation) {
                (Choice::Auto, Isolation::Full) => {
                    let engines = Engines { state, store, named, pull: Pull::from(pull), keyring, require };
                    AnyExecutor::Auto(Box::new(Auto { sandbox, engines }))
                }
                _ => AnyExecutor::Sandbox(sandbox),
            })
        }
    }
}

async fn engine(configuration: &Configuration) -> Result<Engine, EngineError> {
    engine_at(configuration.engine.as_deref()).await
}

/// The engine of this name, or else the one that there is.
pub(super) async fn engine_at(named: Option<&str>) -> Result<Engine, EngineError> {
    let socket = container::find_engine(named, |name| std::env::var_os(name))?;
    Engine::at(&socket).await
}

/// What is required and an engine's containers do not have.
pub(super) fn lacking<'a>(engine: &Engine, required: &'a [String]) -> Option<&'a String> {
    let lacks = |name: &&String| if *name == "cgroup" { !engine.holds("cgroup-memory") } else { !engine.holds(name) };
    required.iter().find(lacks)
}

/// `refusal`: why nothing may run without isolation. `lacks`: what this machine does not have for it.
fn mixed(
    configuration: Configuration,
    engine: Engine,
    host_tools: Vec<PathBuf>,
    refusal: Option<Refusal>,
    lacks: String,
) -> Result<AnyExecutor, Refusal> {
    let Configuration { state, store, pull, keep_images, keyring, .. } = configuration;
    let bare = match refusal {
        Some(why) => Err(format!("it has no `image`, and {why}\n  Or give the step an `image: …`: {} is here to run it", engine.name)),
        // It runs in no image, so it pulls none.
        None => Ok(SandboxExecutor::new(&state, store.clone(), host_tools, Isolation::None).chosen(Choice::Auto).pulling(pull, keep_images)),
    };
    let container = ContainerExecutor::new(&state, store, engine, Pull::from(pull)).map_err(|error| Refusal::Identity(error.to_string()))?;
    let container = container.knowing(keyring).by(Way::of(Choice::Auto, true, Isolation::None));
    Ok(AnyExecutor::Mixed(Box::new(Mixed { container, bare, lacks })))
}
