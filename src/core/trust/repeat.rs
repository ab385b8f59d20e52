//! Runs that take over what an earlier run left.

use crate::model::id::CommitId;
use crate::model::trust::Trust;

/// Where outputs come from, or are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    pub repository: &'a str,
    pub pipeline: &'a str,
    pub commit: &'a CommitId,
    pub trust: Trust,
}

/// Whether a run may keep outputs of an earlier one: only of the same pipeline, commit and trust. Else a stranger's run could leave something for a trusted one.
pub fn repeatable(earlier: Origin<'_>, now: Origin<'_>) -> Result<(), String> {
    let differs = |what: &str| Err(format!("it can not keep what the earlier run left: that was {what}"));
    if earlier.repository != now.repository || earlier.pipeline != now.pipeline {
        return differs("of another pipeline");
    }
    if earlier.commit != now.commit {
        return differs("of another commit");
    }
    if earlier.trust != now.trust {
        return differs("trusted with something else");
    }
    Ok(())
}
