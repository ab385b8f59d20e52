use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::model::request::Waiting;

fn run(name: &str) -> RunId {
    RunId::new(name)
}

fn asking(name: &str, repository: &str) -> Asking {
    Asking { run: run(name), repository: repository.to_owned(), circle: "trusted".to_owned(), group: None, priority: 0, held: false }
}

fn of_group(name: &str, supersede: bool, queue: Waiting) -> Asking {
    Asking { group: Some(Group { name: "main".to_owned(), supersede, queue }), ..asking(name, "shop") }
}

fn queue(runs: usize, repository: usize) -> Queue {
    Queue::new(Room { runs, repository })
}

fn all(queue: &mut Queue) -> Vec<String> {
    std::iter::from_fn(|| queue.begin_next()).map(|run| run.to_string()).collect()
}

fn ask(queue: &mut Queue, asking: Asking) {
    assert_eq!(queue.ask(asking), []);
}

#[test]
fn who_asks_first_begins_first_as_far_as_there_is_room() {
    let mut queue = queue(2, 2);
    for name in ["a", "b", "c"] {
        ask(&mut queue, asking(name, "shop"));
    }
    assert_eq!(all(&mut queue), ["a", "b"]);
    assert_eq!((queue.running(), queue.waiting()), (2, 1));
    queue.remove(&run("a"));
    assert_eq!(all(&mut queue), ["c"]);
}

#[test]
fn a_higher_priority_goes_before_within_a_repository_only() {
    let mut queue = queue(1, 1);
    ask(&mut queue, asking("shop-1", "shop"));
    ask(&mut queue, Asking { priority: 5, ..asking("shop-2", "shop") });
    assert_eq!(all(&mut queue), ["shop-2"]);
    ask(&mut queue, Asking { priority: 9, ..asking("shop-3", "shop") });
    ask(&mut queue, asking("door-1", "door"));
    queue.remove(&run("shop-2"));
    // None of either is under way: the priority decides. From then on they take turns.
    assert_eq!(all(&mut queue), ["shop-3"]);
    queue.remove(&run("shop-3"));
    assert_eq!(all(&mut queue), ["door-1"]);
}

#[test]
fn a_repository_with_many_does_not_hold_up_one_with_few() {
    let mut queue = queue(4, 3);
    for number in 0..100 {
        ask(&mut queue, asking(&format!("many-{number}"), "many"));
    }
    assert_eq!(all(&mut queue), ["many-0", "many-1", "many-2"], "its own limit");
    ask(&mut queue, asking("few-0", "few"));
    ask(&mut queue, asking("few-1", "few"));
    assert_eq!(all(&mut queue), ["few-0"]);
    queue.remove(&run("many-0"));
    assert_eq!(all(&mut queue), ["few-1"], "it has fewer under way");
}

#[test]
fn of_a_group_one_runs_and_the_newest_waits() {
    let mut queue = queue(9, 9);
    ask(&mut queue, of_group("1", false, Waiting::Latest));
    assert_eq!(all(&mut queue), ["1"]);
    ask(&mut queue, of_group("2", false, Waiting::Latest));
    assert_eq!(queue.ask(of_group("3", false, Waiting::Latest)), [Supersedes::Drop(run("2"))]);
    assert_eq!(all(&mut queue), [""; 0]);
    queue.remove(&run("1"));
    assert_eq!(all(&mut queue), ["3"]);
    assert!(!queue.holds(&run("2")));
}

#[test]
fn a_group_that_keeps_all_runs_them_in_turn() {
    let mut queue = queue(9, 9);
    for name in ["1", "2", "3"] {
        ask(&mut queue, of_group(name, false, Waiting::All));
    }
    for name in ["1", "2", "3"] {
        assert_eq!(all(&mut queue), [name]);
        queue.remove(&run(name));
    }
    assert_eq!(queue.waiting(), 0);
}

#[test]
fn a_group_that_supersedes_ends_the_one_that_runs() {
    let mut queue = queue(9, 9);
    ask(&mut queue, of_group("1", true, Waiting::Latest));
    assert_eq!(all(&mut queue), ["1"]);
    assert_eq!(queue.ask(of_group("2", true, Waiting::Latest)), [Supersedes::Cancel(run("1"))]);
    assert_eq!(all(&mut queue), [""; 0], "the old one has not ended yet");
    assert_eq!(queue.ask(of_group("3", true, Waiting::Latest)), [Supersedes::Drop(run("2")), Supersedes::Cancel(run("1"))]);
    queue.remove(&run("1"));
    assert_eq!(all(&mut queue), ["3"]);
}

/// An outsider's pull request names the group of the deploys.
#[test]
fn a_run_of_another_circle_is_of_another_group() {
    let mut queue = queue(9, 9);
    ask(&mut queue, of_group("deploy", true, Waiting::Latest));
    assert_eq!(all(&mut queue), ["deploy"]);
    ask(&mut queue, Asking { circle: "pull request 7 of mallory/shop".to_owned(), ..of_group("attack", true, Waiting::Latest) });
    assert_eq!(all(&mut queue), ["attack"]);
    assert!(queue.is_running(&run("deploy")));
}

