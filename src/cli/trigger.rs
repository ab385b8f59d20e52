//! `tidegate trigger`: a run on a Tidegate server, shown here as if it ran here. What it says is in the server's logs.

use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::args::{Global, TriggerArguments};
use super::exit::Exit;
use super::pipeline;
use super::place::{Remote, RemoteError};
use super::print::println;
use super::screen::Screen;
use super::session::{self, fail};
use super::workflow::Workflow;
use crate::model::fact::{Entry, Fact, RunFact};
use crate::model::outcome::RunOutcome;
use crate::report::run::text::clean;
use crate::runtime::observer::Observer;
use crate::server::api::actions::{Asked, Start};

/// How often the server is asked what is new.
const LOOK: Duration = Duration::from_millis(700);
/// How long a server may be away: it may be restarting.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, thiserror::Error)]
enum TriggerError {
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// No run has been asked for.
    #[error(transparent)]
    Asking(RemoteError),
    #[error("the run was asked for and will not begin: its request was dropped ({0})")]
    Dropped(String),
}

impl TriggerError {
    fn exit(&self) -> Exit {
        match self {
            Self::Dropped(_) => Exit::Cancelled,
            // No repository or pipeline of that name: it is the name that is wrong.
            Self::Asking(error) if error.is_usage() => Exit::Usage,
            Self::Asking(_) => Exit::Infrastructure,
            // A run that is asked for by its whole id and is not there has been there.
            Self::Remote(error) if error.is_unknown() => Exit::Infrastructure,
            Self::Remote(error) if error.is_usage() => Exit::Usage,
            Self::Remote(_) => Exit::Infrastructure,
        }
    }
}

pub fn run(global: &Global, arguments: &TriggerArguments, workflow: &mut Workflow) -> Exit {
    let params = match pipeline::params_of(&arguments.params) {
        Ok(params) => params,
        Err(why) => return fail(Exit::Usage, why),
    };
    let start = Start { repository: arguments.of.clone(), pipeline: arguments.file.clone(), reference: arguments.reference.clone(), params };
    let server = match Remote::at(&arguments.url, global.insecure_http) {
        Ok(server) => server,
        Err(error) => return fail(Exit::Usage, error),
    };
    match session::tokio() {
        Ok(tokio) => tokio.block_on(perform(global, arguments, &server, &start, workflow)),
        Err(error) => fail(Exit::Infrastructure, error),
    }
}

async fn perform(global: &Global, arguments: &TriggerArguments, server: &Remote, start: &Start, workflow: &mut Workflow) -> Exit {
    let stop = match session::stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => return fail(Exit::Infrastructure, error),
    };
    // Once: whether an answer that did not come would have been a run, nobody knows.
    let asked = match server.post::<Asked>(&["runs"], start).await.map_err(TriggerError::Asking) {
        Ok(asked) => asked,
        Err(error) => return fail(error.exit(), error),
    };
    let [run] = asked.runs.as_slice() else {
        return fail(Exit::Infrastructure, format!("the server was asked for one run and has begun {}: {}", asked.runs.len(), clean(&asked.said)));
    };
    if !global.json {
        println!("{} has been asked for run {}", clean(&arguments.url), clean(run));
    }
    workflow.told.outputs.insert("run", run.clone());
    if arguments.no_wait {
        workflow.told.outputs.insert("outcome", "asked".to_owned());
        return Exit::Success;
    }
    let observer = Observer::default();
    let (finished, done) = oneshot::channel();
    let screen = tokio::spawn(Screen::new(global, workflow.is_asked()).follow(observer.clone(), done));
    let ended = follow(server, run, &start.repository, &observer, stop).await;
    let _ = finished.send(());
    let Ok(screen) = screen.await else { return Exit::Infrastructure };
    if !screen.is_json() {
        println!("{}", screen.summary(&[]).trim_end());
    }
    workflow.take(&screen, &[], None);
    match ended {
        Ok(outcome) => super::run::exit_of(outcome, &screen),
        Err(error) => fail(error.exit(), error),
    }
}

/// Until the run has an end. A person who does not want to wait any longer does not want the run either.
async fn follow(
    server: &Remote,
    run: &str,
    repository: &str,
    observer: &Observer,
    mut stop: watch::Receiver<Option<String>>,
) -> Result<RunOutcome, TriggerError> {
    let (mut last, mut heard, mut waits) = (0, Instant::now(), false);
    loop {
        let seen = tokio::select! {
            seen = server.facts_after(run, last) => seen,
            _ = stop.wait_for(Option::is_some) => {
                server.act("runs", run, "cancel", &serde_json::json!({})).await?;
                return Ok(RunOutcome::Cancelled);
            }
        };
        match seen {
            Ok(page) => {
                heard = Instant::now();
                let nothing = page.facts.is_empty();
                for entry in page.facts {
                    last = entry.number;
                    observer.fact(&entry);
                    if let Some(outcome) = outcome(&entry) {
                        return Ok(outcome);
                    }
                }
                if nothing && page.interrupted {
                    return Ok(RunOutcome::Interrupted);
                }
            }
            // It has been asked for and has not begun.
            Err(error) if error.is_unknown() && last == 0 => {
                heard = Instant::now();
                match server.request_of(repository, run).await {
                    Ok(Some(request)) if !waits => {
                        waits = true;
                        observer
                            .note(request.approval.map_or_else(|| "it waits for its turn".to_owned(), |why| format!("it waits for approval: {why}")));
                    }
                    Ok(Some(_)) => {}
                    // Between the two looks it may have begun: what is in neither, in two looks, is nowhere.
                    Ok(None) => match server.facts_after(run, 0).await {
                        Err(gone) if gone.is_unknown() => return Err(TriggerError::Dropped(error.to_string())),
                        _ => continue,
                    },
                    Err(error) if error.is_passing() => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) if error.is_passing() && heard.elapsed() < PATIENCE => {}
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stop.wait_for(Option::is_some) => {}
        }
    }
}

fn outcome(entry: &Entry) -> Option<RunOutcome> {
    if let Fact::Run(RunFact::Ended { outcome }) = &entry.fact { Some(*outcome) } else { None }
}
