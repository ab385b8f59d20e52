//! *Artifact poisoning*: what a stranger's run leaves is taken for the repository's own.

use tidegate::model::fact::RunFact;
use tidegate::model::id::RunId;
use tidegate::model::outcome::RunOutcome;

use super::scene::{Scene, is};
use crate::payloads::push;
use crate::town::{Town, begun};

/// What it builds differs each time, so that it is known again.
const PIPELINE: &str = r#"
name: shop
on: { push: {}, pull_request: {} }
steps:
  build:
    run: |
      mkdir dist && cat /proc/sys/kernel/random/uuid > dist/mark
      echo "mark=$(cat dist/mark)" >> "$TIDEGATE_OUTPUT"
      cat dist/mark
    outputs: { dist: dist }
  test: { needs: [build], run: "cat dist/mark; sh ./test.sh" }
  ship: { needs: [build, test], environment: production, run: "cat dist/mark; echo ${{ steps.build.outputs.mark }}" }
"#;

fn kept(town: &Town, run: &RunId) -> Vec<String> {
    let kept = |fact: &RunFact| if let RunFact::NodeKept { node, .. } = fact { Some(node.to_string()) } else { None };
    town.facts(run).iter().filter_map(kept).collect()
}

#[test]
fn what_a_strangers_run_leaves_is_built_anew_for_everybody_else() {
    let scene = Scene::new(&[(".tidegate/shop.yaml", PIPELINE), ("test.sh", "exit 0\n")]);
    let town = &scene.town;
    let url = town.url();
    let head = scene.head(&[("test.sh", "[ -e again ] || exit 1\n")]);
    let strange = scene.opened("opened", &head);
    is(&scene.say("approve", "ada", &format!("/tidegate approve {head}")), "obeyed", strange.as_str());
    assert_eq!(town.end_of(&strange), RunOutcome::Failed);
    let mark = scene.log(&strange, "build").lines().last().expect("a mark").trim().to_owned();
    assert!(scene.log(&strange, "test").contains(&mark));

    // Merged as it is: the very same commit, in the same pipeline. Nothing of what was there is taken.
    town.world.git(&["push", "--quiet", "--force", "origin", "HEAD:refs/heads/main"]);
    let ours = town.asked_one(&town.deliver("merged", "push", &push(&url, "refs/heads/main", &head)));
    assert_eq!(town.end_of(&ours), RunOutcome::Failed);
    assert_eq!((kept(town, &ours), begun(&town.facts(&ours), "build"), scene.is_trusted(&ours)), (Vec::new(), 1, true));
    assert!(!scene.log(&ours, "test").contains(&mark), "the stranger's build was tested for us");

    // What failed is run again with what the stranger's build left, and is as little trusted as that: it can not ship.
    let again = |id: &str, run: &RunId| {
        let handled = scene.press(id, "ada", (&head, run.as_str()), "rerun-failed");
        town.asked_one(&serde_json::json!({ "handled": handled }))
    };
    let strange_again = again("again-strange", &strange);
    town.end_of(&strange_again);
    assert_eq!((kept(town, &strange_again), scene.is_trusted(&strange_again)), (vec!["build".to_owned()], false));
    assert!(scene.log(&strange_again, "test").contains(&mark));
    let ours_again = again("again-ours", &ours);
    town.end_of(&ours_again);
    assert_eq!((kept(town, &ours_again), scene.is_trusted(&ours_again)), (vec!["build".to_owned()], true));
    assert!(!scene.log(&ours_again, "test").contains(&mark));
    for run in [&strange, &strange_again] {
        assert_eq!(begun(&town.facts(run), "ship"), 0);
    }
}
