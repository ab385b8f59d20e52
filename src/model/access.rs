//! Who may do what through the API: scopes, and the tokens that have them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// What a route asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Look at runs, logs, rollouts and what they cost.
    Read,
    /// Start, repeat and cancel runs.
    Run,
    /// Let a run begin that waits for somebody's word.
    Approve,
    /// Decide about rollouts.
    Deploy,
    /// All of it, and what came from the forge as it came.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 5] = [Self::Read, Self::Run, Self::Approve, Self::Deploy, Self::Admin];

    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Run => "run",
            Self::Approve => "approve",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }

    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.word() == word)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Some of them. Whoever has any may look; whoever has `admin` may everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes)
    }

    pub fn allow(&self, wanted: Scope) -> bool {
        self.0.contains(&Scope::Admin) || self.0.contains(&wanted) || (wanted == Scope::Read && !self.0.is_empty())
    }

    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }

    /// As they are kept and shown: `read,run`.
    pub fn words(&self) -> String {
        self.0.iter().map(|scope| scope.word()).collect::<Vec<_>>().join(",")
    }

    /// What is no scope is none: it can not allow anything.
    pub fn of(words: &str) -> Self {
        Self::new(words.split(',').filter_map(Scope::of))
    }
}

/// A token, without what it is recognised by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub name: String,
    pub scopes: Scopes,
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
    /// To the minute.
    pub used: Option<Timestamp>,
}

/// Somebody who has logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub login: String,
    /// The forge's number: a name can be given to another.
    pub id: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_allows_itself_and_looking_and_admin_allows_all() {
        for has in Scope::ALL {
            for wanted in Scope::ALL {
                let expected = has == wanted || has == Scope::Admin || wanted == Scope::Read;
                assert_eq!(Scopes::new([has]).allow(wanted), expected, "{has} {wanted}");
            }
        }
        assert!(!Scopes::default().allow(Scope::Read) && !Scopes::of("root,*").allow(Scope::Read));
        assert_eq!(Scopes::of("deploy,read,deploy").words(), "read,deploy");
    }
}
