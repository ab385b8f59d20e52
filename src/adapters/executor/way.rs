//! Which way a step goes, and why: what `--executor auto` decides. A step without an image has one way. One with an image goes the way that needs no engine,
//! where the machine can isolate it; an engine is the other way.

use super::Choice;
use crate::adapters::sandbox::Isolation;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    Sandbox(Why),
    Engine(Why),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// `--executor` says so.
    AskedFor,
    NoImage,
    /// The image's layers are a root that the sandbox can stand on.
    ImageCanStand,
    /// Without isolation there is no root to stand on.
    NoIsolation,
    /// It is known of the image, or of a service's, that the sandbox can not stand on it: why.
    CanNotStand(String),
}

impl Way {
    pub fn of(choice: Choice, image: bool, isolation: Isolation) -> Self {
        match (choice, image, isolation) {
            (Choice::Sandbox, ..) => Self::Sandbox(Why::AskedFor),
            (Choice::Container, ..) => Self::Engine(Why::AskedFor),
            (Choice::Auto, false, _) => Self::Sandbox(Why::NoImage),
            (Choice::Auto, true, Isolation::Full) => Self::Sandbox(Why::ImageCanStand),
            (Choice::Auto, true, Isolation::None) => Self::Engine(Why::NoIsolation),
        }
    }
}

/// As the record has it.
impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (way, why) = match self {
            Self::Sandbox(why) => ("sandbox", why),
            Self::Engine(why) => ("container", why),
        };
        match why {
            Why::AskedFor => write!(f, "--executor {way}"),
            Why::NoImage => write!(f, "auto: {way}, the step has no image"),
            Why::ImageCanStand => write!(f, "auto: {way}, which can stand on the image's layers; no engine is needed"),
            Why::NoIsolation => write!(f, "auto: {way}, as nothing is isolated here without an engine"),
            Why::CanNotStand(reason) => write!(f, "auto: {way}, as {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_needs_an_engine_only_where_nothing_else_can_isolate_it() {
        let way = |choice, image, isolation| Way::of(choice, image, isolation).to_string();
        assert_eq!(way(Choice::Auto, false, Isolation::None), "auto: sandbox, the step has no image");
        assert_eq!(way(Choice::Auto, true, Isolation::Full), "auto: sandbox, which can stand on the image's layers; no engine is needed");
        assert_eq!(way(Choice::Auto, true, Isolation::None), "auto: container, as nothing is isolated here without an engine");
        assert_eq!(way(Choice::Sandbox, true, Isolation::None), "--executor sandbox");
        assert_eq!(way(Choice::Container, false, Isolation::Full), "--executor container");
    }
}
