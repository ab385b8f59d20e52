use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use tidegate::adapters::journal::{Journal, JournalError, Kind, MAX_FACT_BYTES, Unfinished};
use tidegate::model::fact::{Entry, Fact, MetricRecord, RolloutFact, RunFact, Stream, VerdictRecord};
use tidegate::model::id::{NodeId, RolloutId, RunId};
use tidegate::model::outcome::RunOutcome;
use tidegate::model::request::RequestFact;
use tidegate::model::time::Timestamp;

/// `fresh` makes a place for a journal, and what it makes opens the journal there, for an owner, as often as it is asked.
pub async fn all<J: Journal, O: Fn(&str) -> J>(fresh: impl Fn() -> O) {
    what_was_appended_is_read_back_after_reopening(fresh()).await;
    a_number_is_given_once(fresh()).await;
    nothing_of_a_refused_append_is_kept(fresh()).await;
    appends_that_wait_together_are_all_kept(fresh()).await;
    two_processes_share_a_journal(fresh()).await;
    lists_are_newest_first_and_bounded(fresh()).await;
    what_is_unfinished_is_known_with_its_owner(fresh()).await;
    what_is_unfinished_is_read_page_by_page(fresh()).await;
    a_page_of_large_ones_is_short(fresh()).await;
    an_outline_is_all_but_the_plan(fresh()).await;
    what_exists_is_told_from_what_does_not(fresh()).await;
    what_could_not_be_read_back_is_not_written(fresh()).await;
    any_order_of_appends_leaves_streams_without_gaps(&fresh).await;
}

use super::samples;

fn run(name: &str) -> Stream {
    Stream::Run(RunId::new(name))
}

fn rollout(name: &str) -> Stream {
    Stream::Rollout(RolloutId::new(name))
}

fn request(name: &str) -> Stream {
    Stream::Request(RunId::new(name))
}

fn queued(node: impl std::fmt::Display) -> Fact {
    Fact::Run(RunFact::NodeQueued { node: NodeId::new(node.to_string()) })
}

