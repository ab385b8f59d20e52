//! Where things stand in a YAML text, and the limits that hold before anything is read into values.
//!
//! ```text
//! text ──▶ parser events ──▶ scan: size, depth, alias expansion, duplicate keys ──▶ Places: route → span
//! ```
//! Knows nothing of what a pipeline is. Nothing is expanded here: an alias is a link to its anchor, so that a text that would become
//! billions of values costs no more than its own length.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::route::{Route, Segment};
use crate::model::diagnostic::{Diagnostic, Level, Span};

/// Bytes of a file.
pub const MAX_BYTES: usize = 1 << 20;
/// Maps and lists within one another.
pub const MAX_DEPTH: usize = 64;
/// Bytes that all aliases together may stand for, with one for every value.
pub const MAX_EXPANSION: u64 = 4 << 20;

/// Every node of the text with its place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    lines: Vec<String>,
    nodes: Vec<Place>,
    root: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    span: Span,
    content: Content,
    /// Bytes it stands for, aliases expanded.
    weight: u64,
    /// Maps and lists within it, aliases expanded.
    height: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Scalar { text: String, style: Style },
    List(Vec<usize>),
    Map(HashMap<String, Entry>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    key: Span,
    value: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Quoted,
    Literal,
    Folded,
}

/// Which part of what stands at a route is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Key,
    Value,
    /// Bytes of the scalar's text, as YAML reads it.
    Within(std::ops::Range<usize>),
}

impl Places {
    /// Reads the places of a text, or says why it is not even YAML.
    pub fn scan(text: &str) -> Result<Self, Vec<Diagnostic>> {
        if text.len() > MAX_BYTES {
            let message = format!("the file has {} bytes; at most {MAX_BYTES} (1 MiB) are read", text.len());
            return Err(vec![problem("file-too-large", message, None, "", "split it into several pipelines")]);
        }
        Scan::default().run(text)
    }

    /// The nearest place that is known for a route: the thing itself, else what it would stand in.
    pub fn span(&self, route: &Route, part: &Part) -> Option<Span> {
        let mut at = self.root?;
        let mut found = self.nodes.get(at)?.span;
        let mut key = None;
        for segment in route.segments() {
            match (&self.nodes.get(at)?.content, segment) {
                (Content::Map(entries), Segment::Key(name)) if entries.contains_key(name) => {
                    let entry = entries.get(name)?;
                    (at, key) = (entry.value, Some(entry.key));
                }
                (Content::List(items), Segment::Index(index)) if *index < items.len() => {
                    (at, key) = (*items.get(*index)?, None);
                }
                // Not there: the key of what it would stand in says it best.
                _ => return Some(key.unwrap_or(found)),
            }
            found = self.nodes.get(at)?.span;
        }
        match part {
            Part::Key => Some(key.unwrap_or(found)),
            Part::Value => Some(self.visible(at, key)),
            Part::Within(range) => Some(self.within(at, range).unwrap_or_else(|| self.visible(at, key))),
        }
    }

