//! A run as it goes on, and what stands at GitHub meanwhile.

use std::time::Duration;

use tidegate::adapters::forge::github::Manners;
use tidegate::core::findings::{note, read_sarif};
use tidegate::model::artifact::{Artifact, ArtifactKind};
use tidegate::model::event::Event;
use tidegate::model::fact::{Fact, RunFact, Stream};
use tidegate::model::finding::Found;
use tidegate::model::id::{CommitId, Digest, NodeId, RunId};
use tidegate::model::outcome::{Outcome, RunOutcome};
use tidegate::model::request::{Dropped, RequestFact};
use tidegate::model::trust::{Approval, Trust};
use tidegate::runtime::reports::Pace;

use crate::github::Github;
use crate::house::*;

fn github() -> Github {
    let github = Github::start();
    github.repository(SHOP);
    github
}

#[tokio::test]
async fn a_run_is_followed_from_its_beginning_to_its_end() {
    let (github, house) = (github(), House::new());
    let reports = house.reports(&settings(&github), pace()).await;
    let run = RunId::new("r1");
    house.append("r1", vec![started("r1", event(), &["lint", "build"]), begins("lint")]).await;
    reports.wake(&run);
    reports.idle().await;
    assert_eq!(github.check(SHOP, "tidegate / test").status, "in_progress");
    assert_eq!(github.check(SHOP, "tidegate / test / lint").status, "in_progress");
    assert_eq!(github.check(SHOP, "tidegate / test / build").status, "queued");
    let asked = github.requests().len();
    reports.wake(&run);
    reports.idle().await;
    assert_eq!(github.requests().len(), asked, "nothing has happened: nothing is said");

    std::fs::create_dir_all(house.state.make_run(&run).expect("made")).expect("a folder");
    std::fs::write(house.state.log(&run, &NodeId::new("build"), 1), "compiling\nerror: no door\n").expect("a log");
    let mut facts = Vec::from(ends("lint", Outcome::Succeeded));
    facts.push(begins("build"));
    facts.extend(ends("build", failed("exit code 1")));
    facts.push(over(RunOutcome::Failed));
    house.append("r1", facts).await;
    reports.wake(&run);
    reports.idle().await;
    let whole = github.check(SHOP, "tidegate / test");
    assert_eq!(whole.conclusion.as_deref(), Some("failure"));
    assert_eq!(whole.history, ["in_progress", "failure"]);
    assert_eq!(whole.external, "r1");
    assert_eq!(whole.details.as_deref(), Some("https://ci.example.com/runs/r1"));
    let buttons: Vec<&str> = whole.actions.iter().filter_map(|action| action["identifier"].as_str()).collect();
    assert_eq!(buttons, ["rerun-failed", "rerun"]);
    assert_eq!(github.check(SHOP, "tidegate / test / lint").conclusion.as_deref(), Some("success"));
    let build = github.check(SHOP, "tidegate / test / build");
    assert_eq!((build.conclusion.as_deref(), build.external.as_str()), (Some("failure"), "r1/build"));
    assert!(build.text.contains("error: no door"), "{}", build.text);
    assert_eq!(github.count("POST", "/access_tokens"), 1, "one token is enough");

    // Finished: a late call costs nothing, not even a look at GitHub.
    let asked = github.requests().len();
    reports.wake(&run);
    reports.idle().await;
    assert_eq!(github.requests().len(), asked);
    assert_eq!(house.notes(), Vec::<String>::new());
}

