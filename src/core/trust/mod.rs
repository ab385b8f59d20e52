//! Who may what in a repository, and what an untrusted run loses: docs/trust.md as functions.
//!
//! ```text
//!  default branch: .tidegate/policy.yaml ─policy─▶ Policy ──┐
//!  Trigger ─▶ Event ────────────────────────────────────────┼─decide─▶ Run | Wait | Refuse, and whose pipeline (text)
//!  what actor and author may, approvals of this commit ─────┘
//!  that pipeline × event ─▶ Plan ─guard─▶ environments looked up ─restrict (untrusted)─▶ Plan, as it is journaled and run
//! ```
//! Everything is about one commit. Who approves it approves nothing that comes after it, and what somebody is says nothing of what another has written:
//! so both the one who did something and the one who wrote it are looked at. What can not be decided is refused.
//!
//! Knows nothing of a forge: what somebody may was asked for before, and what is not known is [`Permission::None`](crate::model::trust::Permission).

mod approve;
mod decide;
mod environment;
mod may;
mod policy;
mod repeat;
mod restrict;

#[cfg(test)]
mod tests;

pub use approve::{approve, closes, named, void};
pub use decide::{Decision, Who, decide, text};
pub use environment::{accepts, guard, voice};
pub use may::{deed, may};
pub use policy::{Found, policy};
pub use repeat::{Origin, apart, repeatable};
pub use restrict::restrict;

use globset::{GlobBuilder, GlobSetBuilder};

/// `*` stays within one part of a path, `**` does not: as in a pipeline. What is no pattern matches nothing.
fn matches(patterns: &[String], text: &str) -> bool {
    let mut set = GlobSetBuilder::new();
    for glob in patterns.iter().filter_map(|pattern| GlobBuilder::new(pattern).literal_separator(true).build().ok()) {
        set.add(glob);
    }
    set.build().is_ok_and(|set| set.is_match(text))
}
