//! All that is known of one run: its facts, and what its failed steps said last and its scanners found.

pub(super) mod files;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::adapters::journal::Journal as _;
use crate::adapters::scan::Masker;
use crate::adapters::state::StateFolder;
use crate::adapters::workspace::stored;
use crate::core::findings::read_sarif;
use crate::model::event::Event;
use crate::model::fact::{Fact, RolloutFact, RunFact, Stream};
use crate::model::finding::Finding;
use crate::model::id::{Digest, NodeId, RolloutId, RunId};
use crate::model::outcome::Outcome;
use crate::model::request::RequestFact;
use crate::model::time::Timestamp;
use crate::report::run::summary::LogTail;
use crate::runtime::recover::{rollout_facts, run_facts};

use super::Inner;
use super::say::Trouble;
use files::{MOST_SARIF, found_files, last_bytes, read_regular, sarif_files};

/// Lines of the end of a log.
const TAIL_LINES: usize = 500;

/// A file of findings takes several times its size in memory while it is read: one at a time.
pub(super) static ONE: Mutex<()> = Mutex::new(());

#[derive(Debug, Default)]
pub(super) struct Material {
    pub(super) request: Vec<(Timestamp, RequestFact)>,
    pub(super) run: Vec<(Timestamp, RunFact)>,
    pub(super) rollouts: HashMap<RolloutId, Vec<(Timestamp, RolloutFact)>>,
    pub(super) tails: Vec<LogTail>,
    pub(super) findings: HashMap<NodeId, Vec<Finding>>,
    /// Files of findings for code scanning, by the digest of what is in them; none where it is told nothing.
    pub(super) sarifs: Vec<(Digest, PathBuf)>,
}

impl Material {
    pub(super) fn event(&self) -> Option<&Event> {
        let asked = |(_, fact): &'_ (Timestamp, RequestFact)| matches!(fact, RequestFact::Asked { .. });
        let of_run = self.run.iter().find_map(|(_, fact)| if let RunFact::Started { event, .. } = fact { Some(event) } else { None });
        of_run.or_else(|| match self.request.iter().find(|it| asked(it)) {
            Some((_, RequestFact::Asked { event, .. })) => Some(event),
            _ => None,
        })
    }

    /// When somebody first wanted it.
    pub(super) fn asked(&self) -> Timestamp {
        let first = self.request.first().map(|(at, _)| *at);
        first.or_else(|| self.run.first().map(|(at, _)| *at)).unwrap_or(Timestamp::EPOCH)
    }

    /// Nothing more will happen to it.
    pub(super) fn is_over(&self) -> bool {
        let ended = self.run.iter().any(|(_, fact)| matches!(fact, RunFact::Ended { .. }));
        ended || self.run.is_empty() && self.request.iter().any(|(_, fact)| matches!(fact, RequestFact::Dropped { .. }))
    }
}

impl Inner {
    pub(super) async fn gather(&self, id: &RunId) -> Result<Material, Trouble> {
        let run = run_facts(&self.journal.read(&Stream::Run(id.clone())).await?);
        let request = self.journal.read(&Stream::Request(id.clone())).await?;
        let request = request.into_iter().filter_map(|entry| if let Fact::Request(fact) = entry.fact { Some((entry.at, fact)) } else { None });
        let mut material = Material { request: request.collect(), run, ..Material::default() };
        let attached =
            material.run.iter().filter_map(|(_, fact)| if let RunFact::RolloutAttached { rollout, .. } = fact { Some(rollout) } else { None });
        for rollout in attached.cloned().collect::<Vec<_>>() {
            let facts = rollout_facts(&self.journal.read(&Stream::Rollout(rollout.clone())).await?);
            material.rollouts.insert(rollout, facts);
        }
        let (scanned, id, state, masker) = (self.scanned(&material).is_some(), id.clone(), self.state.clone(), self.masker.clone());
        let reading = tokio::task::spawn_blocking(move || {
            material.mask(&masker);
            material.tails = tails(&id, &material.run, &state, &masker);
            material.read_outputs(scanned, &masker);
            if scanned {
                // What is in the facts of these needs no reading, but code scanning takes the file.
                material.list_found(&state);
            }
            material
        });
        reading.await.map_err(|error| Trouble { after: None, why: format!("what is known of it could not be gathered: {error}") })
    }
}

impl Material {
    /// A step can say and find what nobody else shall read.
    fn mask(&mut self, masker: &Masker) {
        for (_, fact) in &mut self.run {
            if let RunFact::InvocationEnded { record: Some(record), .. } = fact {
                record.summary.text = masker.mask(&record.summary.text);
                record.found.problem = record.found.problem.as_deref().map(|problem| masker.mask(problem));
                record.found.worst.iter_mut().for_each(|finding| mask(finding, masker));
            }
        }
    }

    /// Outputs that are files of findings. What is in them is kept, and not their text.
    fn read_outputs(&mut self, scanned: bool, masker: &Masker) {
        for (node, artifact, path) in sarif_files(&self.run) {
            let _alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
            // What can not be read any more was said when it could be, or never.
            let Some(Ok(mut found)) = read_regular(&path, MOST_SARIF).map(|text| read_sarif(&text)) else { continue };
            found.findings.iter_mut().for_each(|finding| mask(finding, masker));
            self.findings.entry(node).or_default().extend(found.findings);
            if scanned {
                self.sarifs.push((artifact.digest, path));
            }
        }
    }

    fn list_found(&mut self, state: &StateFolder) {
        for digest in found_files(&self.run) {
            if self.sarifs.iter().all(|(other, _)| *other != digest) {
                let path = stored(state.root(), &digest);
                self.sarifs.push((digest, path));
            }
        }
    }
}

fn mask(finding: &mut Finding, masker: &Masker) {
    for text in [&mut finding.rule, &mut finding.message, &mut finding.path] {
        *text = masker.mask(text);
    }
}

/// Masked: a step can print what it found.
fn tails(run: &RunId, facts: &[(Timestamp, RunFact)], state: &StateFolder, masker: &Masker) -> Vec<LogTail> {
    let mut last: HashMap<&NodeId, u32> = HashMap::new();
    let mut tails = Vec::new();
    for (_, fact) in facts {
        match fact {
            RunFact::InvocationStarted { node, attempt, .. } => drop(last.insert(node, *attempt)),
            RunFact::NodeEnded { node, outcome: Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Infrastructure { .. } } => {
                let Some(attempt) = last.get(node) else { continue };
                let bytes = last_bytes(&state.log(run, node, *attempt)).unwrap_or_default();
                let text = masker.mask(&String::from_utf8_lossy(&bytes));
                let lines: Vec<&str> = text.lines().collect();
                let lines = lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| (*line).to_owned()).collect();
                tails.push(LogTail { node: node.clone(), lines });
            }
            _ => {}
        }
    }
    tails
}
