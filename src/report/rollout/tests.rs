//! What people see, at the widths of a phone-sized terminal, a usual one and a wide one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Look, Picture, line, list, live, show, summary};
use crate::core::rollout::{CallFailure, Input, Order, Rollout};
use crate::model::deploy::{JudgePolicy, RolloutPolicy, Strategy};
use crate::model::fact::{ArmCounts, Batch, Entry, Fact, RolloutFact, Stream};
use crate::model::function::{Function, Target};
use crate::model::id::{Digest, RolloutId};
use crate::model::release::{Release, ReleaseId};
use crate::model::time::Timestamp;
use crate::model::traffic::{Destination, Weight};

fn at(tenths: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + tenths * 100_000)
}

fn look(width: usize) -> Look {
    Look { width, colour: false }
}

fn arm(requests: u64, errors: u64) -> ArmCounts {
    ArmCounts { requests, errors, warm: requests, ..ArmCounts::default() }
}

fn release(byte: u8) -> Release {
    let digest = Digest::from_sha256([byte; 32]);
    Release { id: ReleaseId::new(digest.clone()), function: String::new(), version: u64::from(byte), artifact: digest, published_at: at(0) }
}

/// A real machine, told a script.
fn script(name: &str, stable: Destination, inputs: Vec<(u64, Input)>) -> Vec<(Timestamp, RolloutFact)> {
    let function = Function {
        name: name.to_owned(),
        runtime: "provided.al2023".to_owned(),
        handler: "bootstrap".to_owned(),
        memory: 128 << 20,
        timeout: Duration::from_secs(3),
        concurrency: 10,
        env: BTreeMap::new(),
        target: Target::Local,
    };
    let stages = [1_000, 5_000].map(|points| Weight::try_from(points).unwrap()).to_vec();
    let policy = RolloutPolicy {
        strategy: Strategy::Canary { stages },
        hold: Duration::from_secs(4),
        patience: Duration::from_secs(60),
        prewarm: 2,
        judge: JudgePolicy { samples: 100, ..JudgePolicy::default() },
        probe: None,
        keep: Duration::ZERO,
    };
    let order = Order {
        id: RolloutId::new("r-0193"),
        function,
        policy,
        stable_version: matches!(stable, Destination::Release(_)).then_some(2),
        stable,
        artifact: Digest::from_sha256([3; 32]),
        run: None,
    };
    let (mut rollout, turn) = Rollout::start(order, at(0));
    let mut facts: Vec<_> = turn.facts.into_iter().map(|fact| (at(0), fact)).collect();
    for (tenths, input) in inputs {
        facts.extend(rollout.handle(input, at(tenths)).unwrap().facts.into_iter().map(|fact| (at(tenths), fact)));
    }
    facts
}

fn old() -> Destination {
    Destination::Release(release(2).id)
}

fn seen(canary: ArmCounts, stable: ArmCounts) -> Input {
    Input::Observed(Batch { canary, stable })
}

fn warm() -> Input {
    Input::Prewarmed { cold_start_us: vec![31_000, 38_400] }
}

fn to_first_stage() -> Vec<(u64, Input)> {
    vec![(2, Input::Published(release(3))), (6, warm()), (7, Input::Shifted { revision: 1 }), (7, seen(arm(0, 0), arm(14, 0)))]
}

fn to_second_stage() -> Vec<(u64, Input)> {
    let mut inputs = to_first_stage();
    inputs.extend([(27, seen(arm(61, 0), arm(540, 1))), (47, seen(arm(58, 1), arm(545, 0)))]);
    inputs.extend([(49, warm()), (50, Input::Shifted { revision: 2 }), (50, seen(arm(4, 0), arm(40, 0)))]);
    inputs
}

fn promoted() -> Vec<(Timestamp, RolloutFact)> {
    let mut inputs = to_second_stage();
    inputs.extend([(90, seen(arm(610, 1), arm(598, 1))), (93, warm()), (94, Input::Shifted { revision: 3 }), (94, seen(arm(30, 0), arm(31, 0)))]);
    script("checkout", old(), inputs)
}

fn rolled_back() -> Vec<(Timestamp, RolloutFact)> {
    let mut inputs = to_first_stage();
    inputs.extend([(17, seen(arm(240, 12), arm(2_160, 1))), (18, Input::Shifted { revision: 2 }), (18, seen(arm(9, 1), arm(80, 0)))]);
    script("checkout", old(), inputs)
}

fn at_three_widths(draw: impl Fn(Look) -> String) -> String {
    let mut told = String::new();
    for width in [40, 80, 120] {
        let drawn = draw(look(width));
        assert!(drawn.lines().all(|line| line.chars().count() <= width), "something is wider than {width}:\n{drawn}");
        told += &format!("--- {width}\n{drawn}\n");
    }
    told
}

#[test]
fn it_is_drawn_while_it_moves() {
    let mut inputs = to_second_stage();
    inputs.push((62, seen(arm(45, 2), arm(50, 0))));
    let facts = script("checkout", old(), inputs);
    insta::assert_snapshot!(at_three_widths(|look| live(&Picture::of(&facts), at(65), look)));
}

