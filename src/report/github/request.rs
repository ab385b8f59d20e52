//! What has been asked for and has not begun: it waits, or it never will.

use serde_json::json;

use crate::model::check::{Action, Check, Conclusion, External, Said};
use crate::model::event::Event;
use crate::model::id::RunId;
use crate::model::request::{Dropped, RequestFact};
use crate::model::time::Timestamp;

use super::pipeline::{name, row_of, waiting};
use super::text::{code, fenced, plain};
use super::words::{TITLE, sign};
use super::{House, Name};

/// Bytes of why it can not begin.
const MOST_WHY: usize = 8_000;

/// What is wrong with a pipeline file is a picture of it: its lines stay lines.
fn because(why: &str) -> String {
    let lines: Vec<String> = why.lines().map(str::to_owned).collect();
    if lines.len() > 1 { fenced(&lines, MOST_WHY) } else { format!("{}.", code(why)) }
}

/// Where it stands.
struct Standing {
    conclusion: Option<Conclusion>,
    /// Plain.
    title: String,
    /// Markdown.
    why: Option<String>,
    actions: Vec<Action>,
}

pub(super) fn said(facts: &[(Timestamp, RequestFact)], house: &House) -> Option<Said> {
    let (asked, run, pipeline, event, approval) = facts.iter().find_map(|(at, fact)| match fact {
        RequestFact::Asked { run, pipeline, event, approval, .. } => Some((*at, run, pipeline, event, approval)),
        _ => None,
    })?;
    let standing = standing(facts, event, approval.as_deref());
    let state = waiting(standing.conclusion);
    let subject: Vec<String> =
        [event.branch.as_deref().unwrap_or(""), event.commit.short(), &event.subject].into_iter().map(code).filter(|it| !it.is_empty()).collect();
    let summary = json!({
        "sign": sign(state), "result": &standing.title, "subject": subject.join(" "), "nodes": [],
        "usage": standing.why, "hint": format!("Run {}", code(run.as_str())),
    });
    let check = Check {
        external: External { run: run.clone(), node: None },
        name: name(pipeline),
        state,
        started: None,
        ended: facts.last().map(|(at, _)| *at).filter(|at| *at != asked && standing.conclusion.is_some()),
        title: plain(&standing.title, TITLE),
        summary: house.templates.render(Name::Run, &summary),
        text: String::new(),
        annotations: Vec::new(),
        actions: standing.actions,
        details: house.link(run),
    };
    let line = event.context.pull.as_ref().map(|pull| row_of(house, run, pipeline, event, pull.number, state, &standing.title, ""));
    Some(Said { commit: event.commit.clone(), checks: vec![check], deployments: Vec::new(), line })
}

fn standing(facts: &[(Timestamp, RequestFact)], event: &Event, approval: Option<&str>) -> Standing {
    let ended = |conclusion, title: &str, why: Option<String>| Standing {
        conclusion: Some(conclusion),
        title: title.to_owned(),
        why,
        actions: vec![Action::Rerun],
    };
    let by = |run: &RunId| format!("By run {}, which is newer.", code(run.as_str()));
    for (_, fact) in facts.iter().rev() {
        match fact {
            RequestFact::Dropped { why: Dropped::Superseded { by: newer } } => return ended(Conclusion::Cancelled, "Superseded", Some(by(newer))),
            RequestFact::Dropped { why: Dropped::Cancelled { by } } => {
                return ended(Conclusion::Cancelled, "Cancelled before it began", Some(format!("By {}.", code(by))));
            }
            RequestFact::Dropped { why: Dropped::Rejected { by } } => {
                return ended(Conclusion::Failure, "Rejected", Some(format!("By {}, for {}.", code(by), code(event.commit.short()))));
            }
            RequestFact::Dropped { why: Dropped::Void { because } } => {
                return ended(Conclusion::Cancelled, "Not wanted any more", Some(format!("Because {}.", code(because))));
            }
            RequestFact::Dropped { why: Dropped::Failed { why } } => {
                return ended(Conclusion::Failure, "It could not begin", Some(because(why)));
            }
            RequestFact::Approved { approval } => {
                return Standing {
                    conclusion: None,
                    title: "Waiting for its turn".to_owned(),
                    why: Some(format!("Approved by {} for {}.", code(&approval.by), code(approval.commit.short()))),
                    actions: vec![Action::Cancel],
                };
            }
            RequestFact::Asked { .. } | RequestFact::Begun => {}
        }
    }
    match approval {
        Some(why) => Standing {
            conclusion: Some(Conclusion::ActionRequired),
            title: "Waiting for approval".to_owned(),
            why: Some(format!(
                "{}.\n\nWhoever may write to this repository can let exactly this commit run, or not: with the buttons, or with a comment that begins {} or {}.",
                code(why),
                code(&format!("/tidegate approve {}", event.commit.short())),
                code(&format!("/tidegate reject {}", event.commit.short()))
            )),
            actions: vec![Action::Approve, Action::Reject, Action::Cancel],
        },
        None => Standing { conclusion: None, title: "Waiting for its turn".to_owned(), why: None, actions: vec![Action::Cancel] },
    }
}
