//! When GitHub may be asked again: what it said about its limits, and our own pace. Of each login by itself.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::Manners;

/// Whom requests are counted for: an installation; the App itself and a token are 0.
type Who = u64;

#[derive(Debug, Default)]
pub(super) struct Gate {
    doors: Mutex<HashMap<Who, Door>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Door {
    /// Nothing is asked before.
    closed_until: Option<Instant>,
    /// When the next change would be due, if they came one by one.
    due: Option<Instant>,
}

impl Gate {
    /// How long nothing may be asked yet.
    pub(super) fn closed(&self, who: Who, now: Instant) -> Option<Duration> {
        let until = self.with(who, |door| door.closed_until)?;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    pub(super) fn close(&self, who: Who, until: Instant) {
        self.with(who, |door| door.closed_until = Some(door.closed_until.map_or(until, |before| before.max(until))));
    }

    /// Takes a turn to change something: when it is.
    pub(super) fn turn(&self, who: Who, manners: &Manners, now: Instant) -> Instant {
        self.with(who, |door| {
            let mine = door.due.map_or(now, |due| due.max(now));
            door.due = Some(mine + manners.between);
            // The burst is what one may be ahead of the pace.
            mine.checked_sub(manners.between * manners.burst.saturating_sub(1)).map_or(now, |early| early.max(now))
        })
    }

    fn with<T>(&self, who: Who, then: impl FnOnce(&mut Door) -> T) -> T {
        // A map of plain values is whole whatever panicked.
        let mut doors = self.doors.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        then(doors.entry(who).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_one_by_one() {
        let (gate, now) = (Gate::default(), Instant::now());
        let manners = Manners { between: Duration::from_secs(1), burst: 3, ..Manners::default() };
        let turns: Vec<u64> = (0..6).map(|_| gate.turn(7, &manners, now).duration_since(now).as_secs()).collect();
        assert_eq!(turns, [0, 0, 0, 1, 2, 3]);
        assert_eq!(gate.turn(8, &manners, now), now, "another installation has a pace of its own");
        let later = now + Duration::from_secs(60);
        assert_eq!(gate.turn(7, &manners, later), later);
    }

    #[test]
    fn what_is_closed_longer_stays_closed_longer() {
        let (gate, now) = (Gate::default(), Instant::now());
        assert_eq!(gate.closed(7, now), None);
        gate.close(7, now + Duration::from_secs(60));
        gate.close(7, now + Duration::from_secs(5));
        assert_eq!(gate.closed(7, now), Some(Duration::from_secs(60)));
        assert_eq!(gate.closed(8, now), None);
        assert_eq!(gate.closed(7, now + Duration::from_secs(60)), None);
    }
}
