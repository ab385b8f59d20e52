//! Files of a run that its report is made of: they are a step's, so nothing of them is taken on trust.

use std::collections::HashMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::model::artifact::{Artifact, ArtifactKind};
use crate::model::fact::RunFact;
use crate::model::id::{Digest, NodeId};
use crate::model::time::Timestamp;

/// Bytes of the end of a log.
const TAIL_BYTES: u64 = 64 << 10;
/// Bytes of one file of findings.
pub(in super::super) const MOST_SARIF: u64 = 16 << 20;

/// Outputs that are called `….sarif`, of nodes that have ended.
pub(super) fn sarif_files(facts: &[(Timestamp, RunFact)]) -> Vec<(NodeId, Artifact, PathBuf)> {
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
pub(super) fn found_files(facts: &[(Timestamp, RunFact)]) -> Vec<Digest> {
    let mut latest: HashMap<&NodeId, Option<&Digest>> = HashMap::new();
    let mut files = Vec::new();
    for (_, fact) in facts {
        match fact {
            RunFact::InvocationEnded { node, record, .. } => {
                // That there is nothing closes what was found before.
                let readable = record.as_ref().filter(|record| record.found.problem.is_none() || !record.found.counts.is_empty());
                latest.insert(node, readable.and_then(|record| record.found.file.as_ref()));
            }
            RunFact::NodeEnded { node, .. } => files.extend(latest.get(node).copied().flatten().cloned()),
            _ => {}
        }
    }
    files.dedup();
    files
}

pub(super) fn last_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
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
pub(in super::super) fn read_regular(path: &Path, most: u64) -> Option<Vec<u8>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(i32::try_from(flags.bits()).ok()?).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= most).then_some(bytes)
}
