//! `tidegate run`: a pipeline on the commit that is checked out, or on the working tree.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::print::{eprint, eprintln, println};
use tokio::sync::oneshot;

use super::approvals;
use super::args::{GatewayArguments, Global, IsolationArguments, RunArguments};
use super::exit::Exit;
use super::here::Here;
use super::pipeline::{self, Loaded};
use super::screen::Screen;
use super::serving;
use super::session::{self, Session, fail};
use super::workflow::Workflow;
use crate::adapters::source::{Revision, Source};
use crate::adapters::workspace::{Scratch, WorkspaceError};
use crate::core::plan::{self, Plan, Selection};
use crate::core::spec::Pipeline;
use crate::core::{spec, trust};
use crate::model::diagnostic::Level;
use crate::model::fact::RolloutOutcome;
use crate::model::id::RunId;
use crate::model::outcome::{Outcome, RunOutcome};
use crate::report::diagnostics::render;
use crate::report::run::summary::LogTail;
use crate::report::run::text::clean;
use crate::report::run::view::{Status, View};
use crate::report::workflow::of_diagnostics;
use crate::runtime::drive_run::{self, KeptNodes, Rest};
use crate::runtime::{clock, ids};

/// Lines of a failed step's log in the summary.
const TAIL: usize = 20;
/// Bytes of a log that are read for them.
const TAIL_BYTES: u64 = 64 << 10;

pub fn run(global: &Global, arguments: &RunArguments, workflow: &mut Workflow) -> Exit {
    let here = match Here::discover(global, arguments.event.worktree) {
        Ok(here) => here,
        Err(error) => return fail(Exit::Usage, error),
    };
    let Some(loaded) = here.load(global, arguments.file.as_ref(), workflow) else { return Exit::Usage };
    let plan = match plan_of(global, arguments, &here, &loaded, workflow) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    if !global.json {
        match here.difference("running") {
            Ok(Some(note)) => eprintln!("note: {note}"),
            Ok(None) => {}
            Err(error) => return fail(Exit::Infrastructure, error),
        }
    }
    let job = Job {
        source: &here.source,
        revision: &here.revision,
        isolation: &arguments.isolation,
        gateway: &arguments.gateway,
        approve: &arguments.approve,
        parallel: arguments.parallel,
        keep_serving: arguments.keep_serving,
        of: Some((&loaded.file, &loaded.pipeline)),
    };
    match session::tokio() {
        Ok(tokio) => tokio.block_on(perform(global, &job, plan, Vec::new(), workflow)),
        Err(error) => fail(Exit::Infrastructure, error),
    }
}

/// What a plan is performed on and with.
pub(super) struct Job<'a> {
    pub source: &'a Source,
    pub revision: &'a Revision,
    pub isolation: &'a IsolationArguments,
    pub gateway: &'a GatewayArguments,
    pub approve: &'a [String],
    pub parallel: Option<usize>,
    pub keep_serving: bool,
    /// What it was made of, for a workflow around.
    pub of: Option<(&'a str, &'a Pipeline)>,
}

/// The plan, unless the event does not start the pipeline or something in it has no engine yet.
fn plan_of(global: &Global, arguments: &RunArguments, here: &Here, loaded: &Loaded, workflow: &mut Workflow) -> Result<Plan, Exit> {
    let look = pipeline::look(global);
    let event = here.event(&arguments.event).map_err(|message| fail(Exit::Usage, message))?;
    if let Selection::Not { because } = plan::select(&loaded.pipeline, &event) {
        let why = format!("{}: a {} does not start this pipeline: {because}", loaded.file, event.kind.word());
        eprintln!("{}", clean(&why));
        workflow.skipped(why);
        return Err(Exit::Success);
    }
    let mut missing = spec::unsupported(&loaded.pipeline);
    if !missing.is_empty() {
        missing.iter_mut().for_each(|diagnostic| diagnostic.level = Level::Error);
        eprint!("{}", render(&loaded.file, &loaded.text, &missing, look));
        workflow.told.annotations.extend(of_diagnostics(&loaded.file, &missing));
        return Err(Exit::Usage);
    }
    let plan = plan::build(&loaded.pipeline, &event, &arguments.event.steps).map_err(|errors| {
        eprint!("{}", render(&loaded.file, &loaded.text, &errors, look));
        workflow.told.annotations.extend(of_diagnostics(&loaded.file, &errors));
        Exit::Usage
    })?;
    let plan = trust::guard(plan, &here.policy());
    approvals::are_given(&plan, &arguments.approve).map_err(|message| fail(Exit::Usage, message))?;
    Ok(plan)
}

