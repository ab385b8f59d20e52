//! A rollout, as a deployment.

use crate::core::plan::Work;
use crate::model::check::{Deployment, DeploymentState, DeploymentWord};
use crate::model::fact::RolloutOutcome;
use crate::report::rollout::Picture;
use crate::report::run::view::NodeView;

use super::Scene;
use super::text::plain;

/// Characters of what is said of it.
const MOST: usize = 140;

/// `None` for a step that hands nothing over to a rollout (yet).
pub(super) fn deployment(scene: &Scene<'_>, node: &NodeView) -> Option<Deployment> {
    let picture = scene.pictures.get(node.rollout.as_ref()?);
    let plan = scene.plan()?;
    let planned = plan.node(&node.id)?;
    let Work::Deploy(deploy) = &planned.work else { return None };
    // Where the policy knows no environment, each function is one.
    let environment = plain(planned.environment.as_ref().map_or(&deploy.function.name, |gate| &gate.environment), 100);
    Some(Deployment {
        external: scene.external(Some(&node.id)),
        production: environment == "production",
        description: plain(&format!("{} of {}", node.name, scene.view.pipeline), MOST),
        environment,
        state: picture.map_or(DeploymentState { word: DeploymentWord::Queued, description: String::new() }, state),
        details: scene.house.link(scene.run),
    })
}

fn state(picture: &Picture) -> DeploymentState {
    let (word, said) = match picture.outcome() {
        Some(RolloutOutcome::Promoted) => (DeploymentWord::Success, "serves all traffic".to_owned()),
        Some(RolloutOutcome::Unchanged) => (DeploymentWord::Success, "was serving already".to_owned()),
        Some(RolloutOutcome::RolledBack { reason }) => (DeploymentWord::Failure, format!("rolled back: {reason}")),
        Some(RolloutOutcome::Aborted { reason }) => (DeploymentWord::Failure, format!("taken back by hand: {reason}")),
        Some(RolloutOutcome::Failed { reason }) => (DeploymentWord::Failure, format!("not rolled out: {reason}")),
        Some(RolloutOutcome::Stuck { reason }) => (DeploymentWord::Error, format!("stuck, a person must look: {reason}")),
        None => (DeploymentWord::InProgress, now(picture)),
    };
    DeploymentState { word, description: plain(&said, MOST) }
}

/// Where it stands, without the numbers that change with every look.
pub(super) fn now(picture: &Picture) -> String {
    let stage = picture.stages().iter().rev().find(|stage| stage.since.is_some() && stage.until.is_none());
    stage.map_or_else(|| "begins".to_owned(), |stage| format!("{} of traffic", stage.weight))
}
