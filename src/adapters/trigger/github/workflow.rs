//! The event that a GitHub workflow runs for: what a webhook tells, but for starts by hand and by the clock, which no webhook tells of.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::scene::Scene;
use super::{Misunderstood, understand};
use crate::model::delivery::Delivery;
use crate::model::event::{Context, Event, EventKind};
use crate::model::id::{CommitId, DeliveryId};
use crate::model::text::clean;
use crate::model::time::Timestamp;
use crate::model::trigger::Wish;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Dispatch {
    inputs: Option<BTreeMap<String, Value>>,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

/// What the file at `GITHUB_EVENT_PATH` says of an event of this name. What git knows better (the commit that is checked out, what it changed) is for the caller.
pub fn in_workflow(name: &str, body: Vec<u8>) -> Result<Wish, Misunderstood> {
    let delivery = Delivery { id: DeliveryId::new("workflow"), event: name.to_owned(), received: Timestamp::EPOCH, body };
    let event = match name {
        "workflow_dispatch" => dispatch(&Scene::of(&delivery)?)?,
        "schedule" => plain(&Scene::of(&delivery)?, EventKind::Schedule, String::new()),
        _ => match understand(&delivery)?.wish {
            Wish::Happened(event) | Wish::Closed { event } => *event,
            other => return Ok(other),
        },
    };
    // Nobody delivered it.
    let context = Context { delivery: None, ..event.context };
    Ok(Wish::Happened(Box::new(Event { context, ..event })))
}

fn dispatch(scene: &Scene<'_>) -> Result<Event, Misunderstood> {
    let body: Dispatch = scene.read()?;
    let mut event = plain(scene, EventKind::Manual, scene.reference(body.reference, "ref")?);
    for (name, value) in body.inputs.unwrap_or_default() {
        let value = match value {
            Value::String(text) => text,
            // An input that was left out has its default in the pipeline.
            Value::Null => continue,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => return Err(scene.odd("inputs", &name, "text, a number, true or false")),
        };
        event.params.insert(name, value);
    }
    Ok(event)
}

fn plain(scene: &Scene<'_>, kind: EventKind, reference: String) -> Event {
    Event {
        kind,
        repository: scene.repository().map(|repository| repository.name).unwrap_or_default(),
        branch: reference.strip_prefix("refs/heads/").map(clean),
        reference,
        commit: CommitId::new(String::new()),
        subject: String::new(),
        author: String::new(),
        changed: None,
        params: BTreeMap::new(),
        context: Context { actor: scene.actor(), ..Context::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, body: &str) -> Event {
        match in_workflow(name, body.into()) {
            Ok(Wish::Happened(event)) => *event,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_start_by_hand_brings_its_inputs() {
        let body = r#"{"inputs": {"channel": "beta; rm -rf /", "dry": true, "n": 3, "left-out": null}, "ref": "refs/heads/main", "sender": {"login": "ada", "id": 7}}"#;
        let found = event("workflow_dispatch", body);
        assert_eq!((found.kind, found.branch.as_deref()), (EventKind::Manual, Some("main")));
        let params: Vec<(&str, &str)> = found.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(params, [("channel", "beta; rm -rf /"), ("dry", "true"), ("n", "3")], "text stays text");
        assert_eq!(found.context.actor.map(|actor| actor.login).as_deref(), Some("ada"));
        assert!(event("workflow_dispatch", r#"{"inputs": null, "ref": "refs/tags/v1"}"#).params.is_empty());
        let error = in_workflow("workflow_dispatch", r#"{"inputs": {"x": {}}, "ref": "refs/heads/main"}"#.into()).unwrap_err().to_string();
        assert!(error.contains("expected text, a number, true or false"), "{error}");
    }

    #[test]
    fn the_clock_needs_no_more_than_its_name_and_others_are_webhooks() {
        assert_eq!(event("schedule", r#"{"schedule": "17 4 * * *"}"#).kind, EventKind::Schedule);
        assert!(matches!(in_workflow("workflow_run", "{}".into()), Ok(Wish::Nothing { .. })));
        assert!(in_workflow("push", "{}".into()).is_err());
        assert!(in_workflow("push", "not json".into()).is_err());
    }
}
