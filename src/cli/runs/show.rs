//! `tidegate runs show RUN`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::path::Path;

use super::super::args::Global;
use super::super::terminal;
use super::{Past, RunsError};
use crate::adapters::journal::Journal as _;
use crate::core::run::{Input, Rules, Run, always};
use crate::model::fact::{Entry, RunFact, Stream};
use crate::model::outcome::Outcome;
use crate::model::time::Timestamp;
use crate::report::rollout::{self, Picture};
use crate::report::run::summary::{LogTail, summary};
use crate::report::run::usage;
use crate::report::run::view::{Status, View};
use crate::runtime::recover::rollout_facts;

/// Lines of log shown for a step that went wrong.
const TAIL: usize = 20;
/// Bytes at the end of a log that these lines are looked for in.
const TAIL_BYTES: u64 = 64 << 10;

pub(super) async fn show(past: &Past, found: &[(Entry, RunFact)], global: &Global, out: &mut impl Write) -> Result<(), RunsError> {
    if global.json {
        for (entry, _) in found {
            writeln!(out, "{}", serde_json::to_string(entry).map_err(std::io::Error::other)?)?;
        }
        return Ok(());
    }
    let mut facts: Vec<(Timestamp, RunFact)> = found.iter().map(|(entry, fact)| (entry.at, fact.clone())).collect();
    let Some((entry, _)) = found.last() else { return Ok(()) };
    if past.is_interrupted(&entry.stream)? {
        facts.extend(its_end(&facts, entry.at));
    }
    let view = View::of(facts.iter().map(|(at, fact)| (*at, fact)));
    write!(out, "{}", summary(&view, &tails(past, &view), entry.at, terminal::run_look()))?;
    let usage = usage::of_run(&usage::attempts(facts.iter().map(|(_, fact)| fact)), &super::prices(global)?, terminal::run_look());
    if !usage.is_empty() {
        write!(out, "\n{usage}")?;
    }
    for id in view.nodes.iter().filter_map(|node| node.rollout.as_ref()) {
        let entries = past.journal.read(&Stream::Rollout(id.clone())).await?;
        let picture = Picture::of(&rollout_facts(&entries));
        writeln!(out, "\n{}", rollout::summary(&picture, terminal::rollout_look()))?;
    }
    Ok(())
}

/// The facts that the next start will record for a run whose process is dead.
fn its_end(facts: &[(Timestamp, RunFact)], at: Timestamp) -> Vec<(Timestamp, RunFact)> {
    let nobody_asks = |_: &str, _: &serde_json::Value, _: &crate::core::run::NeedsView<'_>| Ok(false);
    let rules = Rules { parallel: NonZeroUsize::MIN, condition: &nobody_asks, room: &always };
    let turn = Run::replay(facts).ok().and_then(|mut run| run.handle(Input::Interrupted, rules, at).ok());
    turn.map(|turn| turn.facts.into_iter().map(|fact| (at, fact)).collect()).unwrap_or_default()
}

fn tails(past: &Past, view: &View) -> Vec<LogTail> {
    let Some(run) = &view.run else { return Vec::new() };
    let wrong = |status: &Status| matches!(status, Status::Ended(Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Infrastructure { .. }));
    let nodes = view.nodes.iter().filter(|node| wrong(&node.status) && node.attempt > 0);
    nodes.map(|node| LogTail { node: node.id.clone(), lines: tail(&past.state.log(run, &node.id, node.attempt)).unwrap_or_default() }).collect()
}

fn tail(path: &Path) -> std::io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let skipped = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(skipped))?;
    let mut lines = VecDeque::new();
    for line in BufReader::new(file.take(TAIL_BYTES)).split(b'\n') {
        if lines.len() == TAIL {
            lines.pop_front();
        }
        lines.push_back(String::from_utf8_lossy(&line?).into_owned());
    }
    Ok(lines.into())
}
