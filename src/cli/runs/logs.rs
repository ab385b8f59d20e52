//! `tidegate runs logs RUN [STEP] [--service NAME] [--follow]`. A terminal gets clean lines; a pipe gets the bytes as they were said.

use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write};
use std::time::Duration;

use super::super::args::Global;
use super::super::place::{Log, Place};
use super::super::print::eprintln;
use super::{RunsError, id_of};
use crate::core::plan::{Node, Work};
use crate::core::run::Run;
use crate::model::fact::{Entry, RunFact};
use crate::model::id::NodeId;
use crate::report::run::text::clean;
use crate::runtime::records::Found;

/// Of which steps, and what of them.
pub(super) struct Wanted<'a> {
    pub step: Option<&'a str>,
    pub service: Option<&'a str>,
}

pub(super) async fn logs(place: &Place, found: &Found, wanted: &Wanted<'_>, global: &Global, out: &mut impl Write) -> Result<(), RunsError> {
    let attempts = attempts(&found.entries, wanted.step, wanted.service)?;
    let Some(run) = id_of(&found.entries) else { return Ok(()) };
    let several = attempts.len() > 1;
    for (node, attempt) in attempts {
        if several && !global.json {
            writeln!(out, "==> {} (attempt {attempt})", clean(node.as_str()))?;
        }
        match place.log(Log { run, node: &node, attempt, service: wanted.service }, None).await? {
            Some(file) => copy(file, &node, attempt, global.json, out)?,
            None => eprintln!("{} said nothing", clean(wanted.service.unwrap_or(node.as_str()))),
        }
    }
    Ok(())
}

/// How often it is looked whether something has begun.
const LOOK: Duration = Duration::from_millis(300);

/// One attempt after the other, in the order of their starts, until the run has ended.
pub(super) async fn follow(place: &Place, found: Found, wanted: &Wanted<'_>, global: &Global, out: &mut impl Write) -> Result<(), RunsError> {
    let Some(run) = id_of(&found.entries).cloned() else { return Ok(()) };
    let (mut found, mut shown) = (found, 0);
    loop {
        let over = found.interrupted || matches!(found.entries.last(), Some((_, RunFact::Ended { .. })));
        for (node, attempt) in attempts(&found.entries, wanted.step, wanted.service)?.into_iter().skip(shown) {
            if !global.json {
                writeln!(out, "==> {} (attempt {attempt})", clean(node.as_str()))?;
            }
            let mut lines = Lines::new(&node, attempt, global.json);
            place.follow(Log { run: &run, node: &node, attempt, service: wanted.service }, |bytes| lines.write(bytes, out)).await?;
            lines.end(out)?;
            shown += 1;
        }
        if over {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
        found = place.run(run.as_str()).await?;
    }
}

/// Pieces of any size, as lines for a terminal and for programs; a pipe gets the bytes.
struct Lines<'a> {
    node: &'a NodeId,
    attempt: u32,
    json: bool,
    raw: bool,
    kept: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(node: &'a NodeId, attempt: u32, json: bool) -> Self {
        Self { node, attempt, json, raw: !json && !std::io::stdout().is_terminal(), kept: Vec::new() }
    }

    fn write(&mut self, bytes: &[u8], out: &mut impl Write) -> std::io::Result<()> {
        if self.raw {
            out.write_all(bytes)?;
            return out.flush();
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.kept.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
            if piece.ends_with(b"\n") || self.kept.len() > LINE {
                self.line(out)?;
            }
        }
        out.flush()
    }

    fn line(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        let kept = std::mem::take(&mut self.kept);
        let line = String::from_utf8_lossy(&kept);
        if self.json {
            writeln!(out, "{}", serde_json::json!({ "node": self.node, "attempt": self.attempt, "line": line }))
        } else {
            writeln!(out, "{}", clean(&line))
        }
    }

    fn end(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        if self.kept.is_empty() { Ok(()) } else { self.line(out) }
    }
}

/// A line that never ends is shown in pieces.
const LINE: usize = 64 << 10;

/// Every attempt that was started, in the order of their starts; with a service, of the steps that have it.
fn attempts(found: &[(Entry, RunFact)], step: Option<&str>, service: Option<&str>) -> Result<Vec<(NodeId, u32)>, RunsError> {
    let start: Vec<_> = found.iter().take(1).map(|(entry, fact)| (entry.at, fact.clone())).collect();
    let run = Run::replay(&start).map_err(std::io::Error::other)?;
    let asked = |node: &NodeId| match step {
        Some(step) => node.as_str() == step || run.node(node).is_some_and(|node| node.step == step),
        None => true,
    };
    if let Some(given) = step.filter(|_| !run.plan().nodes.iter().any(|node| asked(&node.id))) {
        let known: Vec<&str> = run.plan().nodes.iter().map(|node| node.step.as_str()).collect();
        return Err(RunsError::NoStep { given: given.to_owned(), known: clean(&known.join(", ")) });
    }
    let services = |node: &Node| match &node.work {
        Work::Invoke(work) => work.services.iter().map(|service| service.name.clone()).collect(),
        Work::Deploy(_) => Vec::new(),
    };
    if let Some(given) = service {
        let known: Vec<String> = run.plan().nodes.iter().filter(|node| asked(&node.id)).flat_map(services).collect();
        if !known.iter().any(|known| known == given) {
            let known = if known.is_empty() { "none".to_owned() } else { clean(&known.join(", ")) };
            return Err(RunsError::NoService { given: given.to_owned(), known });
        }
    }
    let has = |node: &NodeId| service.is_none_or(|service| run.node(node).is_some_and(|node| services(node).iter().any(|one| one == service)));
    let started = found.iter().filter_map(|(_, fact)| match fact {
        RunFact::InvocationStarted { node, attempt, .. } if asked(node) && has(node) => Some((node.clone(), *attempt)),
        _ => None,
    });
    Ok(started.collect())
}

fn copy(file: impl Read, node: &NodeId, attempt: u32, json: bool, out: &mut impl Write) -> Result<(), RunsError> {
    let mut file = BufReader::new(file);
    if !json && !std::io::stdout().is_terminal() {
        std::io::copy(&mut file, out)?;
        return Ok(());
    }
    // The executor has bounded the log, so a line is bounded as well.
    for line in file.split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if json {
            writeln!(out, "{}", serde_json::json!({ "node": node, "attempt": attempt, "line": line }))?;
        } else {
            writeln!(out, "{}", clean(&line))?;
        }
    }
    Ok(())
}
