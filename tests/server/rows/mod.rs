//! Every row of docs/trust.md as GitHub sends it, in a repository for each of the policies that the table has a column for. Seen from outside: what the delivery is
//! answered, what stands in the journal, what GitHub shows, and what the steps could do.
//!
//! Each row has a commit and an installation of its own: what is said at GitHub is told apart by the one, and goes at a pace of its own by the other.

mod street;

use serde_json::json;
use tidegate::model::fact::RunFact;
use tidegate::model::id::RunId;
use tidegate::model::outcome::RunOutcome;

use crate::payloads::{pressed, through};
use crate::town::{SHOP, begun};
use street::{Street, What};

const TABLE: &str = include_str!("../../../docs/trust.md");

/// The cells of a table's rows, below a heading.
pub fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, below) = TABLE.split_once(heading).unwrap_or_else(|| panic!("docs/trust.md has no {heading}"));
    let lines = below.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()).collect()
}

/// Something that has been sent for a row.
struct Sent {
    row: String,
    expected: String,
    installation: u64,
    /// That it is about; empty: whatever the default branch has.
    commit: String,
    what: What,
}

impl Street {
    /// The runs that were asked for; none if it was refused.
    fn asked(&self, sent: &Sent) -> Vec<RunId> {
        let refused = sent.expected == "refuse";
        match &sent.what {
            What::Turned(status) => {
                assert!(refused && matches!(status, 400 | 403 | 409 | 422), "{}: {status}", sent.row);
                Vec::new()
            }
            What::Runs(runs) => {
                assert!(!refused && !runs.is_empty(), "{}", sent.row);
                runs.clone()
            }
            What::Delivery(id) => {
                let handled = self.town.handled(id)["handled"].clone();
                if refused {
                    // What GitHub itself says is not so is not even looked at.
                    let word = if sent.row.ends_with("is not its head") { "ignored" } else { "refused" };
                    assert_eq!(handled["handled"], word, "{}: {handled}", sent.row);
                    return Vec::new();
                }
                let runs = self.town.asked(&json!({ "handled": handled }));
                assert_eq!(runs.len(), 1, "{}: {handled}", sent.row);
                runs
            }
        }
    }

    /// It waits, says so, and has done nothing; then somebody who may has looked at it.
    fn wait(&self, sent: &Sent, run: &RunId) {
        let check = self.town.check(run.as_str(), "action_required");
        assert_eq!(check.sha, sent.commit, "{}", sent.row);
        assert_eq!(self.town.facts(run), [], "{} has begun", sent.row);
        let press = |who: &str| {
            let body = through(sent.installation, pressed(&self.town.url(), who, &sent.commit, run.as_str(), "approve"));
            self.town.deliver(&format!("{}-{run}", who.trim_end_matches("[bot]")), "check_run", &body)["handled"]["handled"].clone()
        };
        assert_eq!((press("rita"), press("updates[bot]")), ("refused".into(), "refused".into()), "{}", sent.row);
        assert_eq!(press("ada"), "obeyed", "{}", sent.row);
    }

    /// What it could do when it ran.
    fn ran(&self, sent: &Sent, run: &RunId, own_network: &str) {
        let (town, row) = (&self.town, &sent.row);
        assert_eq!(town.end_of(run), RunOutcome::Succeeded, "{row}");
        let facts = town.facts(run);
        let Some(RunFact::Started { plan, event, .. }) = facts.first() else { panic!("{row}: {facts:#?}") };
        let trusted = !sent.expected.ends_with("untrusted");
        let log = town.world.tidegate(&["runs", "logs", run.as_str(), "look"]).expect(0).out;
        assert_eq!(plan["trust"] == "untrusted", !trusted, "{row}");
        assert_eq!(log.contains(own_network), trusted, "{row} has the machine's network: {log}");
        assert!(log.contains("network net:["), "{row}: {log}");
        assert_eq!(begun(&facts, "ship"), usize::from(trusted), "{row} deploys");
        if !sent.commit.is_empty() {
            assert_eq!(event.commit.as_str(), sent.commit, "{row}");
            let whose = if trusted { "pipeline of the change" } else { "pipeline of main" };
            assert!(log.contains(whose) && log.contains("work of row"), "{row}: {log}");
        }
        town.check(run.as_str(), "success");
        town.check(&format!("{run}/look"), "success");
        town.check(&format!("{run}/ship"), if trusted { "success" } else { "neutral" });
    }
}

fn tell(column: usize, policy: &str) {
    let mut street = Street::new(policy);
    let own_network = std::fs::read_link("/proc/self/ns/net").expect("a namespace").to_string_lossy().into_owned();
    let rows = table("## Who may run what");
    assert!(rows.len() >= 24, "only {} rows", rows.len());
    // The schedule needs a restart: before anything else is on its way.
    let mut order: Vec<(usize, &Vec<String>)> = rows.iter().enumerate().collect();
    order.sort_by_key(|(_, cells)| cells[0] != "schedule");
    let mut all = Vec::new();
    for (at, cells) in order {
        let (row, expected, installation) = (cells[0].clone(), cells[column].clone(), at as u64 + 1);
        let sent = street.send(at + 1, &row);
        all.extend(sent.into_iter().map(|(commit, what)| Sent { row: row.clone(), expected: expected.clone(), installation, commit, what }));
    }
    let asked: Vec<(&Sent, Vec<RunId>)> = all.iter().map(|sent| (sent, street.asked(sent))).collect();
    for (sent, runs) in &asked {
        for run in runs.iter().filter(|_| sent.expected.starts_with("wait")) {
            street.wait(sent, run);
        }
    }
    let mut ran = 0;
    for (sent, runs) in &asked {
        for run in runs {
            street.ran(sent, run, &own_network);
            ran += usize::from(sent.row != "schedule");
        }
    }
    // But for the schedule, which goes on meanwhile.
    let others = street.town.requests().into_iter().filter(|run| !street.is_of_the_schedule(run)).count();
    assert_eq!(others, ran, "something else was asked for");
    let refused = |check: &&crate::github::Check| all.iter().any(|sent| sent.expected == "refuse" && sent.commit == check.sha);
    assert_eq!(street.town.github.checks(SHOP).iter().filter(refused).map(|check| &check.name).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn each_row_as_it_is_without_a_policy_file() {
    tell(1, "");
}

#[test]
fn each_row_where_forks_run_once_somebody_is_known() {
    tell(2, "forks: { run: first-time }\n");
}

#[test]
fn each_row_where_nothing_runs_of_forks() {
    tell(3, "forks: { run: never }\n");
}
