//! The JSON Schema of the format, for editors: made from the same table that files are checked with, so that the two can not drift apart.

use serde_json::{Map, Value as Json, json};

use super::fields::{Field, Json as Kind};
use super::format;
use super::shape::{Key, Shape};

pub fn json_schema() -> Json {
    let mut schema = keys(&format::PIPELINE);
    if let Json::Object(map) = &mut schema {
        map.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        map.insert("title".into(), json!("Tidegate pipeline"));
        map.insert("anyOf".into(), json!([{ "required": ["steps"] }, { "required": ["functions"] }, { "required": ["routes"] }]));
    }
    schema
}

/// Of the policy file.
pub fn policy_schema() -> Json {
    let mut schema = shape(&super::policy::SHAPE);
    if let Json::Object(map) = &mut schema {
        map.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        map.insert("title".into(), json!("Tidegate policy"));
    }
    schema
}

fn keys(keys: &[Key]) -> Json {
    let mut properties = Map::new();
    for key in keys {
        let mut value = shape(key.shape);
        if let Json::Object(map) = &mut value {
            let later = if key.later { " (Checked, but not supported yet.)" } else { "" };
            map.insert("description".into(), json!(format!("{}{later}", key.about)));
        }
        properties.insert(key.name.to_owned(), value);
    }
    let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let (Json::Object(map), false) = (&mut schema, required.is_empty()) {
        map.insert("required".into(), json!(required));
    }
    schema
}

fn shape(of: &Shape) -> Json {
    match of {
        Shape::Keys(inner) => keys(inner),
        Shape::Named { names, of } => {
            let mut schema = json!({ "type": "object", "additionalProperties": shape(of) });
            if let (Json::Object(map), Some(pattern)) = (&mut schema, names.pattern) {
                map.insert("propertyNames".into(), json!({ "pattern": pattern }));
            }
            schema
        }
        Shape::List(of) => json!({ "type": "array", "items": shape(of) }),
        Shape::Scalar(field) => scalar(field),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Choice(words) => json!({ "enum": words }),
        Shape::Either { of, .. } => json!({ "anyOf": of.iter().map(|inner| shape(inner)).collect::<Vec<_>>() }),
        Shape::Optional(inner) => json!({ "anyOf": [{ "type": "null" }, shape(inner)] }),
    }
}

fn scalar(field: &Field) -> Json {
    let kinds = match field.json {
        Kind::Text => json!("string"),
        Kind::Scalar => json!(["string", "number", "boolean"]),
        Kind::Integer => json!("integer"),
        Kind::Number => json!("number"),
    };
    let mut schema = json!({ "type": kinds });
    if let (Json::Object(map), Some(pattern)) = (&mut schema, field.pattern) {
        map.insert("pattern".into(), json!(pattern));
    }
    schema
}
