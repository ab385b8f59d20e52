//! The settings file: read with the same table, checks and messages as a pipeline.

use super::fields::{self as f, duration, parse_count, price, size};
use super::lower::Cursor;
use super::places::Part;
use super::problems::Problems;
use super::shape::Shape::{self, Choice, Either, Keys, List, Scalar};
use super::shape::{Key, key};
use super::{read, validate};
use crate::model::diagnostic::Diagnostic;
use crate::model::secret::SecretSource;
use crate::model::settings::{Deliveries, Github, GithubLogin, GithubOauth, Images, Limits, PROTECTIONS, Prices, Pull, Server, Settings};

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
static IMAGES: [Key; 2] = [
    key("pull", &Choice(&["missing", "always", "never"]), "When a registry is asked for a step's image."),
    key("keep", &Scalar(&f::SIZE), "How much of images is kept when another one was pulled."),
];
static SOURCE: Shape = Keys(&[
    key("file", &Scalar(&f::ABSOLUTE_PATH), "The file that holds it."),
    key("env", &Scalar(&f::VARIABLE), "The variable of Tidegate's environment that holds it."),
]);
static SOURCES: Shape = Either { expected: "{ file: PATH }, { env: NAME } or a list of them", of: &[&List(&SOURCE), &SOURCE] };
static DELIVERIES: [Key; 2] = [
    key("keep", &Scalar(&f::TIMEOUT), "How long the body of one is kept that has been handled."),
    key("bytes", &Scalar(&f::SIZE), "How much of them is kept together; the oldest go first."),
];
static SERVER: [Key; 5] = [
    key("listen", &Scalar(&f::LISTEN), "Where webhooks and the API are listened for."),
    key("url", &Scalar(&f::UPSTREAM), "As others reach it: what links begin with."),
    key("admins", &List(&Scalar(&f::TEXT)), "Logins of people who may everything."),
    key("traces", &Scalar(&f::UPSTREAM), "Where traces of runs are sent to (OTLP over HTTP)."),
    key("deliveries", &Keys(&DELIVERIES), "How much of deliveries is kept."),
];
static APP: [Key; 2] =
    [key("id", &Scalar(&f::NUMBER), "The App's number.").required(), key("key", &SOURCE, "Its private key, as GitHub gave it (PEM).").required()];
static OAUTH: [Key; 2] = [key("client", &Scalar(&f::TEXT), "The client's id.").required(), key("secret", &SOURCE, "The client's secret.").required()];
static GITHUB: [Key; 7] = [
    key("webhook_secrets", &SOURCES, "A delivery that is signed with any of them is GitHub's."),
    key("app", &Keys(&APP), "The App that Tidegate speaks as."),
    key("token", &SOURCE, "A token to speak with, where there is no App."),
    key("api", &Scalar(&f::UPSTREAM), "Of GitHub Enterprise: https://HOST/api/v3."),
    key("oauth", &Keys(&OAUTH), "How people log in."),
    key("templates", &Scalar(&f::ABSOLUTE_PATH), "The folder of your own templates for what is reported."),
    key("code_scanning", &Shape::Bool, "Whether findings go to code scanning as well."),
];
static SETTINGS: [Key; 7] = [
    key("server", &Keys(&SERVER), "How `serve` is reached."),
    key("github", &Keys(&GITHUB), "What of GitHub is believed, and as who it is spoken to."),
    key("require", &List(&PROTECTION), "Protections without which nothing runs."),
    key("limits", &Keys(&LIMITS), "Invocations at once, over all processes that use one state folder."),
    key("warm", &Either { expected: "on or off", of: &[&Shape::Bool, &Choice(&["on", "off"])] }, "Whether sandboxes are kept ready."),
    key("prices", &Keys(&PRICES), "What things cost."),
    key("images", &Keys(&IMAGES), "What holds for images where the command line says nothing."),
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
    let root = Cursor::root(&value, &places);
    let github = root.key("github").map(|github| github_settings(&github, &mut problems));
    let mut errors = problems.list;
    if !errors.is_empty() {
        errors.sort_by_key(|error| error.span);
        return Err(errors);
    }
    let count = |name: &str| root.key("limits").and_then(|limits| limits.parse(name, parse_count));
    let price = |name: &str| root.key("prices").and_then(|prices| prices.parse(name, price::parse));
    let server = root.key("server");
    let server = Server {
        listen: server.as_ref().and_then(|server| server.text_at("listen")?.parse().ok()),
        url: server.as_ref().and_then(|server| server.text_at("url")).map(|url| url.trim_end_matches('/').to_owned()),
        admins: server.as_ref().and_then(|server| server.texts_at("admins")).unwrap_or_default(),
        traces: server.as_ref().and_then(|server| server.text_at("traces")).map(|url| url.trim_end_matches('/').to_owned()),
        deliveries: server.and_then(|server| server.key("deliveries")).map(|deliveries| deliveries_settings(&deliveries)).unwrap_or_default(),
    };
    Ok(Settings {
        server,
        github,
        limits: Limits { machine: count("machine"), repository: count("repository"), pipeline: count("pipeline") },
        require: root.texts_at("require").unwrap_or_default(),
        warm: root.flag("warm").or(root.text_at("warm").map(|word| word == "on")).unwrap_or(true),
        prices: Prices {
            gb_second: price("gb_second"),
            request: price("request"),
            cpu_second: price("cpu_second"),
            currency: root.key("prices").and_then(|prices| prices.text_at("currency")),
        },
        images: root.key("images").map(|images| images_settings(&images)).unwrap_or_default(),
    })
}

fn deliveries_settings(deliveries: &Cursor<'_>) -> Deliveries {
    Deliveries { keep: deliveries.parse("keep", duration::parse), bytes: deliveries.parse("bytes", size::parse) }
}

