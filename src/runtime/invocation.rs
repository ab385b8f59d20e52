//! From a node of the plan and what its needs left to what an executor or a rollout is asked.

use std::path::{Path, PathBuf};

use crate::core::plan::{Deploy, Work};
use crate::core::run::Run;
use crate::model::deploy::RolloutPolicy;
use crate::model::function::Function;
use crate::model::id::{Digest, InvocationId, NodeId};
use crate::model::invocation::{CaptureLimits, InvocationSpec, default_grace};
use crate::model::time::Timestamp;

use super::{clock, condition};

/// What the executor is asked; the error is the user's to mend (a value that no step has set).
pub fn spec(run: &Run, id: &NodeId, attempt: u32, invocation: InvocationId, deadline: Timestamp, snapshot: &Path) -> Result<InvocationSpec, String> {
    let (node, view) = run.node(id).zip(run.needs(id)).ok_or("this node is not in the plan")?;
    let Work::Invoke(work) = &node.work else { return Err("this step runs nothing".to_owned()) };
    let steps = condition::steps(&view);
    let (script, env) = work.resolve(&steps).map_err(|error| error.to_string())?;
    let image = work.resolve_image(&steps).map_err(|error| error.to_string())?;
    let build = work.resolve_build(&steps).map_err(|error| error.to_string())?;
    let services = work.resolve_services(&steps).map_err(|error| error.to_string())?;
    let mut layers = vec![snapshot.to_path_buf()];
    for layer in view.needs.iter().filter_map(|need| need.kept?.layer.as_ref()) {
        let layer = PathBuf::from(layer);
        // Two steps with the same outputs have the same layer, and a layer may stand in an overlay once.
        if !layers.contains(&layer) {
            layers.push(layer);
        }
    }
    Ok(InvocationSpec {
        id: invocation,
        run: run.id().clone(),
        node: id.clone(),
        attempt,
        script,
        env,
        layers,
        outputs: work.outputs.clone(),
        image,
        build,
        services,
        timeout: clock::until(deadline),
        network: work.network.clone(),
        resources: work.resources.clone(),
        limits: CaptureLimits::default(),
        grace: default_grace(),
    })
}

/// What a rollout is asked.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub function: Function,
    pub artifact: PathBuf,
    pub digest: Digest,
    pub policy: RolloutPolicy,
}

pub fn deployment(run: &Run, id: &NodeId) -> Result<Deployment, String> {
    let node = run.node(id).ok_or("this node is not in the plan")?;
    let Work::Deploy(deploy) = &node.work else { return Err("this step deploys nothing".to_owned()) };
    let Deploy { function, artifact, policy } = &**deploy;
    let left = run.kept(&artifact.node).ok_or_else(|| format!("{} left nothing to deploy: it did not run", artifact.node))?;
    let found = left.artifacts.iter().find(|found| found.name == artifact.output).zip(left.layer.as_ref());
    let (found, layer) = found.ok_or_else(|| format!("{} left no output {:?}", artifact.node, artifact.output))?;
    Ok(Deployment { function: function.clone(), artifact: Path::new(layer).join(&found.path), digest: found.digest.clone(), policy: policy.clone() })
}
