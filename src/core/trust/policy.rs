//! From what the default branch has at the policy's place to a policy.

use crate::core::spec;
use crate::model::diagnostic::Diagnostic;
use crate::model::policy::{FILE, Policy};

/// What was looked for in the default branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The branch is known, and has no such file.
    Nothing,
    File(Vec<u8>),
    /// Nobody could look, or what is there is no file (too large, a link, a folder).
    Unreadable {
        why: String,
    },
}

/// Never open: what can not be read lets nobody do anything.
pub fn policy(found: &Found) -> Policy {
    let text = match found {
        Found::Nothing => return Policy::default(),
        Found::Unreadable { why } => return Policy::closed(format!("{FILE} of the default branch can not be read: {why}")),
        Found::File(bytes) if bytes.len() > spec::MAX_BYTES => {
            return Policy::closed(format!("{FILE} of the default branch is larger than {} bytes", spec::MAX_BYTES));
        }
        Found::File(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(_) => return Policy::closed(format!("{FILE} of the default branch is not text in UTF-8")),
        },
    };
    spec::load_policy(text).unwrap_or_else(|errors| Policy::closed(first(&errors)))
}

fn first(errors: &[Diagnostic]) -> String {
    let Some(error) = errors.first() else { return format!("{FILE} of the default branch is not valid") };
    let at = error.span.map(|span| format!(":{}:{}", span.line, span.column)).unwrap_or_default();
    let more = if errors.len() > 1 { format!(" (and {} more)", errors.len() - 1) } else { String::new() };
    format!("{FILE}{at} of the default branch is not valid: {}{more}", error.message)
}