#[tokio::test]
async fn many_findings_arrive_once_each_in_batches() {
    let (github, house) = (github(), House::new());
    let layer = tempfile::tempdir().expect("a folder");
    let results: Vec<_> = (1..=120)
        .map(|line| {
            let place = serde_json::json!({ "physicalLocation": { "artifactLocation": { "uri": "src/door.rs" }, "region": { "startLine": line } } });
            serde_json::json!({ "ruleId": "squeaks", "level": "warning", "message": { "text": format!("door {line}") }, "locations": [place] })
        })
        .collect();
    let sarif = serde_json::json!({ "version": "2.1.0", "runs": [{ "tool": { "driver": { "name": "t" } }, "results": results }] }).to_string();
    std::fs::write(layer.path().join("found.sarif"), &sarif).expect("written");
    let artifact = Artifact {
        name: "findings".to_owned(),
        path: "found.sarif".to_owned(),
        digest: Digest::from_sha256([7; 32]),
        size: sarif.len() as u64,
        kind: ArtifactKind::File,
    };
    let mut facts = vec![started("r1", event(), &["scan"]), begins("scan")];
    facts.extend(ends_with("scan", failed("120 findings"), vec![artifact], Some(layer.path().display().to_string())));
    facts.push(over(RunOutcome::Failed));
    house.append("r1", facts).await;

    let mut settings = settings(&github);
    settings.github.as_mut().expect("there").code_scanning = true;
    // The second batch arrives, and nobody hears that it has.
    github.fail("PATCH", "/check-runs/", 1, crate::github::Fault::AfterDoing);
    let reports = house.reports(&settings, pace()).await;
    reports.idle().await;
    let check = github.check(SHOP, "tidegate / test / scan");
    let lines: Vec<u64> = check.annotations.iter().filter_map(|annotation| annotation["start_line"].as_u64()).collect();
    assert_eq!(lines, (1..=120).collect::<Vec<_>>());
    assert_eq!(check.annotations[0]["annotation_level"], "warning");
    let sarifs = github.sarifs(SHOP);
    assert_eq!(sarifs.len(), 1);
    assert_eq!((sarifs[0].sha.as_str(), sarifs[0].reference.as_str()), (COMMIT, "refs/heads/main"));
    assert_eq!(sarifs[0].sarif["runs"][0]["results"].as_array().map(Vec::len), Some(120));
}

/// What stands in the facts is annotated as outputs are, and the file that was kept goes to code scanning.
#[tokio::test]
async fn what_a_step_left_in_its_file_of_findings_is_reported() {
    let (github, house) = (github(), House::new());
    let results: Vec<_> = (1..=120)
        .map(|line| {
            let path = ["src/door.rs", "../../etc/passwd", "/etc/passwd", "a%0A::error::b"][if line <= 3 { line } else { 0 }];
            let place = serde_json::json!({ "physicalLocation": { "artifactLocation": { "uri": path }, "region": { "startLine": line } } });
            serde_json::json!({ "ruleId": "squeaks", "level": "warning", "message": { "text": format!("door {line}") }, "locations": [place] })
        })
        .collect();
    let sarif = serde_json::json!({ "version": "2.1.0", "runs": [{ "tool": { "driver": { "name": "t" } }, "results": results }] }).to_string();
    let store = tidegate::adapters::workspace::Store::open(house.state.root(), None).expect("a store");
    let mut found = Found { file: Some(store.take_in_bytes(sarif.as_bytes()).expect("kept").digest), ..Found::default() };
    note(&mut found, read_sarif(sarif.as_bytes()));
    let mut ends = ends("scan", failed("120 findings"));
    if let RunFact::InvocationEnded { record: Some(record), .. } = &mut ends[0] {
        record.found = found;
        record.summary.text = "**120** doors, ask @admin".to_owned();
    }
    let mut facts = vec![started("r1", event(), &["scan"]), begins("scan")];
    facts.extend(ends);
    facts.push(over(RunOutcome::Failed));
    house.append("r1", facts).await;

    let mut settings = settings(&github);
    settings.github.as_mut().expect("there").code_scanning = true;
    let reports = house.reports(&settings, pace()).await;
    reports.idle().await;
    let check = github.check(SHOP, "tidegate / test / scan");
    let lines: Vec<u64> = check.annotations.iter().filter_map(|annotation| annotation["start_line"].as_u64()).collect();
    assert_eq!(lines, (4..=120).collect::<Vec<_>>(), "what is no file of the repository has no place there");
    assert!(check.summary.contains("### What the step says\n**120** doors, ask `@admin`"), "{}", check.summary);
    let sarifs = github.sarifs(SHOP);
    assert_eq!(sarifs.len(), 1);
    assert_eq!(sarifs[0].sarif["runs"][0]["results"].as_array().map(Vec::len), Some(120));
}