/// A new run of this plan; of `kept` nodes only what they left.
pub(super) async fn perform(global: &Global, job: &Job<'_>, plan: Plan, kept: KeptNodes, workflow: &mut Workflow) -> Exit {
    let session = match Session::open(global, job.isolation, job.gateway).await {
        Ok(session) => session,
        Err(error) => return fail(error.exit(), error),
    };
    let stop = match session::stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => return fail(Exit::Infrastructure, error),
    };
    let (finished, done) = oneshot::channel();
    let screen = tokio::spawn(Screen::new(global, workflow.is_asked()).follow(session.observer.clone(), done));
    let id = ids::run(clock::now());
    let ended = drive(&session, job, &id, (plan, kept), stop.clone()).await;
    let _ = finished.send(());
    let screen = match screen.await {
        Ok(screen) => screen,
        Err(error) => return fail(Exit::Infrastructure, error),
    };
    let tails = tails(&session, &id, screen.view());
    if !screen.is_json() {
        println!("{}{}", if screen.is_live() { "" } else { "\n" }, screen.summary(&tails).trim_end());
    }
    workflow.take(&screen, &tails, job.of);
    let exit = match ended {
        Ok(outcome) => exit_of(outcome, &screen),
        Err(exit) => exit,
    };
    if !screen.is_json() {
        serving::say_where_logs_are(&session, screen.pictures());
    }
    serving::end(global, session, job.keep_serving, stop).await;
    exit
}

async fn drive(session: &Session, job: &Job<'_>, id: &RunId, (plan, kept): (Plan, KeptNodes), stop: drive_run::Stop) -> Result<RunOutcome, Exit> {
    session.recover(Rest::Leave).await.map_err(|error| fail(Exit::Infrastructure, error))?;
    let tree = tree(session, job).map_err(|error| fail(Exit::Infrastructure, error))?;
    session.state.make_run(id).map_err(|error| fail(Exit::Infrastructure, error))?;
    // For whoever goes on with the run when this process dies.
    std::fs::write(session.state.tree(id), tree.path().as_os_str().as_encoded_bytes()).map_err(|error| fail(Exit::Infrastructure, error))?;
    approvals::say(&session.state, id, job.approve).map_err(|error| fail(Exit::Infrastructure, error))?;
    let around = session.around(tree.path(), job.parallel.and_then(NonZeroUsize::new).unwrap_or_else(session::processors));
    drive_run::drive(&around, id.clone(), plan, kept, stop).await.map_err(|error| fail(Exit::Infrastructure, error))
}

/// What the steps see at the bottom of their workspaces.
enum Tree {
    Commit(PathBuf),
    Worktree(Scratch),
}

impl Tree {
    fn path(&self) -> PathBuf {
        match self {
            Self::Commit(path) => path.clone(),
            Self::Worktree(scratch) => scratch.path().join("tree"),
        }
    }
}

fn tree(session: &Session, job: &Job<'_>) -> Result<Tree, WorkspaceError> {
    match job.revision {
        Revision::Commit(commit) => {
            let snapshot = session.store.snapshot(job.source.root(), commit)?;
            for submodule in &snapshot.submodules {
                session.observer.note(format!("the submodule {submodule} is not fetched: steps see an empty folder there"));
            }
            Ok(Tree::Commit(snapshot.path))
        }
        Revision::Worktree => Ok(Tree::Worktree(session.store.snapshot_worktree(job.source.root())?)),
    }
}

/// A rollout that went back is told apart from a step that failed: scripts want to know.
pub fn exit_of(outcome: RunOutcome, screen: &Screen) -> Exit {
    let back = |outcome: Option<&RolloutOutcome>| matches!(outcome, Some(RolloutOutcome::RolledBack { .. } | RolloutOutcome::Aborted { .. }));
    match outcome {
        RunOutcome::Succeeded => Exit::Success,
        RunOutcome::Failed if screen.pictures().any(|picture| back(picture.outcome())) => Exit::RolledBack,
        RunOutcome::Failed => Exit::Failed,
        RunOutcome::Cancelled => Exit::Cancelled,
        RunOutcome::Interrupted | RunOutcome::Infrastructure => Exit::Infrastructure,
    }
}

/// The ends of the logs of steps that went wrong.
fn tails(session: &Session, run: &RunId, view: &View) -> Vec<LogTail> {
    let wrong = |status: &Status| matches!(status, Status::Ended(Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Infrastructure { .. }));
    let nodes = view.nodes.iter().filter(|node| wrong(&node.status) && node.attempt > 0);
    nodes
        .map(|node| {
            let log = last_bytes(&session.state.log(run, &node.id, node.attempt)).unwrap_or_default();
            let text = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = text.lines().collect();
            let lines = lines[lines.len().saturating_sub(TAIL)..].iter().map(|line| (*line).to_owned()).collect();
            LogTail { node: node.id.clone(), lines }
        })
        .collect()
}

fn last_bytes(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
