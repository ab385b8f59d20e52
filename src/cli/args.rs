//! The command line as clap sees it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

#[path = "args/server.rs"]
mod server;
pub use server::{Lasting, LogFormat, LogLevel, LoginArguments, ScopeArgument, TokensArguments, TokensCommand};

/// The exit codes of docs/cli.md.
const AFTER: &str = "Exit codes: 0 it worked, 1 a step failed or something was found, 2 the command line or a file is wrong, \
3 a rollout was rolled back or aborted, 4 Tidegate's or the machine's fault, 130 interrupted";
/// Behind those of the command itself.
const EVERYWHERE: &str = "Options of every command";

/// Pipelines of ephemeral functions, and deploys that shift traffic gradually and roll back by themselves.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about, max_term_width = 100, arg_required_else_help = true, after_help = AFTER)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Where runs, releases and the journal are kept [default: $XDG_STATE_HOME/tidegate or ~/.local/state/tidegate]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "DIR", env = "TIDEGATE_STATE_DIR", hide_env = true)]
    pub state_dir: Option<PathBuf>,
    /// Limits, required protections and prices [default: $XDG_CONFIG_HOME/tidegate/settings.yaml or ~/.config/tidegate/settings.yaml, if it is there]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE", env = "TIDEGATE_CONFIG", hide_env = true)]
    pub config: Option<PathBuf>,
    /// Ask this server instead of this machine [default: $TIDEGATE_SERVER]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "URL", env = "TIDEGATE_SERVER", hide_env = true)]
    pub server: Option<String>,
    /// Speak with the server also where others can read what is sent
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub insecure_http: bool,
    /// JSON instead of text on standard output: facts as they happen, one a line
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub json: bool,
    /// Colours: `auto` respects NO_COLOR and pipes
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// The repository [default: the one around the current folder]
    #[arg(long, short = 'C', global = true, help_heading = EVERYWHERE, value_name = "DIR")]
    pub repository: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find errors in pipeline files
    Check(CheckArguments),
    /// Show what would run and why; changes nothing
    Plan(PlanArguments),
    /// Print the JSON Schema of pipeline files, for editors
    Schema(SchemaArguments),
    /// Run a pipeline on a commit of this repository
    Run(RunArguments),
    /// Ask a Tidegate server for a run, and wait for its end
    Trigger(TriggerArguments),
    /// Look at past runs
    Runs(RunsArguments),
    /// Deploy a function by hand, with the same rollout as a pipeline's
    Deploy(DeployArguments),
    /// Look at rollouts and decide about them
    Rollout(RolloutArguments),
    /// Keep functions serving behind the gateway
    Serve(ServeArguments),
    /// Look at what the forge has sent, and have it handled again
    Deliveries(DeliveriesArguments),
    /// Make and revoke tokens for the API of this machine's server
    Tokens(TokensArguments),
    /// Keep a token for a server, so that commands find it
    Login(LoginArguments),
    /// Scan files for secrets
    Scan(ScanArguments),
    /// Look at container images that are kept here, bring some, remove some
    Images(ImagesArguments),
    /// Say what this machine can isolate and what to do about what is missing
    Doctor,
    /// Print completions for a shell
    Completions(CompletionsArguments),
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Pipeline files [default: .tidegate/*.yaml]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How findings are written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: CheckFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    Text,
    Json,
    Sarif,
}

#[derive(Debug, Args)]
pub struct SchemaArguments {
    /// That of the policy file instead
    #[arg(long)]
    pub policy: bool,
}

#[derive(Debug, Args)]
pub struct PlanArguments {
    /// The pipeline file [default: the only one in .tidegate/]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub event: EventArguments,
}

/// What the pipeline is told about why it runs.
#[derive(Debug, Clone, Args)]
pub struct EventArguments {
    /// A parameter of `on.manual.params`
    #[arg(long = "param", value_name = "KEY=VALUE")]
    pub params: Vec<String>,
    /// Pretend that this event happened instead of a manual start
    #[arg(long, value_name = "KIND", default_value = "manual")]
    pub on: EventKindArgument,
    /// Run the working tree as it is, uncommitted changes included, instead of the commit
    #[arg(long)]
    pub worktree: bool,
    /// Only this step and what it needs
    #[arg(long = "step", value_name = "STEP")]
    pub steps: Vec<String>,
    /// The event that a GitHub workflow runs for: the file that $GITHUB_EVENT_PATH names
    #[arg(long = "event", value_name = "FILE", conflicts_with_all = ["on", "worktree"])]
    pub event_file: Option<PathBuf>,
    /// What that event is called
    #[arg(long = "event-name", value_name = "NAME", env = "GITHUB_EVENT_NAME", hide_env = true)]
    pub event_name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EventKindArgument {
    Manual,
    Push,
    PullRequest,
    Schedule,
}

/// Whom the end of it is told besides the person.
#[derive(Debug, Clone, Default, Args)]
pub struct ReportArguments {
    /// Tell the workflow that this runs in: annotations, a summary, outputs
    #[arg(long, value_name = "FORM")]
    pub report: Option<ReportArgument>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportArgument {
    // Workflow commands, $GITHUB_STEP_SUMMARY and $GITHUB_OUTPUT
    GithubActions,
}

#[derive(Debug, Args)]
pub struct RunArguments {
    /// The pipeline file [default: the only one in .tidegate/]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub event: EventArguments,
    #[command(flatten)]
    pub isolation: IsolationArguments,
    #[command(flatten)]
    pub gateway: GatewayArguments,
    /// Deploy to this environment, which needs somebody's approval
    #[arg(long, value_name = "ENVIRONMENT")]
    pub approve: Vec<String>,
    /// Invocations at once [default: the number of processors]
    #[arg(long, value_name = "N")]
    pub parallel: Option<usize>,
    /// Keep serving the deployed functions after the run until Ctrl-C
    #[arg(long)]
    pub keep_serving: bool,
    #[command(flatten)]
    pub report: ReportArguments,
}

#[derive(Debug, Clone, Args)]
pub struct IsolationArguments {
    /// What runs the steps
    #[arg(long, value_name = "EXECUTOR", default_value = "auto")]
    pub executor: ExecutorArgument,
    /// The container engine's socket [default: $DOCKER_HOST, $CONTAINER_HOST, or where Docker and Podman have it]
    #[arg(long, value_name = "SOCKET")]
    pub engine: Option<String>,
    /// When a registry is asked for the image of a step [default: missing]
    #[arg(long, value_name = "WHEN")]
    pub pull: Option<PullArgument>,
    /// How much of images is kept when another one was pulled; those used longest ago go first, and none that something runs in [default: 32GiB]
    #[arg(long, value_name = "SIZE")]
    pub keep_images: Option<Size>,
    /// Run steps and functions without isolation where the machine has none
    #[arg(long)]
    pub allow_unisolated: bool,
    /// Host folders to show read-only in the sandbox besides /usr and the like, and to put on its PATH (their bin folders, where they have one)
    #[arg(long, value_name = "DIR")]
    pub host_tools: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExecutorArgument {
    // The sandbox, also for images where it can; otherwise a container engine
    Auto,
    // Tidegate's own sandbox, which needs no engine
    Sandbox,
    // A container engine
    Container,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PullArgument {
    // For images that are not on this machine
    Missing,
    // Before every step, whether the name now stands for something else
    Always,
    // What is not here can not be had
    Never,
}

#[derive(Debug, Clone, Args)]
pub struct GatewayArguments {
    /// Where the gateway listens when this command hosts it; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
    // Open there already.
    #[arg(skip)]
    pub listener: crate::adapters::gateway::Handed,
}

#[derive(Debug, Args)]
pub struct TriggerArguments {
    /// The pipeline file, as the repository has it
    #[arg(value_name = "FILE")]
    pub file: String,
    /// The server; what it is asked with is the token in $TIDEGATE_TOKEN
    #[arg(long, value_name = "URL", env = "TIDEGATE_SERVER", hide_env = true)]
    pub url: String,
    /// The repository, as the server knows it: owner/name
    #[arg(long = "of", value_name = "NAME", env = "GITHUB_REPOSITORY", hide_env = true)]
    pub of: String,
    /// A branch, a tag or a commit [default: the default branch]
    #[arg(long = "ref", value_name = "REF", default_value = "", hide_default_value = true)]
    pub reference: String,
    /// A parameter of `on.manual.params`
    #[arg(long = "param", value_name = "KEY=VALUE")]
    pub params: Vec<String>,
    /// Do not wait
    #[arg(long)]
    pub no_wait: bool,
    #[command(flatten)]
    pub report: ReportArguments,
}

#[derive(Debug, Args)]
pub struct RunsArguments {
    #[command(subcommand)]
    pub command: RunsCommand,
}

#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List runs, newest first
    Ls {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// One run with its steps
    Show {
        /// An id, the beginning of one, or `latest`
        run: String,
    },
    /// What a run took and cost, or all runs of each repository together
    Usage {
        /// An id, the beginning of one, or `latest`
        #[arg(conflicts_with = "of")]
        run: Option<String>,
        /// Only this repository, by the name that the list has for it
        #[arg(long, value_name = "NAME")]
        of: Option<String>,
    },
    /// The logs of a run, or of one step
    Logs {
        /// An id, the beginning of one, or `latest`
        run: String,
        /// Only this step's
        step: Option<String>,
        /// What a service beside the step said instead
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
        /// Go on until the run has ended
        #[arg(long, short)]
        follow: bool,
    },
    /// Cancel a run, whichever process drives it
    Cancel {
        /// An id, the beginning of one, or `latest`
        run: String,
    },
    /// Run a past run again, here or on the server that is named
    Rerun(RerunArguments),
    /// Let a run that waits go on into an environment
    Approve {
        /// An id, the beginning of one, or `latest`
        run: String,
        /// Only what waits for this one
        #[arg(long, value_name = "NAME")]
        environment: Option<String>,
    },
    /// Do not let a run that waits go on: its steps fail
    Reject {
        /// An id, the beginning of one, or `latest`
        run: String,
        /// Only what waits for this one
        #[arg(long, value_name = "NAME")]
        environment: Option<String>,
        /// What people shall read there
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Run a step of a past run again, in the same sandbox; the past run stays as it is
    Replay(ReplayArguments),
}

#[derive(Debug, Args)]
pub struct RerunArguments {
    /// An id, the beginning of one, or `latest`
    pub run: String,
    /// Only what did not succeed, and what needs it
    #[arg(long, conflicts_with = "step")]
    pub failed: bool,
    /// Only this step, and what needs it
    #[arg(long, value_name = "STEP")]
    pub step: Option<String>,
    #[command(flatten)]
    pub isolation: IsolationArguments,
    #[command(flatten)]
    pub gateway: GatewayArguments,
    /// Deploy to this environment, which needs somebody's approval
    #[arg(long, value_name = "ENVIRONMENT")]
    pub approve: Vec<String>,
    /// Invocations at once [default: the number of processors]
    #[arg(long, value_name = "N")]
    pub parallel: Option<usize>,
}

#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// An id, the beginning of one, or `latest`
    pub run: String,
    /// Which step [default: the one that failed]
    pub step: Option<String>,
    /// A shell in the sandbox, where the script stops
    #[arg(long)]
    pub shell: bool,
    #[command(flatten)]
    pub isolation: IsolationArguments,
}

#[derive(Debug, Args)]
pub struct DeployArguments {
    /// The function's name in the pipeline file
    pub function: String,
    /// The zip to publish
    #[arg(long, value_name = "FILE")]
    pub artifact: PathBuf,
    /// The pipeline file that defines the function [default: the only one in .tidegate/]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// A parameter of `on.manual.params`
    #[arg(long = "param", value_name = "KEY=VALUE")]
    pub params: Vec<String>,
    #[command(flatten)]
    pub isolation: IsolationArguments,
    #[command(flatten)]
    pub gateway: GatewayArguments,
    #[command(flatten)]
    pub report: ReportArguments,
}

#[derive(Debug, Args)]
pub struct RolloutArguments {
    #[command(subcommand)]
    pub command: RolloutCommand,
}

#[derive(Debug, Subcommand)]
pub enum RolloutCommand {
    /// List rollouts, newest first
    Ls {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// One rollout with its stages and the numbers that decided it
    Show {
        /// An id, the beginning of one, or `latest`
        rollout: String,
    },
    /// Give the new release all traffic now
    Promote {
        /// An id, the beginning of one, or `latest`
        rollout: String,
    },
    /// Stop a rollout that is under way and put back what was there
    Abort {
        /// An id, the beginning of one, or `latest`
        rollout: String,
    },
    /// Go back to the release that was stable before this rollout, also after it was promoted
    Rollback {
        /// An id, the beginning of one, or `latest`
        rollout: String,
    },
}

#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Where the gateway listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    pub listen: std::net::SocketAddr,
    #[command(flatten)]
    pub isolation: IsolationArguments,
    /// How Tidegate's own log is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// How much of it
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,
}

#[derive(Debug, Args)]
pub struct DeliveriesArguments {
    #[command(subcommand)]
    pub command: DeliveriesCommand,
}

#[derive(Debug, Subcommand)]
pub enum DeliveriesCommand {
    /// List webhook deliveries, newest first
    Ls {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
        /// Only those that wait, or that have been handled
        #[arg(long, value_name = "STATE")]
        state: Option<DeliveryState>,
        /// Only those of this event, as the forge calls it
        #[arg(long, value_name = "EVENT")]
        event: Option<String>,
    },
    /// One delivery: what it wants, what became of it, and its body
    Show {
        /// An id, or the beginning of one
        delivery: String,
    },
    /// Have a delivery handled again: what it has started is not started twice, what was lost is
    Replay {
        /// An id, or the beginning of one
        delivery: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeliveryState {
    Waiting,
    Handled,
}

#[derive(Debug, Args)]
pub struct ScanArguments {
    /// Files and folders
    #[arg(value_name = "PATH", default_value = ".")]
    pub paths: Vec<PathBuf>,
    /// Write the findings as SARIF
    #[arg(long, value_name = "FILE")]
    pub sarif: Option<PathBuf>,
    /// Fail for findings at or above
    #[arg(long, value_name = "SEVERITY", default_value = "low")]
    pub fail: SeverityArgument,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SeverityArgument {
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Debug, Args)]
pub struct ImagesArguments {
    #[command(subcommand)]
    pub command: ImagesCommand,
}

#[derive(Debug, Subcommand)]
pub enum ImagesCommand {
    /// List images, the one used last first
    Ls,
    /// Get an image from its registry, also when there is one of that name already
    Pull {
        /// Such as debian:12, ghcr.io/owner/name:tag or name@sha256:…
        image: String,
    },
    /// Take in what `docker save`, `podman save` or `skopeo copy … oci-archive:` wrote
    Import {
        /// The archive; `-` reads standard input
        file: PathBuf,
        /// What it shall be called [default: as the archive says]
        name: Option<String>,
    },
    /// Remove images that nothing runs in, those used longest ago first
    Prune {
        /// Keep as many as fit into this [default: none]
        #[arg(long, value_name = "SIZE")]
        keep: Option<Size>,
    },
}

/// Bytes, as a pipeline file writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        crate::core::spec::fields::size::parse(text).map(Self)
    }
}

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// For which shell
    pub shell: clap_complete::Shell,
}

impl GatewayArguments {
    /// Of a command that hosts nothing.
    pub fn nowhere() -> Self {
        Self { listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)), listener: Default::default() }
    }
}
