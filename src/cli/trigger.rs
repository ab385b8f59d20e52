//! `tidegate trigger`: a run on a Tidegate server, shown here as if it ran here. What it says is in the server's logs.

mod client;

use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::args::{Global, TriggerArguments};
use super::exit::Exit;
use super::pipeline;
use super::print::println;
use super::screen::Screen;
use super::session::{self, fail};
use super::workflow::Workflow;
use crate::model::fact::{Entry, Fact, RunFact};
use crate::model::outcome::RunOutcome;
use crate::report::run::text::clean;
use crate::runtime::observer::Observer;
use client::{Client, ClientError, Start};

/// How often the server is asked what is new.
const LOOK: Duration = Duration::from_millis(700);
/// How long a server may be away: it may be restarting.
const PATIENCE: Duration = Duration::from_secs(300);

pub fn run(global: &Global, arguments: &TriggerArguments, workflow: &mut Workflow) -> Exit {
    let params = match pipeline::params_of(&arguments.params) {
        Ok(params) => params,
        Err(why) => return fail(Exit::Usage, why),
    };
    let start = Start { repository: arguments.of.clone(), pipeline: arguments.file.clone(), reference: arguments.reference.clone(), params };
    let client = match Client::new(&arguments.url, std::env::var("TIDEGATE_TOKEN").ok()) {
        Ok(client) => client,
        Err(error) => return fail(Exit::Usage, error),
    };
    match session::tokio() {
        Ok(tokio) => tokio.block_on(perform(global, arguments, &client, &start, workflow)),
        Err(error) => fail(Exit::Infrastructure, error),
    }
}

async fn perform(global: &Global, arguments: &TriggerArguments, client: &Client, start: &Start, workflow: &mut Workflow) -> Exit {
    let stop = match session::stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => return fail(Exit::Infrastructure, error),
    };
    let asked = match client.start(start).await {
        Ok(asked) => asked,
        Err(error) => return fail(error.exit(), error),
    };
    let [run] = asked.runs.as_slice() else {
        return fail(Exit::Infrastructure, format!("the server was asked for one run and has begun {}: {}", asked.runs.len(), clean(&asked.said)));
    };
    if !global.json {
        println!("{} has been asked for run {}", clean(client.url()), clean(run));
    }
    workflow.told.outputs.insert("run", run.clone());
    if arguments.no_wait {
        workflow.told.outputs.insert("outcome", "asked".to_owned());
        return Exit::Success;
    }
    let observer = Observer::default();
    let (finished, done) = oneshot::channel();
    let screen = tokio::spawn(Screen::new(global, workflow.is_asked()).follow(observer.clone(), done));
    let ended = follow(client, run, &start.repository, &observer, stop).await;
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
    client: &Client,
    run: &str,
    repository: &str,
    observer: &Observer,
    mut stop: watch::Receiver<Option<String>>,
) -> Result<RunOutcome, ClientError> {
    let (mut last, mut heard, mut waits) = (0, Instant::now(), false);
    loop {
        let seen = tokio::select! {
            seen = client.facts(run, last) => seen,
            _ = stop.wait_for(Option::is_some) => {
                client.cancel(run).await?;
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
            Err(ClientError::Unknown(why)) if last == 0 => {
                heard = Instant::now();
                match client.waits(repository, run).await {
                    Ok(Some(why)) if !waits => {
                        waits = true;
                        observer.note(why);
                    }
                    Ok(Some(_)) => {}
                    // Between the two looks it may have begun: what is in neither, in two looks, is nowhere.
                    Ok(None) => match client.facts(run, 0).await {
                        Err(ClientError::Unknown(_)) => return Err(ClientError::Dropped(why)),
                        _ => continue,
                    },
                    Err(error) if error.is_passing() => {}
                    Err(error) => return Err(error),
                }
            }
            Err(error) if error.is_passing() && heard.elapsed() < PATIENCE => {}
            Err(error) => return Err(error),
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
