//! The settings file: read with the same table, checks and messages as a pipeline.

use super::fields::{self as f, parse_count, price};
use super::lower::Cursor;
use super::problems::Problems;
use super::shape::Shape::{self, Choice, Either, Keys, List, Scalar};
use super::shape::{Key, key};
use super::{read, validate};
use crate::model::diagnostic::Diagnostic;
use crate::model::settings::{Limits, PROTECTIONS, Prices, Settings};

static COUNT: Shape = Scalar(&f::COUNT);
static PRICE: Shape = Scalar(&f::PRICE);
static PROTECTION: Shape = Choice(&PROTECTIONS);

static LIMITS: [Key; 3] = [
    key("machine", &COUNT, "Invocations at once on this machine."),
    key("repository", &COUNT, "Invocations at once of each repository."),
    key("pipeline", &COUNT, "Invocations at once of each pipeline."),
];
static PRICES: [Key; 4] = [
    key("gb_second", &PRICE, "Of 1 GiB of memory for a second."),
    key("request", &PRICE, "Of one invocation."),
    key("cpu_second", &PRICE, "Of a second of processor time."),
    key("currency", &Scalar(&f::CURRENCY), "What stands behind an amount."),
];
static SETTINGS: [Key; 4] = [
    key("require", &List(&PROTECTION), "Protections without which nothing runs."),
    key("limits", &Keys(&LIMITS), "Invocations at once, over all processes that use one state folder."),
    key("warm", &Either { expected: "on or off", of: &[&Shape::Bool, &Choice(&["on", "off"])] }, "Whether sandboxes are kept ready."),
    key("prices", &Keys(&PRICES), "What things cost."),
];

/// Reads a settings file, or says all that is wrong with it. One that says nothing is none.
pub fn load(text: &str) -> Result<Settings, Vec<Diagnostic>> {
    let (value, places) = match read(text) {
        Ok(found) => found,
        Err(errors) if errors.iter().all(|error| error.code == "empty-file") => return Ok(Settings::default()),
        Err(errors) => return Err(errors),
    };
    let mut problems = Problems::new(&places);
    validate::validate(&Keys(&SETTINGS), &value, &places, &mut problems);
    let mut errors = problems.list;
    if !errors.is_empty() {
        errors.sort_by_key(|error| error.span);
        return Err(errors);
    }
    let root = Cursor::root(&value, &places);
    let count = |name: &str| root.key("limits").and_then(|limits| limits.parse(name, parse_count));
    let price = |name: &str| root.key("prices").and_then(|prices| prices.parse(name, price::parse));
    Ok(Settings {
        limits: Limits { machine: count("machine"), repository: count("repository"), pipeline: count("pipeline") },
        require: root.texts_at("require").unwrap_or_default(),
        warm: root.flag("warm").or(root.text_at("warm").map(|word| word == "on")).unwrap_or(true),
        prices: Prices {
            gb_second: price("gb_second"),
            request: price("request"),
            cpu_second: price("cpu_second"),
            currency: root.key("prices").and_then(|prices| prices.text_at("currency")),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::Price;

    fn codes(text: &str) -> Vec<(String, String)> {
        load(text).unwrap_err().into_iter().map(|error| (error.code, error.route)).collect()
    }

    #[test]
    fn all_of_it() {
        let text = "require: [seccomp, landlock, cgroup]\nlimits: { machine: 8, repository: 4, pipeline: 2 }\nwarm: off\nprices: { gb_second: 0.0000166667, request: 0.0000002, currency: USD }\n";
        let settings = load(text).unwrap();
        assert_eq!(settings.require, ["seccomp", "landlock", "cgroup"]);
        assert_eq!(settings.limits, Limits { machine: Some(8), repository: Some(4), pipeline: Some(2) });
        assert!(!settings.warm);
        assert_eq!(settings.prices.gb_second, Some(Price(16_666_700)));
        assert_eq!((settings.prices.cpu_second, settings.prices.currency.as_deref()), (None, Some("USD")));
        for (text, warm) in [("warm: on", true), ("warm: 'off'", false), ("warm: false", false), ("limits: {}", true)] {
            assert_eq!(load(text).unwrap().warm, warm, "{text}");
        }
    }

    #[test]
    fn a_file_that_says_nothing_is_none() {
        for text in ["", "# limits: { machine: 1 }\n", "\u{feff}\n"] {
            assert_eq!(load(text), Ok(Settings::default()), "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_all_at_once() {
        let text = "requier: [seccomp]\nrequire: [nonsense, seccmp]\nlimits: { machine: 0 }\nwarm: tepid\nprices: { request: 2e-7 }\n";
        let said = |code: &str, route: &str| (code.to_owned(), route.to_owned());
        assert_eq!(
            codes(text),
            [
                said("unknown-key", "requier"),
                said("invalid-value", "require[0]"),
                said("invalid-value", "require[1]"),
                said("invalid-value", "limits.machine"),
                said("invalid-value", "warm"),
                said("invalid-value", "prices.request"),
            ]
        );
        let errors = load(text).unwrap_err();
        assert_eq!(errors[0].hints, ["did you mean \"require\"?"]);
        assert_eq!(errors[2].hints, ["did you mean \"seccomp\"?"]);
        assert_eq!(codes("[1]")[0].0, "wrong-type");
        assert_eq!(codes("limits: 3")[0].0, "wrong-type");
        assert_eq!(codes("warm: on\nwarm: off")[0].0, "duplicate-key");
    }
}