#[test]
fn it_is_drawn_before_there_is_anything_to_see() {
    assert_eq!(live(&Picture::default(), at(0), look(80)), "");
    let facts = script("checkout", Destination::Vacant, vec![(2, Input::Published(release(3)))]);
    insta::assert_snapshot!(at_three_widths(|look| live(&Picture::of(&facts), at(4), look)));
}

#[test]
fn trouble_with_the_provider_is_drawn() {
    let mut inputs = to_first_stage();
    inputs.extend([
        (47, seen(arm(158, 1), arm(1_445, 0))),
        (48, Input::PrewarmFailed(CallFailure::Unavailable { reason: "all slots are taken".to_owned() })),
    ]);
    let facts = script("checkout", old(), inputs);
    insta::assert_snapshot!(live(&Picture::of(&facts), at(49), look(80)));
}

#[test]
fn colour_adds_nothing_but_colour() {
    for facts in [promoted(), rolled_back()] {
        let picture = Picture::of(&facts);
        for (plain, coloured) in [
            (live(&picture, at(99), look(80)), live(&picture, at(99), Look { width: 80, colour: true })),
            (summary(&picture, look(80)), summary(&picture, Look { width: 80, colour: true })),
        ] {
            assert!(coloured.contains('\u{1b}') && !plain.contains('\u{1b}'));
            assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
        }
    }
}

#[test]
fn the_summary_says_what_decided_it() {
    let mut told = String::new();
    for facts in [promoted(), rolled_back()] {
        told += &at_three_widths(|look| summary(&Picture::of(&facts), look));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn every_other_ending_has_a_summary() {
    let failed = |failure| vec![(2, Input::Published(release(3))), (6, Input::PrewarmFailed(failure))];
    let mut first = to_first_stage();
    first.extend([(17, seen(arm(240, 40), arm(2_160, 2_160))), (18, Input::Shifted { revision: 2 }), (18, seen(arm(9, 1), arm(80, 80)))]);
    let mut stuck = to_first_stage();
    stuck.extend([
        (17, seen(arm(240, 40), arm(2_160, 0))),
        (18, Input::ShiftFailed(CallFailure::Conflict { reason: "revision 9 instead of 1".to_owned() })),
    ]);
    let mut aborted = to_first_stage();
    aborted.extend([
        (17, Input::Abort { reason: "wrong ticket".to_owned() }),
        (18, Input::Shifted { revision: 2 }),
        (18, seen(arm(20, 0), arm(80, 0))),
    ]);
    let endings = [
        script("checkout", old(), vec![(2, Input::AlreadyLive(release(2)))]),
        script("checkout", old(), failed(CallFailure::InitFailed { reason: "the function exited with code 1 before it asked for work".to_owned() })),
        script("checkout", Destination::Vacant, first),
        script("checkout", old(), stuck),
        script("checkout", old(), aborted),
        script("checkout", old(), to_first_stage()),
    ];
    insta::assert_snapshot!(endings.map(|facts| summary(&Picture::of(&facts), look(80))).join("\n\n"));
}

#[test]
fn pipes_get_a_line_for_every_fact_that_matters() {
    let mut told = Vec::new();
    for facts in [promoted(), rolled_back()] {
        let mut picture = Picture::default();
        for (at, fact) in &facts {
            picture.take(*at, fact);
            told.extend(line(&picture, *at, fact));
        }
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn one_rollout_is_shown_with_the_way_there() {
    insta::assert_snapshot!(show(&rolled_back(), look(80)));
}

#[test]
fn rollouts_are_listed() {
    let ends = |facts: Vec<(Timestamp, RolloutFact)>| {
        let entry = |(number, (at, fact)): (usize, &(Timestamp, RolloutFact))| Entry {
            stream: Stream::Rollout(RolloutId::new("r-0193")),
            number: number as u64 + 1,
            at: *at,
            fact: Fact::Rollout(fact.clone()),
        };
        (entry((0, &facts[0])), entry((facts.len() - 1, facts.last().unwrap())))
    };
    let rows = [ends(promoted()), ends(rolled_back()), ends(script("a", old(), to_first_stage()))];
    insta::assert_snapshot!(at_three_widths(|look| list(&rows, at(9_000), look)));
    insta::assert_snapshot!(list(&[], at(0), look(80)), @"no rollouts yet: `tidegate deploy` and deploy steps start them");
}

#[test]
fn names_can_not_drive_the_terminal() {
    let evil = "pay\u{1b}[2J\r\n\u{202e}\u{9b}31m支払い";
    let mut inputs = to_first_stage();
    inputs.extend([
        (9, Input::Abort { reason: "\u{1b}]0;owned\u{7}".to_owned() }),
        (10, Input::Shifted { revision: 2 }),
        (10, seen(arm(1, 0), arm(1, 0))),
    ]);
    let facts = script(evil, Destination::Upstream("http://x/\u{1b}[31m".to_owned()), inputs);
    let picture = Picture::of(&facts);
    let mut told = vec![live(&picture, at(10), look(40)), summary(&picture, look(40)), show(&facts, look(40))];
    told.extend(facts.iter().filter_map(|(at, fact)| line(&picture, *at, fact)));
    for text in told {
        assert!(text.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')), "{text:?}");
    }
}
