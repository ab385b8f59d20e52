//! A *tag moved after approval*: what was approved by its name is another commit when it is run.

use tidegate::model::fact::RunFact;
use tidegate::model::outcome::RunOutcome;

use super::scene::{Scene, is};
use crate::payloads::{by, commit_comment, push};
use crate::town::SHOP;

const PIPELINE: &str = "\
name: shop
on: { push: { tags: [\"v*\"] } }
concurrency: { group: \"one\", queue: all }
steps:
  work: { run: sh ./work.sh }
  ship: { needs: [work], environment: production, run: sh ./work.sh }
";
const POLICY: &str = "push: { from: maintain }\nenvironments: { production: { approvers: maintain, tags: [\"v*\"] } }\n";

#[test]
fn what_runs_and_what_is_shipped_is_the_commit_that_was_approved_wherever_its_tag_is_by_then() {
    let scene = Scene::new(&[(".tidegate/shop.yaml", PIPELINE), (".tidegate/policy.yaml", POLICY), ("work.sh", "echo work of main\n")]);
    let town = &scene.town;
    let url = town.url();
    for login in ["mona", "max"] {
        town.github.world().role(SHOP, login, "maintain");
    }
    let tagged = |id: &str, work: &str| {
        let commit = town.push("work.sh", work, "refs/tags/v1");
        (commit.clone(), town.asked_one(&town.deliver(id, "push", &by("ada", push(&url, "refs/tags/v1", &commit)))))
    };
    // `ada` may write, which is not enough to run something at once here.
    let (good, run) = tagged("good", "echo harmless\n");
    town.check(run.as_str(), "action_required");
    // The tag is moved, and nobody has told of it yet.
    let bad = town.push("work.sh", "echo harmful\n", "refs/tags/v1");
    is(&scene.press("approve", "mary", (&good, run.as_str()), "approve"), "obeyed", run.as_str());
    let held = |run: &tidegate::model::id::RunId| town.facts(run).iter().any(|fact| matches!(fact, RunFact::NodeHeld { .. }));
    town.until("the environment", || held(&run).then_some(()));
    assert!(scene.log(&run, "work").contains("harmless"));

    // Now it is told of: another commit waits for another approval, of which the first says nothing.
    let moved = town.asked_one(&town.deliver("bad", "push", &by("ada", push(&url, "refs/tags/v1", &bad))));
    town.check(moved.as_str(), "action_required");
    let yes = "/tidegate approve --environment production";
    let comment = |id: &str, who: &str, commit: &str| town.deliver(id, "commit_comment", &commit_comment(&url, who, commit, yes))["handled"].clone();
    is(&comment("elsewhere", "mona", &bad), "refused", "nothing of");
    is(&comment("here", "mona", &good), "obeyed", run.as_str());
    assert_eq!(town.end_of(&run), RunOutcome::Succeeded);
    let shipped = scene.log(&run, "ship");
    assert!(shipped.contains("harmless") && !shipped.contains("harmful"), "{shipped}");
    assert_eq!(town.facts(&moved), []);
    // What was approved can be run again, as that and nothing else.
    let handled = scene.press("again", "mary", (&good, run.as_str()), "rerun");
    let again = town.asked_one(&serde_json::json!({ "handled": handled }));
    is(&comment("too-late", "mona", &bad), "refused", "nothing of");
    town.until("the environment", || held(&again).then_some(()));
    is(&comment("again-here", "max", &good), "obeyed", again.as_str());
    assert_eq!(town.end_of(&again), RunOutcome::Succeeded);
    assert!(scene.log(&again, "ship").contains("harmless"));
    assert_eq!((town.facts(&moved), town.request(&moved).len()), (Vec::new(), 1));
}
