//! `tidegate runs rerun RUN`: a past run once more, all of it or a part, by the plan that was made then. What is not run again keeps what it left.

use super::super::approvals;
use super::super::args::{ExecutorArgument, Global, RerunArguments};
use super::super::exit::Exit;
use super::super::pipeline;
use super::super::place::{Place, Remote, RemoteError};
use super::super::print::{eprintln, println};
use super::super::run::{Job, perform};
use super::super::session::{self, fail};
use super::super::workflow::Workflow;
use super::replay::{ReplayError, recorded_tree};
use super::show::its_end;
use super::{RunsError, find};
use crate::adapters::journal::{Journal as _, JournalError};
use crate::adapters::source::{Revision, Source, SourceError};
use crate::core::plan::Plan;
use crate::core::run::{NotRepeated, Repeat, ReplayError as Damaged, Run};
use crate::model::fact::{RunFact, Stream};
use crate::model::id::{CommitId, RunId};
use crate::model::time::Timestamp;
use crate::report::run::text::clean;
use crate::runtime::drive_run::KeptNodes;
use crate::runtime::records::{Found, Records};
use crate::runtime::repeat::left;
use crate::server::api::actions::{Rerun, What};

#[derive(Debug, thiserror::Error)]
enum RerunError {
    #[error(transparent)]
    Runs(#[from] RunsError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error(transparent)]
    NotRepeated(#[from] NotRepeated),
    #[error("run {0} was asked for through a server, which tells others what comes of it: name it with --server")]
    OfServer(RunId),
    #[error("run {0} was of a working tree, which is not kept: `tidegate run --worktree` runs what is there now")]
    Worktree(RunId),
    #[error("commit {commit} of {repository} is not in {place}: go to the repository that has it, or name it with -C DIR")]
    NoCommit { commit: String, repository: String, place: String },
    #[error("how it is run is the server's affair: leave out all but --failed and --step")]
    NotThere,
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Failed(String),
}

impl RerunError {
    fn exit(&self) -> Exit {
        let usage = match self {
            Self::Runs(error) => error.is_usage(),
            Self::Remote(error) => error.is_usage(),
            Self::Journal(_) | Self::Damaged(_) | Self::Failed(_) => false,
            _ => true,
        };
        if usage { Exit::Usage } else { Exit::Infrastructure }
    }
}

pub(super) fn run(global: &Global, arguments: &RerunArguments) -> Exit {
    let ended = session::tokio().map_err(|error| RerunError::Failed(error.to_string())).and_then(|tokio| tokio.block_on(rerun(global, arguments)));
    ended.unwrap_or_else(|error| fail(error.exit(), clean(&error.to_string())))
}

async fn rerun(global: &Global, arguments: &RerunArguments) -> Result<Exit, RerunError> {
    match Place::of(global).map_err(RunsError::from)? {
        Place::There(remote) => there(&remote, arguments).await,
        place => {
            let found = find(&place, &arguments.run).await?;
            let Place::Here(records) = place else { return Err(RunsError::Unknown(arguments.run.clone()).into()) };
            here(global, arguments, &records, found).await
        }
    }
}

async fn there(remote: &Remote, arguments: &RerunArguments) -> Result<Exit, RerunError> {
    let isolation = &arguments.isolation;
    let chosen = isolation.executor != ExecutorArgument::Auto || isolation.engine.is_some() || isolation.pull.is_some() || isolation.allow_unisolated;
    if chosen || !isolation.host_tools.is_empty() || !arguments.approve.is_empty() || arguments.parallel.is_some() {
        return Err(RerunError::NotThere);
    }
    let what = match (&arguments.step, arguments.failed) {
        (Some(step), _) => What::Step(step.clone()),
        (None, true) => What::Failed,
        (None, false) => What::All,
    };
    let asked = remote.act("runs", &arguments.run, "rerun", &Rerun { what }).await?;
    println!("{}", clean(&asked.said));
    Ok(Exit::Success)
}

async fn here(global: &Global, arguments: &RerunArguments, records: &Records, found: Found) -> Result<Exit, RerunError> {
    let earlier = Run::replay(&whole(found))?;
    let id = earlier.id();
    if !records.journal.read_after(&Stream::Request(id.clone()), 0, 1).await?.is_empty() {
        return Err(RerunError::OfServer(id.clone()));
    }
    let what = match (&arguments.step, arguments.failed) {
        (Some(step), _) => Repeat::Step(step.clone()),
        (None, true) => Repeat::Failed,
        (None, false) => Repeat::All,
    };
    let keep = earlier.keeps(&what)?;
    recorded_tree(&records.state, id).map_err(|error| match error {
        ReplayError::Worktree => RerunError::Worktree(id.clone()),
        error => RerunError::Usage(error.to_string()),
    })?;
    let kept = left(&earlier, &keep).map_err(RerunError::Usage)?;
    let plan = earlier.plan().clone();
    if kept.len() == plan.nodes.len() {
        eprintln!("nothing of run {id} failed: nothing is run again");
        return Ok(Exit::Success);
    }
    approvals::are_given(&without(&plan, &kept), &arguments.approve).map_err(RerunError::Usage)?;
    let source = Source::discover(&pipeline::folder(global))?;
    let commit = plan.event.commit.clone();
    is_there(&source, &commit, &plan)?;
    let job = Job {
        source: &source,
        revision: &Revision::Commit(commit),
        isolation: &arguments.isolation,
        gateway: &arguments.gateway,
        approve: &arguments.approve,
        parallel: arguments.parallel,
        keep_serving: false,
        of: None,
    };
    Ok(perform(global, &job, plan, kept, &mut Workflow::default()).await)
}

/// Its facts, with the end that one will get whose process is dead.
fn whole(found: Found) -> Vec<(Timestamp, RunFact)> {
    let mut facts: Vec<(Timestamp, RunFact)> = found.entries.into_iter().map(|(entry, fact)| (entry.at, fact)).collect();
    let last = facts.last().map(|(at, _)| *at).filter(|_| found.interrupted);
    let end = last.map(|at| its_end(&facts, at)).unwrap_or_default();
    facts.extend(end);
    facts
}

/// Nobody is asked about what is not run again.
fn without(plan: &Plan, kept: &KeptNodes) -> Plan {
    let mut plan = plan.clone();
    plan.nodes.retain(|node| kept.iter().all(|(id, ..)| *id != node.id));
    plan
}

fn is_there(source: &Source, commit: &CommitId, plan: &Plan) -> Result<(), RerunError> {
    if source.about(commit).is_some() {
        return Ok(());
    }
    Err(RerunError::NoCommit {
        commit: commit.short().to_owned(),
        repository: plan.event.repository.clone(),
        place: source.root().display().to_string(),
    })
}
