//! What it remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

#[derive(Debug)]
pub struct World {
    pub repositories: BTreeSet<String>,
    pub checks: Vec<Check>,
    pub statuses: Vec<Status>,
    pub deployments: Vec<Deployment>,
    pub comments: Vec<Comment>,
    pub sarifs: Vec<Sarif>,
    /// (comment, content), once each.
    pub reactions: BTreeSet<(u64, String)>,
    /// (repository, login) → `role_name`.
    pub roles: BTreeMap<(String, String), String>,
    /// (repository, number) → the pull request as GitHub says it, in part: `head.sha`, `state`.
    pub pulls: BTreeMap<(String, u64), Value>,
    /// Of installations that are there.
    pub installations: BTreeSet<u64>,
    /// Token → installation and the second when it ends.
    pub tokens: BTreeMap<String, (u64, u64)>,
    pub token_life: Duration,
    pub asked: Vec<Asked>,
    pub remaining: u64,
    /// The last number that was given to anything.
    pub last: u64,
}

impl Default for World {
    /// One installation, 1; nothing else.
    fn default() -> Self {
        Self {
            repositories: BTreeSet::new(),
            checks: Vec::new(),
            statuses: Vec::new(),
            deployments: Vec::new(),
            comments: Vec::new(),
            sarifs: Vec::new(),
            reactions: BTreeSet::new(),
            roles: BTreeMap::new(),
            pulls: BTreeMap::new(),
            installations: BTreeSet::from([1]),
            tokens: BTreeMap::new(),
            token_life: Duration::from_secs(3600),
            asked: Vec::new(),
            remaining: 5000,
            last: 1000,
        }
    }
}

impl World {
    pub fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
    /// The head of a pull request is this commit now.
    pub fn pull(&mut self, repository: &str, number: u64, head: &str) {
        let pull = serde_json::json!({ "number": number, "state": "open", "head": { "sha": head }, "base": { "ref": "main" } });
        self.pulls.insert((repository.to_owned(), number), pull);
    }
    /// `admin`, `maintain`, `write`, `triage`, `read`, or a role of the organisation's own.
    pub fn role(&mut self, repository: &str, login: &str, role: &str) {
        self.roles.insert((repository.to_owned(), login.to_owned()), role.to_owned());
    }
    /// No token that was given out is good any more.
    pub fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }
}

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
    /// `app`, `installation N`, `token`, or `nobody`.
    pub by: String,
    /// `None`: no answer was given.
    pub answer: Option<u16>,
}

impl Asked {
    pub fn line(&self) -> String {
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        let answer = self.answer.map_or_else(|| "-".to_owned(), |answer| answer.to_string());
        format!("{} {}{query} {answer}", self.method, self.path)
    }
}

#[derive(Debug, Clone)]
pub struct Check {
    pub repository: String,
    pub id: u64,
    pub name: String,
    pub sha: String,
    pub external: String,
    pub status: String,
    pub conclusion: Option<String>,
    pub title: String,
    pub summary: String,
    pub text: String,
    /// All that were ever sent.
    pub annotations: Vec<Value>,
    pub actions: Vec<Value>,
    pub details: Option<String>,
    /// Every status and conclusion that it has had, in order.
    pub history: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Status {
    pub repository: String,
    pub sha: String,
    pub state: String,
    pub context: String,
    pub description: String,
    pub url: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Deployment {
    pub repository: String,
    pub id: u64,
    pub sha: String,
    pub environment: String,
    pub task: String,
    pub payload: Value,
    pub description: String,
    /// State and description, in order.
    pub statuses: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub struct Comment {
    pub repository: String,
    pub issue: u64,
    pub id: u64,
    pub body: String,
    /// Who wrote it: the App's bot, or somebody.
    pub author: String,
    pub edits: usize,
}

#[derive(Debug, Clone)]
pub struct Sarif {
    pub repository: String,
    pub sha: String,
    pub reference: String,
    pub sarif: Value,
}

/// Seconds since 1970.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}
