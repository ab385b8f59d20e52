//! The policy file: read with the same table, checks and messages as a pipeline.

use std::collections::BTreeMap;

use super::fields::{self as f, duration, parse_count, size};
use super::lower::Cursor;
use super::places::Part;
use super::problems::Problems;
use super::shape::Shape::{self, Bool, Choice, Either, Keys, List, Named, Scalar};
use super::shape::{Key, key};
use super::{format, read, validate};
use crate::model::diagnostic::Diagnostic;
use crate::model::limits::Resources;
use crate::model::policy::{Approvers, Commands, Deed, Environment, ForkRun, Forks, Policy, Pulls, Text, Writers};
use crate::model::trust::{Permission, Trust};

/// Environments of one file, and names of one list.
const MAX_NAMES: usize = 100;

static DURATION: Shape = Scalar(&f::DURATION);
static TIMEOUT: Shape = Scalar(&f::TIMEOUT);
/// Not `none`: whoever may read may open pull requests, and everybody may read what is public.
static PERMISSION: Shape = Choice(&["triage", "write", "maintain", "admin"]);
static NETWORK: Shape = Either { expected: "none or a list of hosts", of: &[&List(&Scalar(&f::EGRESS)), &Choice(&["none"])] };
static LOGINS: Shape = Either { expected: "a permission such as maintain, or a list of logins", of: &[&List(&Scalar(&f::LOGIN)), &PERMISSION] };

static FORKS: [Key; 6] = [
    key("run", &Choice(&["never", "approval", "first-time"]), "When a commit of a fork runs; `approval` when left out."),
    key("pipeline", &Choice(&["base", "head"]), "Whose pipeline file and actions; `base` when left out."),
    key("network", &NETWORK, "All that its steps may reach; none when left out."),
    key("images", &format::GLOBS, "Images that its steps and services may run in; those of the base's pipeline when left out."),
    key("resources", &Keys(&format::RESOURCES), "What a step may use at most."),
    key("timeout", &TIMEOUT, "How long an attempt of a step may take at most; 30m when left out."),
];
static PULLS: [Key; 2] = [
    key("from", &PERMISSION, "Who has less waits for approval; `write` when left out."),
    key("bots", &Choice(&["trusted", "untrusted"]), "What is run for programs; `untrusted` when left out."),
];
static PUSH: [Key; 1] = [key("from", &PERMISSION, "Whose pushes run without approval; `write` when left out.")];
static COMMANDS: [Key; 5] = [
    key("run", &PERMISSION, "Who may start runs; `write` when left out."),
    key("approve", &PERMISSION, "Who may approve a commit; `write` when left out."),
    key("cancel", &PERMISSION, "Who may cancel runs; `write` when left out."),
    key("promote", &PERMISSION, "Who may promote a rollout; `maintain` when left out."),
    key("rollback", &PERMISSION, "Who may roll one back; `maintain` when left out."),
];
static ENVIRONMENT: [Key; 6] = [
    key("approvers", &LOGINS, "Who must say yes: a least permission, or logins; nobody when left out."),
    key("branches", &format::GLOBS, "Branches that it takes; with neither branches nor tags, everything that is trusted."),
    key("tags", &format::GLOBS, "Tags that it takes."),
    key("wait", &DURATION, "How long to wait before the start."),
    key("self_approval", &Bool, "Whether who started a run may approve it; not when left out."),
    key("functions", &format::GLOBS, "Functions that are deployed in this environment only."),
];
static POLICY: [Key; 5] = [
    key("forks", &Keys(&FORKS), "Pull requests from forks, and all else that is not trusted."),
    key("pull_requests", &Keys(&PULLS), "Pull requests from branches of the repository itself."),
    key("push", &Keys(&PUSH), "Pushed branches and tags."),
    key("commands", &Keys(&COMMANDS), "Who may say what in a comment, by a button or through the API."),
    key(
        "environments",
        &Named { names: &f::NAME, of: &Shape::Optional(&Keys(&ENVIRONMENT)) },
        "What is deployed to. Where there are any, there are no others.",
    ),
];

/// The table, for the schema.
pub(super) static SHAPE: Shape = Keys(&POLICY);

