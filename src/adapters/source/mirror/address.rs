//! Where something is fetched from, and what may go there.

use url::Url;

/// Only these, and nobody's name in it.
pub(super) fn checked(url: &str) -> Result<Url, String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    match (url.scheme(), url.host()) {
        ("https" | "http", Some(_)) if url.username().is_empty() && url.password().is_none() => Ok(url),
        ("https" | "http", _) => Err("credentials do not belong into an address".to_owned()),
        (scheme, _) => Err(format!("{scheme} is no way to fetch: expected https")),
    }
}

/// Whether a secret may go there.
pub(super) fn is_private(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_goes_only_where_nobody_listens() {
        for (url, private) in [
            ("https://github.com/acme/shop.git", Ok(true)),
            ("http://127.0.0.1:81/acme/shop", Ok(true)),
            ("http://localhost/acme/shop", Ok(true)),
            ("http://git.example.com/shop", Ok(false)),
            ("https://ada:secret@example.com/shop", Err(())),
            ("file:///etc", Err(())),
            ("ssh://git@example.com/shop", Err(())),
            ("/etc/passwd", Err(())),
            ("ext::sh -c id", Err(())),
        ] {
            assert_eq!(checked(url).map(|url| is_private(&url)).map_err(drop), private, "{url}");
        }
    }
}
