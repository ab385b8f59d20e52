//! *Comment injection*: words that others wrote, where somebody or something takes them for commands.

use serde_json::{Value, json};
use tidegate::model::outcome::RunOutcome;

use super::scene::{Scene, is};
use crate::payloads::{by, comment, event, own_pull, person, pull, push};
use crate::town::SHOP;

const PIPELINE: &str = "name: shop\non: { pull_request: {} }\nsteps:\n  build: { run: echo built }\n";

/// Every way in which `/tidegate approve` gets into a comment without anybody having said it who may.
#[test]
fn a_command_is_nobodys_but_who_has_just_written_it() {
    let scene = Scene::new(&[(".tidegate/shop.yaml", PIPELINE)]);
    let town = &scene.town;
    let url = town.url();
    let head = scene.head(&[]);
    let run = scene.opened("opened", &head);
    town.check(run.as_str(), "action_required");
    let yes = format!("/tidegate approve {head}");
    // Said by one who may, but not as a command: quoted, further down, in code, behind something that is not seen.
    let quoted = [
        format!("> {yes}\n\nno, I would not"),
        format!("I looked at it.\n{yes}"),
        format!("`{yes}`"),
        format!("```\n{yes}\n```"),
        format!(" {yes}"),
        format!("\u{200b}{yes}"),
        format!("<!-- -->{yes}"),
        format!("@bot {yes}"),
    ];
    for (n, said) in quoted.iter().enumerate() {
        is(&scene.say(&format!("quoted-{n}"), "ada", said), "ignored", "no command");
    }
    // Said as one, but not by one who may say it.
    is(&scene.say("outsider", "eve", &yes), "refused", "needs write");
    is(&scene.say("reader", "bob", &yes), "refused", "needs write");
    is(&scene.say("program", "ada[bot]", &yes), "ignored", "a program");
    let deliver = |id: &str, body: &Value| town.deliver(id, "issue_comment", body)["handled"].clone();
    let changed = |action: &str, body: Value| {
        let mut body = body;
        body["action"] = action.into();
        body
    };
    // `ada` wrote something else, and somebody who may moderate has changed it; or `eve` wrote it, and `ada` has put it right.
    is(&deliver("edited", &changed("edited", comment(&url, "ada", &yes))), "ignored", "new comment");
    is(&deliver("edited-by", &changed("edited", by("ada", comment(&url, "eve", &yes)))), "ignored", "new comment");
    is(&deliver("sent-by", &by("ada", comment(&url, "eve", &yes))), "ignored", "somebody else");
    let mut through_app = comment(&url, "ada", &yes);
    through_app["comment"]["performed_via_github_app"] = json!({ "id": 3 });
    is(&deliver("app", &through_app), "ignored", "a program");
    // In a review, a title, a description: none of them is a comment of the conversation.
    let mut review = event(&url, "ada", json!({ "action": "submitted", "review": { "body": yes, "user": person("ada") } }));
    review["pull_request"] = pull(&url, "opened", &head, &scene.base)["pull_request"].clone();
    is(&town.deliver("review", "pull_request_review", &review)["handled"], "ignored", "nothing is done for");

    // Shell and templates are letters: where they are no command's, nobody reads on.
    for (n, said) in [
        "/tidegate approve $(echo abcdef0)",
        "/tidegate approve ${{ event.commit }}",
        "/tidegate approve HEAD",
        "/tidegate cancel; /tidegate approve",
        "/tidegate run ../../shop",
        "/tidegate approve --environment $(id) --all",
        "/tidegate\u{a0}approve",
    ]
    .iter()
    .enumerate()
    {
        let handled = scene.say(&format!("shell-{n}"), "ada", said);
        assert!(matches!(handled["handled"].as_str(), Some("ignored" | "refused" | "failed")), "{said}: {handled}");
    }
    assert_eq!((town.facts(&run), town.request(&run).len(), town.requests().len()), (Vec::new(), 1, 1));
    is(&scene.say("really", "ada", &yes), "obeyed", run.as_str());
    assert_eq!(town.end_of(&run), RunOutcome::Succeeded);
}

const TALKS: &str = r#"
name: talks
on: { push: {}, pull_request: {}, repository_dispatch: {}, manual: { params: { a: { type: string }, b: { type: string }, c: { type: string } } } }
env: { SUBJECT: "${{ event.subject }}" }
steps:
  say:
    run: |
      printf 'subject <%s>\n' ${{ event.subject }}
      printf 'author <%s>\n' ${{ event.author }}
      printf 'branch <%s>\n' ${{ event.branch }}
      printf 'ref <%s>\n' ${{ event.ref }}
      printf 'actor <%s>\n' ${{ event.actor }}
      printf 'words <%s> <%s> <%s>\n' ${{ params.a }} ${{ params.b }} ${{ params.c }}
      printf 'env <%s>\n' "$SUBJECT"
      ls
