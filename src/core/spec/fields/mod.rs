//! The rich fields of the format: one kind of text each, with what is expected and how it is checked.
//!
//! Knows nothing of where in a pipeline a field stands; [`super::format`] does.

pub mod duration;
pub mod names;
pub mod percent;
pub mod price;
pub mod rate;
pub mod reach;
pub mod size;

/// A kind of scalar.
#[derive(Debug)]
pub struct Field {
    /// What was expected, for the place beside the error.
    pub expected: &'static str,
    /// For the JSON Schema: a whole number, a number, or text.
    pub json: Json,
    pub pattern: Option<&'static str>,
    pub check: fn(&str) -> Result<(), String>,
    /// May hold `${{ … }}`.
    pub template: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Json {
    Text,
    /// Text, but numbers and booleans are taken as they are written.
    Scalar,
    Integer,
    Number,
}

const fn field(expected: &'static str, json: Json, pattern: Option<&'static str>, check: fn(&str) -> Result<(), String>) -> Field {
    Field { expected, json, pattern, check, template: false }
}

fn anything(_: &str) -> Result<(), String> {
    Ok(())
}

fn some(text: &str) -> Result<(), String> {
    if text.trim().is_empty() { Err("it is empty".into()) } else { Ok(()) }
}

fn count(text: &str) -> Result<(), String> {
    parse_count(text).and_then(|count| if count == 0 { Err("it must be at least 1".into()) } else { Ok(()) })
}

/// A whole number, at most a million: what people mean to write is smaller.
pub fn parse_count(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|count| *count <= 1_000_000).ok_or_else(|| "it must be a whole number of at most 1000000".to_owned())
}

pub fn parse_priority(text: &str) -> Result<i32, String> {
    text.parse().ok().filter(|priority| (-100..=100).contains(priority)).ok_or_else(|| "it must be a whole number from -100 to 100".to_owned())
}

pub fn parse_samples(text: &str) -> Result<u64, String> {
    parse_count(text).map(u64::from)
}

fn attempts(text: &str) -> Result<(), String> {
    match parse_count(text)? {
        1..=10 => Ok(()),
        _ => Err("it must be between 1 and 10".into()),
    }
}

/// Of something that somebody else counts.
fn identifier(text: &str) -> Result<(), String> {
    text.parse::<u64>().ok().filter(|number| *number > 0).map(drop).ok_or_else(|| "it must be a whole number from 1".to_owned())
}

fn processors(text: &str) -> Result<(), String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1024.0 => Ok(()),
        _ => Err("it must be more than 0 and at most 1024".into()),
    }
}

fn positive_duration(text: &str) -> Result<(), String> {
    duration::parse(text).and_then(|found| if found.is_zero() { Err("it must be longer than nothing".into()) } else { Ok(()) })
}

/// A value of a matrix: part of a node's name, so short and printable.
fn matrix_value(text: &str) -> Result<(), String> {
    if text.chars().any(char::is_control) {
        return Err("it holds a control character".into());
    }
    if text.chars().count() > 200 { Err("it is longer than 200 characters".into()) } else { Ok(()) }
}

fn runtime(text: &str) -> Result<(), String> {
    let known = ["provided", "python", "nodejs", "java", "dotnet", "ruby", "go"];
    if known.iter().any(|prefix| text.starts_with(prefix)) { Ok(()) } else { Err("it is none of Lambda's runtimes".into()) }
}

macro_rules! forget {
    ($path:path) => {
        |text| $path(text).map(|_| ())
    };
}

