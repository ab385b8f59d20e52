//! What this machine can isolate: found out by doing it.

/// One thing that a sandbox needs, and whether it is there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Capability {
    pub name: &'static str,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Present { detail: String },
    Missing { why: String, remedy: String },
}

pub fn probe() -> Vec<Capability> {
    Vec::new()
}
