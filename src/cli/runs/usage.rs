//! `tidegate runs usage [RUN]`: what a run took, or what all runs of each repository took together.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::json;

use super::super::args::Global;
use super::super::terminal;
use super::{KNOWN_RUNS, Past, RunsError};
use crate::adapters::journal::Journal as _;
use crate::core::usage::Usage;
use crate::model::fact::{Entry, Fact, RunFact};
use crate::model::settings::Prices;
use crate::report::run::look::Look;
use crate::report::run::usage::{Repository, attempts, object, of_repositories, of_run};

pub(super) fn of_one(found: &[(Entry, RunFact)], prices: &Prices, global: &Global, out: &mut impl Write) -> Result<(), RunsError> {
    let all = attempts(found.iter().map(|(_, fact)| fact));
    if !global.json {
        write!(out, "{}", if all.is_empty() { "Nothing of this run has begun and ended.\n".to_owned() } else { of_run(&all, prices, look()) })?;
        return Ok(());
    }
    let Some(RunFact::Started { run, event, .. }) = found.first().map(|(_, fact)| fact) else { return Ok(()) };
    for one in &all {
        writeln!(out, "{}", object(json!({ "run": run, "step": one.node, "attempt": one.attempt }), &one.usage, prices))?;
    }
    let sum = Usage::sum(all.iter().map(|one| one.usage));
    writeln!(out, "{}", object(json!({ "run": run, "repository": event.repository }), &sum, prices))?;
    Ok(())
}

pub(super) async fn of_all(past: &Past, only: Option<&str>, prices: &Prices, global: &Global, out: &mut impl Write) -> Result<(), RunsError> {
    let mut sums: BTreeMap<String, (u64, Usage)> = BTreeMap::new();
    for (first, _) in past.journal.runs(KNOWN_RUNS).await? {
        let Fact::Run(RunFact::Started { event, .. }) = &first.fact else { continue };
        if only.is_some_and(|only| only != event.repository) {
            continue;
        }
        let entries = past.journal.read(&first.stream).await?;
        let facts = entries.iter().filter_map(|entry| if let Fact::Run(fact) = &entry.fact { Some(fact) } else { None });
        let (runs, sum) = sums.entry(event.repository.clone()).or_default();
        *runs += 1;
        *sum = attempts(facts).into_iter().map(|attempt| attempt.usage).fold(*sum, Usage::and);
    }
    let all: Vec<Repository> = sums.into_iter().map(|(name, (runs, usage))| Repository { name, runs, usage }).collect();
    match (all.as_slice(), only) {
        ([], Some(only)) => return Err(RunsError::NoRepository(only.to_owned())),
        ([], None) if !global.json => super::eprintln!("There are no runs yet: `tidegate run` starts one."),
        _ if global.json => {
            for one in &all {
                writeln!(out, "{}", object(json!({ "repository": one.name, "runs": one.runs }), &one.usage, prices))?;
            }
        }
        _ => write!(out, "{}", of_repositories(&all, prices, look()))?,
    }
    Ok(())
}

fn look() -> Look {
    Look { width: terminal::table_width(), ..terminal::run_look() }
}
