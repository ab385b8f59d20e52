//! A run for GitHub: what its checks, deployments and the comment of its pull request shall say.
//!
//! ```text
//!  facts of the request ─┐                    ┌─▶ one check for the pipeline: table, rollouts, what it took
//!  facts of the run ─────┼─▶ View ─▶ said ────┼─▶ one check for each step: what went wrong, the end of its log, findings
//!  facts of rollouts ────┘                    ├─▶ one deployment for each rollout
//!  log tails, findings                        └─▶ one line of the pull request's comment
//! ```
//! Level-triggered: it follows from what has happened and from nothing else, so the same facts say the same, whenever and how often one asks. For that nothing in it depends
//! on what time it is.
//!
//! Nothing from outside (names, branches, reasons, output, findings) is Markdown here: [`text::code`] and [`text::fenced`] are the only ways in, and [`markdown::harmless`] for
//! what steps write to be Markdown.

mod deployment;
mod gate;
pub mod markdown;
mod pipeline;
mod request;
mod step;
mod templates;
pub mod text;
mod words;

use std::collections::HashMap;

use crate::core::plan::Plan;
use crate::model::check::{Check, External, Line, Said};
use crate::model::event::Event;
use crate::model::fact::{RolloutFact, RunFact};
use crate::model::finding::Finding;
use crate::model::id::{NodeId, RolloutId, RunId};
use crate::model::request::RequestFact;
use crate::model::settings::Prices;
use crate::model::time::Timestamp;

use super::rollout::Picture;
use super::run::summary::LogTail;
use super::run::view::View;

pub use templates::{Name, Templates};

/// Steps that get a check of their own. All are in the table of the pipeline's.
pub const MOST_STEPS: usize = 100;

/// What is known of one run.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    pub request: &'a [(Timestamp, RequestFact)],
    pub run: &'a [(Timestamp, RunFact)],
    pub rollouts: &'a HashMap<RolloutId, Vec<(Timestamp, RolloutFact)>>,
    /// Of steps that went wrong.
    pub tails: &'a [LogTail],
    /// Besides those that the facts have: of outputs that hold findings.
    pub findings: &'a HashMap<NodeId, Vec<Finding>>,
}

/// What is the same for all runs.
#[derive(Debug, Clone)]
pub struct House {
    pub templates: Templates,
    pub prices: Prices,
    /// Where links lead: `https://ci.example.com`.
    pub url: Option<String>,
}

impl House {
    fn link(&self, run: &RunId) -> Option<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let url = self.url.as_ref().filter(|_| run.as_str().chars().all(plain))?;
        Some(format!("{url}/runs/{run}"))
    }
}

/// What shall stand at GitHub. `None` before anybody has asked for anything.
pub fn said(known: Known<'_>, house: &House) -> Option<Said> {
    if known.run.is_empty() {
        return request::said(known.request, house);
    }
    let view = View::of(known.run.iter().map(|(at, fact)| (*at, fact)));
    let (run, event) = (view.run.clone()?, view.event.clone()?);
    let pictures: HashMap<&RolloutId, Picture> = known.rollouts.iter().map(|(id, facts)| (id, Picture::of(facts))).collect();
    let scene = Scene { known, house, view: &view, run: &run, event: &event, pictures: &pictures };
    let mut checks: Vec<Check> = vec![pipeline::check(&scene)];
    checks.extend(view.nodes.iter().take(MOST_STEPS).map(|node| step::check(&scene, node)));
    let deployments = view.nodes.iter().filter_map(|node| deployment::deployment(&scene, node)).collect();
    Some(Said { commit: event.commit.clone(), checks, deployments, line: pipeline::line(&scene) })
}

/// The comment of a pull request: a row for each pipeline.
pub fn comment(lines: &[Line], house: &House) -> String {
    let rows: Vec<&str> = lines.iter().map(|line| line.row.as_str()).collect();
    house.templates.render(Name::Comment, &serde_json::json!({ "rows": rows }))
}

/// What is needed to say anything about one run.
struct Scene<'a> {
    known: Known<'a>,
    house: &'a House,
    view: &'a View,
    run: &'a RunId,
    event: &'a Event,
    pictures: &'a HashMap<&'a RolloutId, Picture>,
}

impl Scene<'_> {
    fn external(&self, node: Option<&NodeId>) -> External {
        External { run: self.run.clone(), node: node.cloned() }
    }

    fn plan(&self) -> Option<Plan> {
        use serde::Deserialize as _;
        self.known.run.iter().find_map(|(_, fact)| if let RunFact::Started { plan, .. } = fact { Plan::deserialize(plan).ok() } else { None })
    }
}

#[cfg(test)]
mod tests;
