//! The policy that turns findings into pass or fail.

use crate::model::finding::{Finding, Severity};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// Findings at or above it fail.
    pub fail: Severity,
}

/// What the gate makes of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing at or above the gate; `below` were found under it.
    Pass {
        below: usize,
    },
    Fail {
        failing: usize,
        below: usize,
    },
}

impl Gate {
    pub fn judge(&self, findings: &[Finding]) -> Verdict {
        let failing = findings.iter().filter(|finding| finding.severity >= self.fail).count();
        let below = findings.len() - failing;
        if failing == 0 { Verdict::Pass { below } } else { Verdict::Fail { failing, below } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_at_the_gate_fail_and_below_it_do_not() {
        let finding = |severity| Finding {
            rule: "r".into(),
            severity,
            message: String::new(),
            path: "p".into(),
            line: 1,
            column: 1,
            fingerprint: String::new(),
        };
        let gate = Gate { fail: Severity::High };
        assert_eq!(gate.judge(&[]), Verdict::Pass { below: 0 });
        assert_eq!(gate.judge(&[finding(Severity::Medium)]), Verdict::Pass { below: 1 });
        let mixed = [finding(Severity::Low), finding(Severity::High), finding(Severity::Critical)];
        assert_eq!(gate.judge(&mixed), Verdict::Fail { failing: 2, below: 1 });
    }
}
