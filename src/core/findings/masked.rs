//! A file of findings, with every text in it masked: what leaves the house is written anew, so that no spelling of a letter hides a secret.
//!
//! Nothing of it is held as a tree: a file of megabytes can have millions of the smallest objects.

use std::cell::Cell;
use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::Deserializer;

use super::sarif::{SarifError, decoded, text_of};

/// What hides secrets in a text.
pub type Mask<'a> = &'a dyn Fn(&str) -> String;

/// The same findings, in which `mask` has seen each text as it is meant: without JSON's escapes, addresses also without their own, and a value beside its name, as it
/// can be the name that tells what the value is. `None` where there is nothing at all.
pub fn masked_sarif(bytes: &[u8], mask: Mask<'_>) -> Result<Option<Vec<u8>>, SarifError> {
    let text = text_of(bytes)?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let out = Cell::new(Vec::with_capacity(text.len()));
    let mut from = Deserializer::from_str(text);
    let copied = Writing { out: &out, mask, name: "" }.deserialize(&mut from).and_then(|()| from.end());
    copied.map_err(|error| SarifError::NotSarif(error.to_string()))?;
    Ok(Some(out.into_inner()))
}

/// Writes the next value.
#[derive(Clone, Copy)]
struct Writing<'a> {
    out: &'a Cell<Vec<u8>>,
    mask: Mask<'a>,
    /// What the value is called, where it has a name.
    name: &'a str,
}

impl Writing<'_> {
    fn put(self, bytes: &[u8]) {
        let mut out = self.out.take();
        out.extend_from_slice(bytes);
        self.out.set(out);
    }

    fn write<E: serde::de::Error>(self, value: impl serde::Serialize) -> Result<(), E> {
        let mut out = self.out.take();
        let written = serde_json::to_writer(&mut out, &value);
        self.out.set(out);
        written.map_err(E::custom)
    }

    fn text(self, text: &str) -> String {
        let masked = (self.mask)(text);
        let masked = self.address(&masked).unwrap_or(masked);
        self.beside_its_name(&masked).unwrap_or(masked)
    }

    /// Of an address its readers see what it stands for.
    fn address(self, text: &str) -> Option<String> {
        let is_address = text.contains('%') && self.name.to_ascii_lowercase().ends_with("uri");
        let plain = is_address.then(|| decoded(text))?;
        let masked = (self.mask)(&plain);
        (masked != plain).then(|| escaped(&masked))
    }

    /// Masked as `"name": "value"` is in a log. A fingerprint is random by its nature, and told apart by.
    fn beside_its_name(self, text: &str) -> Option<String> {
        if self.name.is_empty() || self.name.to_ascii_lowercase().contains("fingerprint") {
            return None;
        }
        let (before, behind) = (format!("{}: \"", self.name), "\"");
        let masked = (self.mask)(&format!("{before}{text}{behind}"));
        let inside = masked.strip_prefix(&before).and_then(|rest| rest.strip_suffix(behind));
        // What the mask has done to the name as well leaves nothing of the value.
        let inside = inside.unwrap_or("***");
        (inside != text).then(|| inside.to_owned())
    }
}

impl<'de> DeserializeSeed<'de> for Writing<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writing<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.put(b"null");
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.write(value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.write(self.text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        self.put(b"[");
        let mut first = true;
        while from.next_element_seed(Behind { comma: !first, writing: self })?.is_some() {
            first = false;
        }
        self.put(b"]");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        self.put(b"{");
        let mut first = true;
        while let Some(name) = from.next_key::<String>()? {
            if !first {
                self.put(b",");
            }
            first = false;
            self.write::<A::Error>((self.mask)(&name))?;
            self.put(b":");
            // Those of `fingerprints` are called as their scanner likes.
            let inner = if self.name.to_ascii_lowercase().contains("fingerprint") { self.name } else { &name };
            from.next_value_seed(Writing { name: inner, ..self })?;
        }
        self.put(b"}");
        Ok(())
    }
}

/// A reference that is one, wherever it leads now.
fn escaped(text: &str) -> String {
    let mut uri = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:*".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// An element of a list. It is not known that there is one before it is asked for.
struct Behind<'a> {
    comma: bool,
    writing: Writing<'a>,
}

impl<'de> DeserializeSeed<'de> for Behind<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        if self.comma {
            self.writing.put(b",");
        }
        self.writing.deserialize(from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Knows one word, and that a password is one.
    fn mask(text: &str) -> String {
        let text = text.replace("hush", "***");
        match text.strip_prefix("password: \"").and_then(|rest| rest.strip_suffix('"')) {
            Some(value) if !value.is_empty() => "password: \"***\"".to_owned(),
            _ => text,
        }
    }

    fn masked(text: &str) -> String {
        String::from_utf8(masked_sarif(text.as_bytes(), &mask).expect("JSON").expect("something")).expect("text")
    }

    #[test]
    fn no_text_and_no_spelling_of_it_is_left_out() {
        for (text, expected) in [
            (r#""a hush b""#, r#""a *** b""#),
            (r#""hu\u0073h""#, r#""***""#),
            (r#""\u0068\u0075\u0073\u0068""#, r#""***""#),
            (r#""\"hush\"\n""#, r#""\"***\"\n""#),
            (r#"{"hush": 1, "a": [{"b": "hush"}, "c"]}"#, r#"{"***":1,"a":[{"b":"***"},"c"]}"#),
            (r#"{"uri": "src/h%75sh%20.rs"}"#, r#"{"uri":"src/***%20.rs"}"#),
            (r#"{"uri": "src/a%20b.rs"}"#, r#"{"uri":"src/a%20b.rs"}"#),
            (r#"{"text": "h%75sh"}"#, r#"{"text":"h%75sh"}"#),
            (r#"{"password": "open", "other": "open"}"#, r#"{"password":"***","other":"open"}"#),
            (r#"{"partialFingerprints": {"password": "open", "x": "hush"}}"#, r#"{"partialFingerprints":{"password":"open","x":"***"}}"#),
            ("\u{feff}[1, -2, 2.5, 1e300, true, null, {}, []]", "[1,-2,2.5,1e+300,true,null,{},[]]"),
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_is_nothing_and_what_is_not_json_goes_nowhere() {
        assert_eq!(masked_sarif(b"\xef\xbb\xbf \n", &mask), Ok(None));
        for text in ["{", "hush", "[1] hush", "{\"a\":\"\\ud800\"}", "{\"a\":1e999}", &"[".repeat(10_000)] {
            assert!(matches!(masked_sarif(text.as_bytes(), &mask), Err(SarifError::NotSarif(why)) if !why.contains("hush")), "{text}");
        }
        assert!(matches!(masked_sarif(b"\"\xff\"", &mask), Err(SarifError::NotText { .. })));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            "(hush|[a-z\\\\\"\u{0}-\u{1f}é%]){0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("(hush|[a-zé\"\\\\]){1,6}", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_has_no_secret_stays_what_it_is_and_what_has_one_loses_it(value in any_json()) {
            let text = value.to_string();
            let out: Value = serde_json::from_str(&masked(&text)).expect("JSON");
            prop_assert!(!out.to_string().contains("hush"));
            if !text.contains("hush") {
                prop_assert_eq!(out, value);
            }
        }
    }
}
