//! Lists in pages: a cursor says where the next one begins. What it holds is ours to change.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::problem::Problem;
use crate::adapters::journal::Place;
use crate::model::time::Timestamp;

/// Entries of a page, where nobody says and at most.
pub const USUAL: usize = 20;
pub const MOST: usize = 100;
/// Characters of any text in a query.
const TEXT: usize = 300;

pub fn limit(given: Option<u16>, most: usize) -> Result<usize, Problem> {
    match given.map(usize::from) {
        None => Ok(USUAL.min(most)),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::invalid(format!("limit: expected 1 to {most}"))),
    }
}

pub fn text(name: &str, given: Option<&String>) -> Result<(), Problem> {
    match given {
        Some(text) if text.len() > TEXT => Err(Problem::invalid(format!("{name}: expected at most {TEXT} bytes"))),
        _ => Ok(()),
    }
}

pub fn cursor(place: &Place) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}:{}", place.opened.as_micros(), place.id))
}

pub fn place(cursor: Option<&str>) -> Result<Option<Place>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (opened, id) = text.split_once(':')?;
        Some(Place { opened: Timestamp::from_micros(opened.parse().ok()?), id: id.to_owned() })
    };
    let wrong = || Problem::invalid("cursor: expected what the page before gave as next");
    if cursor.len() > 2 * TEXT { Err(wrong()) } else { read().map(Some).ok_or_else(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_where_it_came_from_and_nothing_else_is_one() {
        let place = Place { opened: Timestamp::from_micros(7), id: "r:1\u{e9}".to_owned() };
        assert_eq!(super::place(Some(&cursor(&place))), Ok(Some(place)));
        for wrong in ["", "!", "AAAA", &"A".repeat(10_000)] {
            assert!(super::place(Some(wrong)).is_err(), "{wrong:.10}");
        }
    }
}
