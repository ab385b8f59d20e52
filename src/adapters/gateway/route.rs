//! Which function a request is for: `http://NAME.localhost/path`, or `http://anything/NAME/path`.

use hyper::Uri;
use hyper::header::{HOST, HeaderMap};

use super::environment::good_name;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    Index,
    /// The path that is the function's own begins with `/`.
    Function {
        name: String,
        path: String,
    },
    /// What stands where a function's name is expected.
    Nothing(String),
}

pub fn find(uri: &Uri, headers: &HeaderMap) -> Route {
    let host = uri.host().or_else(|| headers.get(HOST).and_then(|host| host.to_str().ok())).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(name, port)| if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host });
    let path = if uri.path().starts_with('/') { uri.path() } else { "/" };
    if let Some(name) = host.strip_suffix(".localhost").filter(|name| good_name(name)) {
        return Route::Function { name: name.to_owned(), path: path.to_owned() };
    }
    let rest = &path[1..];
    let (name, below) = rest.split_once('/').map_or((rest, None), |(name, below)| (name, Some(below)));
    match name {
        "" if below.is_none() => Route::Index,
        name if good_name(name) => Route::Function { name: name.to_owned(), path: format!("/{}", below.unwrap_or_default()) },
        name => Route::Nothing(name.chars().take(80).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_finds_its_function_by_path_or_host() {
        let function = |name: &str, path: &str| Route::Function { name: name.to_owned(), path: path.to_owned() };
        for (host, uri, expected) in [
            ("127.0.0.1:7070", "/", Route::Index),
            ("127.0.0.1:7070", "/?x=1", Route::Index),
            ("127.0.0.1:7070", "/hello", function("hello", "/")),
            ("127.0.0.1:7070", "/hello/", function("hello", "/")),
            ("127.0.0.1:7070", "/hello/a%20b/c", function("hello", "/a%20b/c")),
            ("127.0.0.1:7070", "/hello//x", function("hello", "//x")),
            ("hello.localhost:7070", "/a/b", function("hello", "/a/b")),
            ("hello.localhost", "/", function("hello", "/")),
            ("a.b.localhost", "/x", function("x", "/")),
            ("localhost:7070", "/x/y", function("x", "/y")),
            ("[::1]:7070", "/x/y", function("x", "/y")),
            ("", "http://hello.localhost/p", function("hello", "/p")),
            ("", "/../etc/passwd", Route::Nothing("..".to_owned())),
            ("", "//x", Route::Nothing(String::new())),
            ("", "*", Route::Index),
        ] {
            let headers = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
            assert_eq!(find(&uri.parse().unwrap(), &headers), expected, "{host} {uri}");
        }
    }
}
