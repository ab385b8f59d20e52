//! Starts an instance's process and gets hold of the listener of its Runtime API: the one place that names the sandbox.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;
use tokio::net::unix::pipe::Receiver;

use super::environment::{self, Places, tool_path};
use super::options::{GatewayOptions, TMP_BYTES};
use crate::adapters::sandbox::{self, Bind, Isolation, NetworkOf, Running, SandboxError, SandboxSpec, Verdict};
use crate::model::function::Function;

/// Inside. Every instance has a network of its own, so all of them can have the same port.
const API_PORT: u16 = 9001;
const TASK: &str = "/var/task";

pub struct Launched {
    pub running: Running,
    /// Of the running one, but to be read while that is waited for.
    pub output: Receiver,
    pub listener: TcpListener,
}

/// This machine can not keep functions apart, and nobody said that they need not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this machine can not isolate functions: {why}\n  {remedy}\n  Or run them without isolation: --allow-unisolated (they can then read and change whatever you can)"
)]
pub struct NoIsolation {
    pub why: String,
    pub remedy: String,
}

/// How functions are kept apart here. The machine is tried first, also where less is allowed.
pub fn choose_isolation(allow_unisolated: bool) -> Result<Isolation, NoIsolation> {
    match sandbox::try_isolation() {
        Verdict::Present { .. } => Ok(Isolation::Full),
        Verdict::Missing { .. } if allow_unisolated => Ok(Isolation::None),
        Verdict::Missing { why, remedy } => Err(NoIsolation { why, remedy }),
    }
}

/// Starts `bootstrap` below `root`, which the process sees as `/var/task`.
pub async fn launch(function: &Function, version: u64, root: &Path, stream: &str, options: &GatewayOptions) -> Result<Launched, SandboxError> {
    let tools: Vec<String> = options.host_tools.iter().map(|tool| tool_path(tool)).collect();
    // Without isolation there is one network for all, and no other place for the task than where it is.
    let (outside, task, api) = match options.isolation {
        Isolation::Full => (None, TASK.to_owned(), format!("127.0.0.1:{API_PORT}")),
        Isolation::None => {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let api = listener.local_addr()?.to_string();
            (Some(listener), root.to_string_lossy().into_owned(), api)
        }
    };
    let mut read_only = vec![Bind { source: root.to_owned(), target: PathBuf::from(TASK) }];
    read_only.extend(options.host_tools.iter().map(|tool| Bind { source: tool.clone(), target: tool.clone() }));
    let spec = SandboxSpec {
        isolation: options.isolation,
        argv: vec![format!("{task}/bootstrap")],
        env: environment::of(function, version, stream, &Places { task: &task, api: &api, tools: &tools }),
        root: None,
        cwd: PathBuf::from(&task),
        hostname: "function".to_owned(),
        overlay: None,
        read_only,
        writable: Vec::new(),
        tmp_size: TMP_BYTES,
        network: if options.isolation == Isolation::None { NetworkOf::Host } else { NetworkOf::Own },
        listen: outside.is_none().then_some(API_PORT),
        limits: sandbox::Limits::default(),
        required: sandbox::required_for(&options.required, &sandbox::Limits::default()),
        lifted: Vec::new(),
    };
    let mut running = sandbox::spawn(&spec).await?;
    let listener = match (outside, running.listener.take()) {
        (Some(listener), _) => listener,
        (None, Some(listener)) => TcpListener::from_std(listener)?,
        (None, None) => return Err(SandboxError::Setup { stage: "the network", why: "no listener came out of it".to_owned() }),
    };
    let output = Receiver::from_owned_fd(running.output.as_fd().try_clone_to_owned()?)?;
    Ok(Launched { running, output, listener })
}
