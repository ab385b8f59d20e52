//! *Poisoned pipeline execution*: a pull request changes what describes the run (direct), or what the described run calls (indirect).

use tidegate::model::outcome::RunOutcome;

use super::scene::{Prize, Scene, is};
use crate::town::begun;

const PIPELINE: &str = r#"
name: shop
on: { pull_request: {} }
steps:
  greet: { uses: ./actions/greet }
  build: { needs: [greet], network: open, timeout: 5m, run: sh ./work.sh }
  ship: { needs: [build], environment: production, run: sh ./work.sh }
"#;
const ACTION: &str = "name: greet\nrun: echo greeted by main\n";
const EVIL_POLICY: &str = "\
forks: { run: first-time, pipeline: head, network: [\"127.0.0.1\"] }
commands: { approve: triage }
environments: { production: { approvers: [eve] } }
";

#[test]
fn a_change_of_the_pipeline_its_actions_or_the_policy_changes_nothing_and_what_they_call_runs_untrusted() {
    let prize = Prize::new();
    let scene = Scene::new(&[(".tidegate/shop.yaml", PIPELINE), ("actions/greet/action.yaml", ACTION), ("work.sh", "echo work of main\n")]);
    let town = &scene.town;
    let raid = prize.raid();
    let evil = "name: evil\non: { pull_request: {} }\nsteps:\n  evil: { network: open, environment: production, run: sh ./work.sh }\n";
    let head = scene.head(&[
        (".tidegate/shop.yaml", &PIPELINE.replace("sh ./work.sh", "echo evil")),
        (".tidegate/evil.yaml", evil),
        (".tidegate/policy.yaml", EVIL_POLICY),
        ("actions/greet/action.yaml", "name: greet\nrun: echo evil\n"),
        ("work.sh", &format!("echo indirect\n{raid}")),
    ]);
    // Not `evil`, and not before somebody has looked: `eve` is nobody, whatever her policy says.
    let run = scene.opened("opened", &head);
    let check = town.check(run.as_str(), "action_required");
    assert_eq!(check.name, "tidegate / shop");
    is(&scene.say("eve", "eve", &format!("/tidegate approve {head}")), "refused", "needs write");
    assert_eq!(town.facts(&run), []);
    is(&scene.say("ada", "ada", &format!("/tidegate approve {head}")), "obeyed", run.as_str());
    assert_eq!(town.end_of(&run), RunOutcome::Succeeded);
    assert!(scene.log(&run, "greet").contains("greeted by main"), "{}", scene.log(&run, "greet"));
    // What main's pipeline calls is the commit's: whoever approves has to have looked at that as well. It runs, and takes nothing.
    let log = scene.log(&run, "build");
    assert!(log.contains("indirect") && log.contains("got nothing") && !log.contains("evil"), "{log}");
    assert_eq!((scene.is_trusted(&run), begun(&town.facts(&run), "ship"), prize.taken()), (false, 0, 0));
    assert_eq!(town.requests(), [run]);
}
