//! Every row of docs/trust.md: the document is read, so that neither can be changed alone.

use super::*;
use crate::model::policy::{Deed, Text};

use Association::{Contributor, FirstTimeContributor, FirstTimer, None as NoAssociation};
use Permission::{Admin, Maintain, None as Nothing, Read, Triage, Write};

const TABLE: &str = include_str!("../../../../docs/trust.md");

/// What a row's name stands for.
fn row(name: &str) -> Option<(Event, Who)> {
    let by = |mut event: Event, login: &str| {
        event.context.actor = Some(actor(login));
        event
    };
    let written_by = |mut event: Event, login: &str| {
        event.context.pull.iter_mut().for_each(|pull| pull.author = actor(login));
        by(event, login)
    };
    let action = |mut event: Event, action: &str| {
        event.context.action = Some(action.to_owned());
        event
    };
    let from = |mut event: Event, repository: &str| {
        event.context.pull.iter_mut().for_each(|pull| pull.head.repository = repository.to_owned());
        event
    };
    let at = |mut event: Event, reference: &str| {
        event.reference = reference.to_owned();
        event
    };
    let both = |permission| who(permission, permission);
    Some(match name {
        "push by somebody who may write" => (event(EventKind::Push), both(Write)),
        "push of a tag" => (at(event(EventKind::Push), "refs/tags/v1"), both(Write)),
        "push by a program" => (by(event(EventKind::Push), "deploy[bot]"), both(Nothing)),
        "push of something that is neither" => (at(event(EventKind::Push), "refs/pull/7/head"), both(Write)),
        "schedule" => (event(EventKind::Schedule), both(Nothing)),
        "release, deployment, repository_dispatch, merge_group" => (event(EventKind::MergeGroup), both(Write)),
        "deployment of a commit by its number, where a branch ends" => (event(EventKind::Deployment), both(Write)),
        "deployment of a commit by its number, where none does" => (at(event(EventKind::Deployment), ""), both(Write)),
        "by hand, by somebody who may write" => (event(EventKind::Manual), both(Write)),
        "by hand, by somebody who may only read" => (event(EventKind::Manual), both(Read)),
        "by hand, of a commit that is in no branch" => (at(event(EventKind::Manual), ""), both(Admin)),
        "pull request of a branch, by somebody who may write" => (own_pull(), both(Write)),
        "pull request of a branch, opened by a reader" => (written_by(own_pull(), "rita"), both(Read)),
        "pull request of a branch, by a program" => (written_by(own_pull(), "updates[bot]"), both(Nothing)),
        "pull request of a fork, by a first-timer" => (fork_pull(FirstTimer), both(Nothing)),
        "pull request of a fork, by somebody who has contributed" => (fork_pull(Contributor), both(Read)),
        "pull request of a fork, by somebody who may write" => (written_by(fork_pull(Association::Member), "mary"), both(Write)),
        "pull request of a fork, pushed to by a member" => (by(fork_pull(FirstTimeContributor), "mary"), who(Write, Read)),
        "pull request of a member's fork, pushed to by a stranger" => (by(fork_pull(Association::Member), "eve"), who(Read, Write)),
        "pull request of a fork, labelled by a member" => (by(action(fork_pull(NoAssociation), "labeled"), "mary"), who(Triage, Nothing)),
        "pull request of a fork, labelled by a stranger" => (action(fork_pull(Contributor), "labeled"), both(Read)),
        "pull request of a fork, by a program" => (written_by(fork_pull(Contributor), "updates[bot]"), both(Nothing)),
        "pull request of a fork that is gone" => (from(fork_pull(Contributor), ""), both(Read)),
        "pull request whose commit is not its head" => {
            let mut event = own_pull();
            event.commit = commit('9');
            (event, both(Admin))
        }
        _ => return None,
    })
}

/// The cells of a table's rows, below a heading.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let (_, below) = TABLE.split_once(heading).unwrap_or_else(|| panic!("docs/trust.md has no {heading}"));
    let lines = below.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()).collect()
}

#[test]
fn who_may_run_what_is_what_the_document_says() {
    let policies = ["", "forks: { run: first-time }", "forks: { run: never }"].map(policy_of);
    let rows = rows("## Who may run what");
    assert!(rows.len() >= 24, "only {} rows", rows.len());
    for cells in rows {
        let (event, who) = row(&cells[0]).unwrap_or_else(|| panic!("no test for the row {:?}", cells[0]));
        for (policy, expected) in policies.iter().zip(&cells[1..]) {
            assert_eq!(word(&decide(policy, &event, who, &[])), *expected, "{}, {:?}", cells[0], policy.forks.run);
        }
        // With an approval of this commit whatever waits runs, with the same trust; what is refused stays so.
        let approved = cells[1].replace("wait", "run");
        assert_eq!(word(&decide(&policies[0], &event, who, &[approval(event.commit.clone())])), approved, "{}, approved", cells[0]);
        // With one of another commit nothing changes.
        assert_eq!(word(&decide(&policies[0], &event, who, &[approval(commit('8'))])), cells[1], "{}, another approved", cells[0]);
        // Nobody runs anything by a policy that can not be read.
        let closed = policy(&Found::File(b"forks: { run: anything }".to_vec()));
        assert_eq!(word(&decide(&closed, &event, who, &[approval(event.commit.clone())])), "refuse", "{}, closed", cells[0]);
    }
}