/// Reads a policy file, or says all that is wrong with it. One that says nothing is none.
pub fn load(text: &str) -> Result<Policy, Vec<Diagnostic>> {
    let (value, places) = match read(text) {
        Ok(found) => found,
        Err(errors) if errors.iter().all(|error| error.code == "empty-file") => return Ok(Policy::default()),
        Err(errors) => return Err(errors),
    };
    let mut problems = Problems::new(&places);
    validate::validate(&SHAPE, &value, &places, &mut problems);
    let root = Cursor::root(&value, &places);
    let environments = root.entries_at("environments");
    if environments.len() > MAX_NAMES {
        let message = format!("there are {} environments, at most {MAX_NAMES} are held", environments.len());
        problems.error("invalid-value", &root.route.key("environments"), Part::Key, message, "too many environments");
    }
    let environments: BTreeMap<String, Environment> = environments.into_iter().map(|(name, at)| (name, environment(&at, &mut problems))).collect();
    let mut errors = problems.list;
    if !errors.is_empty() {
        errors.sort_by_key(|error| error.span);
        return Err(errors);
    }
    let at_least = |section: &str, name: &str| root.key(section).and_then(|section| permission(&section, name));
    let commands = Deed::ALL.into_iter().filter_map(|deed| Some((deed, at_least("commands", deed.word())?))).collect();
    let pulls = Pulls::default();
    let bots = root.key("pull_requests").and_then(|pulls| pulls.text_at("bots"));
    Ok(Policy {
        closed: None,
        forks: root.key("forks").map(|forks| forks_of(&forks)).unwrap_or_default(),
        pulls: Pulls {
            from: at_least("pull_requests", "from").unwrap_or(pulls.from),
            bots: if bots.as_deref() == Some("trusted") { Trust::Trusted } else { pulls.bots },
        },
        push: at_least("push", "from").map(Writers).unwrap_or_default(),
        commands: Commands(commands),
        environments,
    })
}

fn permission(at: &Cursor<'_>, name: &str) -> Option<Permission> {
    Permission::named(&at.text_at(name)?)
}

/// What is left out is as if there were no file.
fn forks_of(at: &Cursor<'_>) -> Forks {
    let mut forks = Forks::default();
    match at.text_at("run").as_deref() {
        Some("never") => forks.run = ForkRun::Never,
        Some("first-time") => forks.run = ForkRun::FirstTime,
        _ => {}
    }
    if at.text_at("pipeline").as_deref() == Some("head") {
        forks.pipeline = Text::Head;
    }
    if let Some(network) = at.key("network").filter(Cursor::is_list) {
        forks.network = network.texts().iter().filter_map(|entry| entry.parse().ok()).collect();
    }
    forks.images = globs(at, "images");
    if let Some(resources) = at.key("resources") {
        let Resources { cpu, memory, pids, disk } = forks.resources;
        forks.resources = Resources {
            cpu: resources.parse("cpu", str::parse).or(cpu),
            memory: resources.parse("memory", size::parse).or(memory),
            pids: resources.parse("pids", parse_count).or(pids),
            disk: resources.parse("disk", size::parse).or(disk),
        };
    }
    forks.timeout = at.parse("timeout", duration::parse).unwrap_or(forks.timeout);
    forks
}

fn environment(at: &Cursor<'_>, problems: &mut Problems<'_>) -> Environment {
    let approvers = at.key("approvers").and_then(|approvers| {
        if !approvers.is_list() {
            return Permission::named(&approvers.text()?).map(Approvers::AtLeast);
        }
        let logins = approvers.texts();
        if logins.is_empty() || logins.len() > MAX_NAMES {
            let message = format!("this list has {} logins, 1 to {MAX_NAMES} can be held", logins.len());
            problems.error("invalid-value", &approvers.route, Part::Key, message, "nobody could approve anything, or nobody knows who");
        }
        Some(Approvers::Logins(logins))
    });
    Environment {
        approvers,
        branches: globs(at, "branches"),
        tags: globs(at, "tags"),
        wait: at.parse("wait", duration::parse).unwrap_or_default(),
        self_approval: at.flag("self_approval").unwrap_or(false),
        functions: globs(at, "functions").unwrap_or_default(),
    }
}

