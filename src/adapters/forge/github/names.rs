//! Names → parts of a path. What is no name is refused before anybody is asked: a path with `..` in it would ask about something else.

use crate::model::check::Place;
use crate::model::id::CommitId;

use super::super::ForgeError;
use super::super::error::clean;

/// `/repos/OWNER/NAME`.
pub(super) fn repository(place: &Place) -> Result<String, ForgeError> {
    let plain = |part: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        !part.is_empty() && part.len() <= 100 && part.chars().all(good) && !part.chars().all(|c| c == '.')
    };
    match place.repository.split_once('/') {
        Some((owner, name)) if plain(owner) && plain(name) => Ok(format!("/repos/{owner}/{name}")),
        _ => Err(ForgeError::never(format!("{:?} is no repository of GitHub: expected owner/name", clean(&place.repository)))),
    }
}

pub(super) fn commit(commit: &CommitId) -> Result<&str, ForgeError> {
    let text = commit.as_str();
    let good = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if good { Ok(text) } else { Err(ForgeError::never(format!("{:?} is no commit: expected 40 hex digits", clean(text)))) }
}

/// What accounts are called; those of Apps end with `[bot]`.
pub(super) fn is_login(text: &str) -> bool {
    let name = text.strip_suffix("[bot]").unwrap_or(text);
    !name.is_empty() && name.len() <= 100 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// Any text as one part of a path, or as a value behind `?`.
pub(super) fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_become_parts_of_a_path() {
        let place = |name: &str| Place { repository: name.to_owned(), installation: None };
        assert_eq!(repository(&place("acme/shop.js")).as_deref(), Ok("/repos/acme/shop.js"));
        for bad in ["", "shop", "acme/", "/shop", "acme/..", "../user", "acme/shop/../other", "acme/sh op", "acme/shop?x", "acme/shop#", "äcme/shop"]
        {
            assert!(repository(&place(bad)).is_err(), "{bad}");
        }
        assert!(commit(&CommitId::new("0123456789012345678901234567890123456789")).is_ok());
        assert!(commit(&CommitId::new("main/../../..")).is_err());
        assert_eq!(encoded("dependabot[bot] a/b?&"), "dependabot%5Bbot%5D%20a%2Fb%3F%26");
    }
}
