use super::*;
use crate::report::run::live::live;
use crate::report::run::plain::Plain;
use crate::report::run::summary::{LogTail, summary};

fn plain(look: Look) -> String {
    let mut plain = Plain::new(look);
    story().iter().filter_map(|(at, fact)| plain.line(*at, fact)).collect::<Vec<_>>().join("\n")
}

fn the_end(width: usize, colour: bool) -> String {
    let lines = ["error: the door has no handle", "  --> src/door.rs:7:9", "1 error found"];
    let tail = LogTail { node: id("lint[level=strict]"), lines: lines.map(str::to_owned).to_vec() };
    summary(&view(&story()), &[tail], at(70_000), look(width, colour))
}

fn screen(ms: u64, look: Look) -> String {
    let facts: Vec<_> = story().into_iter().filter(|(when, _)| *when <= at(ms)).collect();
    let mut view = view(&facts);
    view.said(&id("lint[level=strict]"), "checking handles\rchecking hinges of the garden door and of the barn door\n");
    live(&view, at(ms), look).join("\n")
}

/// Escapes as people can read them.
fn visible(text: &str) -> String {
    text.replace('\u{1b}', "␛")
}

#[test]
fn plain_lines() {
    insta::assert_snapshot!(plain(look(40, false)));
}

#[test]
fn plain_lines_in_colour_and_in_another_time_zone() {
    insta::assert_snapshot!(visible(&plain(Look { utc_offset: -3600 * 13, ..look(80, true) })));
}

#[test]
fn summary_40() {
    insta::assert_snapshot!(the_end(40, false));
}

#[test]
fn summary_80() {
    insta::assert_snapshot!(the_end(80, false));
}

#[test]
fn summary_120() {
    insta::assert_snapshot!(the_end(120, false));
}

#[test]
fn summary_120_in_colour() {
    insta::assert_snapshot!(visible(&the_end(120, true)));
}

#[test]
fn what_a_step_tried_to_reach() {
    let story = vec![(at(0), started("shop", "Sell doors", &["telemetry.example.com"])), (at(1), reached("telemetry.example.com"))];
    let shown = |width| summary(&view(&story), &[], at(2), look(width, false));
    insta::assert_snapshot!(format!("{}{}", shown(100), shown(40)));
}

#[test]
fn what_a_step_found_and_says() {
    let story = vec![(at(0), started("shop", "Sell doors", &["scan"])), (at(1), found("scan"))];
    let shown = |width| summary(&view(&story), &[], at(2), look(width, false));
    insta::assert_snapshot!(format!("{}{}", shown(100), shown(40)));
}

#[test]
fn live_40() {
    insta::assert_snapshot!(screen(10_000, look(40, false)));
}

#[test]
fn live_80() {
    insta::assert_snapshot!(screen(10_000, look(80, false)));
}

#[test]
fn live_120_in_colour() {
    insta::assert_snapshot!(visible(&screen(10_000, look(120, true))));
}

#[test]
fn live_folded_to_five_lines() {
    insta::assert_snapshot!(screen(10_000, Look { height: 5, ..look(80, false) }));
}

#[test]
fn colour_changes_nothing_but_colour() {
    let bare = |text: &str| anstream::adapter::strip_str(text).to_string();
    for width in [40, 80, 120] {
        assert_eq!(bare(&the_end(width, true)), the_end(width, false));
        assert_eq!(bare(&screen(10_000, look(width, true))), screen(10_000, look(width, false)));
    }
}