#[test]
fn commands_are_what_the_document_says() {
    let permissions = [Nothing, Read, Triage, Write, Maintain, Admin];
    let rows = rows("## Commands");
    // What is a word of its own and no right of its own.
    let same = |word: &str| if word == "reject" { "approve".to_owned() } else { word.to_owned() };
    assert_eq!(rows.len(), Deed::ALL.len() + 1);
    for cells in rows {
        let deed = Deed::ALL.into_iter().find(|deed| deed.word() == same(&cells[0])).unwrap_or_else(|| panic!("no deed {}", cells[0]));
        let least = Permission::named(&cells[1]).unwrap_or_else(|| panic!("no permission {}", cells[1]));
        for permission in permissions {
            assert_eq!(may(&Policy::default(), deed, &actor("mary"), permission).is_ok(), permission >= least, "{} by {permission:?}", cells[0]);
            assert!(may(&Policy::default(), deed, &actor("helper[bot]"), permission).is_err(), "a program may {}", cells[0]);
        }
        let closed = Policy::closed("it is broken");
        assert!(may(&closed, deed, &actor("mary"), Maintain).is_err(), "{} by a broken policy", cells[0]);
        assert_eq!(may(&closed, deed, &actor("mary"), Admin).is_ok(), deed == Deed::Cancel, "{} by a broken policy", cells[0]);
    }
}

#[test]
fn the_documents_policy_file_is_what_is_there_without_one() {
    let (_, block) = TABLE.split_once("```yaml\n").expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    let written = policy_of(block);
    assert_eq!(written.environments.len(), 1);
    let commands = Deed::ALL.map(|deed| (deed, Policy::default().commands.least(deed)));
    let default =
        Policy { commands: crate::model::policy::Commands(commands.into()), environments: written.environments.clone(), ..Policy::default() };
    assert_eq!(written, default);
}

#[test]
fn the_policy_moves_the_lines() {
    let strict = policy_of("push: { from: maintain }\npull_requests: { from: maintain, bots: trusted }\ncommands: { run: admin }");
    let cases = [
        (event(EventKind::Push), who(Write, Nothing), "wait"),
        (event(EventKind::Push), who(Maintain, Nothing), "run"),
        (own_pull(), who(Write, Write), "wait"),
        (own_pull(), who(Maintain, Write), "run"),
        (event(EventKind::Manual), who(Maintain, Nothing), "refuse"),
        (row("pull request of a branch, by a program").expect("it").0, who(Nothing, Nothing), "run"),
    ];
    for (event, who, expected) in cases {
        assert_eq!(word(&decide(&strict, &event, who, &[])), expected, "{:?} {who:?}", event.kind);
    }
}

#[test]
fn the_pipeline_of_an_untrusted_run_is_the_bases_unless_the_policy_says_otherwise() {
    let head = policy_of("forks: { pipeline: head }");
    assert_eq!(text(&Policy::default(), Trust::Untrusted), Text::Base);
    assert_eq!(text(&head, Trust::Untrusted), Text::Head);
    assert_eq!(text(&Policy::default(), Trust::Trusted), Text::Head);
}

#[test]
fn a_policy_that_can_not_be_read_says_where_and_lets_nobody_in() {
    let why = |found: Found| policy(&found).closed.unwrap_or_default();
    assert_eq!(policy(&Found::Nothing), Policy::default());
    assert_eq!(
        why(Found::File(b"forks:\n  run: always\n".to_vec())),
        ".tidegate/policy.yaml:2:8 of the default branch is not valid: \"always\" is none of the words that can stand here"
    );
    assert!(why(Found::File(vec![0xff, 0xfe])).contains("UTF-8"));
    assert!(why(Found::File(vec![b'#'; spec::MAX_BYTES + 1])).contains("larger"));
    assert!(why(Found::File(b"steps: { a: { run: x } }".to_vec())).contains("no key"));
    assert!(why(Found::Unreadable { why: "it is a link".into() }).contains("it is a link"));
    assert_eq!(policy(&Found::File(b"# nothing yet\n".to_vec())), Policy::default());
}
