//! Commands, by what somebody may do.

use crate::model::event::Actor;
use crate::model::policy::{Deed, Policy};
use crate::model::trigger::Command;
use crate::model::trust::Permission;

/// What a command asks for; `None` if it is none.
pub fn deed(command: &Command) -> Option<Deed> {
    match command {
        Command::Run { .. } => Some(Deed::Run),
        // Whoever may say yes may say no.
        Command::Approve { .. } | Command::Reject { .. } => Some(Deed::Approve),
        Command::Cancel => Some(Deed::Cancel),
        Command::Promote { .. } => Some(Deed::Promote),
        Command::Rollback { .. } => Some(Deed::Rollback),
        Command::Unknown { .. } => None,
    }
}

/// Whether somebody may do this; the error is the answer to give them.
///
/// Whether they may approve for an *environment* is [`super::accepts`]. A program may not do anything here: what it writes, others may have made it write.
pub fn may(policy: &Policy, deed: Deed, who: &Actor, permission: Permission) -> Result<(), String> {
    if who.bot {
        return Err(format!("{} is a program: people {} here", who.login, deed.word()));
    }
    // To stop something is always possible, for those who could change the policy as well.
    let closed = policy.closed.as_ref().filter(|_| deed != Deed::Cancel || permission < Permission::Admin);
    if let Some(why) = closed {
        return Err(format!("nobody may {} anything: {why}", deed.word()));
    }
    let least = policy.commands.least(deed);
    if permission < least {
        return Err(format!("{} may not {} here: it needs {}, and they have {}", who.login, deed.word(), least.word(), permission.word()));
    }
    Ok(())
}
