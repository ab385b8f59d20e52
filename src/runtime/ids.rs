//! Makes up ids for new runs and rollouts: they sort by time, can be said aloud, and need no table to look them up.

use sha2::{Digest as _, Sha256};

use crate::model::id::{RolloutId, RunId};
use crate::model::time::Timestamp;

pub fn run(now: Timestamp) -> RunId {
    RunId::new(stamp(now))
}

pub fn rollout(function: &str, now: Timestamp) -> RolloutId {
    RolloutId::new(format!("{function}-{}", stamp(now)))
}

/// Of what is asked for by something that has a name of its own: asked for again, it has the same id. `20261123-134512-0123456789ab`: the second, and 48 bits of a digest.
pub fn asked(at: Timestamp, parts: &[&str]) -> RunId {
    let mut whole = Sha256::new();
    whole.update(at.as_micros().to_le_bytes());
    for part in parts {
        whole.update((part.len() as u64).to_le_bytes());
        whole.update(part);
    }
    let digest: String = whole.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    RunId::new(format!("{}-{digest}", second(at)))
}

/// `20261123-134512-a3f9`: the second it began (UTC), and 16 random bits. Two that still collide are told apart by the journal, which refuses the second.
fn stamp(now: Timestamp) -> String {
    format!("{}-{:04x}", second(now), fastrand::u16(..))
}

fn second(now: Timestamp) -> String {
    let second = jiff::Timestamp::from_microsecond(i64::try_from(now.as_micros()).unwrap_or(i64::MAX)).unwrap_or_default();
    second.strftime("%Y%m%d-%H%M%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_twice_has_one_id() {
        let at = Timestamp::from_micros(1_763_900_000_000_000);
        assert_eq!(asked(at, &["d1", "ci.yaml"]), asked(at, &["d1", "ci.yaml"]));
        assert_ne!(asked(at, &["d1", "ci.yaml"]), asked(at, &["d1c", "i.yaml"]));
        assert!(asked(at, &["d1"]).as_str().starts_with("20251123-"));
    }

    #[test]
    fn ids_sort_by_time() {
        let early = run(Timestamp::from_micros(1_000_000));
        let late = run(Timestamp::from_micros(1_763_900_000_000_000));
        assert!(early < late);
        assert!(late.as_str().starts_with("20251123-"), "{late}");
    }
}
