//! Approval of a commit: a person's word about exactly what they have seen.

use crate::model::event::{Actor, Event};
use crate::model::id::CommitId;
use crate::model::policy::{Deed, Policy};
use crate::model::trust::{Approval, Permission};

use super::may::may;

/// What a commit has to be named with at least.
const SHORTEST: usize = 7;

/// What `approve` makes of a comment or a button; the error is the answer to give.
///
/// `head` is what the pull request points to now, `known` every commit that it has pointed to. Whoever can choose their commits can make two that begin alike and
/// change them at the right moment: so what was said must fit only one of them.
pub fn approve(
    policy: &Policy,
    (by, permission): (&Actor, Permission),
    said: Option<&str>,
    head: &CommitId,
    known: &[CommitId],
) -> Result<Approval, String> {
    may(policy, Deed::Approve, by, permission)?;
    let how = || format!("write /tidegate approve {} if that is what you have looked at", head.short());
    let Some(said) = said else { return Err(format!("say which commit: {}", how())) };
    let said = part(said).map_err(|why| format!("{why}: {}", how()))?;
    if !head.as_str().starts_with(&said) {
        return Err(format!("{said} is not the head of this pull request, it is {} by now: {}", head.short(), how()));
    }
    if known.iter().any(|commit| commit != head && commit.as_str().starts_with(&said)) {
        return Err(format!("this pull request has had several commits that begin with {said}: name all of {head}"));
    }
    Ok(Approval { by: by.login.clone(), commit: head.clone() })
}

/// Which of these commits somebody means; the error is the answer to give them. What was said must fit only one of them, as with [`approve`].
pub fn named<'a>(said: &str, commits: &'a [CommitId]) -> Result<&'a CommitId, String> {
    let said = part(said)?;
    let mut fitting = commits.iter().filter(|commit| commit.as_str().starts_with(&said));
    let Some(first) = fitting.next() else { return Err(format!("nothing is known here of a commit {said}")) };
    match fitting.find(|commit| *commit != first) {
        Some(_) => Err(format!("several commits begin with {said}: name all of the one that you mean")),
        None => Ok(first),
    }
}

/// Enough of a commit's name to be one.
fn part(said: &str) -> Result<String, String> {
    let said = said.to_ascii_lowercase();
    let is_name = said.bytes().all(|byte| byte.is_ascii_hexdigit()) && (SHORTEST..=40).contains(&said.len());
    if is_name { Ok(said) } else { Err(format!("a commit is named by {SHORTEST} or more of its hex digits")) }
}

/// Whether it is the end of a pull request: what that starts is not void by it.
pub fn closes(event: &Event) -> bool {
    event.context.pull.is_some() && event.context.action.as_deref() == Some("closed")
}

/// Why what was asked for is not so any more, if it is not. Asked when somebody pushes, when it is approved, and once more right before it begins.
///
/// `head` is what the pull request points to now; `None` if it is closed, or its repository gone.
pub fn void(asked: &Event, head: Option<&CommitId>) -> Option<String> {
    asked.context.pull.as_ref()?;
    match head {
        // Asked for because it was closed.
        None if closes(asked) => None,
        None => Some("its pull request is closed, or its repository gone".to_owned()),
        Some(head) if *head != asked.commit => Some(format!("its pull request has another head by now: {}", head.short())),
        Some(_) => None,
    }
}
