//! Conditions: CEL, compiled when the file is read, decided when the plan is made or, where they look at other steps, when those have ended.
//!
//! Names: `event.FIELD`, `params.NAME`, `matrix.NAME`, `steps.NAME.outcome`, `steps.NAME.outputs.KEY` (or `steps["NAME"]`); functions: CEL's own, `always()`
//! and `failed()`. No comprehensions (`all`, `exists`, `map` …): a condition is decided in one pass over its own text.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{Expr, LiteralValue};
use cel::{Context, Env, IdedExpr, Program, Value};
use serde_json::Value as Json;

/// Bytes of a condition.
const MAX_BYTES: usize = 4096;

const FUNCTIONS: [&str; 10] = ["always", "failed", "contains", "endsWith", "matches", "size", "startsWith", "string", "int", "double"];

#[derive(Debug, Clone)]
pub struct CompiledCondition {
    pub source: String,
    /// Every name, with the bytes of the condition where it stands.
    pub names: Vec<(Vec<String>, std::ops::Range<usize>)>,
    program: Arc<Program>,
    functions: BTreeSet<String>,
}

impl PartialEq for CompiledCondition {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionProblem {
    pub message: String,
    pub range: std::ops::Range<usize>,
    pub hint: Option<String>,
}

/// What could not be decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the condition `{source_text}` can not be decided: {why}")]
pub struct ConditionError {
    pub source_text: String,
    pub why: String,
}

impl CompiledCondition {
    pub fn compile(source: &str) -> Result<Self, Vec<ConditionProblem>> {
        let whole = 0..source.len();
        if source.len() > MAX_BYTES {
            let message = format!("a condition has at most {MAX_BYTES} bytes, this one has {}", source.len());
            return Err(vec![ConditionProblem { message, range: whole, hint: None }]);
        }
        if source.contains("${{") {
            let hint = Some("leave `${{` and `}}` out: all of `if` is an expression".to_owned());
            return Err(vec![ConditionProblem { message: "a condition is written without ${{ }}".into(), range: whole, hint }]);
        }
        if nesting(source) > 32 {
            return Err(vec![ConditionProblem {
                message: "the brackets of this condition stand too deep in one another".into(),
                range: whole,
                hint: None,
            }]);
        }
        let program =
            Program::compile(source).map_err(|errors| errors.errors.first().map(|error| syntax(source, error)).into_iter().collect::<Vec<_>>())?;
        let mut walk = Walk { program: &program, source, names: Vec::new(), functions: BTreeSet::new(), problems: Vec::new() };
        walk.expression(program.expression());
        let Walk { names, functions, problems, .. } = walk;
        if problems.is_empty() { Ok(Self { source: source.to_owned(), names, program: Arc::new(program), functions }) } else { Err(problems) }
    }

    /// It looks at how other steps ended, so a failed need alone does not skip its step.
    pub fn even_after_failure(&self) -> bool {
        self.calls("always") || self.calls("failed") || self.names.iter().any(|(path, _)| is_outcome(path))
    }

    /// Whether only the run can decide it.
    pub fn deferred(&self) -> bool {
        self.calls("always") || self.calls("failed") || self.names.iter().any(|(path, _)| root(path) == "steps")
    }

    pub fn calls(&self, function: &str) -> bool {
        self.functions.contains(function)
    }

    /// Decides it from all names at once.
    pub fn decide(&self, known: &Json, failed: bool) -> Result<bool, ConditionError> {
        self.decide_part(self.program.expression(), known, failed)
    }