    /// A scalar exactly as the text has it: `3.10` stays `3.10`.
    pub fn text(&self, route: &Route) -> Option<&str> {
        let mut at = self.root?;
        for segment in route.segments() {
            at = match (&self.nodes.get(at)?.content, segment) {
                (Content::Map(entries), Segment::Key(name)) => entries.get(name)?.value,
                (Content::List(items), Segment::Index(index)) => *items.get(*index)?,
                _ => return None,
            };
        }
        match &self.nodes.get(at)?.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// A whole block is better shown by its key; so is a value of nothing.
    fn visible(&self, at: usize, key: Option<Span>) -> Span {
        let Some(place) = self.nodes.get(at) else { return Span { line: 1, column: 1, end_line: 1, end_column: 1 } };
        let span = place.span;
        let empty = span.line == span.end_line && span.column == span.end_column;
        match key {
            Some(key) if empty || span.line != span.end_line => key,
            _ => span,
        }
    }

    /// A range of a scalar's text, where text and source stand in step.
    fn within(&self, at: usize, range: &std::ops::Range<usize>) -> Option<Span> {
        let place = self.nodes.get(at)?;
        let Content::Scalar { text, style } = &place.content else { return None };
        let before = text.get(..range.start)?;
        let marked = text.get(range.clone())?;
        let marked = marked.split('\n').next().unwrap_or_default();
        let row = before.matches('\n').count();
        let text_line = text.split('\n').nth(row)?;
        let chars_before = before.rsplit('\n').next().unwrap_or_default().chars().count();
        let (line, first_column) = match style {
            Style::Folded => return None,
            Style::Literal => {
                // The content starts on the line below the `|`, each line behind the same indent.
                let line = usize::try_from(place.span.line).ok()? + usize::from(self.starts_with_bar(place.span)) + row;
                let source = self.lines.get(line.checked_sub(1)?)?;
                let byte = source.rfind(text_line.trim_end_matches('\r'))?;
                (line, source.get(..byte)?.chars().count())
            }
            Style::Plain | Style::Quoted => {
                if place.span.line != place.span.end_line {
                    return None;
                }
                let line = usize::try_from(place.span.line).ok()?;
                let source = self.lines.get(line.checked_sub(1)?)?;
                let skip = usize::try_from(place.span.column).ok()?.checked_sub(1)? + usize::from(*style == Style::Quoted);
                let rest: String = source.chars().skip(skip).collect();
                rest.starts_with(text.as_str()).then_some((line, skip))?
            }
        };
        let column = u32::try_from(first_column + chars_before + 1).ok()?;
        let line = u32::try_from(line).ok()?;
        let width = u32::try_from(marked.trim_end().chars().count().max(1)).ok()?;
        Some(Span { line, column, end_line: line, end_column: column + width })
    }

    fn starts_with_bar(&self, span: Span) -> bool {
        let source = usize::try_from(span.line).ok().and_then(|line| self.lines.get(line.checked_sub(1)?));
        source.is_some_and(|line| line.chars().nth(usize::try_from(span.column).unwrap_or(1).saturating_sub(1)) == Some('|'))
    }
}

fn problem(code: &str, message: String, span: Option<Span>, label: &str, hint: &str) -> Diagnostic {
    let hints = if hint.is_empty() { Vec::new() } else { vec![hint.to_owned()] };
    Diagnostic { level: Level::Error, code: code.to_owned(), message, route: String::new(), span, label: label.to_owned(), hints }
}

/// One pass over the parser's events.
#[derive(Default)]
struct Scan {
    nodes: Vec<Place>,
    open: Vec<Open>,
    anchors: HashMap<usize, usize>,
    expanded: u64,
    root: Option<usize>,
    documents: usize,
    problems: Vec<Diagnostic>,
}

/// A map or list whose end has not come yet.
struct Open {
    start: Span,
    anchor: usize,
    weight: u64,
    height: usize,
    holds: Holds,
}

enum Holds {
    List(Vec<usize>),
    Map { entries: HashMap<String, Entry>, key: Option<(String, Span)> },
}

type Stop = Box<Diagnostic>;

impl Scan {
    fn run(mut self, text: &str) -> Result<Places, Vec<Diagnostic>> {
        if let Err(stop) = self.events(text) {
            self.problems.push(*stop);
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let lines = text.split('\n').map(|line| line.trim_end_matches('\r').trim_start_matches('\u{feff}').to_owned()).collect();
        Ok(Places { lines, nodes: self.nodes, root: self.root })
    }

    fn events(&mut self, text: &str) -> Result<(), Stop> {
        if let Some((span, character)) = first_control(text) {
            let message = format!("the file holds the control character U+{:04X}", u32::from(character));
            return Err(Box::new(problem(
                "control-character",
                message,
                Some(span),
                "not allowed in YAML",
                "is this a text file? Remove the character",
            )));
        }
        let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| {
                let at = error.marker();
                let span = point(at.line(), at.col());
                // The parser looks ahead: it may reach its own limit of brackets before ours.
                if error.info().contains("recursion limit") {
                    return too_deep(span);
                }
                let hint = syntax_hint(text, at.line());
                Box::new(problem("syntax", format!("this is not YAML: {}", error.info()), Some(span), "found here", hint))
            })?;
            let span = convert(span);
            match event {
                Event::DocumentStart(_) => {
                    self.documents += 1;
                    if self.documents > 1 {
                        let hint = "put each pipeline into a file of its own";
                        return Err(Box::new(problem(
                            "several-documents",
                            "the file holds more than one document".into(),
                            Some(span),
                            "a second one starts here",
                            hint,
                        )));
                    }
                }
                Event::Scalar(text, style, anchor, _) => {
                    let style = match style {
                        ScalarStyle::Plain => Style::Plain,
                        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                        ScalarStyle::Literal => Style::Literal,
                        ScalarStyle::Folded => Style::Folded,
                    };
                    let weight = 1 + text.len() as u64;
                    let content = Content::Scalar { text: text.into_owned(), style };
                    self.close(Place { span, content, weight, height: 0 }, anchor)?;
                }
                Event::SequenceStart(anchor, _) => self.begin(span, anchor, Holds::List(Vec::new()))?,
                Event::MappingStart(anchor, _) => self.begin(span, anchor, Holds::Map { entries: HashMap::new(), key: None })?,
                Event::SequenceEnd | Event::MappingEnd => self.end(span)?,
                Event::Alias(anchor) => self.alias(anchor, span)?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(())
    }

    fn begin(&mut self, start: Span, anchor: usize, holds: Holds) -> Result<(), Stop> {
        self.open.push(Open { start, anchor, weight: 1, height: 0, holds });
        self.check_depth(self.open.len(), start)
    }

    fn check_depth(&self, depth: usize, span: Span) -> Result<(), Stop> {
        if depth <= MAX_DEPTH {
            return Ok(());
        }
        Err(too_deep(span))
    }

    fn end(&mut self, end: Span) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let span = Span { end_line: end.end_line, end_column: end.end_column, ..open.start };
        let content = match open.holds {
            Holds::List(items) => Content::List(items),
            Holds::Map { entries, .. } => Content::Map(entries),
        };
        self.close(Place { span, content, weight: open.weight, height: open.height + 1 }, open.anchor)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some(node) = self.anchors.get(&anchor).copied() else {
            return Err(Box::new(problem(
                "alias",
                "an alias may not stand within what it names".into(),
                Some(span),
                "leads back to itself",
                "write the value out",
            )));
        };
        let (weight, height) = self.nodes.get(node).map_or((1, 0), |place| (place.weight, place.height));
        self.expanded = self.expanded.saturating_add(weight);
        if self.expanded > MAX_EXPANSION {
            let message = format!("the aliases of this file stand for more than {MAX_EXPANSION} bytes (4 MiB)");
            return Err(Box::new(problem(
                "too-many-aliases",
                message,
                Some(span),
                "this one is past the limit",
                "write values out, or use a matrix",
            )));
        }
        self.check_depth(self.open.len() + height, span)?;
        self.attach(node, span, None);
        Ok(())
    }

