use super::*;
use crate::report::run::text::{bytes, clock, count, duration, fit, pad, width, wrap};

#[test]
fn durations_sizes_and_times_read_well_at_their_edges() {
    let said = |micros| duration(Duration::from_micros(micros));
    let durations = [0, 999, 1_000, 9_999, 10_000, 999_999, 1_000_000, 59_999_999, 60_000_000, 3_599_000_000, 3_600_000_000, 90_061_000_000];
    assert_eq!(
        durations.map(said),
        ["0 µs", "999 µs", "1.0 ms", "9.9 ms", "10 ms", "999 ms", "1.0 s", "59.9 s", "1 min 00 s", "59 min 59 s", "1 h 00 min", "25 h 01 min"]
    );
    let sizes = [0, 1023, 1024, 1_258_291, 100 << 20, u64::MAX];
    assert_eq!(sizes.map(bytes), ["0 B", "1023 B", "1 KiB", "1.1 MiB", "100 MiB", "16777215 TiB"]);
    assert_eq!([clock(Timestamp::EPOCH, 0), clock(Timestamp::EPOCH, -1), clock(at(0), 3600)], ["00:00:00", "23:59:59", "13:03:04"]);
    assert_eq!([count(0, "step"), count(1, "step"), count(2, "step")], ["0 steps", "1 step", "2 steps"]);
}

#[test]
fn wide_characters_are_measured_cut_and_wrapped_by_columns() {
    assert_eq!([width("門"), width("e\u{301}"), width("ｆ"), width("🚪"), width("…")], [2, 1, 2, 2, 1]);
    assert_eq!([fit("門門門", 6), fit("門門門", 5), fit("門門門", 4), fit("abc", 0)], ["門門門", "門門…", "門…", ""]);
    assert_eq!(pad("門", 4), "門  ");
    assert_eq!(wrap("a door in thewallofthegarden 門門", 8), ["a door", "in", "thewallo", "fthegard", "en 門門"]);
}