fn images_settings(images: &Cursor<'_>) -> Images {
    let pull = images.text_at("pull").and_then(|word| match word.as_str() {
        "missing" => Some(Pull::Missing),
        "always" => Some(Pull::Always),
        "never" => Some(Pull::Never),
        _ => None,
    });
    Images { pull, keep: images.parse("keep", size::parse) }
}

fn github_settings(github: &Cursor<'_>, problems: &mut Problems<'_>) -> Github {
    let secrets = github.key("webhook_secrets").map(|secrets| if secrets.is_list() { secrets.items() } else { vec![secrets] }).unwrap_or_default();
    let webhook_secrets = secrets.iter().filter_map(|at| source(at, problems)).collect();
    let app = github.key("app").and_then(|app| {
        let key = app.key("key").and_then(|at| source(&at, problems))?;
        Some(GithubLogin::App { id: app.text_at("id")?.parse().ok()?, key })
    });
    let token = github.key("token").and_then(|at| source(&at, problems)).map(GithubLogin::Token);
    if let (Some(_), Some(_), Some(at)) = (&app, &token, github.key("token")) {
        problems.error("conflicting-keys", &at.route, Part::Key, "Tidegate speaks either as an App or with a token", "leave out app or token");
    }
    let oauth = github
        .key("oauth")
        .and_then(|oauth| Some(GithubOauth { client: oauth.text_at("client")?, secret: source(&oauth.key("secret")?, problems)? }));
    let api = github.text_at("api").map(|api| api.trim_end_matches('/').to_owned());
    let templates = github.text_at("templates").map(Into::into);
    let code_scanning = github.flag("code_scanning").unwrap_or(false);
    Github { webhook_secrets, login: app.or(token), api, oauth, templates, code_scanning }
}

/// Where a secret is: exactly one place.
fn source(at: &Cursor<'_>, problems: &mut Problems<'_>) -> Option<SecretSource> {
    match (at.text_at("file"), at.text_at("env")) {
        (Some(path), None) => Some(SecretSource::File(path.into())),
        (None, Some(name)) => Some(SecretSource::Env(name)),
        (None, None) if !at.is_map() => None,
        _ => {
            problems.error("conflicting-keys", &at.route, Part::Value, "a secret is in one place", "expected file or env");
            None
        }
    }
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
    fn how_much_of_deliveries_is_kept() {
        let kept = |text: &str| load(text).unwrap().server.deliveries;
        let day = std::time::Duration::from_secs(24 * 3600);
        assert_eq!(kept("server: { deliveries: { keep: 7d, bytes: 64MiB } }"), Deliveries { keep: Some(7 * day), bytes: Some(64 << 20) });
        assert_eq!(kept("server: { deliveries: { bytes: 1GiB } }"), Deliveries { keep: None, bytes: Some(1 << 30) });
        assert_eq!(kept("server: {}"), Deliveries::default());
        let refused = codes("server: { deliveries: { keep: 0s, bytes: much, time: 1d } }");
        let routes: Vec<&str> = refused.iter().map(|(_, route)| route.as_str()).collect();
        assert_eq!(routes, ["server.deliveries.keep", "server.deliveries.bytes", "server.deliveries.time"]);
    }

    #[test]
    fn how_the_server_is_reached_and_what_of_github_is_believed() {
        let text = "server: { listen: \"127.0.0.1:7171\", url: https://ci.example.com/, admins: [ada], traces: \"http://127.0.0.1:4318/\" }\ngithub:\n  webhook_secrets: [{ env: OLD }, { file: /etc/new }]\n  app: { id: 12, key: { file: /etc/key.pem } }\n  oauth: { client: Iv1.x, secret: { env: OAUTH } }\n  templates: /etc/tidegate/templates\n  code_scanning: true\n";
        let settings = load(text).unwrap();
        assert_eq!(settings.server.url.as_deref(), Some("https://ci.example.com"));
        assert_eq!(settings.server.listen.map(|at| at.port()), Some(7171));
        assert_eq!((settings.server.admins, settings.server.traces.as_deref()), (vec!["ada".to_owned()], Some("http://127.0.0.1:4318")));
        let github = settings.github.unwrap();
        assert_eq!(github.webhook_secrets, [SecretSource::Env("OLD".to_owned()), SecretSource::File("/etc/new".into())]);
        assert_eq!(github.login, Some(GithubLogin::App { id: 12, key: SecretSource::File("/etc/key.pem".into()) }));
        assert_eq!((github.templates.as_deref(), github.code_scanning), (Some(std::path::Path::new("/etc/tidegate/templates")), true));
        let text = "server: { listen: localhost }\ngithub: { token: { env: A, file: /b }, app: { id: 0, key: {} } }";
        let said = |code: &str, route: &str| (code.to_owned(), route.to_owned());
        assert_eq!(
            codes(text),
            [
                said("invalid-value", "server.listen"),
                said("conflicting-keys", "github.token"),
                said("invalid-value", "github.app.id"),
                said("conflicting-keys", "github.app.key"),
            ]
        );
    }

    #[test]
    fn what_holds_for_images() {
        let images = |text: &str| load(text).unwrap().images;
        assert_eq!(images("images: { pull: never, keep: 1GiB }"), Images { pull: Some(Pull::Never), keep: Some(1 << 30) });
        assert_eq!(images("images: { pull: always }"), Images { pull: Some(Pull::Always), keep: None });
        assert_eq!(images("warm: on"), Images::default());
        for (text, route) in [("images: { pull: sometimes }", "images.pull"), ("images: { keep: much }", "images.keep")] {
            assert_eq!(codes(text), [("invalid-value".to_owned(), route.to_owned())]);
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
