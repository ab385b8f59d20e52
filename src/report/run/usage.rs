//! What a run took, attempt by attempt, and what many runs took, repository by repository: tables for people, objects for programs.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::core::plan::{Plan, Work};
use crate::core::usage::{Usage, decimal};
use crate::model::fact::RunFact;
use crate::model::id::NodeId;
use crate::model::number::grouped;
use crate::model::settings::Prices;

use super::look::{BOLD, FAINT, Look};
use super::text::{bytes, clean, fit, pad, width};

/// One attempt whose process had begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub node: NodeId,
    pub attempt: u32,
    pub usage: Usage,
}

/// Every attempt that has ended, in the order of their ends. Those that were tried again count too.
pub fn attempts<'a>(facts: impl IntoIterator<Item = &'a RunFact>) -> Vec<Attempt> {
    let mut set_aside: HashMap<NodeId, u64> = HashMap::new();
    let mut all = Vec::new();
    for fact in facts {
        match fact {
            RunFact::Started { plan, .. } => {
                for node in Plan::deserialize(plan).map(|plan| plan.nodes).unwrap_or_default() {
                    if let Work::Invoke(work) = node.work
                        && let Some(memory) = work.resources.memory
                    {
                        set_aside.insert(node.id, memory);
                    }
                }
            }
            RunFact::InvocationEnded { node, attempt, record: Some(record), .. } => {
                if let Some(usage) = Usage::of(record, set_aside.get(node).copied()) {
                    all.push(Attempt { node: node.clone(), attempt: *attempt, usage });
                }
            }
            _ => {}
        }
    }
    all
}

/// What a repository's runs took together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    pub name: String,
    pub runs: u64,
    pub usage: Usage,
}

/// Attempts of one run and all of them together; empty when nothing had begun.
pub fn of_run(attempts: &[Attempt], prices: &Prices, look: Look) -> String {
    if attempts.is_empty() {
        return String::new();
    }
    let tried_again = |node: &NodeId| attempts.iter().filter(|other| other.node == *node).count() > 1;
    let name = |attempt: &Attempt| match (clean(attempt.node.as_str()), attempt.attempt) {
        (name, number) if number > 1 || tried_again(&attempt.node) => format!("{name} #{number}"),
        (name, _) => name,
    };
    let mut rows: Vec<Vec<String>> = attempts.iter().map(|attempt| row(name(attempt), &attempt.usage, prices)).collect();
    let all = Usage::sum(attempts.iter().map(|attempt| attempt.usage));
    rows.push(row("all".to_owned(), &all, prices));
    table(&heads("step", prices), &rows, true, look)
}

/// A line a repository, and all of them together where there are several.
pub fn of_repositories(repositories: &[Repository], prices: &Prices, look: Look) -> String {
    let line = |name: String, runs: u64, usage: &Usage| {
        let mut cells = row(name, usage, prices);
        // The largest of many says little of them.
        cells.remove(PEAK);
        cells.insert(1, grouped(runs));
        cells
    };
    let mut rows: Vec<Vec<String>> = repositories.iter().map(|one| line(clean(&one.name), one.runs, &one.usage)).collect();
    if repositories.len() > 1 {
        let runs = repositories.iter().map(|one| one.runs).sum();
        rows.push(line("all".to_owned(), runs, &Usage::sum(repositories.iter().map(|one| one.usage))));
    }
    let mut heads = heads("repository", prices);
    heads.remove(PEAK);
    heads.insert(1, "runs".to_owned());
    table(&heads, &rows, repositories.len() > 1, look)
}

/// The same numbers for a program, added to what says whose they are. Amounts are decimals in text, so that nothing of them is lost.
pub fn object(whose: Value, usage: &Usage, prices: &Prices) -> Value {
    let mut object = if let Value::Object(whose) = whose { whose } else { Map::new() };
    let numbers = [
        ("invocations", usage.invocations),
        ("run_us", usage.run_us),
        ("cpu_us", usage.cpu_us),
        ("peak_memory_bytes", usage.peak_memory_bytes),
        ("read_bytes", usage.read_bytes),
        ("written_bytes", usage.written_bytes),
    ];
    object.extend(numbers.map(|(name, number)| (name.to_owned(), json!(number))));
    object.insert("gb_seconds".to_owned(), json!(decimal(usage.gb_seconds(), 9)));
    if let Some(cost) = usage.cost(prices) {
        object.insert("cost".to_owned(), json!(decimal(cost, 12)));
        object.insert("currency".to_owned(), json!(prices.currency));
    }
    Value::Object(object)
}

/// The column of the peak of memory.
const PEAK: usize = 3;

fn heads(first: &str, prices: &Prices) -> Vec<String> {
    let mut heads: Vec<String> = [first, "time", "cpu", "memory", "read", "written", "GB-s"].map(str::to_owned).into();
    if prices.any() {
        heads.push(prices.currency.as_ref().map_or_else(|| "cost".to_owned(), |currency| clean(currency)));
    }
    heads
}

