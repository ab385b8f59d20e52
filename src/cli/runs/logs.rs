//! `tidegate runs logs RUN [STEP] [--service NAME]`. A terminal gets clean lines; a pipe gets the bytes as they were said.

use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write};

use super::super::args::Global;
use super::super::print::eprintln;
use super::{Past, RunsError};
use crate::adapters::state::service_log;
use crate::core::plan::{Node, Work};
use crate::core::run::Run;
use crate::model::fact::{Entry, RunFact};
use crate::model::id::NodeId;
use crate::report::run::text::clean;

pub(super) fn logs(
    past: &Past,
    found: &[(Entry, RunFact)],
    step: Option<&str>,
    service: Option<&str>,
    global: &Global,
    out: &mut impl Write,
) -> Result<(), RunsError> {
    let attempts = attempts(found, step, service)?;
    let Some(RunFact::Started { run, .. }) = found.first().map(|(_, fact)| fact) else { return Ok(()) };
    let several = attempts.len() > 1;
    for (node, attempt) in attempts {
        if several && !global.json {
            writeln!(out, "==> {} (attempt {attempt})", clean(node.as_str()))?;
        }
        let log = past.state.log(run, &node, attempt);
        match File::open(service.map_or_else(|| log.clone(), |service| service_log(&log, service))) {
            Ok(file) => copy(file, &node, attempt, global.json, out)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => eprintln!("{} said nothing", clean(service.unwrap_or(node.as_str()))),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

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

fn copy(file: File, node: &NodeId, attempt: u32, json: bool, out: &mut impl Write) -> Result<(), RunsError> {
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