fn globs(at: &Cursor<'_>, name: &str) -> Option<Vec<String>> {
    at.key(name).map(|patterns| patterns.items().iter().filter_map(Cursor::text).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn codes(text: &str) -> Vec<(String, String)> {
        load(text).unwrap_err().into_iter().map(|error| (error.code, error.route)).collect()
    }

    #[test]
    fn a_file_that_says_nothing_is_none_and_that_is_the_safe_way() {
        for text in ["", "# forks: { run: never }\n", "\u{feff}\n"] {
            assert_eq!(load(text), Ok(Policy::default()), "{text:?}");
        }
        let policy = Policy::default();
        assert_eq!((policy.forks.run, policy.forks.pipeline, policy.forks.network.len()), (ForkRun::Approval, Text::Base, 0));
        assert_eq!(policy.pulls, Pulls { from: Permission::Write, bots: Trust::Untrusted });
        assert_eq!(Deed::ALL.map(|deed| policy.commands.least(deed).word()), ["write", "write", "write", "maintain", "maintain"]);
    }

    #[test]
    fn all_of_it() {
        let policy = load(
            "forks:\n  run: first-time\n  pipeline: head\n  network: [\"crates.io:443\"]\n  images: rust:*\n  resources: { memory: 1GiB }\n  timeout: 5m\n\
             pull_requests: { from: maintain, bots: trusted }\npush: { from: admin }\ncommands: { cancel: triage, promote: admin }\n\
             environments:\n  production: { approvers: [alice, bob-2], branches: main, tags: [\"v*\"], wait: 5m, self_approval: true, functions: [\"shop-*\"] }\n  staging:\n  review: { approvers: maintain }\n",
        )
        .unwrap_or_else(|errors| panic!("{errors:#?}"));
        assert_eq!((policy.forks.run, policy.forks.pipeline, policy.forks.timeout), (ForkRun::FirstTime, Text::Head, Duration::from_secs(300)));
        assert_eq!(policy.forks.resources, Resources { cpu: Some(2.0), memory: Some(1 << 30), pids: Some(512), disk: Some(4 << 30) });
        assert_eq!((policy.forks.network.len(), policy.forks.images), (1, Some(vec!["rust:*".to_owned()])));
        assert_eq!((policy.pulls, policy.push), (Pulls { from: Permission::Maintain, bots: Trust::Trusted }, Writers(Permission::Admin)));
        assert_eq!((policy.commands.least(Deed::Cancel), policy.commands.least(Deed::Promote)), (Permission::Triage, Permission::Admin));
        let production = &policy.environments["production"];
        assert_eq!(production.approvers, Some(Approvers::Logins(vec!["alice".into(), "bob-2".into()])));
        assert_eq!(
            (production.branches.as_deref(), production.wait, production.self_approval),
            (Some(&["main".to_owned()][..]), Duration::from_secs(300), true)
        );
        assert_eq!(policy.environments["staging"], Environment::default());
        assert_eq!(policy.environments["review"].approvers, Some(Approvers::AtLeast(Permission::Maintain)));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_all_at_once() {
        let said = |code: &str, route: &str| (code.to_owned(), route.to_owned());
        let text = "fork: {}\nforks: { run: always, network: open, timeout: 0s }\ncommands: { approve: read, deploy: write }\n\
                    environments: { \"a b\": {}, c: { approvers: everybody, wait: soon }, d: { approvers: [] }, e: { approvers: [\"a b\"] } }\n";
        assert_eq!(
            codes(text),
            [
                said("unknown-key", "fork"),
                said("invalid-value", "forks.run"),
                said("invalid-value", "forks.network"),
                said("invalid-value", "forks.timeout"),
                said("invalid-value", "commands.approve"),
                said("unknown-key", "commands.deploy"),
                said("invalid-name", "environments[\"a b\"]"),
                said("invalid-value", "environments.c.approvers"),
                said("invalid-value", "environments.c.wait"),
                said("invalid-value", "environments.d.approvers"),
                said("invalid-value", "environments.e.approvers[0]"),
            ]
        );
        assert_eq!(codes("[1]")[0].0, "wrong-type");
        assert_eq!(codes("forks:\nforks: {}")[0].0, "duplicate-key");
        assert_eq!(codes("forks: { run: never, network: [\"a b\"]")[0].0, "syntax");
    }
}