fn row(name: String, usage: &Usage, prices: &Prices) -> Vec<String> {
    let mut cells = vec![
        name,
        seconds(usage.run_us),
        seconds(usage.cpu_us),
        bytes(usage.peak_memory_bytes),
        bytes(usage.read_bytes),
        bytes(usage.written_bytes),
        rounded(usage.gb_seconds(), 3),
    ];
    cells.extend(usage.cost(prices).map(|cost| rounded(cost, 6)));
    cells
}

/// In one unit, so that a column of them can be compared: `0.003 s`, `12.3 s`, `1,234 s`.
fn seconds(us: u64) -> String {
    match us {
        us if us < 10_000_000 => format!("{} s", decimal(u128::from(us) * 1_000_000, 3)),
        us if us < 1_000_000_000 => format!("{} s", decimal(u128::from(us) * 1_000_000, 1)),
        us => format!("{} s", grouped(us / 1_000_000)),
    }
}

/// What is too little to be seen is not nothing.
fn rounded(units: u128, digits: u32) -> String {
    let text = decimal(units, digits);
    let nothing = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if nothing && units > 0 { format!("<{}", decimal(10_u128.pow(12 - digits), digits)) } else { text }
}

/// A name that leaves no room for the numbers has a line of its own. With a `total`, the last line stands apart.
fn table(heads: &[String], rows: &[Vec<String>], total: bool, look: Look) -> String {
    let widths: Vec<usize> =
        (0..heads.len()).map(|at| rows.iter().map(|row| width(&row[at])).chain([width(&heads[at])]).max().unwrap_or(0)).collect();
    let numbers: usize = widths.iter().skip(1).map(|width| width + 2).sum();
    let names = widths[0].min(look.width.saturating_sub(numbers + 2)).max(width(&heads[0]));
    let line = |cells: &[String]| {
        let (above, name) = if width(&cells[0]) > names {
            (format!("  {}\n", fit(&cells[0], look.width.saturating_sub(2))), "")
        } else {
            (String::new(), cells[0].as_str())
        };
        let mut text = format!("{above}  {}", pad(name, names));
        for (cell, width_of) in cells.iter().zip(&widths).skip(1) {
            text.push_str(&" ".repeat(2 + width_of.saturating_sub(width(cell))));
            text.push_str(cell);
        }
        text
    };
    let mut lines = vec![look.paint(FAINT, &line(heads))];
    for (at, row) in rows.iter().enumerate() {
        lines.push(if total && at + 1 == rows.len() { look.paint(BOLD, &line(row)) } else { line(row) });
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::invocation::{InvocationRecord, Phases};
    use crate::model::outcome::Outcome;
    use crate::model::settings::Price;

    fn ended(node: &str, attempt: u32, run_ms: u64, peak_mib: u64) -> RunFact {
        let record = InvocationRecord {
            started: true,
            phases: Phases { run_us: run_ms * 1000, ..Phases::default() },
            cpu_user_us: run_ms * 700,
            cpu_system_us: run_ms * 40,
            peak_memory_bytes: peak_mib << 20,
            read_bytes: 5 << 20,
            written_bytes: run_ms * 2048,
            ..InvocationRecord::default()
        };
        RunFact::InvocationEnded {
            node: NodeId::new(node),
            attempt,
            outcome: Outcome::Succeeded,
            record: Some(record),
            artifacts: Vec::new(),
            values: std::collections::BTreeMap::new(),
            layer: None,
        }
    }

    fn prices() -> Prices {
        Prices { gb_second: Some(Price(16_666_700)), request: Some(Price(200_000)), cpu_second: None, currency: Some("USD".to_owned()) }
    }

    fn story() -> Vec<Attempt> {
        let facts = [
            ended("build", 1, 90_500, 812),
            ended("test[os=linux, python=3.12, database=postgres]", 1, 4_200, 96),
            ended("test[os=linux, python=3.12, database=postgres]", 2, 12_345, 1_400),
            ended("lint", 1, 3, 1),
        ];
        attempts(&facts)
    }

    #[test]
    fn every_attempt_has_a_line_and_all_fit_eighty_columns() {
        let look = Look { width: 80, ..Look::default() };
        let text = of_run(&story(), &prices(), look);
        assert!(text.lines().all(|line| width(line) <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn without_prices_there_is_no_cost() {
        let text = of_run(&story()[..1], &Prices::default(), Look::default());
        insta::assert_snapshot!(text);
        assert!(object(json!({}), &story()[0].usage, &Prices::default()).get("cost").is_none());
        assert_eq!(of_run(&[], &prices(), Look::default()), "");
    }

    #[test]
    fn repositories_and_all_of_them() {
        let usage = Usage::sum(story().into_iter().map(|attempt| attempt.usage));
        let one = |name: &str, runs| Repository { name: name.to_owned(), runs, usage };
        insta::assert_snapshot!(of_repositories(
            &[one("acme/shop", 1_204), one("acme/\u{1b}[2Jdoors", 3)],
            &prices(),
            Look { width: 80, ..Look::default() }
        ));
    }

    #[test]
    fn programs_get_whole_numbers_and_decimals_in_text() {
        insta::assert_snapshot!(object(json!({ "step": "build" }), &story()[0].usage, &prices()));
    }
}
