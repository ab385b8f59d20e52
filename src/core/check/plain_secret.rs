//! A secret that stands in the file itself.

use std::collections::BTreeMap;

use super::{Check, warning};
use crate::core::spec::{EnvSource, Pipeline, Route};
use crate::model::diagnostic::Diagnostic;

pub struct PlainSecret;

/// Beginnings that only credentials have.
const BEGINNINGS: [&str; 9] = ["AKIA", "ASIA", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "-----BEGIN"];
const WORDS: [&str; 6] = ["PASSWORD", "SECRET", "TOKEN", "API_KEY", "APIKEY", "PRIVATE_KEY"];

impl Check for PlainSecret {
    fn name(&self) -> &'static str {
        "plain-secret"
    }

    fn about(&self) -> &'static str {
        "A variable in env that holds what looks like a credential."
    }

    fn look(&self, pipeline: &Pipeline) -> Vec<Diagnostic> {
        let root = Route::root();
        let mut found = self.env(pipeline, &pipeline.env, &root.key("env"));
        for step in &pipeline.steps {
            found.extend(self.env(pipeline, &step.env, &root.key("steps").key(&step.name).key("env")));
        }
        for function in &pipeline.functions {
            found.extend(self.env(pipeline, &function.env, &root.key("functions").key(&function.name).key("env")));
        }
        found
    }
}

impl PlainSecret {
    fn env(&self, pipeline: &Pipeline, env: &BTreeMap<String, EnvSource>, route: &Route) -> Vec<Diagnostic> {
        let text = |source: &EnvSource| match source {
            EnvSource::Text(template) => template.as_text(),
            EnvSource::Secret(_) => None,
        };
        let suspicious = |(name, source): (&String, &EnvSource)| text(source).is_some_and(|value| looks_secret(name, &value)).then(|| name.clone());
        env.iter()
            .filter_map(suspicious)
            .map(|name| {
                let message = format!("{name} looks like a credential, in a file that everyone with the repository can read");
                let hint = format!("store it as a secret and write {name}: {{ secret: NAME }}; change the credential if this was ever pushed");
                warning(pipeline, self.name(), &route.key(&name), message, "written out here", &hint)
            })
            .collect()
    }
}

fn looks_secret(name: &str, value: &str) -> bool {
    if BEGINNINGS.iter().any(|beginning| value.starts_with(beginning)) {
        return true;
    }
    let name = name.to_uppercase();
    let named = WORDS.iter().any(|word| name.ends_with(word));
    // Test values such as `test` are common and harmless; credentials are longer and mixed.
    let mixed = value.chars().any(|c| c.is_ascii_digit()) && value.chars().any(char::is_alphabetic);
    named && value.len() >= 12 && mixed && !value.contains(['/', ' '])
}
