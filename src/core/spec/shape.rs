//! The language in which the format is written down as data: one table from which files are checked and the JSON Schema is made.

use super::fields::Field;

/// What may stand at one place.
#[derive(Debug)]
pub enum Shape {
    /// A map with these keys and no others.
    Keys(&'static [Key]),
    /// A map whose keys the person chooses.
    Named {
        names: &'static Field,
        of: &'static Shape,
    },
    List(&'static Shape),
    Scalar(&'static Field),
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Told apart by what kind of YAML it is: the first that fits the kind.
    Either {
        expected: &'static str,
        of: &'static [&'static Shape],
    },
    /// Nothing, or this: `push:`.
    Optional(&'static Shape),
}

/// One key of a map.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub about: &'static str,
    pub shape: &'static Shape,
    pub required: bool,
    /// Checked now, done by a later version.
    pub later: bool,
}

pub const fn key(name: &'static str, shape: &'static Shape, about: &'static str) -> Key {
    Key { name, about, shape, required: false, later: false }
}

impl Key {
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    #[must_use]
    pub const fn later(self) -> Self {
        Self { later: true, ..self }
    }
}
