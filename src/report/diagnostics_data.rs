//! Diagnostics for programs: JSON, and SARIF 2.1.0 for tools that show code.

use serde_json::{Value as Json, json};

use crate::model::diagnostic::{Diagnostic, Level};

/// One object a message, with the file it is about.
pub fn json(files: &[(String, Vec<Diagnostic>)]) -> Json {
    let of_file = |(file, diagnostics): &(String, Vec<Diagnostic>)| {
        let with_file = |diagnostic: &Diagnostic| {
            let mut value = json!(diagnostic);
            if let Json::Object(map) = &mut value {
                map.insert("file".into(), json!(file));
            }
            value
        };
        diagnostics.iter().map(with_file).collect::<Vec<_>>()
    };
    Json::Array(files.iter().flat_map(of_file).collect())
}

pub fn sarif(files: &[(String, Vec<Diagnostic>)], version: &str) -> Json {
    let mut rules: Vec<&str> = files.iter().flat_map(|(_, diagnostics)| diagnostics.iter().map(|diagnostic| diagnostic.code.as_str())).collect();
    rules.sort_unstable();
    rules.dedup();
    let results: Vec<Json> =
        files.iter().flat_map(|(file, diagnostics)| diagnostics.iter().map(move |diagnostic| result(file, diagnostic))).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "tidegate", "version": version, "rules": rules.iter().map(|rule| json!({ "id": rule })).collect::<Vec<_>>() } },
            // Columns are counted in characters, not in UTF-16 units.
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(file: &str, diagnostic: &Diagnostic) -> Json {
    let level = match diagnostic.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    };
    let text = std::iter::once(diagnostic.message.as_str()).chain(diagnostic.hints.iter().map(String::as_str)).collect::<Vec<_>>().join("\n");
    let mut location = json!({ "artifactLocation": { "uri": file } });
    if let (Json::Object(map), Some(span)) = (&mut location, diagnostic.span) {
        let region = json!({ "startLine": span.line, "startColumn": span.column, "endLine": span.end_line, "endColumn": span.end_column });
        map.insert("region".into(), region);
    }
    json!({ "ruleId": diagnostic.code, "level": level, "message": { "text": text }, "locations": [{ "physicalLocation": location }] })
}
