//! What is reached: hosts, addresses, actions, schedules and patterns.

use std::str::FromStr as _;

use crate::model::egress::Rule;

/// Where a server listens.
pub fn listen(text: &str) -> Result<(), String> {
    text.parse::<::core::net::SocketAddr>().map(drop).map_err(|_| "it is no address with a port; a name is not looked up here".to_owned())
}

/// An entry of `network`.
pub fn egress(text: &str) -> Result<(), String> {
    text.parse::<Rule>().map(|_| ())
}

/// `host` or `host:port`.
fn host(text: &str) -> Result<(), String> {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    if let Some(port) = port {
        port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(|| format!("{port:?} is no port"))?;
    }
    if text.contains('/') {
        return Err("it is a URL: write only host or host:port".into());
    }
    let name = host.strip_prefix("*.").unwrap_or(host);
    let good = !name.is_empty() && name.split('.').all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
    if good { Ok(()) } else { Err(format!("{host:?} is no host name")) }
}

/// `http://host[:port][/path]`, without user, query or fragment.
pub fn upstream(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).ok_or("it must start with http:// or https://")?;
    if rest.contains(['@', '?', '#']) {
        return Err("user, query and fragment have no place in it".into());
    }
    host(rest.split('/').next().unwrap_or_default())
}

/// What stands before the first `/` of an image's name.
pub fn registry(text: &str) -> Result<(), String> {
    if text.contains(|c: char| c.is_ascii_uppercase()) {
        return Err("hosts are written in small letters".into());
    }
    if text.contains(['/', '*']) {
        return Err("it is one registry: write only host or host:port".into());
    }
    if !text.contains(['.', ':']) && text != "localhost" {
        return Err("it is no host: docker.io is the registry of names that name none".into());
    }
    host(text)
}

/// A path that requests are sent to.
pub fn url_path(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err("it must start with /".into());
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) { Err("it holds a space or control character".into()) } else { Ok(()) }
}

/// A gateway route: a path whose last part may be `*`.
pub fn route(text: &str) -> Result<(), String> {
    url_path(text)?;
    match text.find('*') {
        Some(at) if at + 1 != text.len() || !text.ends_with("/*") => Err("`*` may only be the whole last part".into()),
        _ => Ok(()),
    }
}

/// The name of an action, `./path` in the repository, or `org/repo/path@sha`.
pub fn uses(text: &str) -> Result<(), String> {
    if let Some(path) = text.strip_prefix("./") {
        return super::names::relative_path(path);
    }
    if let Some((path, version)) = text.split_once('@') {
        let hex = version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
        return match (hex, path.matches('/').count()) {
            (false, _) => Err("what stands behind @ must be a commit of 40 hex digits: tags and branches can be moved by others".into()),
            (true, 0) => Err("there is no org/repo before the @".into()),
            (true, _) => Ok(()),
        };
    }
    if text.contains('/') {
        return Err("an action of another repository needs @ and a commit behind it, one of this repository a ./ before it".into());
    }
    super::names::name(text)
}

/// Five fields of cron, in UTC.
pub fn cron(text: &str) -> Result<(), String> {
    if text.split_whitespace().count() != 5 {
        return Err("it needs five fields: minute hour day month weekday".into());
    }
    croner::Cron::from_str(text).map(|_| ()).map_err(|error| error.to_string())
}

pub fn glob(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    globset::Glob::new(text).map(|_| ()).map_err(|error| error.kind().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(check: fn(&str) -> Result<(), String>, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        for text in bad {
            assert!(check(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_reached() {
        all(host, &["example.com", "example.com:443", "*.example.com", "10.0.0.1:80"], &["", "a:0", "a:x", "http://a", "*.", "a..b", "*"]);
        all(egress, &["example.com", "*.example.com:80", "10.0.0.0/8:5432", "[::1]:80"], &["", "a:0", "http://a", "*", "*.com", "2852039166"]);
        all(upstream, &["http://a:80", "https://a.b/c"], &["a", "ftp://a", "http://", "http://u@h", "http://a?x"]);
        all(route, &["/", "/a/*", "/a"], &["a", "/*/b", "/a*", "/a b"]);
        all(cron, &["17 4 * * 1-5", "*/5 * * * *"], &["", "61 * * * *", "* * * *", "0 0 0 * * *", "a b c d e"]);
        all(glob, &["release/**", "*.rs", "{a,b}"], &["", "{a", "[z-a]"]);
        let sha = "0123456789abcdef0123456789abcdef01234567";
        all(
            uses,
            &["secret-scan", "./actions/x", &format!("org/repo/path@{sha}")],
            &["", "a/b", "../x", "org/repo@v1", &format!("x@{sha}"), "./../x"],
        );
    }
}