pub static TEXT: Field = field("text", Json::Text, None, some);
pub static TEMPLATE: Field = Field { template: true, ..field("text", Json::Scalar, None, anything) };
pub static CONDITION: Field = field("a condition, such as event.branch == \"main\"", Json::Scalar, None, some);
pub static NAME: Field = field("a name of letters, digits, - and _", Json::Text, Some("^[A-Za-z_][A-Za-z0-9_-]{0,63}$"), names::name);
pub static VARIABLE: Field = field("the name of an environment variable", Json::Text, Some("^[A-Za-z_][A-Za-z0-9_]*$"), names::variable);
pub static PATH: Field = field("a path in the workspace, such as dist/function.zip", Json::Text, None, names::relative_path);
pub static FILE_NAME: Field = field("a file's name without folders, such as app.tar", Json::Text, Some("^[^/]+$"), names::file_name);
pub static INNER_PATH: Field = field("a path in the image, such as /srv/app", Json::Text, Some("^/"), reach::url_path);
pub static ANY_PATH: Field = field("a path", Json::Text, None, some);
pub static ARTIFACT: Field = field("STEP.OUTPUT, such as build.bundle", Json::Text, Some(r"^[^.]+\.[^.]+$"), forget!(names::artifact));
pub static DURATION: Field = field(duration::EXPECTED, Json::Text, Some(duration::PATTERN), forget!(duration::parse));
pub static TIMEOUT: Field = field(duration::EXPECTED, Json::Text, Some(duration::PATTERN), positive_duration);
pub static SIZE: Field = field(size::EXPECTED, Json::Text, Some(size::PATTERN), forget!(size::parse));
pub static SHARE: Field = field(percent::EXPECTED, Json::Text, Some(percent::PATTERN), forget!(percent::parse));
pub static WEIGHT: Field = field(percent::EXPECTED, Json::Text, Some(percent::PATTERN), forget!(percent::weight));
pub static STAGE: Field = field("a share between 0% and 100%, such as 5%", Json::Text, Some(percent::PATTERN), forget!(percent::stage));
pub static CONFIDENCE: Field = field("a share below 100%, such as 99.9%", Json::Text, Some(percent::PATTERN), forget!(percent::confidence));
pub static RATE: Field = field(rate::EXPECTED, Json::Text, Some(rate::PATTERN), forget!(rate::parse));
pub static PRICE: Field = field(price::EXPECTED, Json::Number, None, forget!(price::parse));
pub static CURRENCY: Field = field("a currency such as USD", Json::Text, None, price::currency);
pub static COUNT: Field = field("a whole number from 1", Json::Integer, None, count);
pub static COUNT_FROM_ZERO: Field = field("a whole number", Json::Integer, None, forget!(parse_count));
pub static ATTEMPTS: Field = field("a whole number from 1 to 10", Json::Integer, None, attempts);
pub static CPU: Field = field("a number of processors, such as 2 or 0.5", Json::Number, None, processors);
pub static MATRIX_VALUE: Field = field("text, a number or a boolean", Json::Scalar, None, matrix_value);
pub static GLOB: Field = field("a pattern such as release/** or *.rs", Json::Text, None, reach::glob);
pub static CRON: Field = field("five fields of cron, such as \"17 4 * * 1-5\"", Json::Text, None, reach::cron);
pub static EGRESS: Field = field("host, host:port, *.domain, an address or a network", Json::Text, None, reach::egress);
pub static REGISTRY: Field = field("a registry as images name it, such as ghcr.io or localhost:5000", Json::Text, Some("^[a-z0-9]"), reach::registry);
pub static LOGIN: Field = field("a login at the forge, such as octocat", Json::Text, Some("^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"), names::login);
pub static LISTEN: Field = field("an address and a port, such as 127.0.0.1:7171", Json::Text, None, reach::listen);
pub static ABSOLUTE_PATH: Field = field("an absolute path, such as /etc/tidegate/webhook", Json::Text, Some("^/"), reach::url_path);
pub static PRIORITY: Field = field("a whole number from -100 to 100", Json::Integer, None, forget!(parse_priority));
pub static NUMBER: Field = field("a whole number from 1", Json::Integer, None, identifier);
pub static UPSTREAM: Field = field("an address such as http://checkout.internal:8080", Json::Text, Some("^https?://"), reach::upstream);
pub static URL_PATH: Field = field("a path such as /health", Json::Text, Some("^/"), reach::url_path);
pub static ROUTE: Field = field("a path such as /checkout/*", Json::Text, Some("^/"), reach::route);
pub static USES: Field = field("an action's name, ./path or org/repo/path@commit", Json::Text, None, reach::uses);
pub static RUNTIME: Field = field("a runtime such as provided.al2023", Json::Text, None, runtime);
