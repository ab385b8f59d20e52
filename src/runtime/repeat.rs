//! What a run that is repeated takes over from the earlier one.

use std::path::Path;

use crate::core::run::Run;
use crate::model::id::NodeId;

use super::drive_run::KeptNodes;

/// What these nodes of a run left, if all of it is still there.
pub fn left(earlier: &Run, keep: &[NodeId]) -> Result<KeptNodes, String> {
    let mut kept = Vec::new();
    for node in keep {
        let left = earlier.kept(node).cloned().unwrap_or_default();
        if left.layer.as_ref().is_some_and(|layer| !Path::new(layer).is_dir()) {
            return Err(format!("what {node} left in run {} is not there any more: run all of it again", earlier.id()));
        }
        kept.push((node.clone(), earlier.id().clone(), left));
    }
    Ok(kept)
}
