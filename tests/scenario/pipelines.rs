//! Every pipeline in `pipelines/` is one that people can copy: it has no finding, it can be planned, and it runs as it is.

use crate::story::{entries, nothing_left, run_outcome};
use crate::support::World;
use tidegate::model::outcome::RunOutcome;

#[test]
fn every_pipeline_that_people_can_copy_is_checked_planned_and_run() {
    let mut names: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines"))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert!(names.contains(&"quickstart.yaml".to_owned()), "{names:?}");
    for name in names {
        // Each in a world of its own: nobody else's releases and journal.
        let world = World::with(&[("README.md", "A repository.\n")]);
        world.copy_from_package("pipelines", "pipelines");
        world.commit("What was copied");
        let file = format!("pipelines/{name}");
        world.tidegate(&["check", &file]).expect(0);
        world.tidegate(&["plan", &file]).expect(0);
        let facts = entries(&world.tidegate(&["run", &file, "--json"]).expect(0).out);
        assert_eq!(run_outcome(&facts), RunOutcome::Succeeded, "{name}");
        nothing_left(&world);
    }
}