    /// A node is complete: keep it and hand it to what holds it.
    fn close(&mut self, place: Place, anchor: usize) -> Result<(), Stop> {
        let span = place.span;
        let key = match &place.content {
            Content::Scalar { text, .. } => Some(text.clone()),
            _ => None,
        };
        let node = self.nodes.len();
        self.nodes.push(place);
        if anchor > 0 {
            self.anchors.insert(anchor, node);
        }
        self.attach(node, span, key);
        Ok(())
    }

    fn attach(&mut self, node: usize, span: Span, as_key: Option<String>) {
        let (weight, height) = self.nodes.get(node).map_or((1, 0), |place| (place.weight, place.height));
        let text_of_alias = || match self.nodes.get(node).map(|place| &place.content) {
            Some(Content::Scalar { text, .. }) => text.clone(),
            _ => String::new(),
        };
        let key_text = as_key.unwrap_or_else(text_of_alias);
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        open.weight = open.weight.saturating_add(weight);
        open.height = open.height.max(height);
        match &mut open.holds {
            Holds::List(items) => items.push(node),
            Holds::Map { entries, key } => match key.take() {
                None => *key = Some((key_text, span)),
                Some((name, key)) => {
                    if let Some(first) = entries.get(&name) {
                        let hint = format!("the first {name:?} stands in line {}, column {}", first.key.line, first.key.column);
                        let message = format!("the key {name:?} stands here twice");
                        self.problems.push(problem("duplicate-key", message, Some(key), "given again", &hint));
                    } else {
                        entries.insert(name, Entry { key, value: node });
                    }
                }
            },
        }
    }
}

fn too_deep(span: Span) -> Stop {
    let message = format!("maps and lists stand more than {MAX_DEPTH} deep in one another");
    Box::new(problem("too-deep", message, Some(span), "past the limit", "a pipeline needs about eight levels"))
}

/// What people most often trip over.
fn syntax_hint(text: &str, line: usize) -> &'static str {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    if line.contains("${{") && line.contains('{') {
        "text with ${{ … }} needs quotes around it within { } and [ ]"
    } else if line.trim_start_matches(' ').starts_with('\t') {
        "YAML is indented with spaces, never with tabs"
    } else {
        ""
    }
}

fn point(line: usize, column: usize) -> Span {
    let (line, column) = (u32::try_from(line.max(1)).unwrap_or(u32::MAX), u32::try_from(column + 1).unwrap_or(u32::MAX));
    Span { line, column, end_line: line, end_column: column.saturating_add(1) }
}

fn convert(span: saphyr_parser::Span) -> Span {
    let (start, end) = (point(span.start.line(), span.start.col()), point(span.end.line(), span.end.col()));
    Span { end_line: end.line, end_column: end.column, ..start }
}

fn first_control(text: &str) -> Option<(Span, char)> {
    let bad = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}');
    let (offset, character) = text.char_indices().find(|(_, c)| bad(*c))?;
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    Some((point(line, before.rsplit('\n').next().unwrap_or_default().chars().count()), character))
}
