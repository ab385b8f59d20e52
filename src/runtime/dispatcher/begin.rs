//! Begins a run that was asked for, and drives it to its end.

use std::sync::Arc;

use serde::Deserialize as _;

use super::{Command, Dispatcher, Means, is_start};
use crate::adapters::journal::Journal as _;
use crate::core::plan::Plan;
use crate::core::run::Run;
use crate::core::trust::{self, Origin};
use crate::model::check::Place;
use crate::model::event::Event;
use crate::model::fact::{Fact, Stream};
use crate::model::id::RunId;
use crate::model::request::{Again, RequestFact};
use crate::runtime::drive_run::{self, DriveError, KeptNodes, Stop, Surroundings};
use crate::runtime::hub::Told;
use crate::runtime::observer::{Observer, Shown};
use crate::runtime::recover::run_facts;
use crate::runtime::repeat::left;

/// Says what came of it, whatever that is.
pub(super) async fn begin(means: Arc<Means>, dispatcher: Dispatcher, run: RunId, stop: Stop) {
    let _ = match prepare(&means, &run).await {
        Ok((around, plan, kept)) => {
            let around = Surroundings { observer: observer(&means, &dispatcher, &run), ..around };
            match drive_run::drive(&around, run.clone(), plan, kept, stop).await {
                Ok(_) | Err(DriveError::Adopted) => {}
                Err(error) => means.hub.tell(Told::Note(format!("run {run} could not be driven to its end: {error}"))),
            }
            dispatcher.commands.send(Command::Ended(run)).await
        }
        Err(why) => dispatcher.commands.send(Command::Failed(run, why)).await,
    };
}

/// Tells everybody, and the queue that the run is there.
fn observer(means: &Means, dispatcher: &Dispatcher, run: &RunId) -> Observer {
    let (hub, commands, run) = (means.hub.observer(Some(run.clone())), dispatcher.commands.clone(), run.clone());
    Observer::calling(move |shown| {
        match &shown {
            Shown::Fact(entry) if is_start(&entry.fact) => {
                let (commands, run) = (commands.clone(), run.clone());
                tokio::spawn(async move { commands.send(Command::Begun(run)).await });
            }
            _ => {}
        }
        hub.pass(shown);
    })
}

async fn prepare(means: &Means, run: &RunId) -> Result<(Surroundings, Plan, KeptNodes), String> {
    let entries = means.around.journal.read(&Stream::Request(run.clone())).await.map_err(|error| error.to_string())?;
    let Some(Fact::Request(RequestFact::Asked { plan, again, .. })) = entries.first().map(|entry| &entry.fact) else {
        return Err("its request is not in the journal".to_owned());
    };
    let plan = Plan::deserialize(plan).map_err(|error| format!("its plan is damaged: {error}"))?;
    is_still_so(means, &plan.event).await?;
    let kept = match again {
        Some(again) => kept(means, again, &plan).await?,
        None => Vec::new(),
    };
    let (store, mirrors, event) = (means.store.clone(), means.mirrors.clone(), plan.event.clone());
    let snapshot = tokio::task::spawn_blocking(move || {
        let source = mirrors.source(&event.repository).map_err(|error| error.to_string())?;
        store.snapshot(source.root(), &event.commit).map_err(|error| error.to_string())
    });
    let snapshot = snapshot.await.map_err(|error| error.to_string())??;
    let state = &means.around.state;
    state.make_run(run).map_err(|error| error.to_string())?;
    // For whoever goes on with the run when this process dies.
    std::fs::write(state.tree(run), snapshot.path.as_os_str().as_encoded_bytes()).map_err(|error| error.to_string())?;
    Ok((Surroundings { snapshot: snapshot.path, ..means.around.clone() }, plan, kept))
}

/// Whoever approved a commit of a pull request approved that one: a push may have come in between, and its delivery be under way. What can not be asked now is
/// as it was heard of last, where the run is trusted; else it does not begin.
async fn is_still_so(means: &Means, event: &Event) -> Result<(), String> {
    let (Some(pull), Some(github)) = (&event.context.pull, &means.github) else { return Ok(()) };
    let place = Place { repository: event.repository.clone(), installation: event.context.installation };
    match github.pull(&place, pull.number).await {
        Ok(now) => trust::void(event, now.open.then_some(&now.commit)).map_or(Ok(()), Err),
        Err(_) if !pull.fork => Ok(()),
        Err(error) => Err(format!("whether it is still the head of its pull request can not be asked: {error}")),
    }
}

fn origin(plan: &Plan) -> Origin<'_> {
    Origin { repository: &plan.event.repository, pipeline: &plan.file, commit: &plan.event.commit, trust: plan.trust }
}

/// What the nodes that are not run again left.
async fn kept(means: &Means, again: &Again, now: &Plan) -> Result<KeptNodes, String> {
    let entries = means.around.journal.read(&Stream::Run(again.run.clone())).await.map_err(|error| error.to_string())?;
    let earlier = Run::replay(&run_facts(&entries)).map_err(|error| error.to_string())?;
    trust::repeatable(origin(earlier.plan()), origin(now))?;
    left(&earlier, &again.keep)
}
