//! Every row of docs/trust.md's table of commands, as comments: who may say it, who may not, and that a program never may. What is said does what it says.

use serde_json::Value;
use tidegate::model::fact::RunFact;
use tidegate::model::id::RunId;
use tidegate::model::outcome::RunOutcome;

use crate::payloads::{comment_in, own_pull, pressed, pull, push};
use crate::rows::table;
use crate::town::{SHOP, Town};

const CHECKS: &str = "name: checks\non: { pull_request: {} }\nsteps:\n  work: { run: sh ./work.sh }\n";
/// A rollout that stays at its first stage until somebody says something.
const SHIPS: &str = r#"
name: ships
on: { push: {} }
steps:
  package: { run: python3 pipelines/quickstart/package.py dist/hello.zip, outputs: { bundle: dist/hello.zip } }
  ship: { needs: [package], deploy: { function: hello, artifact: package.bundle } }
functions:
  hello:
    runtime: provided.al2023
    handler: bootstrap
    timeout: 5s
    env: { FAULT: "0%", COMMIT: "${{ event.commit }}" }
    rollout: { strategy: canary, stages: [10%], hold: 1h, prewarm: 1 }
"#;
/// From the least.
const PEOPLE: [(&str, &str); 6] = [("none", "eve"), ("read", "bob"), ("triage", "tess"), ("write", "ada"), ("maintain", "mary"), ("admin", "root")];

struct Stage {
    town: Town,
    base: String,
    said: std::cell::Cell<usize>,
}

impl Stage {
    fn new() -> Self {
        let town = Town::with(&[(".tidegate/checks.yaml", CHECKS), (".tidegate/ships.yaml", SHIPS), ("work.sh", "echo worked\n")]);
        for (permission, login) in PEOPLE.iter().skip(1) {
            town.github.world().role(SHOP, login, permission);
        }
        town.world.copy_from_package("pipelines", "pipelines");
        let base = town.push("door.txt", "oak", "refs/heads/main");
        Self { town, base, said: std::cell::Cell::default() }
    }

    fn next(&self) -> String {
        self.said.set(self.said.get() + 1);
        format!("d{}", self.said.get())
    }

    fn say(&self, number: u64, who: &str, line: &str) -> Value {
        let id = self.next();
        let mut body = comment_in(number, &self.town.url(), who, line);
        body["comment"]["id"] = self.said.get().into();
        self.town.deliver(&id, "issue_comment", &body)["handled"].clone()
    }

    /// What stands at the comment that was written last.
    fn sign(&self, expected: &str) {
        let last = (self.said.get() as u64, expected.to_owned());
        self.town.until(&format!("{expected} at {}", last.0), || self.town.github.world().reactions.contains(&last).then_some(()));
    }

    /// A pull request that does this; with its head and its run.
    fn opened(&self, number: u64, work: &str, fork: bool) -> (String, RunId) {
        let head = self.town.push("work.sh", work, &format!("refs/pull/{number}/head"));
        self.town.github.world().pull(SHOP, number, &head);
        let of = if fork { pull } else { own_pull };
        let mut body = of(&self.town.url(), "opened", &head, &self.base);
        (body["number"], body["pull_request"]["number"]) = (number.into(), number.into());
        (head, self.town.asked_one(&self.town.deliver(&self.next(), "pull_request", &body)))
    }

    /// A rollout that has come to its first stage.
    fn rolling(&self, branch: &str) -> RunId {
        let town = &self.town;
        let (reference, before) = (format!("refs/heads/{branch}"), town.github.deployments(SHOP).len());
        let commit = town.push("door.txt", branch, &reference);
        let run = town.asked_one(&town.deliver(&self.next(), "push", &push(&town.url(), &reference, &commit)));
        town.until("the first stage", || {
            let deployments = town.github.deployments(SHOP);
            let said = &deployments.get(before)?.statuses;
            said.iter().any(|(_, said)| said.starts_with("10%")).then_some(())
        });
        run
    }

    /// Who has less may not, and neither may a program, whatever it may otherwise; then one who has exactly enough does.
    fn only_from(&self, least: &str, number: u64, line: &str) -> Value {
        let at = PEOPLE.iter().position(|(permission, _)| *permission == least).unwrap_or_else(|| panic!("no permission {least}"));
        for (_, login) in &PEOPLE[..at] {
            let handled = self.say(number, login, line);
            let why = handled["because"].as_str().unwrap_or_default();
            assert!(handled["handled"] == "refused" && why.contains(&format!("needs {least}")), "{line} by {login}: {handled}");
        }
        self.town.github.world().role(SHOP, "helper[bot]", "admin");
        let program = self.say(number, "helper[bot]", line);
        assert!(program["handled"] == "ignored" && program.to_string().contains("program"), "{line}: {program}");
        self.say(number, PEOPLE[at].1, line)
    }

    /// The same by a button, as far as there is one.
    fn button_is_no_programs(&self, run: &RunId, button: &str) {
        let body = pressed(&self.town.url(), "helper[bot]", &self.base, run.as_str(), button);
        let handled = self.town.deliver(&self.next(), "check_run", &body)["handled"].clone();
        assert!(handled["handled"] == "refused" && handled.to_string().contains("is a program"), "{button}: {handled}");
    }
}

