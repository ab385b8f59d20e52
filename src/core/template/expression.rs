//! One expression: a path (`event.branch`), or a helper with paths and literals (`slug event.branch`).
//!
//! No blocks, partials, comments, raw output or paths upwards: an expression has one value, and all that it refers to can be known before it is rendered.

use std::sync::LazyLock;

use handlebars::template::{Parameter, Template as Compiled, TemplateElement};
use handlebars::{Handlebars, handlebars_helper};
use serde_json::Value as Json;

use super::{Escape, TemplateError};

/// `steps.build.outputs.bundle`, part by part.
pub type Path = Vec<String>;

/// What may stand before a value.
pub const HELPERS: [&str; 4] = ["json", "lower", "slug", "upper"];

pub(super) struct Wrong {
    pub message: String,
    pub hint: Option<String>,
}

fn wrong(message: impl Into<String>, hint: &str) -> Wrong {
    Wrong { message: message.into(), hint: (!hint.is_empty()).then(|| hint.to_owned()) }
}

/// All names in an expression, or why it is none.
pub(super) fn paths(source: &str) -> Result<Vec<Path>, Wrong> {
    if source.is_empty() {
        return Err(wrong("this expression is empty", "name a value, such as event.branch"));
    }
    if let Some(path) = plain_name(source) {
        return Ok(vec![path]);
    }
    // Braces would end or change the tag that the expression is put into.
    if source.contains(['{', '}']) || source.starts_with(['&', '#', '/', '!', '>', '*', '^', '~', '@']) || source.ends_with('~') {
        return Err(wrong(
            "this is no expression",
            "an expression is a name such as event.branch, or a helper with a name, such as `slug event.branch`",
        ));
    }
    let compiled = Compiled::compile(&format!("{{{{{source}}}}}")).map_err(|_| syntax(source))?;
    let [TemplateElement::Expression(expression)] = compiled.elements.as_slice() else {
        return Err(syntax(source));
    };
    let mut found = Vec::new();
    if expression.params.is_empty() && expression.hash.is_empty() {
        value(&expression.name, &mut found)?;
        return Ok(found);
    }
    let name = match &expression.name {
        Parameter::Name(name) => name.clone(),
        Parameter::Path(_) => raw(&expression.name)?.join("."),
        _ => return Err(syntax(source)),
    };
    call(&name, &expression.params, expression.hash.is_empty(), &mut found)?;
    Ok(found)
}

/// Most expressions are only a name; below one of the known roots it can be nothing else, so the grammar need not be asked.
fn plain_name(source: &str) -> Option<Path> {
    let path: Path = source.split('.').map(str::to_owned).collect();
    let known = ["event", "params", "matrix", "env", "steps", "inputs"].contains(&path.first()?.as_str());
    let plain = |part: &String| !part.is_empty() && part != "this" && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    (known && path.len() > 1 && path.iter().all(plain)).then_some(path)
}

fn syntax(source: &str) -> Wrong {
    let operator = ["==", "!=", "&&", "||", "<", ">", "+", "?"].iter().any(|operator| source.contains(operator));
    let hint = if operator {
        "conditions belong in `if:`; an expression here is a name such as event.branch"
    } else {
        "an expression is a name such as event.branch, or a helper with a name, such as `slug event.branch`"
    };
    wrong("this is no expression", hint)
}

fn call(name: &str, params: &[Parameter], no_hash: bool, found: &mut Vec<Path>) -> Result<(), Wrong> {
    if !HELPERS.contains(&name) {
        return Err(wrong(format!("there is no helper {name:?}"), &format!("helpers are {}", HELPERS.join(", "))));
    }
    let ([param], true) = (params, no_hash) else {
        return Err(wrong(format!("{name} takes one value"), ""));
    };
    value(param, found)
}

fn value(parameter: &Parameter, found: &mut Vec<Path>) -> Result<(), Wrong> {
    match parameter {
        Parameter::Literal(_) => Ok(()),
        Parameter::Name(_) | Parameter::Path(_) => {
            found.push(raw(parameter)?);
            Ok(())
        }
        Parameter::Subexpression(inner) => {
            if !inner.is_helper() {
                return Err(wrong("parentheses hold a helper with a value", ""));
            }
            let params = inner.params().map(Vec::as_slice).unwrap_or_default();
            call(inner.name(), params, inner.hash().is_none_or(|hash| hash.is_empty()), found)
        }
        _ => Err(wrong("this is no expression", "")),
    }
}

