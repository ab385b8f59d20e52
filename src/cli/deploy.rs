//! `tidegate deploy`: one function by hand, with the same rollout as a pipeline's.

use std::path::PathBuf;

use super::print::{eprint, println};
use tokio::sync::{oneshot, watch};

use super::args::{DeployArguments, EventArguments, EventKindArgument, Global};
use super::exit::Exit;
use super::here::Here;
use super::pipeline;
use super::screen::Screen;
use super::serving;
use super::session::{self, Session, fail};
use super::workflow::Workflow;
use crate::adapters::workspace::Halt;
use crate::core::plan;
use crate::model::deploy::RolloutPolicy;
use crate::model::fact::RolloutOutcome;
use crate::model::function::Function;
use crate::report::diagnostics::render;
use crate::runtime::drive_run::Rest;
use crate::runtime::rollouts::Deployment;

pub fn run(global: &Global, arguments: &DeployArguments, workflow: &mut Workflow) -> Exit {
    let wanted = match wanted(global, arguments, workflow) {
        Ok(wanted) => wanted,
        Err(exit) => return exit,
    };
    match session::tokio() {
        Ok(tokio) => tokio.block_on(perform(global, arguments, wanted, workflow)),
        Err(error) => fail(Exit::Infrastructure, error),
    }
}

/// A deployment whose artifact has not been looked into.
struct Wanted {
    function: Function,
    policy: RolloutPolicy,
    artifact: PathBuf,
}

fn wanted(global: &Global, arguments: &DeployArguments, workflow: &mut Workflow) -> Result<Wanted, Exit> {
    let usage = |why: String| fail(Exit::Usage, why);
    // What is deployed by hand is configured by the file as it lies there.
    let here = Here::discover(global, true).map_err(|error| usage(error.to_string()))?;
    let loaded = here.load(global, arguments.file.as_ref(), workflow).ok_or(Exit::Usage)?;
    let event = EventArguments {
        params: arguments.params.clone(),
        on: EventKindArgument::Manual,
        worktree: true,
        steps: Vec::new(),
        event_file: None,
        event_name: None,
    };
    let event = here.event(&event).map_err(usage)?;
    let (function, policy) = plan::function(&loaded.pipeline, &event, &arguments.function).map_err(|errors| {
        eprint!("{}", render(&loaded.file, &loaded.text, &errors, pipeline::look(global)));
        Exit::Usage
    })?;
    let path = &arguments.artifact;
    let artifact = path.canonicalize().map_err(|error| usage(format!("--artifact {}: {error}: name the zip to publish", path.display())))?;
    Ok(Wanted { function, policy, artifact })
}

async fn perform(global: &Global, arguments: &DeployArguments, wanted: Wanted, workflow: &mut Workflow) -> Exit {
    let session = match Session::open(global, &arguments.isolation, &arguments.gateway).await {
        Ok(session) => session,
        Err(error) => return fail(error.exit(), error),
    };
    let stop = match session::stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => return fail(Exit::Infrastructure, error),
    };
    let Wanted { function, policy, artifact } = wanted;
    let digest = match session.store.digest_of(&artifact, Halt::NEVER) {
        Ok((digest, _)) => digest,
        Err(error) => return fail(Exit::Usage, format!("{}: {error}", artifact.display())),
    };
    let wanted = Deployment { function, artifact, digest, policy };
    let (finished, done) = oneshot::channel();
    let screen = tokio::spawn(Screen::new(global, workflow.is_asked()).follow(session.observer.clone(), done));
    let ended = match session.recover(Rest::Leave).await {
        Ok(()) => session.rollouts.deploy(wanted, None, |_| (), abort_when_stopped(stop.clone())).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let _ = finished.send(());
    let Ok(screen) = screen.await else { return Exit::Infrastructure };
    if !screen.is_json() {
        println!("{}", screen.summary(&[]).trim_end());
        serving::say_where_logs_are(&session, screen.pictures());
    }
    workflow.deployed(screen.pictures());
    let exit = match ended {
        Ok(outcome) => exit_of(&outcome),
        Err(why) => fail(Exit::Infrastructure, why),
    };
    serving::end(global, session, false, stop).await;
    exit
}

/// A stop means for a rollout: put back what was there.
fn abort_when_stopped(mut stop: watch::Receiver<Option<String>>) -> watch::Receiver<bool> {
    let (abort, aborted) = watch::channel(false);
    tokio::spawn(async move {
        if stop.wait_for(Option::is_some).await.is_ok() {
            abort.send_replace(true);
        }
        // Kept open: a closed channel says that nobody will ever ask.
        abort.closed().await;
    });
    aborted
}

pub fn exit_of(outcome: &RolloutOutcome) -> Exit {
    match outcome {
        RolloutOutcome::Promoted | RolloutOutcome::Unchanged => Exit::Success,
        RolloutOutcome::RolledBack { .. } | RolloutOutcome::Aborted { .. } => Exit::RolledBack,
        RolloutOutcome::Failed { .. } => Exit::Failed,
        RolloutOutcome::Stuck { .. } => Exit::Infrastructure,
    }
}