fn row(stage: &Stage, command: &str, least: &str) {
    let town = &stage.town;
    match command {
        "run" => {
            let (_, first) = stage.opened(10, "echo worked\n", false);
            assert_eq!(town.end_of(&first), RunOutcome::Succeeded);
            stage.button_is_no_programs(&first, "rerun");
            let asked = stage.only_from(least, 10, "/tidegate run checks");
            assert_eq!(town.end_of(&town.asked_one(&serde_json::json!({ "handled": asked }))), RunOutcome::Succeeded);
            // It does not approve.
            let (_, strange) = stage.opened(11, "echo strange\n", true);
            let asked = stage.say(11, "root", "/tidegate run");
            let other = town.asked_one(&serde_json::json!({ "handled": asked }));
            for run in [strange, other] {
                town.check(run.as_str(), "action_required");
                assert_eq!(town.facts(&run), []);
            }
        }
        "approve" => {
            let (head, run) = stage.opened(12, "echo strange\n", true);
            stage.button_is_no_programs(&run, "approve");
            assert_eq!(stage.only_from(least, 12, &format!("/tidegate approve {head}"))["handled"], "obeyed");
            stage.sign("+1");
            assert_eq!(town.end_of(&run), RunOutcome::Succeeded);
        }
        "reject" => {
            let (head, run) = stage.opened(14, "echo strange\n", true);
            stage.button_is_no_programs(&run, "reject");
            // One says no to what one has looked at.
            assert!(stage.say(14, "root", "/tidegate reject").to_string().contains("say which commit"));
            assert!(stage.say(14, "root", &format!("/tidegate reject {}", "0".repeat(40))).to_string().contains("nothing is known here"));
            town.check(run.as_str(), "action_required");
            let handled = stage.only_from(least, 14, &format!("/tidegate reject {}", &head[..10]));
            assert_eq!(handled, serde_json::json!({ "handled": "obeyed", "what": format!("rejected {run}") }));
            stage.sign("+1");
            let check = town.check(run.as_str(), "failure");
            assert!(check.title == "Rejected" && check.summary.contains("By `ada`"), "{check:#?}");
            // It is over: nobody lets it in any more, and nothing of it has run.
            assert!(stage.say(14, "root", &format!("/tidegate approve {head}")).to_string().contains("nothing waits for approval"));
            assert!(stage.say(14, "root", &format!("/tidegate reject {head}")).to_string().contains("nothing waits for approval"));
            assert_eq!(town.facts(&run), []);
            // By the button it is the same.
            let (head, run) = stage.opened(15, "echo strange\n", true);
            let body = pressed(&town.url(), "ada", &head, run.as_str(), "reject");
            assert_eq!(town.deliver(&stage.next(), "check_run", &body)["handled"]["handled"], "obeyed");
            town.check(run.as_str(), "failure");
            assert_eq!(town.facts(&run), []);
        }
        "cancel" => {
            let (_, run) = stage.opened(13, "sleep 600\n", false);
            town.invoked(&run);
            stage.button_is_no_programs(&run, "cancel");
            assert_eq!(stage.only_from(least, 13, "/tidegate cancel")["handled"], "obeyed");
            assert_eq!(town.end_of(&run), RunOutcome::Cancelled);
        }
        "promote" | "rollback" => {
            let run = stage.rolling(command);
            stage.button_is_no_programs(&run, command);
            assert_eq!(stage.only_from(least, 10, &format!("/tidegate {command}"))["handled"], "obeyed");
            let expected = if command == "promote" { RunOutcome::Succeeded } else { RunOutcome::Failed };
            assert_eq!(town.end_of(&run), expected);
            let said = town
                .facts(&run)
                .into_iter()
                .find_map(|fact| if let RunFact::NodeEnded { node, outcome } = fact { (node.as_str() == "ship").then_some(outcome) } else { None });
            assert_eq!(said.expect("it ended").is_success(), command == "promote");
        }
        other => panic!("nobody says the command {other:?}"),
    }
}

#[test]
fn each_command_is_obeyed_from_those_who_may_say_it_and_from_nobody_else() {
    let stage = Stage::new();
    let rows = table("## Commands");
    assert_eq!(rows.len(), 6);
    for cells in rows {
        row(&stage, &cells[0], &cells[1]);
    }
}

#[test]
fn a_comment_gets_a_sign_once_and_strangers_get_none() {
    let stage = Stage::new();
    let (head, _) = stage.opened(12, "echo strange\n", true);
    let yes = format!("/tidegate approve {head}");
    let please = "/tidegate please".to_owned();
    for (who, said, sign) in [
        ("eve", &yes, None),
        ("bob", &yes, None),
        ("eve", &please, None),
        ("ada", &"Looks good".to_owned(), None),
        ("tess", &yes, Some("-1")),
        ("ada", &please, Some("confused")),
    ] {
        stage.say(12, who, said);
        sign.into_iter().for_each(|sign| stage.sign(sign));
    }
    let last = format!("d{}", stage.said.get());
    stage.town.world.tidegate(&["deliveries", "replay", &last]).expect(0);
    stage.town.handled(&last);
    stage.say(12, "ada", &yes);
    stage.sign("+1");
    let signs: Vec<String> = stage.town.github.world().reactions.iter().map(|(_, sign)| sign.clone()).collect();
    assert_eq!(signs, ["-1", "confused", "+1"]);
}