#[test]
fn who_is_held_waits_for_a_word_and_drops_nobody_newer() {
    let mut queue = queue(9, 9);
    ask(&mut queue, Asking { held: true, ..of_group("1", false, Waiting::Latest) });
    assert_eq!(all(&mut queue), [""; 0]);
    ask(&mut queue, Asking { held: true, ..of_group("2", false, Waiting::Latest) });
    assert_eq!(queue.let_in(&run("2")), []);
    assert_eq!(queue.let_in(&run("1")), [Supersedes::Drop(run("1"))], "a newer one waits already");
    assert_eq!(all(&mut queue), ["2"]);
    assert_eq!(queue.let_in(&run("2")), []);
}

#[test]
fn a_priority_within_a_group_goes_before_who_is_ready() {
    let mut queue = queue(1, 1);
    ask(&mut queue, asking("other", "shop"));
    assert_eq!(all(&mut queue), ["other"]);
    ask(&mut queue, of_group("low", false, Waiting::All));
    ask(&mut queue, Asking { priority: 1, ..of_group("high", false, Waiting::All) });
    queue.remove(&run("other"));
    assert_eq!(all(&mut queue), ["high"]);
    queue.remove(&run("high"));
    assert_eq!(all(&mut queue), ["low"]);
}

#[test]
fn who_runs_already_when_a_server_starts_counts() {
    let mut queue = queue(1, 1);
    queue.runs(of_group("old", false, Waiting::All));
    ask(&mut queue, of_group("new", false, Waiting::All));
    assert_eq!(all(&mut queue), [""; 0]);
    queue.remove(&run("old"));
    assert_eq!(all(&mut queue), ["new"]);
}

#[derive(Debug, Clone)]
enum Act {
    Ask { repository: u8, group: Option<(u8, bool, bool)>, priority: i8, held: bool },
    LetIn(usize),
    Next,
    Remove(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let group = proptest::option::of((0..3u8, any::<bool>(), any::<bool>()));
    prop_oneof![
        4 => (0..3u8, group, -2..3i8, prop::bool::weighted(0.2)).prop_map(|(repository, group, priority, held)| Act::Ask { repository, group, priority, held }),
        1 => any::<usize>().prop_map(Act::LetIn),
        3 => Just(Act::Next),
        2 => any::<usize>().prop_map(Act::Remove),
    ]
}

proptest! {
    /// Whatever happens: limits hold, of a group one runs, nobody is lost, nobody begins twice, and room is never left empty while somebody may begin.
    #[test]
    fn whatever_happens_the_rules_hold(acts in prop::collection::vec(act(), 1..120)) {
        let room = Room { runs: 3, repository: 2 };
        let mut queue = Queue::new(room);
        let mut asked: BTreeMap<RunId, Asking> = BTreeMap::new();
        let (mut running, mut begun) = (BTreeSet::new(), BTreeSet::new());
        for (number, act) in acts.into_iter().enumerate() {
            let pick = |at: usize| asked.keys().nth(at.checked_rem(asked.len()).unwrap_or(0)).cloned();
            let superseded = match act {
                Act::Ask { repository, group, priority, held } => {
                    let queue_of = |all| if all { Waiting::All } else { Waiting::Latest };
                    let group = group.map(|(name, supersede, all)| Group { name: name.to_string(), supersede, queue: queue_of(all) });
                    let one = Asking { group, priority: priority.into(), held, ..asking(&format!("r{number:03}"), &repository.to_string()) };
                    asked.insert(one.run.clone(), one.clone());
                    queue.ask(one)
                }
                Act::LetIn(at) => pick(at).map(|run| queue.let_in(&run)).unwrap_or_default(),
                Act::Next => {
                    if let Some(run) = queue.begin_next() {
                        prop_assert!(begun.insert(run.clone()), "{run} began twice");
                        running.insert(run);
                    }
                    Vec::new()
                }
                Act::Remove(at) => {
                    if let Some(run) = pick(at) {
                        queue.remove(&run);
                        asked.remove(&run);
                        running.remove(&run);
                    }
                    Vec::new()
                }
            };
            for over in superseded {
                match over {
                    Supersedes::Drop(run) => {
                        prop_assert!(!running.contains(&run));
                        asked.remove(&run);
                    }
                    Supersedes::Cancel(run) => prop_assert!(running.contains(&run)),
                }
            }
            prop_assert_eq!(queue.running(), running.len());
            prop_assert_eq!(queue.waiting(), asked.len() - running.len());
            prop_assert!(running.len() <= room.runs);
            let mut groups = BTreeSet::new();
            let mut repositories: BTreeMap<&str, usize> = BTreeMap::new();
            for one in running.iter().map(|run| &asked[run]) {
                *repositories.entry(&one.repository).or_default() += 1;
                if let Some(group) = &one.group {
                    prop_assert!(groups.insert((&one.repository, &group.name)), "two of a group run");
                }
            }
            prop_assert!(repositories.values().all(|running| *running <= room.repository));
        }
        // When all that runs has ended, all that is not held begins.
        loop {
            while let Some(run) = queue.begin_next() {
                prop_assert!(begun.insert(run.clone()));
                running.insert(run);
            }
            let Some(run) = running.pop_first() else { break };
            queue.remove(&run);
            asked.remove(&run);
        }
        for run in asked.keys().cloned().collect::<Vec<_>>() {
            // Only who is held is left: let in, each begins or is dropped by a newer one.
            let dropped = queue.let_in(&run);
            let next = queue.begin_next();
            prop_assert!(next.is_some() || dropped.contains(&Supersedes::Drop(run.clone())), "{run} is stuck");
            if let Some(run) = next {
                queue.remove(&run);
            }
        }
        prop_assert_eq!((queue.waiting(), queue.running()), (0, 0));
    }
}