fn sarif(results: &[serde_json::Value]) -> String {
    serde_json::json!({ "version": "2.1.0", "runs": [{ "tool": { "driver": { "name": "t" } }, "results": results }] }).to_string()
}

/// Facts of a run with one step, which has left this in its file of findings.
fn scanned(house: &House, event: Event, sarif: &str, summary: String) -> Vec<RunFact> {
    let store = tidegate::adapters::workspace::Store::open(house.state.root(), None).expect("a store");
    let mut found = Found { file: Some(store.take_in_bytes(sarif.as_bytes()).expect("kept").digest), ..Found::default() };
    note(&mut found, read_sarif(sarif.as_bytes()));
    let mut ends = ends("scan", Outcome::Succeeded);
    if let RunFact::InvocationEnded { record: Some(record), .. } = &mut ends[0] {
        record.found = found;
        record.summary.text = summary;
    }
    let mut facts = vec![started("r1", event, &["scan"]), begins("scan")];
    facts.extend(ends);
    facts.push(over(RunOutcome::Succeeded));
    facts
}

/// Nothing found any more: that closes what was found before.
#[tokio::test]
async fn a_scan_that_found_nothing_reaches_code_scanning() {
    let mut fork = pull_event();
    fork.context.pull.as_mut().expect("there").fork = true;
    for (event, text, uploads) in
        [(event(), sarif(&[]), 1), (event(), " \n".to_owned(), 0), (event(), "no SARIF".to_owned(), 0), (fork, sarif(&[]), 0)]
    {
        let (github, house) = (github(), House::new());
        let facts = scanned(&house, event, &text, String::new());
        house.append("r1", facts).await;
        let mut settings = settings(&github);
        settings.github.as_mut().expect("there").code_scanning = true;
        house.reports(&settings, pace()).await.idle().await;
        let sarifs = github.sarifs(SHOP);
        assert_eq!(sarifs.len(), uploads, "{text:?}");
        assert!(sarifs.iter().all(|sarif| sarif.sarif["runs"][0]["results"] == serde_json::json!([])));
        assert_eq!(github.check(SHOP, "tidegate / test / scan").conclusion.as_deref(), Some("success"));
        assert_eq!(house.notes(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_secret_in_what_a_step_finds_and_says_goes_no_further() {
    let (github, house) = (github(), House::new());
    // Put together here, so that no scan of this file finds it.
    let token = format!("ghp{}{}", "_", "aB3dE5fG7hI9jK1lM2nO4pQ6rS8tU0vW1xY2");
    let result = |path: &str| {
        let place = serde_json::json!({ "physicalLocation": { "artifactLocation": { "uri": path }, "region": { "startLine": 7 } } });
        serde_json::json!({ "ruleId": "leaks", "message": { "text": format!("found {token} there") }, "locations": [place] })
    };
    let layer = tempfile::tempdir().expect("a folder");
    std::fs::write(layer.path().join("found.sarif"), sarif(&[result("src/output.rs")])).expect("written");
    let mut facts = scanned(&house, event(), &sarif(&[result("src/left.rs")]), format!("cloned with {token} today"));
    for fact in &mut facts {
        if let RunFact::InvocationEnded { artifacts, layer: place, .. } = fact {
            let (name, path) = ("findings".to_owned(), "found.sarif".to_owned());
            artifacts.push(Artifact { name, path, digest: Digest::from_sha256([7; 32]), size: 1, kind: ArtifactKind::File });
            *place = Some(layer.path().display().to_string());
        }
    }
    house.append("r1", facts).await;
    house.reports(&settings(&github), pace()).await.idle().await;
    let check = github.check(SHOP, "tidegate / test / scan");
    let said: Vec<_> = check.annotations.iter().map(|it| (it["path"].as_str().unwrap_or(""), it["message"].as_str().unwrap_or(""))).collect();
    assert_eq!(said, [("src/left.rs", "found *** there"), ("src/output.rs", "found *** there")]);
    assert!(check.summary.contains("cloned with \\*\\*\\* today") && check.summary.contains("`found *** there`"), "{}", check.summary);
    assert!(github.requests().iter().all(|asked| !asked.body.to_string().contains(&token)));
}

#[tokio::test]
async fn what_waits_says_so_and_its_check_becomes_that_of_the_run() {
    let (github, house) = (github(), House::new());
    let reports = house.reports(&settings(&github), pace()).await;
    let request = |run: &str, approval: Option<&str>| {
        Fact::Request(RequestFact::Asked {
            run: RunId::new(run),
            pipeline: "test".to_owned(),
            event: Box::new(pull_event()),
            plan: serde_json::Value::Null,
            trust: Trust::Untrusted,
            url: String::new(),
            group: None,
            priority: 0,
            approval: approval.map(str::to_owned),
            again: None,
        })
    };
    let stream = |run: &str| Stream::Request(RunId::new(run));
    house.add(stream("r1"), vec![request("r1", Some("ada has not contributed before"))]).await;
    reports.wake(&RunId::new("r1"));
    reports.idle().await;
    let check = github.check(SHOP, "tidegate / test");
    assert_eq!(check.conclusion.as_deref(), Some("action_required"));
    assert!(
        check.summary.contains("`ada has not contributed before`") && check.summary.contains("`/tidegate approve 01234567`"),
        "{}",
        check.summary
    );

    let approval = Approval { by: "grace".to_owned(), commit: CommitId::new(COMMIT) };
    house.add(stream("r1"), vec![Fact::Request(RequestFact::Approved { approval })]).await;
    reports.wake(&RunId::new("r1"));
    reports.idle().await;
    assert_eq!(github.check(SHOP, "tidegate / test").status, "queued");

    let mut facts = vec![started("r1", pull_event(), &["lint"]), begins("lint")];
    facts.extend(ends("lint", Outcome::Succeeded));
    facts.push(over(RunOutcome::Succeeded));
    house.append("r1", facts).await;
    reports.wake(&RunId::new("r1"));
    reports.idle().await;
    let check = github.check(SHOP, "tidegate / test");
    assert_eq!(check.history, ["action_required", "queued", "success"]);

    // A newer one of the same pipeline, which another one has overtaken.
    house
        .add(stream("r2"), vec![request("r2", None), Fact::Request(RequestFact::Dropped { why: Dropped::Superseded { by: RunId::new("r3") } })])
        .await;
    reports.wake(&RunId::new("r2"));
    reports.idle().await;
    let superseded = github.checks(SHOP).into_iter().find(|check| check.external == "r2").expect("a check of its own");
    assert_eq!((superseded.conclusion.as_deref(), superseded.title.as_str()), (Some("cancelled"), "Superseded"));
    let comments = github.comments(SHOP, 7);
    assert_eq!(comments.len(), 1, "edited, not repeated: {comments:#?}");
    assert!(comments[0].body.contains("Superseded"), "{}", comments[0].body);
    assert!(comments[0].edits >= 2);
}

#[tokio::test]
async fn with_a_token_there_are_statuses_and_a_comment() {
    let (github, house) = (github(), House::new());
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), github.token()).expect("written");
    let mut settings = settings(&github);
    let source = tidegate::model::secret::SecretSource::File(folder.path().join("token"));
    settings.github.as_mut().expect("there").login = Some(tidegate::model::settings::GithubLogin::Token(source));
    // Somebody else has written our marker: it is not ours to edit.
    github.world().comments.push(crate::github::Comment {
        repository: SHOP.to_owned(),
        issue: 7,
        id: 5,
        body: "<!-- tidegate:report -->\nmine".to_owned(),
        author: "mallory".to_owned(),
        edits: 0,
    });
    let reports = house.reports(&settings, pace()).await;
    house.append("r1", vec![started("r1", pull_event(), &["lint"]), begins("lint")]).await;
    reports.wake(&RunId::new("r1"));
    reports.idle().await;
    let mut facts = Vec::from(ends("lint", Outcome::TimedOut { after_ms: 5 }));
    facts.push(over(RunOutcome::Failed));
    house.append("r1", facts).await;
    github.fail("POST", "/comments", 1, crate::github::Fault::AfterDoing);
    github.fail("POST", "/statuses", 2, crate::github::Fault::AfterDoing);
    reports.wake(&RunId::new("r1"));
    reports.idle().await;
    let statuses = github.statuses(SHOP);
    assert_eq!(statuses.iter().map(|status| status.state.as_str()).collect::<Vec<_>>(), ["pending", "failure"]);
    assert_eq!(statuses[1].context, "tidegate / test");
    let comments = github.comments(SHOP, 7);
    assert_eq!(comments.iter().map(|comment| comment.author.as_str()).collect::<Vec<_>>(), ["mallory", "somebody"]);
    assert_eq!(comments[0].body, "<!-- tidegate:report -->\nmine");
    assert!(github.checks(SHOP).is_empty());
}

#[tokio::test]
async fn a_secret_in_a_log_goes_no_further() {
    let (github, house) = (github(), House::new());
    let run = RunId::new("r1");
    house.state.make_run(&run).expect("made");
    // Put together here, so that no scan of this file finds it.
    let token = format!("ghp{}{}", "_", "aB3dE5fG7hI9jK1lM2nO4pQ6rS8tU0vW1xY2");
    let log = format!("{}cloning with {token}\n@admin ![x](https://evil.example) ``` done\n", "noise\n".repeat(40_000));
    std::fs::write(house.state.log(&run, &NodeId::new("build"), 1), log).expect("a log");
    let mut facts = vec![started("r1", event(), &["build"]), begins("build")];
    facts.extend(ends("build", failed("exit code 1")));
    facts.push(over(RunOutcome::Failed));
    house.append("r1", facts).await;
    house.reports(&settings(&github), pace()).await.idle().await;
    let text = github.check(SHOP, "tidegate / test / build").text;
    assert!(text.contains("cloning with ***\n@admin") && text.len() <= 65_535, "{}", text.len());
    assert!(github.requests().iter().all(|asked| !asked.body.to_string().contains(&token)));
}

/// GitHub wants a second between two changes: with an hour, what is left would be said in days.
#[tokio::test]
async fn who_closes_does_not_wait_for_what_has_not_been_said() {
    let (github, house) = (github(), House::new());
    let manners = Manners { between: Duration::from_secs(3600), burst: 2, ..pace().manners };
    let reports = house.reports(&settings(&github), Pace { manners, ..pace() }).await;
    for n in 0..20 {
        let run = format!("r{n}");
        house.append(&run, vec![started(&run, event(), &["lint"]), begins("lint")]).await;
        reports.wake(&RunId::new(run));
    }
    while github.checks(SHOP).len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    reports.close().await;
    let said = github.requests().len();
    reports.idle().await;
    assert_eq!((github.checks(SHOP).len(), github.requests().len()), (2, said), "nothing is said when it is closed");
    house.reports(&settings(&github), pace()).await.idle().await;
    let mut about: Vec<String> = github.checks(SHOP).into_iter().map(|check| check.external).collect();
    about.sort();
    let mut wanted: Vec<String> = (0..20).flat_map(|n| [format!("r{n}"), format!("r{n}/lint")]).collect();
    wanted.sort();
    assert_eq!(about, wanted);
}

/// More is told than is kept for whoever is slow: what was missed stands in the journal.
#[tokio::test]
async fn what_was_not_heard_of_is_looked_up() {
    let (github, house) = (github(), House::new());
    let reports = house.reports(&settings(&github), pace()).await;
    let hub = tidegate::runtime::hub::Hub::default();
    let told = hub.listen();
    let mut facts = vec![started("r1", event(), &["lint"]), begins("lint")];
    facts.extend(ends("lint", Outcome::Succeeded));
    facts.push(over(RunOutcome::Succeeded));
    house.append("r1", facts).await;
    let stream = Stream::Run(RunId::new("r1"));
    for entry in tidegate::adapters::journal::Journal::read(&house.journal, &stream).await.expect("read") {
        hub.tell(tidegate::runtime::hub::Told::Fact(Box::new(entry)));
    }
    for _ in 0..10_000 {
        hub.tell(tidegate::runtime::hub::Told::Note("noise".to_owned()));
    }
    drop(hub);
    reports.listen(told).await;
    reports.idle().await;
    assert_eq!(github.check(SHOP, "tidegate / test").conclusion.as_deref(), Some("success"));
    assert_eq!(github.check(SHOP, "tidegate / test / lint").conclusion.as_deref(), Some("success"));
}

#[tokio::test]
async fn what_happens_in_the_server_is_heard() {
    let (github, house) = (github(), House::new());
    let reports = house.reports(&settings(&github), pace()).await;
    let hub = tidegate::runtime::hub::Hub::default();
    let listening = tokio::spawn({
        let (reports, told) = (reports.clone(), hub.listen());
        async move { reports.listen(told).await }
    });
    house.append("r1", vec![started("r1", event(), &["lint"]), begins("lint")]).await;
    let stream = Stream::Run(RunId::new("r1"));
    for entry in tidegate::adapters::journal::Journal::read(&house.journal, &stream).await.expect("read") {
        hub.tell(tidegate::runtime::hub::Told::Fact(Box::new(entry)));
    }
    drop(hub);
    listening.await.expect("the hub is gone");
    reports.idle().await;
    assert_eq!(github.check(SHOP, "tidegate / test / lint").status, "in_progress");
    assert_eq!(reports.pending(), 0);
    // Closed: the next process says the rest.
    reports.close().await;
    house.append("r1", vec![over(RunOutcome::Cancelled)]).await;
    reports.wake(&RunId::new("r1"));
    reports.idle().await;
    assert_eq!(github.check(SHOP, "tidegate / test").status, "in_progress");
    house.reports(&settings(&github), pace()).await.idle().await;
    assert_eq!(github.check(SHOP, "tidegate / test").conclusion.as_deref(), Some("cancelled"));
}

#[tokio::test]
async fn a_house_speaks_in_its_own_words() {
    let (github, house) = (github(), House::new());
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("run.md.hbs"), "Ours: {{result}} of {{#each nodes}}{{name}} {{/each}}").expect("written");
    let mut settings = settings(&github);
    settings.github.as_mut().expect("there").templates = Some(folder.path().to_owned());
    let reports = house.reports(&settings, pace()).await;
    house.append("r1", vec![started("r1", event(), &["lint"]), begins("lint")]).await;
    reports.wake(&RunId::new("r1"));
    reports.idle().await;
    assert_eq!(github.check(SHOP, "tidegate / test").summary, "Ours: Running of `lint`");
    std::fs::write(folder.path().join("step.md.hbs"), "{{#if").expect("written");
    let refused =
        tidegate::runtime::reports::Reports::start(&settings, house.journal.clone(), house.state.clone(), house.observer.clone(), pace()).await;
    let error = refused.expect_err("a template that is none").to_string();
    assert!(error.starts_with("the template step.md.hbs is not good"), "{error}");
}

#[tokio::test]
async fn what_no_forge_told_of_concerns_no_forge() {
    let (github, house) = (github(), House::new());
    let mut event = event();
    event.context = Default::default();
    let mut facts = vec![started("r1", event, &["lint"]), begins("lint")];
    facts.extend(ends("lint", Outcome::Succeeded));
    facts.push(over(RunOutcome::Succeeded));
    house.append("r1", facts).await;
    let reports = house.reports(&settings(&github), pace()).await;
    reports.idle().await;
    assert_eq!(github.story(), Vec::<String>::new());
}