    /// Whether what is known already makes it false: one side of an `&&` at the top is.
    pub fn never(&self, known: &Json) -> Result<bool, ConditionError> {
        let mut sides = vec![self.program.expression()];
        while let Some(side) = sides.pop() {
            match &side.expr {
                Expr::Call(call) if call.func_name == "_&&_" => sides.extend(&call.args),
                _ => {
                    let mut walk =
                        Walk { program: &self.program, source: &self.source, names: Vec::new(), functions: BTreeSet::new(), problems: Vec::new() };
                    walk.expression(side);
                    let deferred = walk.functions.contains("always")
                        || walk.functions.contains("failed")
                        || walk.names.iter().any(|(path, _)| root(path) == "steps");
                    if !deferred && !self.decide_part(side, known, false)? {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    fn decide_part(&self, expression: &IdedExpr, known: &Json, failed: bool) -> Result<bool, ConditionError> {
        static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
        let error = |why: String| ConditionError { source_text: self.source.clone(), why };
        let mut context = Context::with_env(Arc::clone(&STANDARD));
        context.add_function("always", || true).map_err(|why| error(why.to_string()))?;
        context.add_function("failed", move || failed).map_err(|why| error(why.to_string()))?;
        if let Json::Object(names) = known {
            for (name, value) in names {
                context.add_variable(name.as_str(), value).map_err(|why| error(why.to_string()))?;
            }
        }
        match Value::resolve(expression, &context) {
            Ok(Value::Bool(yes)) => Ok(yes),
            Ok(other) => Err(error(format!("it gives {other:?}, not true or false"))),
            Err(why) => Err(error(why.to_string())),
        }
    }
}

fn is_outcome(path: &[String]) -> bool {
    root(path) == "steps" && path.get(2).is_none_or(|field| field == "outcome")
}

fn root(path: &[String]) -> &str {
    path.first().map(String::as_str).unwrap_or_default()
}

fn nesting(source: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            // Unary operators nest as well.
            b'!' | b'-' | b'?' => deepest = deepest.max(depth + 1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    let run = source.split(|c| c != '!' && c != '-').map(str::len).max().unwrap_or(0);
    deepest.max(run)
}

fn syntax(source: &str, error: &cel::ParseError) -> ConditionProblem {
    let line = usize::try_from(error.pos.0).unwrap_or(1).max(1);
    let column = usize::try_from(error.pos.1).unwrap_or(1).max(1);
    let line_start: usize = source.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let mut start = (line_start + column - 1).min(source.len());
    while !source.is_char_boundary(start) {
        start -= 1;
    }
    let end = source[start..].chars().next().map_or(source.len(), |c| start + c.len_utf8());
    let hint = if source.contains(" and ") || source.contains(" or ") {
        Some("a condition has && for and, || for or".to_owned())
    } else {
        source[start..].starts_with("= ").then(|| "two values are compared with ==".to_owned())
    };
    let message = error.msg.lines().next().unwrap_or("it can not be read").trim_start_matches("Syntax error: ");
    // The parser lists every token that it knows; nobody reads that.
    let message = message.split(" expecting {").next().unwrap_or(message).replace("'<EOF>'", "the end").replace("<EOF>", "the end");
    ConditionProblem { message: format!("this is no condition: {message}"), range: start..end, hint }
}

struct Walk<'a> {
    program: &'a Program,
    source: &'a str,
    names: Vec<(Vec<String>, std::ops::Range<usize>)>,
    functions: BTreeSet<String>,
    problems: Vec<ConditionProblem>,
}

impl Walk<'_> {
    fn expression(&mut self, expression: &IdedExpr) {
        if let Some(path) = path_of(expression) {
            let range = self.range(expression, path.first().map(String::as_str).unwrap_or_default());
            self.names.push((path, range));
            return;
        }
        match &expression.expr {
            Expr::Call(call) => {
                if call.func_name.chars().next().is_some_and(char::is_alphabetic) && call.func_name != "in" {
                    self.function(&call.func_name, expression);
                }
                if let Some(target) = &call.target {
                    self.expression(target);
                }
                call.args.iter().for_each(|argument| self.expression(argument));
            }
            Expr::Select(select) => self.expression(&select.operand),
            Expr::List(list) => list.elements.iter().for_each(|element| self.expression(element)),
            Expr::Literal(_) => {}
            Expr::Comprehension(_) => self.refuse(expression, "all, exists, map and filter have no place in a condition"),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified | Expr::Ident(_) => {
                self.refuse(expression, "maps and messages have no place in a condition")
            }
        }
    }

    fn function(&mut self, name: &str, at: &IdedExpr) {
        self.functions.insert(name.to_owned());
        if !FUNCTIONS.contains(&name) {
            let range = self.range(at, name);
            let hint = match super::problems::nearest(name, FUNCTIONS) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("functions are {}", FUNCTIONS.join(", ")),
            };
            self.problems.push(ConditionProblem { message: format!("there is no function {name:?}"), range, hint: Some(hint) });
        }
    }

    fn refuse(&mut self, at: &IdedExpr, message: &str) {
        let range = self.range(at, "");
        self.problems.push(ConditionProblem { message: message.to_owned(), range, hint: None });
    }

    /// The parser's offsets point at a name's last point or a call's bracket; people look for its first letter.
    fn range(&self, at: &IdedExpr, word: &str) -> std::ops::Range<usize> {
        let (start, stop) = self.program.source_info().offset_for(at.id).unwrap_or((0, 0));
        let (start, stop) = (usize::try_from(start).unwrap_or(0), usize::try_from(stop).unwrap_or(0) + 1);
        let before = self.source.get(..stop.min(self.source.len())).unwrap_or(self.source);
        let from = if word.is_empty() { start.min(self.source.len()) } else { before.rfind(word).or_else(|| self.source.find(word)).unwrap_or(0) };
        let name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '[' | ']' | '"' | '\'' | '-');
        let rest = self.source.get(from..).unwrap_or_default();
        let end = rest.find(|c| !name(c)).map_or(self.source.len(), |end| from + end);
        from..end.max(from)
    }
}

/// `a.b["c"].d`, part by part.
fn path_of(expression: &IdedExpr) -> Option<Vec<String>> {
    match &expression.expr {
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) => {
            let mut path = path_of(&select.operand)?;
            path.push(select.field.clone());
            Some(path)
        }
        Expr::Call(call) if call.func_name == "_[_]" => {
            let [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(key)), .. }] = call.args.as_slice() else { return None };
            let mut path = path_of(operand)?;
            path.push(key.inner().to_owned());
            Some(path)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known() -> Json {
        json!({
            "event": { "kind": "push", "branch": "main", "subject": "x" }, "params": { "fast": true, "n": 5 }, "matrix": {},
            "steps": { "unit-tests": { "outcome": "failed", "outputs": {} }, "build": { "outcome": "succeeded", "outputs": { "v": "2" } } }
        })
    }

    #[test]
    fn conditions_are_decided() {
        for (source, expected) in [
            (r#"event.kind == "push" && event.branch == "main""#, true),
            (r#"event.branch.startsWith("release/")"#, false),
            (r#"event.branch in ["main", "next"]"#, true),
            ("params.fast && params.n > 3", true),
            (r#"steps["unit-tests"].outcome == "failed""#, true),
            (r#"steps.build.outputs.v == "2""#, true),
            ("failed()", true),
            ("!failed() || always()", true),
            (r#"event.subject.matches("^[a-z]$")"#, true),
            ("size(event.branch) == 4", true),
            ("true", true),
        ] {
            let condition = CompiledCondition::compile(source).unwrap_or_else(|error| panic!("{source}: {error:?}"));
            assert_eq!(condition.decide(&known(), true), Ok(expected), "{source}");
        }
    }

    #[test]
    fn what_the_event_decides_is_known_early() {
        let early = |source: &str| {
            let condition = CompiledCondition::compile(source).expect("compiles");
            (condition.deferred(), condition.even_after_failure(), condition.never(&known()).expect("decides"))
        };
        assert_eq!(early(r#"event.kind == "manual""#), (false, false, true));
        assert_eq!(early(r#"event.kind == "manual" && failed()"#), (true, true, true));
        assert_eq!(early(r#"always() && steps.build.outcome == "failed" && event.kind == "push""#), (true, true, false));
        assert_eq!(early(r#"steps.build.outputs.v == "3""#), (true, false, false));
        assert_eq!(early(r#"event.kind == "manual" || failed()"#), (true, true, false));
    }

    #[test]
    fn names_are_found_with_their_place() {
        let condition = CompiledCondition::compile(r#"event.kind == "push" && steps["unit-tests"].outcome != "x""#).expect("compiles");
        let names: Vec<_> = condition.names.iter().map(|(path, range)| (path.join("/"), &condition.source[range.clone()])).collect();
        assert_eq!(names, [("event/kind".to_owned(), "event.kind"), ("steps/unit-tests/outcome".to_owned(), r#"steps["unit-tests"].outcome"#)]);
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for bad in [
            "",
            "==",
            "event.kind = \"push\"",
            "a and b",
            "${{ always() }}",
            "nope()",
            "[1].all(x, x > 0)",
            "{1: 2}[1]",
            "event.kind ==",
            "\"open",
            &"(".repeat(5000),
            &"!".repeat(200),
        ] {
            assert!(CompiledCondition::compile(bad).is_err(), "{bad}");
        }
        for not_bool in ["event.kind", "1 + 1"] {
            assert!(CompiledCondition::compile(not_bool).expect("compiles").decide(&known(), false).is_err(), "{not_bool}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_compiling_panic(text in "[a-z0-9 .()\\[\\]\"'&|!=<>?:,+*%-]{0,40}") {
            let _ = CompiledCondition::compile(&text);
        }
    }
}
