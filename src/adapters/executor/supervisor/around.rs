//! What a step finds around it wherever it lives: the same places, the same words, the same limits where it does not say.

use std::fs;
use std::path::{Path, PathBuf};

use crate::adapters::sandbox::Limits;
use crate::model::invocation::InvocationSpec;
use crate::model::limits::Resources;

pub(in super::super) use crate::model::invocation::WORKSPACE;
pub(in super::super) const INNER: &str = "/run/tidegate";
pub(in super::super) const TMP: u64 = 1 << 30;

/// Files that are there, empty, before it begins: its values, its summary, its findings.
pub(in super::super) const ANSWERS: [&str; 3] = ["values", "summary", "findings"];

/// Where things are outside.
#[derive(Debug, Clone)]
pub(in super::super) struct Places {
    pub(in super::super) upper: PathBuf,
    /// The folder of what it answers: [`ANSWERS`].
    pub(in super::super) answers: PathBuf,
    /// Read-only trees, lowest first; none where there is no overlay.
    pub(in super::super) lower: Vec<PathBuf>,
    /// A folder for what is being collected, made when there is something to collect.
    pub(in super::super) collecting: PathBuf,
}

/// What a step may take where it does not say, so that none takes the whole machine.
const PIDS: u32 = 4096;
pub(in super::super) const DISK: u64 = 16 << 30;

pub(in super::super) fn limits_of(resources: &Resources) -> Limits {
    Limits {
        memory_bytes: resources.memory.or_else(most_of_the_memory),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be positive; `as` takes the nearest")]
        cpu_millis: resources.cpu.map(|processors| (processors * 1000.0).round().max(1.0) as u32),
        pids: resources.pids.or(Some(PIDS)),
        file_bytes: Some(resources.disk.unwrap_or(DISK)),
    }
}

/// Nine tenths of the machine's.
fn most_of_the_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let total: u64 = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(total / 10 * 9 * 1024)
}

/// What a step is told about itself, and where it leaves its answers.
pub(in super::super) fn told(spec: &InvocationSpec, answers: &Path) -> [(String, String); 7] {
    let answers = |name: &str| answers.join(name).display().to_string();
    [
        ("TIDEGATE_RUN", spec.run.to_string()),
        ("TIDEGATE_STEP", spec.node.to_string()),
        ("TIDEGATE_ATTEMPT", spec.attempt.to_string()),
        ("TIDEGATE_INVOCATION", spec.id.as_str().to_owned()),
        ("TIDEGATE_OUTPUT", answers("values")),
        ("TIDEGATE_SUMMARY", answers("summary")),
        ("TIDEGATE_FINDINGS", answers("findings")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}
