//! Where something stands in a file's tree, by names instead of lines: `steps.build.needs[0]`.
//!
//! A route says nothing about the text; [`super::places`] knows where in the text a route leads.

use std::fmt;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    Key(String),
    Index(usize),
}

impl Route {
    /// The whole file.
    pub fn root() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn key(&self, name: &str) -> Self {
        let mut segments = self.0.clone();
        segments.push(Segment::Key(name.to_owned()));
        Self(segments)
    }

    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut segments = self.0.clone();
        segments.push(Segment::Index(index));
        Self(segments)
    }

    pub fn segments(&self) -> &[Segment] {
        &self.0
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(name) => {
                    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
                    match (position, plain) {
                        (0, true) => f.write_str(name)?,
                        (_, true) => write!(f, ".{name}")?,
                        (_, false) => write!(f, "[{name:?}]")?,
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_reads_like_the_file() {
        let route = Route::root().key("steps").key("unit-test").key("needs").index(2);
        assert_eq!(route.to_string(), "steps.unit-test.needs[2]");
        assert_eq!(Route::root().key("routes").key("/checkout/*").key("to").to_string(), r#"routes["/checkout/*"].to"#);
        assert_eq!(Route::root().to_string(), "");
    }
}
