//! When a schedule is due: moments of a cron expression in UTC.
//!
//! A pure function of the expression and the time that has passed. So a clock that is set back gives no moment twice (they are all before what was looked at last), one that is
//! set ahead leaves none out, and a server that was down finds what it has missed.

use std::str::FromStr as _;
use std::time::Duration;

use croner::Cron;
use jiff::tz::TimeZone;

use crate::model::time::Timestamp;

/// Moments that are made up for, of one schedule: the newest.
pub const MOST: usize = 24;
/// How far one looks back for them. Who was away for longer wants to know what is, not what was.
pub const FAR: Duration = Duration::from_secs(7 * 24 * 3600);

/// The moments after the one and up to the other, oldest first; and how many before them were left out, as far as one looks. An expression that is none has no moments.
pub fn due(cron: &str, after: Timestamp, until: Timestamp) -> (Vec<Timestamp>, usize) {
    let Ok(cron) = Cron::from_str(cron) else { return (Vec::new(), 0) };
    let far = Timestamp::from_micros(until.as_micros().saturating_sub(u64::try_from(FAR.as_micros()).unwrap_or(u64::MAX)));
    let zoned = |at: Timestamp| {
        let at = jiff::Timestamp::from_microsecond(i64::try_from(at.as_micros()).unwrap_or(i64::MAX)).unwrap_or_default();
        at.to_zoned(TimeZone::UTC)
    };
    let moments =
        cron.iter_after(zoned(after.max(far))).map(|moment| Timestamp::from_micros(u64::try_from(moment.timestamp().as_microsecond()).unwrap_or(0)));
    let mut due: Vec<Timestamp> = moments.take_while(|moment| *moment <= until).collect();
    let left_out = due.len().saturating_sub(MOST);
    due.drain(..left_out);
    (due, left_out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().expect("a moment");
        Timestamp::from_micros(u64::try_from(moment.as_microsecond()).expect("after 1970"))
    }

    fn shown(moments: &[Timestamp]) -> Vec<String> {
        let show =
            |moment: &Timestamp| jiff::Timestamp::from_microsecond(moment.as_micros().try_into().expect("a moment")).expect("a moment").to_string();
        moments.iter().map(show).collect()
    }

    #[test]
    fn what_was_missed_is_made_up_for() {
        let (moments, left_out) = due("17 4 * * 1-5", at("2026-11-20T04:17:00Z"), at("2026-11-24T04:17:00Z"));
        assert_eq!((shown(&moments), left_out), (vec!["2026-11-23T04:17:00Z".to_owned(), "2026-11-24T04:17:00Z".to_owned()], 0));
        let (moments, left_out) = due("* * * * *", at("2026-11-20T00:00:30Z"), at("2026-11-20T01:00:30Z"));
        assert_eq!((moments.len(), left_out), (MOST, 60 - MOST));
        assert_eq!(shown(&moments).last().map(String::as_str), Some("2026-11-20T01:00:00Z"));
    }

    #[test]
    fn nothing_is_due_while_the_clock_is_behind() {
        assert_eq!(due("* * * * *", at("2026-11-20T02:00:00Z"), at("2026-11-20T01:00:00Z")), (Vec::new(), 0));
        assert_eq!(due("61 * * * *", at("2026-11-20T02:00:00Z"), at("2026-11-20T05:00:00Z")), (Vec::new(), 0));
    }

    #[test]
    fn who_was_away_for_years_looks_back_a_week() {
        let (moments, left_out) = due("0 0 * * *", at("2020-01-01T00:00:00Z"), at("2026-11-20T12:00:00Z"));
        assert_eq!((moments.len(), left_out), (7, 0));
    }

    proptest! {
        /// However often one looks, and whatever the clock does in between: each moment once.
        #[test]
        fn however_often_one_looks_each_moment_is_due_once(steps in prop::collection::vec(-7_200i64..7_200, 1..40)) {
            let start = 1_790_000_000i64;
            let moment = |seconds: i64| Timestamp::from_micros(u64::try_from(seconds).expect("after 1970") * 1_000_000);
            let (mut clock, mut looked, mut seen) = (start, start, Vec::new());
            for step in steps {
                clock += step;
                let (moments, left_out) = due("*/17 * * * *", moment(looked), moment(clock));
                prop_assert_eq!(left_out, 0);
                seen.extend(moments);
                looked = looked.max(clock);
            }
            let (whole, _) = due("*/17 * * * *", moment(start), moment(looked));
            let whole_week = seen.len().saturating_sub(MOST);
            prop_assert!(seen.windows(2).all(|two| two[0] < two[1]));
            prop_assert_eq!(&seen[whole_week..], &whole[..]);
        }
    }
}
