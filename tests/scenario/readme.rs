//! What the README shows works: its pipeline is one, and its commands are there.

use crate::support::World;

#[test]
fn the_pipeline_in_the_readme_is_checked_and_planned() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("the README");
    let (_, rest) = readme.split_once("```yaml\n").expect("a pipeline");
    let (pipeline, _) = rest.split_once("```").expect("its end");
    let world = World::with(&[(".tidegate/hello.yaml", pipeline)]);
    world.tidegate(&["check"]).expect(0);
    let planned = world.tidegate(&["plan"]).expect(0);
    for step in ["secrets", "test", "package", "ship"] {
        assert!(planned.out.contains(step), "{step} in:\n{}", planned.out);
    }
}

#[test]
fn every_command_of_the_readme_is_there() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("the README");
    let (_, rest) = readme.split_once("## Commands\n```\n").expect("the commands");
    let (commands, _) = rest.split_once("```").expect("their end");
    let world = World::new();
    let names: Vec<&str> = commands.lines().filter_map(|line| line.strip_prefix("tidegate ")?.split([' ', '[']).next()).collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        world.tidegate(&[name, "--help"]).expect(0);
    }
}
