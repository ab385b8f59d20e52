//! `tidegate runs usage [RUN]`: what a run took, or what all runs of each repository took together.

use std::io::Write;

use serde_json::json;

use super::super::args::Global;
use super::super::place::Place;
use super::super::terminal;
use super::RunsError;
use crate::core::usage::Usage;
use crate::model::fact::RunFact;
use crate::report::run::look::Look;
use crate::report::run::usage::{attempts, object, of_repositories, of_run};
use crate::runtime::records::Found;

pub(super) async fn of_one(place: &Place, found: &Found, global: &Global, out: &mut impl Write) -> Result<(), RunsError> {
    let all = attempts(found.entries.iter().map(|(_, fact)| fact));
    let Some(RunFact::Started { run, event, .. }) = found.entries.first().map(|(_, fact)| fact) else { return Ok(()) };
    let prices = place.prices(global, run).await?;
    if !global.json {
        write!(out, "{}", if all.is_empty() { "Nothing of this run has begun and ended.\n".to_owned() } else { of_run(&all, &prices, look()) })?;
        return Ok(());
    }
    for one in &all {
        writeln!(out, "{}", object(json!({ "run": run, "step": one.node, "attempt": one.attempt }), &one.usage, &prices))?;
    }
    let sum = Usage::sum(all.iter().map(|one| one.usage));
    writeln!(out, "{}", object(json!({ "run": run, "repository": event.repository }), &sum, &prices))?;
    Ok(())
}

pub(super) async fn of_all(place: &Place, only: Option<&str>, global: &Global, out: &mut impl Write) -> Result<(), RunsError> {
    let (all, prices) = place.usage(global, only).await?;
    match (all.as_slice(), only) {
        ([], Some(only)) => return Err(RunsError::NoRepository(only.to_owned())),
        ([], None) if !global.json => super::eprintln!("There are no runs yet: `tidegate run` starts one."),
        _ if global.json => {
            for one in &all {
                writeln!(out, "{}", object(json!({ "repository": one.name, "runs": one.runs }), &one.usage, &prices))?;
            }
        }
        _ => write!(out, "{}", of_repositories(&all, &prices, look()))?,
    }
    Ok(())
}

fn look() -> Look {
    Look { width: terminal::table_width(), ..terminal::run_look() }
}
