//! From a commit to a function that serves: releases that are promoted, canaried, rolled back, and decided about by a person.

use rustix::process::Signal;
use tidegate::model::fact::{RolloutFact, RolloutOutcome};
use tidegate::model::traffic::Destination;

use crate::story::{
    BY_HAND, FUNCTION, Tells as _, Terminal, entries, flat, get, nothing_left, package, redacted, rollout_facts, rollout_outcome, serve, until,
};
use crate::support::{Seen, World};

/// The quick start with stages that hold at once.
fn quick_start() -> World {
    let world = World::with(&[("README.md", "A repository.\n")]);
    world.copy_from_package("pipelines", "pipelines");
    let path = world.repository().join("pipelines/quickstart.yaml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in [("hold: 3s", "hold: 300ms"), ("samples: 150", "samples: 40"), ("rate: 200/s", "rate: 300/s")] {
        assert!(text.contains(from), "the quick start has changed: {from}");
        text = text.replace(from, to);
    }
    std::fs::write(&path, text).unwrap();
    world.commit("The quick start");
    world
}

fn ship(world: &World, more: &[&str]) -> Seen {
    let mut arguments = vec!["run", "pipelines/quickstart.yaml"];
    arguments.extend(more);
    world.tidegate(&arguments)
}

/// The shares that the new release got, one after the other.
fn shares(world: &World) -> Vec<String> {
    let facts = rollout_facts(&entries(&world.tidegate(&["rollout", "show", "latest", "--json"]).expect(0).out));
    let new = facts.iter().find_map(|(_, fact)| if let RolloutFact::Published { release } = fact { Some(release.id.clone()) } else { None });
    let Some(new) = new else { return Vec::new() };
    let share = |(_, fact): &(_, RolloutFact)| match fact {
        RolloutFact::Shifted { split, .. } => Some(
            split
                .iter()
                .find(|(to, _)| **to == Destination::Release(new.clone()))
                .map_or_else(|| "nothing".to_owned(), |(_, weight)| weight.to_string()),
        ),
        _ => None,
    };
    facts.iter().filter_map(share).collect()
}

#[test]
fn the_quick_start_from_its_first_release_to_a_fault() {
    let world = quick_start();
    // The first: nothing to compare it with, and yet it goes stage by stage.
    ship(&world, &[]).expect(0).tells("✔ hello: v1 serves all traffic").tells("none failed").tells("curl http://127.0.0.1:7070/hello/");
    assert_eq!(shares(&world), ["10%", "50%", "100%"]);
    // The same files are the same release.
    ship(&world, &[]).expect(0).tells("✔ hello: v1 was serving already: nothing to do");
    assert_eq!(shares(&world), Vec::<String>::new());
    // A change is canaried against it.
    let handler = "pipelines/quickstart/handler.py";
    let text = std::fs::read_to_string(world.repository().join(handler)).unwrap();
    world.write(handler, &format!("{text}\n# Greets as before.\n"));
    world.commit("Change the function");
    ship(&world, &[]).expect(0).tells("✔ hello: v2 serves all traffic").tells("worse than the stable one");
    assert_eq!(shares(&world), ["10%", "50%", "100%"]);
    // A release with a fault goes back by itself, and says by which numbers.
    let faulty = ship(&world, &["--param", "fault=20%"]).expect(3);
    let text = flat(&faulty.all());
    let numbers =
        regex::Regex::new(r"(\d+) of (\d+) requests failed on the new release \([0-9.]+ %\), (\d+) of (\d+) on the stable one \(0 %\): evidence")
            .unwrap();
    let found = numbers.captures(&text).unwrap_or_else(|| panic!("{text}"));
    let number = |at: usize| found[at].parse::<u64>().unwrap();
    assert!(number(1) > 0 && number(1) < number(2) && number(3) == 0 && number(4) > 0, "{found:?}");
    faulty.tells("✘ hello: v3 was rolled back from").tells("Clients saw").tells("serves everything.");
    assert_eq!(shares(&world).last().map(String::as_str), Some("nothing"));

    let listed = world.tidegate(&["rollout", "ls"]).expect(0).out;
    let outcomes: Vec<_> = listed.lines().skip(1).filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert_eq!(outcomes, ["rolled-back", "promoted", "unchanged", "promoted"]);
    world.tidegate(&["rollout", "show", "latest"]).expect(0).tells("published v3").tells("10% of traffic to v3").tells("all traffic back on stable");
    nothing_left(&world);
}

