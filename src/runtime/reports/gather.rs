//! All that is known of one run: its facts, and what its failed steps said last and its scanners found.

use std::collections::HashMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::adapters::journal::{Journal as _, JournalError};
use crate::adapters::workspace::stored;
use crate::core::findings::read_sarif;
use crate::model::artifact::{Artifact, ArtifactKind};
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

/// Bytes and lines of the end of a log.
const TAIL_BYTES: u64 = 64 << 10;
const TAIL_LINES: usize = 500;
/// Bytes of one file of findings.
const MOST_SARIF: u64 = 16 << 20;

#[derive(Debug, Default)]
pub(super) struct Material {
    pub(super) request: Vec<(Timestamp, RequestFact)>,
    pub(super) run: Vec<(Timestamp, RunFact)>,
    pub(super) rollouts: HashMap<RolloutId, Vec<(Timestamp, RolloutFact)>>,
    pub(super) tails: Vec<LogTail>,
    pub(super) findings: HashMap<NodeId, Vec<Finding>>,
    /// Files of findings, by the digest of what is in them.
    pub(super) sarifs: Vec<(Digest, Vec<u8>)>,
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
    pub(super) async fn gather(&self, id: &RunId) -> Result<Material, JournalError> {
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
        material.tails = self.tails(id, &material.run);
        for (node, artifact, path) in sarif_files(&material.run) {
            // What can not be read any more was said when it could be, or never.
            let Some(text) = read_regular(&path, MOST_SARIF) else { continue };
            if let Ok(found) = read_sarif(&text) {
                material.findings.entry(node).or_default().extend(found.findings);
                material.sarifs.push((artifact.digest, text));
            }
        }
        // What is in the facts of these needs no reading, but code scanning takes the file.
        for digest in found_files(&material.run) {
            let known = material.sarifs.iter().any(|(other, _)| *other == digest);
            if let (false, Some(text)) = (known, read_regular(&stored(self.state.root(), &digest), MOST_SARIF)) {
                material.sarifs.push((digest, text));
            }
        }
        Ok(material)
    }

    /// Masked: a step can print what it found.
    fn tails(&self, run: &RunId, facts: &[(Timestamp, RunFact)]) -> Vec<LogTail> {
        let mut last: HashMap<&NodeId, u32> = HashMap::new();
        let mut tails = Vec::new();
        for (_, fact) in facts {
            match fact {
                RunFact::InvocationStarted { node, attempt, .. } => drop(last.insert(node, *attempt)),
                RunFact::NodeEnded { node, outcome: Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Infrastructure { .. } } => {
                    let Some(attempt) = last.get(node) else { continue };
                    let bytes = last_bytes(&self.state.log(run, node, *attempt)).unwrap_or_default();
                    let text = self.masker.mask(&String::from_utf8_lossy(&bytes));
                    let lines: Vec<&str> = text.lines().collect();
                    let lines = lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| (*line).to_owned()).collect();
                    tails.push(LogTail { node: node.clone(), lines });
                }
                _ => {}
            }
        }
        tails
    }
}

/// Outputs that are called `….sarif`, of nodes that have ended.
fn sarif_files(facts: &[(Timestamp, RunFact)]) -> Vec<(NodeId, Artifact, PathBuf)> {
    let mut latest: HashMap<&NodeId, (&[Artifact], &str)> = HashMap::new();
    let mut found = Vec::new();
    for (_, fact) in facts {
        match fact {
            RunFact::InvocationEnded { node, artifacts, layer: Some(layer), .. } => drop(latest.insert(node, (artifacts, layer))),
            RunFact::NodeEnded { node, .. } => {
                let Some((artifacts, layer)) = latest.get(node) else { continue };
                let sarif = |it: &&Artifact| it.kind == ArtifactKind::File && it.path.ends_with(".sarif");
                found.extend(artifacts.iter().filter(sarif).map(|it| (node.clone(), it.clone(), Path::new(layer).join(&it.path))));
            }
            _ => {}
        }
    }
    found
}

/// `$TIDEGATE_FINDINGS` of the last attempt of each node that has ended, where it could be read.
fn found_files(facts: &[(Timestamp, RunFact)]) -> Vec<Digest> {
    let mut latest: HashMap<&NodeId, Option<&Digest>> = HashMap::new();
    let mut files = Vec::new();
    for (_, fact) in facts {
        match fact {
            RunFact::InvocationEnded { node, record, .. } => {
                let readable = record.as_ref().filter(|record| !record.found.counts.is_empty());
                latest.insert(node, readable.and_then(|record| record.found.file.as_ref()));
            }
            RunFact::NodeEnded { node, .. } => files.extend(latest.get(node).copied().flatten().cloned()),
            _ => {}
        }
    }
    files.dedup();
    files
}

fn last_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    // Half a line, or half of a secret that would not be known for one.
    if length > TAIL_BYTES {
        let rest = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        bytes.drain(..rest);
    }
    Ok(bytes)
}

/// No link, no pipe, and not longer than that.
fn read_regular(path: &Path, most: u64) -> Option<Vec<u8>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(i32::try_from(flags.bits()).ok()?).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= most).then_some(bytes)
}
