//! `tidegate runs show RUN`.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::num::NonZeroUsize;

use super::super::args::Global;
use super::super::place::{Log, Place};
use super::super::terminal;
use super::RunsError;
use crate::core::run::{Input, Rules, Run, always};
use crate::model::fact::RunFact;
use crate::model::outcome::Outcome;
use crate::model::time::Timestamp;
use crate::report::rollout::{self, Picture};
use crate::report::run::summary::{LogTail, summary};
use crate::report::run::usage;
use crate::report::run::view::{Status, View};
use crate::runtime::records::Found;
use crate::runtime::recover::rollout_facts;

/// Lines of log shown for a step that went wrong.
const TAIL: usize = 20;
/// Bytes at the end of a log that these lines are looked for in.
const TAIL_BYTES: u64 = 64 << 10;

pub(super) async fn show(place: &Place, found: &Found, global: &Global, out: &mut impl Write) -> Result<(), RunsError> {
    if global.json {
        for (entry, _) in &found.entries {
            writeln!(out, "{}", serde_json::to_string(entry).map_err(std::io::Error::other)?)?;
        }
        return Ok(());
    }
    let mut facts: Vec<(Timestamp, RunFact)> = found.entries.iter().map(|(entry, fact)| (entry.at, fact.clone())).collect();
    let Some((entry, _)) = found.entries.last() else { return Ok(()) };
    if found.interrupted {
        facts.extend(its_end(&facts, entry.at));
    }
    let view = View::of(facts.iter().map(|(at, fact)| (*at, fact)));
    write!(out, "{}", summary(&view, &tails(place, &view).await?, entry.at, terminal::run_look()))?;
    let attempts = usage::attempts(facts.iter().map(|(_, fact)| fact));
    if let (Some(run), false) = (&view.run, attempts.is_empty()) {
        write!(out, "\n{}", usage::of_run(&attempts, &place.prices(global, run).await?, terminal::run_look()))?;
    }
    for id in view.nodes.iter().filter_map(|node| node.rollout.as_ref()) {
        let (_, entries) = place.rollout(id.as_str()).await?;
        let picture = Picture::of(&rollout_facts(&entries));
        writeln!(out, "\n{}", rollout::summary(&picture, terminal::rollout_look()))?;
    }
    Ok(())
}

/// The facts that the next start will record for a run whose process is dead.
pub(super) fn its_end(facts: &[(Timestamp, RunFact)], at: Timestamp) -> Vec<(Timestamp, RunFact)> {
    let nobody_asks = |_: &str, _: &serde_json::Value, _: &crate::core::run::NeedsView<'_>| Ok(false);
    let rules = Rules { parallel: NonZeroUsize::MIN, condition: &nobody_asks, room: &always };
    let turn = Run::replay(facts).ok().and_then(|mut run| run.handle(Input::Interrupted, rules, at).ok());
    turn.map(|turn| turn.facts.into_iter().map(|fact| (at, fact)).collect()).unwrap_or_default()
}

async fn tails(place: &Place, view: &View) -> Result<Vec<LogTail>, RunsError> {
    let Some(run) = &view.run else { return Ok(Vec::new()) };
    let wrong = |status: &Status| matches!(status, Status::Ended(Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Infrastructure { .. }));
    let mut tails = Vec::new();
    for node in view.nodes.iter().filter(|node| wrong(&node.status) && node.attempt > 0) {
        let log = Log { run, node: &node.id, attempt: node.attempt, service: None };
        // A run is shown without what it said, too.
        let lines = match place.log(log, Some(TAIL_BYTES)).await {
            Ok(Some(file)) => tail(file).unwrap_or_default(),
            _ => Vec::new(),
        };
        tails.push(LogTail { node: node.id.clone(), lines });
    }
    Ok(tails)
}

fn tail(file: impl Read) -> std::io::Result<Vec<String>> {
    let mut lines = VecDeque::new();
    for line in BufReader::new(file.take(TAIL_BYTES)).split(b'\n') {
        if lines.len() == TAIL {
            lines.pop_front();
        }
        lines.push_back(String::from_utf8_lossy(&line?).into_owned());
    }
    Ok(lines.into())
}