fn by_hand() -> World {
    let world = World::with(&[("by-hand.yaml", BY_HAND)]);
    world.write("slow.yaml", &BY_HAND.replace("hold: 300ms", "hold: 1h"));
    world
}

fn deploy<'a>(file: &'a str, zip: &'a str, greeting: &'a str) -> [&'a str; 8] {
    ["deploy", "hello", "--file", file, "--artifact", zip, "--param", greeting]
}

/// Who answers `hello` at this address.
fn answering(address: std::net::SocketAddr) -> String {
    let answer = get(address, "/hello/");
    answer.lines().find_map(|line| line.strip_prefix("x-tidegate-release: ")).unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn a_deploy_by_hand_and_the_way_back_after_it_was_promoted() {
    let world = by_hand();
    let zip = package(&world, "hello", FUNCTION.as_bytes());
    world.tidegate(&deploy("by-hand.yaml", &zip, "greeting=one")).expect(0).tells("v1 serves all traffic");
    world.tidegate(&deploy("by-hand.yaml", &zip, "greeting=one")).expect(0).tells("v1 was serving already");
    // Other configuration, other release: the package is the same.
    world.tidegate(&deploy("by-hand.yaml", &zip, "greeting=two")).expect(0).tells("v2 serves all traffic");
    let (_serve, address) = serve(&world);
    assert!(answering(address).ends_with("v2"));
    assert!(get(address, "/hello/").ends_with("hello from two\n"));
    // Only what serves now can be taken back in one step.
    let first = world.tidegate(&["rollout", "ls", "--json"]).expect(0).out.lines().last().unwrap().to_owned();
    let first = regex::Regex::new(r"hello-\d{8}-\d{6}-[0-9a-f]{4}").unwrap().find(&first).unwrap().as_str().to_owned();
    world.tidegate(&["rollout", "rollback", &first]).expect(2).says("roll back the newest rollout instead");
    world.tidegate(&["rollout", "rollback", "latest"]).expect(0).says("hello: all traffic goes to").says("again.");
    assert!(answering(address).ends_with("v1"));
    assert!(get(address, "/hello/").ends_with("hello from one\n"));
    world.tidegate(&["rollout", "rollback", "latest"]).expect(0).says("is there already");
    world.tidegate(&["rollout", "abort", "latest"]).expect(2).says("has ended already (promoted)");
    world.tidegate(&["rollout", "show", "nobody"]).expect(2).says("`tidegate rollout ls` lists them");
}

#[test]
fn a_person_decides_about_a_rollout_that_another_process_drives() {
    let world = by_hand();
    let zip = package(&world, "hello", FUNCTION.as_bytes());
    world.tidegate(&deploy("by-hand.yaml", &zip, "greeting=one")).expect(0);

    let mut slow = Terminal::start(&world, &deploy("slow.yaml", &zip, "greeting=two"));
    slow.until("10% of traffic to v2");
    world.tidegate(&["rollout", "ls"]).expect(0).says("under-way");
    world.tidegate(&["rollout", "show", "latest"]).expect(0).tells("v2 is being rolled out").tells("10% of traffic to v2");
    let second = world.tidegate(&deploy("by-hand.yaml", &zip, "greeting=three"));
    second.expect(4).tells("another rollout of hello is under way: wait for it, or `tidegate rollout abort` it");
    world.tidegate(&["rollout", "abort", "latest"]).expect(0).says("Told the process that drives");
    assert_eq!(slow.end(), 3, "{}", slow.lines);
    assert!(slow.lines.contains("aborting (by hand)") && slow.lines.contains("taken back by hand"), "{}", slow.lines);
    assert_eq!(shares(&world), ["10%", "nothing"]);

    let mut slow = Terminal::start(&world, &deploy("slow.yaml", &zip, "greeting=four"));
    slow.until("10% of traffic to");
    world.tidegate(&["rollout", "promote", "latest"]).expect(0).says("Told the process that drives");
    assert_eq!(slow.end(), 0, "{}", slow.lines);
    let all = entries(&world.tidegate(&["rollout", "show", "latest", "--json"]).expect(0).out);
    assert_eq!(rollout_outcome(&all), RolloutOutcome::Promoted);
    assert_eq!(shares(&world), ["10%", "100%"]);

    // Ctrl-C puts back what was there.
    let mut slow = Terminal::start(&world, &deploy("slow.yaml", &zip, "greeting=five"));
    slow.until("10% of traffic to");
    slow.signal(Signal::INT);
    assert_eq!(slow.end(), 3, "{}", slow.lines);
    assert_eq!(shares(&world), ["10%", "nothing"]);
    nothing_left(&world);
}

#[test]
fn with_serve_running_a_deploy_moves_its_traffic_and_it_outlives_everybody() {
    let world = by_hand();
    let zip = package(&world, "hello", FUNCTION.as_bytes());
    let (mut first, address) = serve(&world);
    assert!(get(address, "/hello/").starts_with("HTTP/1.1 404"));
    let seen = world.tidegate(&deploy("by-hand.yaml", &zip, "greeting=one")).expect(0);
    seen.says("Serving:").says(&format!("curl http://{address}/hello/"));
    assert!(answering(address).ends_with("v1"), "the deploy has ended and it serves on");
    world.tidegate(&deploy("by-hand.yaml", &zip, "greeting=two")).expect(0);
    assert!(answering(address).ends_with("v2"));
    first.signal(Signal::TERM);
    assert_eq!(first.end(), 0);
    nothing_left(&world);

    let (mut second, address) = serve(&world);
    assert!(answering(address).ends_with("v2"), "what was promoted");
    second.signal(Signal::INT);
    assert_eq!(second.end(), 0);
    nothing_left(&world);
}

#[test]
fn a_deploy_that_dies_in_the_middle_is_taken_back_by_the_next_start() {
    let world = by_hand();
    let zip = package(&world, "hello", FUNCTION.as_bytes());
    let (_serve, address) = serve(&world);
    world.tidegate(&deploy("by-hand.yaml", &zip, "greeting=one")).expect(0);

    let mut dies = Terminal::start(&world, &deploy("slow.yaml", &zip, "greeting=two"));
    dies.until("10% of traffic to v2");
    dies.signal(Signal::KILL);
    dies.end();
    // Nobody moves it now: the split stands, and both releases answer.
    until("v2 gets its tenth", || answering(address).ends_with("v2"));
    until("v1 gets the rest", || answering(address).ends_with("v1"));

    let next = world.tidegate(&deploy("by-hand.yaml", &zip, "greeting=one")).expect(0);
    next.tells("was interrupted: putting back what was there").tells("v1 was serving already");
    assert!((0..40).all(|_| answering(address).ends_with("v1")), "all traffic is on the stable one again");
    let listed = redacted(&world, &world.tidegate(&["rollout", "ls"]).expect(0).out);
    assert!(!listed.contains("under-way"), "{listed}");
}

#[test]
fn one_that_died_can_be_promoted_or_aborted_from_elsewhere() {
    let world = by_hand();
    let zip = package(&world, "hello", FUNCTION.as_bytes());
    let (_serve, address) = serve(&world);
    world.tidegate(&deploy("by-hand.yaml", &zip, "greeting=one")).expect(0);
    for (word, code, after) in [("abort", 0, "v1"), ("promote", 0, "v3")] {
        let mut dies = Terminal::start(&world, &deploy("slow.yaml", &zip, &format!("greeting={word}")));
        dies.until("10% of traffic to");
        dies.signal(Signal::KILL);
        dies.end();
        world.tidegate(&["rollout", word, "latest"]).expect(code);
        assert!((0..20).all(|_| answering(address).ends_with(after)), "{word}");
    }
}