"#;
/// What shells, templates, loggers and runners have taken for theirs.
const WORDS: [&str; 9] = [
    "$(touch owned)",
    "`touch owned`",
    "'; touch owned; '",
    "\"; touch owned; \"",
    "${{ event.commit }}${{ steps.say.outputs.x }}",
    "${IFS}&&touch${IFS}owned #",
    "| touch owned ; \\",
    "::set-output name=x::owned",
    "%s%n$((1+1))!!~",
];

const BRANCHES: [&str; 5] =
    ["a$(touch${IFS}owned)", "b`touch${IFS}owned`", "c';touch${IFS}owned;'", "d\";touch${IFS}owned;\"", "e&&touch${IFS}owned"];

#[test]
fn what_others_wrote_stays_text_in_what_is_run() {
    let scene = Scene::new(&[(".tidegate/talks.yaml", TALKS)]);
    let town = &scene.town;
    let url = town.url();
    // What would be run: the shell of the steps makes the file if it is told so, and `ls` shows it.
    let control = TALKS.replace("      ls\n", "      sh -c \"$SUBJECT\"\n      ls\n").replace("name: talks", "name: eager");
    let mut sent = Vec::new();
    let mut send = |id: String, name: &str, body: &Value, shown: Vec<String>| {
        assert_eq!(town.send(&id, name, body).status, 202);
        sent.push((id, shown));
    };
    for (n, words) in WORDS.chunks(3).enumerate() {
        let [a, b, c] = words else { panic!("{words:?}") };
        let commit = town.push("door.txt", a, &format!("refs/heads/b{n}"));
        let mut body = push(&url, &format!("refs/heads/b{n}"), &commit);
        body["head_commit"]["message"] = format!("{a}\n\nmore").into();
        body["head_commit"]["author"]["name"] = (*b).into();
        send(format!("push-{n}"), "push", &body, vec![format!("subject <{a}>"), format!("env <{a}>"), format!("author <{b}>")]);
        body["head_commit"]["message"] = format!("{c}\n\n{a}").into();
        body["head_commit"]["author"]["name"] = (*a).into();
        send(format!("again-{n}"), "push", &body, vec![format!("subject <{c}>"), format!("env <{c}>"), format!("author <{a}>")]);
        let dispatch = json!({ "action": "x", "branch": "main", "client_payload": { "a": a, "b": b, "c": c } });
        send(format!("dispatch-{n}"), "repository_dispatch", &event(&url, "ada", dispatch), vec![format!("words <{a}> <{b}> <{c}>")]);
    }
    // Names of branches have rules of git's, which leave enough.
    for (n, branch) in BRANCHES.into_iter().enumerate() {
        let reference = format!("refs/heads/{branch}");
        let commit = town.push("door.txt", branch, &reference);
        send(format!("branch-{n}"), "push", &push(&url, &reference, &commit), vec![format!("branch <{branch}>"), format!("ref <{reference}>")]);
    }
    let commit = town.push("door.txt", "pull", "refs/pull/7/head");
    town.github.world().pull(SHOP, 7, &commit);
    let mut opened = own_pull(&url, "opened", &commit, &scene.base);
    (opened["pull_request"]["head"]["ref"], opened["pull_request"]["title"]) = (BRANCHES[0].into(), WORDS[0].into());
    send("pull".to_owned(), "pull_request", &opened, vec!["branch <main>".to_owned()]);
    let runs: Vec<_> = sent.into_iter().map(|(id, shown)| (town.asked_one(&town.handled(&id)), shown)).collect();
    let owned = |log: &str| log.lines().any(|line| line.trim() == "owned");
    for (run, shown) in runs {
        assert_eq!(town.end_of(&run), RunOutcome::Succeeded, "{shown:?}");
        let log = scene.log(&run, "say");
        assert!(!owned(&log) && shown.iter().all(|line| log.contains(line)), "{shown:?}: {log}");
    }
    let commit = town.push(".tidegate/eager.yaml", &control, "refs/heads/eager");
    let mut body = push(&url, "refs/heads/eager", &commit);
    body["head_commit"]["message"] = "touch owned".into();
    let eager = town.asked(&town.deliver("eager", "push", &body));
    let owns = |run: &&tidegate::model::id::RunId| town.end_of(run) == RunOutcome::Succeeded && owned(&scene.log(run, "say"));
    assert_eq!(eager.iter().filter(owns).count(), 1, "who runs its arguments gets what it asks for");
}
