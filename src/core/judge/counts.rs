//! Counts that can not be are refused before they touch the evidence.

use crate::model::fact::{ArmCounts, Batch};

/// More requests than any arm answers in one interval. Keeps sums far from overflow and every count exact in a double.
const MOST: u64 = 1_000_000_000_000;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the counts of the {arm} release can not be: {what} is at most {limit}, found {found}")]
pub struct BadCounts {
    pub arm: &'static str,
    pub what: &'static str,
    pub limit: u64,
    pub found: u64,
}

pub(super) fn check(batch: &Batch) -> Result<(), BadCounts> {
    check_arm("stable", &batch.stable)?;
    check_arm("new", &batch.canary)
}

fn check_arm(arm: &'static str, counts: &ArmCounts) -> Result<(), BadCounts> {
    for (what, found, limit) in [
        ("requests", counts.requests, MOST),
        ("init failures", counts.init_failures, MOST),
        ("errors (of the requests)", counts.errors, counts.requests),
        ("warm requests (of all)", counts.warm, counts.requests),
        ("slow requests (of the warm ones)", counts.slow, counts.warm),
    ] {
        if found > limit {
            return Err(BadCounts { arm, what, limit, found });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_impossible_count_is_named() {
        let good = ArmCounts { requests: 10, errors: 10, warm: 9, slow: 9, init_failures: 3 };
        assert_eq!(check(&Batch { stable: good, canary: good }), Ok(()));
        for bad in [
            ArmCounts { errors: 11, ..good },
            ArmCounts { warm: 11, slow: 0, ..good },
            ArmCounts { slow: 10, ..good },
            ArmCounts { requests: MOST + 1, ..good },
            ArmCounts { init_failures: u64::MAX, ..good },
        ] {
            assert_eq!(check(&Batch { stable: good, canary: bad }).unwrap_err().arm, "new");
            assert_eq!(check(&Batch { stable: bad, canary: good }).unwrap_err().arm, "stable");
        }
        let told = check(&Batch { stable: ArmCounts { errors: 11, ..good }, canary: good }).unwrap_err().to_string();
        assert_eq!(told, "the counts of the stable release can not be: errors (of the requests) is at most 10, found 11");
    }
}