fn ended() -> Fact {
    Fact::Run(RunFact::Ended { outcome: RunOutcome::Succeeded })
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

async fn facts(journal: &impl Journal, stream: &Stream) -> Vec<Fact> {
    journal.read(stream).await.expect("it is read").into_iter().map(|entry| entry.fact).collect()
}

async fn what_was_appended_is_read_back_after_reopening<J: Journal>(open: impl Fn(&str) -> J) {
    let journal = open("ada");
    assert_eq!(journal.read(&run("r1")).await, Ok(Vec::new()));
    journal.append(&run("r1"), 1, at(1), vec![queued("a"), queued("門 \u{1b}[31m\0")]).await.expect("appended");
    journal.append(&run("r1"), 3, at(2), vec![ended()]).await.expect("appended");
    journal.append(&run("r1"), 3, at(2), Vec::new()).await.expect("nothing is nothing");
    drop(journal);
    let entry = |number, second, fact| Entry { stream: run("r1"), number, at: at(second), fact };
    let expected = vec![entry(1, 1, queued("a")), entry(2, 1, queued("門 \u{1b}[31m\0")), entry(3, 2, ended())];
    assert_eq!(open("bob").read(&run("r1")).await, Ok(expected));
}

async fn a_number_is_given_once<J: Journal>(open: impl Fn(&str) -> J) {
    let journal = open("ada");
    let conflict = Err(JournalError::Conflict { stream: run("r1") });
    for wrong in [0, 2, u64::MAX] {
        assert_eq!(journal.append(&run("r1"), wrong, at(1), vec![queued("a")]).await, conflict, "{wrong}");
    }
    journal.append(&run("r1"), 1, at(1), vec![queued("a")]).await.expect("appended");
    for wrong in [0, 1, 3] {
        assert_eq!(journal.append(&run("r1"), wrong, at(1), vec![queued("b")]).await, conflict, "{wrong}");
    }
    // The same id of another kind is another stream.
    journal.append(&rollout("r1"), 1, at(1), vec![queued("c")]).await.expect("appended");
    assert_eq!(facts(&journal, &run("r1")).await, [queued("a")]);
}

async fn nothing_of_a_refused_append_is_kept<J: Journal>(open: impl Fn(&str) -> J) {
    let journal = open("ada");
    let error = journal.append(&run("r1"), 1, at(1), vec![queued("a"), queued("x".repeat(MAX_FACT_BYTES))]).await.expect_err("too large");
    assert!(matches!(&error, JournalError::TooLarge { limit: MAX_FACT_BYTES, .. }), "{error}");
    assert!(error.to_string().contains("16777216"), "{error}");
    assert_eq!(facts(&journal, &run("r1")).await, []);
    assert_eq!(journal.unfinished().await, Ok(Vec::new()));
}

async fn appends_that_wait_together_are_all_kept<J: Journal>(open: impl Fn(&str) -> J) {
    let journal = open("ada");
    let streams: Vec<Stream> = (0..40).map(|n| run(&format!("r{n}"))).collect();
    // All at once, with one in every ten that must be refused without harm to those committed with it.
    let mut appends: Vec<_> = streams
        .iter()
        .enumerate()
        .map(|(n, stream)| Box::pin(journal.append(stream, if n % 10 == 9 { 7 } else { 1 }, at(1), vec![queued(n), queued(n)])))
        .collect();
    let mut answers = vec![None; appends.len()];
    std::future::poll_fn(|context| {
        for (append, answer) in appends.iter_mut().zip(&mut answers).filter(|(_, answer)| answer.is_none()) {
            if let std::task::Poll::Ready(outcome) = append.as_mut().poll(context) {
                *answer = Some(outcome);
            }
        }
        if answers.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    for (n, (stream, answer)) in streams.iter().zip(answers).enumerate() {
        let refused = n % 10 == 9;
        assert_eq!(answer, Some(if refused { Err(JournalError::Conflict { stream: stream.clone() }) } else { Ok(()) }));
        assert_eq!(facts(&journal, stream).await.len(), if refused { 0 } else { 2 });
    }
}

/// Two openings are as apart as two processes are: each with its own connections and its own writer.
async fn two_processes_share_a_journal<J: Journal>(open: impl Fn(&str) -> J) {
    let (ada, bob) = (open("ada"), open("bob"));
    let (mut won, mut lost) = (Vec::new(), 0);
    for number in 1..=30 {
        let stream = run("shared");
        let race = (ada.append(&stream, number, at(number), vec![queued("ada")]), bob.append(&stream, number, at(number), vec![queued("bob")]));
        let (one, other) = tokio::join!(race.0, race.1);
        match (one, other) {
            (Ok(()), Err(JournalError::Conflict { .. })) => won.push(queued("ada")),
            (Err(JournalError::Conflict { .. }), Ok(())) => won.push(queued("bob")),
            both => panic!("exactly one must win: {both:?}"),
        }
        lost += 1;
    }
    assert_eq!(lost, won.len());
    assert_eq!(facts(&ada, &run("shared")).await, won);
    assert_eq!(facts(&bob, &run("shared")).await, won);
}

async fn lists_are_newest_first_and_bounded<J: Journal>(open: impl Fn(&str) -> J) {
    let journal = open("ada");
    assert_eq!(journal.runs(9).await, Ok(Vec::new()));
    for (n, name) in ["a", "c", "b"].into_iter().enumerate() {
        journal.append(&run(name), 1, at(10 + n as u64), vec![queued(name), queued("x")]).await.expect("appended");
    }
    // What was opened first stays oldest, whatever happens to it later.
    journal.append(&run("a"), 3, at(99), vec![ended()]).await.expect("appended");
    journal.append(&rollout("o"), 1, at(50), vec![queued("o")]).await.expect("appended");
    let shown = |listed: Vec<(Entry, Entry)>| listed.into_iter().map(|(first, last)| (first.fact, last.number)).collect::<Vec<_>>();
    assert_eq!(shown(journal.runs(9).await.expect("listed")), [(queued("b"), 2), (queued("c"), 2), (queued("a"), 3)]);
    assert_eq!(shown(journal.runs(1).await.expect("listed")), [(queued("b"), 2)]);
    assert_eq!(journal.runs(0).await, Ok(Vec::new()));
    assert_eq!(journal.runs(usize::MAX).await.expect("listed").len(), 3);
    assert_eq!(shown(journal.rollouts(9).await.expect("listed")), [(queued("o"), 1)]);
}

async fn what_is_unfinished_is_known_with_its_owner<J: Journal>(open: impl Fn(&str) -> J) {
    let (ada, bob) = (open("ada"), open("bob"));
    ada.append(&run("done"), 1, at(1), vec![queued("a"), ended()]).await.expect("appended");
    ada.append(&run("left"), 1, at(2), vec![queued("a")]).await.expect("appended");
    ada.append(&rollout("taken"), 1, at(3), vec![queued("a")]).await.expect("appended");
    bob.append(&rollout("taken"), 2, at(4), vec![queued("b")]).await.expect("appended");
    let left = |stream, owner: &str, opened, last| Unfinished { stream, owner: owner.to_owned(), opened: at(opened), last };
    let expected = vec![left(run("left"), "ada", 2, 1), left(rollout("taken"), "bob", 3, 2)];
    assert_eq!(ada.unfinished().await, Ok(expected));
    bob.append(&run("left"), 2, at(5), vec![ended()]).await.expect("appended");
    assert_eq!(bob.unfinished().await.expect("listed").len(), 1);
}

async fn what_is_unfinished_is_read_page_by_page<J: Journal>(open: impl Fn(&str) -> J) {
    let (ada, bob) = (open("ada"), open("bob"));
    assert_eq!(ada.outlines(Kind::Request, None, 9).await, Ok(Vec::new()));
    // Several of one moment, among them one that has ended; and others of the same names that are no requests.
    for (name, second) in [("c", 1), ("e", 2), ("a", 2), ("d", 2), ("b", 3)] {
        ada.append(&request(name), 1, at(second), vec![queued(name), queued("x")]).await.expect("appended");
        ada.append(&run(name), 1, at(second), vec![queued("of the run")]).await.expect("appended");
    }
    bob.append(&request("d"), 3, at(9), vec![Fact::Request(RequestFact::Begun)]).await.expect("appended");
    bob.append(&request("e"), 3, at(9), vec![queued("y")]).await.expect("appended");
    for size in [1, 2, 3, 4, usize::MAX] {
        let (mut behind, mut seen) = (None, Vec::new());
        loop {
            let page = ada.outlines(Kind::Request, behind.as_ref(), size).await.expect("read");
            assert!(page.len() <= size);
            let Some((last, _)) = page.last() else { break };
            behind = Some(last.place());
            seen.extend(page);
        }
        let (left, entries): (Vec<Unfinished>, Vec<Vec<Entry>>) = seen.into_iter().unzip();
        let of_requests = ada.unfinished().await.expect("listed").into_iter().filter(|left| matches!(left.stream, Stream::Request(_)));
        assert_eq!(left, of_requests.collect::<Vec<_>>(), "pages of {size}");
        assert_eq!(left.iter().map(|left| left.stream.clone()).collect::<Vec<_>>(), ["c", "a", "e", "b"].map(request));
        assert_eq!(left.iter().map(|left| left.owner.as_str()).collect::<Vec<_>>(), ["ada", "ada", "bob", "ada"]);
        for (left, entries) in left.iter().zip(entries) {
            assert_eq!(Ok(entries), bob.read(&left.stream).await);
        }
    }
    assert_eq!(ada.outlines(Kind::Request, None, 0).await, Ok(Vec::new()));
    assert_eq!(ada.outlines(Kind::Run, None, 9).await.expect("read").len(), 5);
}

async fn a_page_of_large_ones_is_short<J: Journal>(open: impl Fn(&str) -> J) {
    let journal = open("ada");
    let names = ["a", "b", "c"];
    for name in names {
        journal.append(&request(name), 1, at(1), vec![queued("x".repeat(5 << 20))]).await.expect("appended");
    }
    let (mut behind, mut seen) = (None, Vec::new());
    while let [one] = journal.outlines(Kind::Request, behind.as_ref(), 9).await.expect("read").as_slice() {
        behind = Some(one.0.place());
        seen.push(one.0.stream.clone());
    }
    assert_eq!(seen, names.map(request), "each of them fills a page, and all are read");
}

async fn an_outline_is_all_but_the_plan<J: Journal>(open: impl Fn(&str) -> J) {
    let journal = open("ada");
    let plan = serde_json::json!({ "nodes": [{ "id": "門 \u{1b}", "plan": 1.5e-300 }], "none": null });
    let mut asked = samples::asked();
    let RequestFact::Asked { plan: of, .. } = &mut asked else { panic!("it asks for nothing: {asked:?}") };
    *of = plan.clone();
    journal.append(&request("r1"), 1, at(1), vec![Fact::Request(asked.clone()), queued("plan \0")]).await.expect("appended");
    let RequestFact::Asked { plan: of, .. } = &mut asked else { panic!("it asks for nothing: {asked:?}") };
    *of = serde_json::Value::Null;
    let outlines = journal.outlines(Kind::Request, None, 9).await.expect("read");
    assert_eq!(outlines.len(), 1);
    assert_eq!(outlines[0].1.iter().map(|entry| entry.fact.clone()).collect::<Vec<_>>(), [Fact::Request(asked), queued("plan \0")]);
    let whole = journal.read(&request("r1")).await.expect("read");
    assert!(matches!(&whole[0].fact, Fact::Request(RequestFact::Asked { plan: found, .. }) if *found == plan));
}

async fn what_exists_is_told_from_what_does_not<J: Journal>(open: impl Fn(&str) -> J) {
    let journal = open("ada");
    journal.append(&request("asked"), 1, at(1), vec![queued("a")]).await.expect("appended");
    journal.append(&run("begun"), 1, at(1), vec![queued("a"), ended()]).await.expect("appended");
    let named = vec![run("begun"), request("begun"), run("asked"), request("asked"), rollout("asked"), run("")];
    assert_eq!(journal.existing(named).await, Ok(vec![run("begun"), request("asked")]));
    assert_eq!(journal.existing(Vec::new()).await, Ok(Vec::new()));
}

async fn what_could_not_be_read_back_is_not_written<J: Journal>(open: impl Fn(&str) -> J) {
    let journal = open("ada");
    let metric = MetricRecord { name: "errors".to_owned(), stable_rate: 0.0, canary_rate: 0.0, log_evidence: f64::NEG_INFINITY, log_threshold: 6.9 };
    let verdict = VerdictRecord { metrics: vec![metric], ..VerdictRecord::default() };
    let weight = tidegate::model::traffic::Weight::ALL;
    let fact = Fact::Rollout(RolloutFact::StageHeld { stage: 0, weight, verdict });
    let error = journal.append(&rollout("o"), 1, at(1), vec![fact]).await.expect_err("JSON has no infinity");
    assert!(matches!(&error, JournalError::Write(why) if why.contains("read back")), "{error}");
    assert_eq!(journal.read(&rollout("o")).await, Ok(Vec::new()));
}

/// A model of the journal (a list per stream) must agree with it after any appends, right and wrong, through reopenings.
async fn any_order_of_appends_leaves_streams_without_gaps<J: Journal, O: Fn(&str) -> J>(fresh: &impl Fn() -> O) {
    let step = (0..3_usize, 0..8_u64, 1..4_usize, any::<bool>());
    let steps = prop::collection::vec(step, 1..25);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    for _ in 0..12 {
        let drawn = steps.new_tree(&mut runner).expect("steps").current();
        let open = fresh();
        let mut journal = open("ada");
        let mut model: Vec<Vec<Fact>> = vec![Vec::new(); 3];
        for (which, number, many, reopen) in drawn.clone() {
            let new: Vec<Fact> = (0..many).map(|n| queued(format!("{which}-{number}-{n}"))).collect();
            let fits = number == model[which].len() as u64 + 1;
            let answer = journal.append(&run(&which.to_string()), number, at(1), new.clone()).await;
            assert_eq!(answer.is_ok(), fits, "{drawn:?}");
            if fits {
                model[which].extend(new);
            }
            if reopen {
                drop(journal);
                journal = open("ada");
            }
        }
        for (which, expected) in model.iter().enumerate() {
            let entries = journal.read(&run(&which.to_string())).await.expect("read");
            assert!(entries.iter().zip(1..).all(|(entry, number)| entry.number == number));
            assert_eq!(&entries.into_iter().map(|entry| entry.fact).collect::<Vec<_>>(), expected, "{drawn:?}");
        }
    }
}
