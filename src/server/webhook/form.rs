//! `payload=…`: what GitHub sends when a webhook is set to forms. The signature is that of the form.

use axum::http::StatusCode;
use percent_encoding::percent_decode;

use crate::server::problem::Problem;

/// The one `payload` of a form. Strict: what is not UTF-8 is left as it is, for the next look to refuse.
pub(super) fn payload(form: &[u8]) -> Result<Vec<u8>, Problem> {
    let bad = |why: &str| Problem::new(StatusCode::BAD_REQUEST, why);
    let mut found = form.split(|byte| *byte == b'&').filter_map(|pair| pair.strip_prefix(b"payload="));
    let value = found.next().ok_or_else(|| bad("the form has no payload"))?;
    if found.next().is_some() {
        return Err(bad("the form has more than one payload"));
    }
    let spaced: Vec<u8> = value.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Ok(percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_one_payload_and_it_comes_out_as_it_was() {
        let read = |form: &str| payload(form.as_bytes()).map(|bytes| String::from_utf8(bytes).expect("text")).map_err(|problem| problem.detail);
        assert_eq!(read("payload=%7B%22a%22%3A+%22%2B%C3%A9%22%7D"), Ok("{\"a\": \"+é\"}".to_owned()));
        assert_eq!(read("x=1&payload=%7B%7D&y=2"), Ok("{}".to_owned()));
        assert!(read("Payload=%7B%7D").is_err_and(|why| why.contains("no payload")));
        assert!(read("payload=%7B%7D&payload=%7B%7D").is_err_and(|why| why.contains("more than one")));
        assert_eq!(payload(b"payload=%FF").ok(), Some(vec![0xff]));
    }
}
