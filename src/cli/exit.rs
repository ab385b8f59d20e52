//! Exit codes: stable, and documented in docs/cli.md.

use std::process::ExitCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Success,
    /// A step failed, a gate did not hold, a finding was found.
    Failed,
    /// The command line or a file that the person wrote is wrong.
    Usage,
    /// A rollout was rolled back or aborted.
    RolledBack,
    /// Tidegate's or the machine's fault.
    Infrastructure,
    /// A person interrupted it.
    Cancelled,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::RolledBack => 3,
            Exit::Infrastructure => 4,
            Exit::Cancelled => 130,
        }
    }

    /// What a workflow is told that looks no further.
    pub fn words(self) -> &'static str {
        match self {
            Exit::Success => "succeeded",
            Exit::Failed => "failed",
            Exit::Usage => "not run",
            Exit::RolledBack => "rolled back",
            Exit::Infrastructure => "infrastructure",
            Exit::Cancelled => "cancelled",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