fn raw(parameter: &Parameter) -> Result<Path, Wrong> {
    use handlebars::Path as Handle;
    let text = match parameter {
        Parameter::Name(name) => name.clone(),
        Parameter::Path(Handle::Relative((_, raw))) => raw.clone(),
        _ => return Err(wrong("names that start with @ have no meaning here", "")),
    };
    let parts: Path = text.split('.').map(str::to_owned).collect();
    let plain = |part: &String| !part.is_empty() && part != "this" && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    if parts.iter().all(plain) {
        Ok(parts)
    } else {
        Err(wrong(format!("{text:?} is no name"), "parts of a name are separated by points, such as steps.build.outputs.version"))
    }
}

handlebars_helper!(upper: |text: str| text.to_uppercase());
handlebars_helper!(lower: |text: str| text.to_lowercase());
handlebars_helper!(json: |value: Json| value.to_string());
handlebars_helper!(slug: |text: str| slugged(text));

/// Fit for a host name or a file name: lower-case letters and digits with single dashes, at most 63.
fn slugged(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => name.push(c),
            _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    name.truncate(63);
    name.trim_end_matches('-').to_owned()
}

/// The template of an expression that is only a name.
const NAME: &str = "name";

fn engine(escape_as: Escape) -> Handlebars<'static> {
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(move |text| escape(escape_as, text));
    // Compiled once, for the many expressions that are only a name. Should it ever not compile, rendering says so.
    let _ = engine.register_template_string(NAME, "{{value}}");
    engine.register_helper("upper", Box::new(upper));
    engine.register_helper("lower", Box::new(lower));
    engine.register_helper("json", Box::new(json));
    engine.register_helper("slug", Box::new(slug));
    engine
}

static SHELL: LazyLock<Handlebars<'static>> = LazyLock::new(|| engine(Escape::Shell));
static JSON: LazyLock<Handlebars<'static>> = LazyLock::new(|| engine(Escape::Json));
static PLAIN: LazyLock<Handlebars<'static>> = LazyLock::new(|| engine(Escape::Plain));

pub(super) fn render(source: &str, escape: Escape, context: &Json) -> Result<String, TemplateError> {
    let failed = |why: String| TemplateError { expression: source.to_owned(), why };
    let mut names = Json::Null;
    for path in paths(source).map_err(|error| failed(error.message))? {
        let mut at = context;
        for (depth, part) in path.iter().enumerate() {
            at = at.get(part).ok_or_else(|| failed(format!("there is no {}", path.get(..=depth).unwrap_or_default().join("."))))?;
        }
        if at.is_object() || at.is_array() || at.is_null() {
            return Err(failed(format!("{} is not one value", path.join("."))));
        }
        insert(&mut names, &path, at);
    }
    let engine = match escape {
        Escape::Shell => &SHELL,
        Escape::Json => &JSON,
        Escape::Plain => &PLAIN,
    };
    let rendered = match plain_name(source).and_then(|path| path.iter().try_fold(context, |at, part| at.get(part))) {
        Some(value) => engine.render(NAME, &serde_json::json!({ "value": value })),
        None => engine.render_template(&format!("{{{{{source}}}}}"), &names),
    };
    let text = rendered.map_err(|error| failed(error.reason().to_string()))?;
    if escape == Escape::Shell && text.contains('\0') { Err(failed("the value holds a NUL byte".into())) } else { Ok(text) }
}

/// Only what the expression refers to is handed over: a context may be large, and each rendering copies it.
fn insert(names: &mut Json, path: &[String], value: &Json) {
    match path {
        [] => *names = value.clone(),
        [first, rest @ ..] => {
            if !names.is_object() {
                *names = Json::Object(serde_json::Map::new());
            }
            if let Json::Object(map) = names {
                insert(map.entry(first.as_str()).or_insert(Json::Null), rest, value);
            }
        }
    }
}

pub(super) fn escape(escape: Escape, text: &str) -> String {
    match escape {
        Escape::Plain => text.to_owned(),
        Escape::Json => Json::String(text.to_owned()).to_string(),
        Escape::Shell => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
