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
    table(&heads("step", prices), &rows, true, look) + &without(&all, look)
}

/// What sums are without.
fn without(all: &Usage, look: Look) -> String {
    match all.unmeasured {
        0 => String::new(),
        some => format!("  {}\n", look.paint(FAINT, &format!("of {} of {} not everything was measured", grouped(some), grouped(all.invocations)))),
    }
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
    let all = Usage::sum(repositories.iter().map(|one| one.usage));
    if repositories.len() > 1 {
        rows.push(line("all".to_owned(), repositories.iter().map(|one| one.runs).sum(), &all));
    }
    let mut heads = heads("repository", prices);
    heads.remove(PEAK);
    heads.insert(1, "runs".to_owned());
    table(&heads, &rows, repositories.len() > 1, look) + &without(&all, look)
}

/// The same numbers for a program, added to what says whose they are. Amounts are decimals in text, so that nothing of them is lost. What was not measured is
/// absent.
pub fn object(whose: Value, usage: &Usage, prices: &Prices) -> Value {
    let mut object = if let Value::Object(whose) = whose { whose } else { Map::new() };
    let numbers = [
        ("invocations", Some(usage.invocations)),
        ("run_us", Some(usage.run_us)),
        ("cpu_us", of_nothing(usage, usage.cpu_us)),
        ("peak_memory_bytes", of_nothing(usage, usage.peak_memory_bytes)),
        ("read_bytes", of_nothing(usage, usage.read_bytes)),
        ("written_bytes", of_nothing(usage, usage.written_bytes)),
        ("unmeasured", (usage.unmeasured > 0).then_some(usage.unmeasured)),
    ];
    object.extend(numbers.into_iter().filter_map(|(name, number)| Some((name.to_owned(), json!(number?)))));
    if let Some(amount) = of_nothing(usage, usage.gb_seconds()) {
        object.insert("gb_seconds".to_owned(), json!(decimal(amount, 9)));
    }
    if let Some(cost) = usage.cost(prices) {
        object.insert("cost".to_owned(), json!(decimal(cost, 12)));
        object.insert("currency".to_owned(), json!(prices.currency));
    }
    Value::Object(object)
}

/// Where nothing has run, nothing is known to have been taken.
fn of_nothing<T: From<u8>>(usage: &Usage, figure: Option<T>) -> Option<T> {
    figure.or_else(|| (usage.invocations == 0).then(|| T::from(0)))
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
    let cell = |figure: Option<u64>, say: fn(u64) -> String| of_nothing(usage, figure).map_or_else(|| UNMEASURED.to_owned(), say);
    let amount = |units: Option<u128>, digits| of_nothing(usage, units).map_or_else(|| UNMEASURED.to_owned(), |units| rounded(units, digits));
    let mut cells = vec![
        name,
        seconds(usage.run_us),
        cell(usage.cpu_us, seconds),
        cell(usage.peak_memory_bytes, bytes),
        cell(usage.read_bytes, bytes),
        cell(usage.written_bytes, bytes),
        amount(usage.gb_seconds(), 3),
    ];
    if prices.any() {
        cells.push(amount(usage.cost(prices), 6));
    }
    cells
}

/// Nobody has counted it.
const UNMEASURED: &str = "–";

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
            cpu_user_us: Some(run_ms * 700),
            cpu_system_us: Some(run_ms * 40),
            peak_memory_bytes: Some(peak_mib << 20),
            read_bytes: Some(5 << 20),
            written_bytes: Some(run_ms * 2048),
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
    fn what_was_not_measured_is_no_number() {
        let RunFact::InvocationEnded { node, attempt, outcome, record: Some(record), artifacts, values, layer } = ended("blind", 1, 90, 0) else {
            panic!("it has ended");
        };
        let (peak_memory_bytes, read_bytes, written_bytes) = (None, None, None);
        let record = Some(InvocationRecord { cpu_user_us: None, peak_memory_bytes, read_bytes, written_bytes, ..record });
        let blind = RunFact::InvocationEnded { node, attempt, outcome, record, artifacts, values, layer };
        let story = attempts(&[blind, ended("build", 1, 4_200, 96)]);
        let text = of_run(&story, &prices(), Look::default());
        assert_eq!(text.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(), ["blind", "0.090", "s", "–", "–", "–", "–", "–", "–"]);
        assert!(text.ends_with("  of 1 of 2 not everything was measured\n"), "{text}");
        let said = object(json!({ "step": "blind" }), &story[0].usage, &prices());
        assert_eq!(said, json!({ "step": "blind", "invocations": 1, "run_us": 90_000, "unmeasured": 1 }));
        assert_eq!(object(json!({}), &Usage::default(), &prices())["cpu_us"], json!(0), "nothing has taken nothing");
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
