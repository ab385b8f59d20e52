//! What runs have to do with one another: what one takes over from an earlier one, and whom it gets in the way of.

use crate::model::event::Event;
use crate::model::id::CommitId;
use crate::model::request::Group;
use crate::model::trust::Trust;

/// Where outputs come from, or are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    pub repository: &'a str,
    pub pipeline: &'a str,
    pub commit: &'a CommitId,
    pub trust: Trust,
}

/// The group of a run, as its trust lets it have one: a stranger's runs stand in line with those of the same pull request only, and supersede no others.
#[must_use]
pub fn apart(group: Group, event: &Event, trust: Trust) -> Group {
    if trust.is_trusted() {
        return group;
    }
    let of = event.context.pull.as_ref().map(|pull| pull.number.to_string()).unwrap_or_else(|| event.commit.to_string());
    Group { name: format!("untrusted {of} {}", group.name), ..group }
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
