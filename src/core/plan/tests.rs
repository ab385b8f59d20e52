use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::core::spec::{self, Pipeline};
use crate::core::template::{Escape, Template};
use crate::model::event::{Event, EventKind};
use crate::model::function::EnvValue;
use crate::model::id::{CommitId, NodeId};
use crate::model::outcome::{Exit, Outcome};

const SCAN: &str = "name: scan\ninputs: { path: { default: . }, fail: {} }\nenv: { FAIL: \"${{ inputs.fail }}\" }\nrun: scan ${{ inputs.path }}\n";

fn pipeline(text: &str) -> Pipeline {
    spec::load("p.yaml", text, &|_| Some(SCAN.to_owned())).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn event(kind: EventKind) -> Event {
    Event {
        kind,
        repository: "shop".into(),
        reference: "refs/heads/main".into(),
        branch: Some("main".into()),
        commit: CommitId::new("0".repeat(40)),
        subject: "s".into(),
        author: "a".into(),
        changed: None,
        params: BTreeMap::new(),
        context: Default::default(),
    }
}

fn plan(text: &str) -> Plan {
    build(&pipeline(text), &event(EventKind::Manual), &[]).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.nodes.iter().map(|node| node.id.as_str()).collect()
}

fn invoke(plan: &Plan, id: &str) -> Invoke {
    match plan.node(&NodeId::new(id)).map(|node| node.work.clone()) {
        Some(Work::Invoke(invoke)) => invoke,
        other => panic!("{id}: {other:?}"),
    }
}

#[test]
fn a_matrix_becomes_nodes_and_who_needs_it_needs_all_of_them() {
    let plan =
        plan("name: x\nsteps:\n  last: { needs: [t], run: x }\n  t: { run: \"t ${{ matrix.os }}\", matrix: { os: [a, \"b c\"], v: [3.9, 3.10] } }\n");
    assert_eq!(ids(&plan), ["t[os=a,v=3.9]", "t[os=a,v=3.10]", "t[os=\"b c\",v=3.9]", "t[os=\"b c\",v=3.10]", "last"]);
    assert_eq!(plan.nodes[4].needs.len(), 4);
    assert_eq!(invoke(&plan, "t[os=\"b c\",v=3.9]").script, Template::literal("t 'b c'"));
}

#[test]
fn only_some_steps_bring_what_they_need() {
    let pipeline = pipeline("name: x\nsteps:\n  a: { run: a }\n  b: { needs: a, run: b }\n  c: { run: c }\n");
    let only = |step: &str| build(&pipeline, &event(EventKind::Manual), &[step.to_owned()]);
    assert_eq!(ids(&only("b").expect("plans")), ["a", "b"]);
    assert_eq!(only("bb").expect_err("no such step")[0].hints, ["did you mean \"b\"?"]);
}

#[test]
fn environment_is_layered_and_inputs_reach_the_script() {
    let plan = plan(
        "name: x\non: { manual: { params: { p: { default: \"it's\" } } } }\nenv: { A: file, B: \"${{ params.p }}\" }\nsteps:\n  s: { uses: scan, with: { path: \"${{ env.B }}\" }, env: { A: step } }\n",
    );
    let (script, env) = invoke(&plan, "s").resolve(&serde_json::json!({})).expect("resolves");
    assert_eq!(script, r"scan 'it'\''s'");
    let env: Vec<_> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["A=step", "B=it's", "FAIL="]);
}

#[test]
fn outputs_are_filled_in_when_they_are_known() {
    let text = "name: x\nsteps:\n  b: { run: b, outputs: { zip: out/f.zip } }\n  u: { needs: b, run: \"u ${{ steps.b.outputs.zip }} ${{ steps.b.outputs.v }}\", env: { O: \"${{ steps.b.outcome }}\" } }\n";
    let plan = plan(text);
    let node = &plan.nodes[1];
    assert_eq!(invoke(&plan, "u").script.to_string(), "u 'out/f.zip' ${{ steps.b.outputs.v }}");
    let values = BTreeMap::from([("v".to_owned(), "1 ${{ event.kind }}".to_owned())]);
    let steps = steps_context(node, &|_| Some(Ended { outcome: &Outcome::Succeeded, values: &values }));
    let (script, env) = invoke(&plan, "u").resolve(&steps).expect("resolves");
    assert_eq!((script.as_str(), env["O"].as_str()), ("u 'out/f.zip' '1 ${{ event.kind }}'", "succeeded"));
    let none = BTreeMap::new();
    let nothing = steps_context(node, &|_| Some(Ended { outcome: &Outcome::Succeeded, values: &none }));
    assert!(invoke(&plan, "u").resolve(&nothing).expect_err("v was never set").why.contains("steps.b.outputs.v"));
}

#[test]
fn what_the_event_decides_is_decided_and_says_why() {
    let plan = plan(
        "name: x\nsteps:\n  a: { run: a, if: event.kind == \"push\" }\n  b: { run: b, if: 'event.branch == \"main\"' }\n  c: { needs: b, run: c, if: 'failed() && event.kind == \"push\"' }\n  d: { needs: b, run: d, if: 'failed() || matrix.m == \"2\"', matrix: { m: [1, 2] } }\n",
    );
    let conditions: Vec<String> = plan.nodes.iter().map(|node| serde_json::to_string(&node.condition).expect("serialises")).collect();
    insta::assert_snapshot!(conditions.join("\n"), @r#"
    {"never":{"because":"its condition is false: event.kind == \"push\" (event.kind is \"manual\")"}}
    "needs-succeeded"
    {"never":{"because":"its condition is false: failed() && event.kind == \"push\" (event.kind is \"manual\")"}}
    {"cel":{"source":"failed() || matrix.m == \"2\"","even_after_failure":true,"known":{"matrix":{"m":"1"}}}}
    {"cel":{"source":"failed() || matrix.m == \"2\"","even_after_failure":true,"known":{"matrix":{"m":"2"}}}}
    "#);
}

#[test]
fn conditions_are_evaluated_when_needs_have_ended() {
    let plan = plan(
        "name: x\nsteps:\n  a: { run: a }\n  b: { needs: a, run: b }\n  alarm: { needs: b, run: x, if: failed() }\n  value: { needs: a, run: x, if: 'steps.a.outputs.go == \"yes\"' }\n  looks: { needs: a, run: x, if: 'steps.a.outcome in [\"failed\", \"timed-out\"]' }\n  plain: { needs: b, run: x }\n",
    );
    let failed = Outcome::Failed { exit: Exit::Code(1), reason: String::new() };
    let skipped = Outcome::Skipped { reason: String::new() };
    let yes = BTreeMap::from([("go".to_owned(), "yes".to_owned())]);
    let none = BTreeMap::new();
    let decide = |id: &str, a: &Outcome, b: &Outcome, values: &BTreeMap<String, String>| {
        let node = plan.node(&NodeId::new(id)).expect("there");
        evaluate(&plan, node, &|need| Some(Ended { outcome: if need.as_str() == "a" { a } else { b }, values }))
    };
    let good = Outcome::Succeeded;
    assert_eq!(decide("plain", &good, &good, &none), Ok(true));
    assert_eq!(decide("plain", &failed, &skipped, &none), Ok(false));
    // The failure is two steps back, the step between was skipped.
    assert_eq!(decide("alarm", &failed, &skipped, &none), Ok(true));
    assert_eq!(decide("alarm", &good, &good, &none), Ok(false));
    assert_eq!(decide("value", &good, &good, &yes), Ok(true));
    assert_eq!(decide("value", &failed, &good, &yes), Ok(false));
    assert!(decide("value", &good, &good, &none).is_err());
    assert_eq!(decide("looks", &failed, &good, &none), Ok(true));
    assert_eq!(decide("looks", &good, &good, &none), Ok(false));
}

#[test]
fn events_start_what_asks_for_them() {
    let pipeline = pipeline(
        "name: x\non: { push: { branches: [main, \"release/*\"], tags: [\"v*\"], paths: [\"src/**\"] }, pull_request: { branches: [main] } }\nsteps: { a: { run: a } }\n",
    );
    let starts = |kind, reference: &str, changed: Option<&[&str]>| {
        let branch = reference.strip_prefix("refs/heads/").map(str::to_owned);
        let changed = changed.map(|paths| paths.iter().map(|path| (*path).to_owned()).collect());
        select(&pipeline, &Event { reference: reference.to_owned(), branch, changed, ..event(kind) }) == Selection::Starts
    };
    assert!(starts(EventKind::Manual, "refs/heads/x", None));
    assert!(starts(EventKind::Push, "refs/heads/main", None));
    assert!(starts(EventKind::Push, "refs/heads/release/1", Some(&["a", "src/b/c.rs"])));
    assert!(!starts(EventKind::Push, "refs/heads/release/1/2", None));
    assert!(!starts(EventKind::Push, "refs/heads/main", Some(&["docs/a"])));
    assert!(starts(EventKind::Push, "refs/tags/v1", None));
    assert!(!starts(EventKind::Push, "refs/tags/x", None));
    assert!(starts(EventKind::PullRequest, "refs/heads/main", Some(&["docs/a"])));
    assert!(!starts(EventKind::PullRequest, "refs/heads/x", None));
    assert!(!starts(EventKind::Schedule, "refs/heads/main", None));
}

#[test]
fn parameters_are_held_against_their_declaration() {
    let pipeline = pipeline(
        "name: x\non: { manual: { params: { fault: { default: 0% }, n: { type: number }, who: { required: true }, c: { choices: [x, y] } } } }\nsteps: { a: { run: a } }\n",
    );
    let given = |given: &[(&str, &str)]| {
        let params = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        params_of(&pipeline, params)
    };
    assert_eq!(given(&[("who", "me")]).map(|found| format!("{found:?}")), Ok(r#"{"c": "x", "fault": "0%", "n": "0", "who": "me"}"#.to_owned()));
    let codes = |found: Result<BTreeMap<String, String>, Vec<String>>| found.expect_err("refused").join(" | ");
    assert_eq!(
        codes(given(&[("fautl", "5%"), ("n", "x"), ("c", "z")])),
        "unknown-param did you mean \"fault\"? | invalid-param | missing-param add --param who=VALUE | invalid-param"
    );
}

fn params_of(pipeline: &Pipeline, given: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Vec<String>> {
    let said = |errors: Vec<crate::model::diagnostic::Diagnostic>| {
        errors.into_iter().map(|error| format!("{} {}", error.code, error.hints.join(" ")).trim().to_owned()).collect()
    };
    params(pipeline, &Event { params: given, ..event(EventKind::Manual) }).map_err(said)
}

#[test]
fn a_function_is_complete_for_a_deploy_by_hand() {
    let pipeline = pipeline(
        "name: x\non: { manual: { params: { fault: { default: 0% } } } }\nfunctions: { hello: { runtime: provided.al2023, env: { FAULT: \"${{ params.fault }}\" } } }\n",
    );
    let event = Event { params: BTreeMap::from([("fault".to_owned(), "5%".to_owned())]), ..event(EventKind::Manual) };
    let (function, policy) = function(&pipeline, &event, "hello").expect("there");
    assert_eq!(function.env["FAULT"], EnvValue::Plain("5%".into()));
    assert_eq!(policy.strategy.stages().len(), 4);
    assert!(super::function(&pipeline, &event, "helo").is_err());
}

#[test]
fn the_plan_has_limits() {
    let steps: String = (0..41)
        .map(|n| format!("  s{n}: {{ run: x, matrix: {{ a: [{}] }} }}\n", (0..250).map(|n| n.to_string()).collect::<Vec<_>>().join(",")))
        .collect();
    let errors = build(&pipeline(&format!("name: x\nsteps:\n{steps}")), &event(EventKind::Manual), &[]).expect_err("too many");
    assert!(errors[0].message.contains("10250 nodes, at most 10000"), "{}", errors[0].message);
    let many = (0..250).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let chain: String = (0..6)
        .map(|n| format!("  s{n}: {{ run: x, matrix: {{ a: [{many}] }}{} }}\n", if n > 0 { format!(", needs: s{}", n - 1) } else { String::new() }))
        .collect();
    let errors = build(&pipeline(&format!("name: x\nsteps:\n{chain}")), &event(EventKind::Manual), &[]).expect_err("too many");
    assert!(errors[0].message.contains("needs between nodes"), "{}", errors[0].message);
}

#[test]
fn a_chain_of_thousands_needs_no_deep_stack() {
    let steps: String =
        (0..5_000).map(|n| if n == 0 { "  s0: { run: x }\n".to_owned() } else { format!("  s{n}: {{ run: x, needs: s{} }}\n", n - 1) }).collect();
    let plan = plan(&format!("name: x\nsteps:\n{steps}"));
    assert_eq!(plan.nodes.len(), 5_000);
    assert_eq!(plan.nodes[4_999].needs, [NodeId::new("s4998")]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any graph: either its cycle is named, or every need stands before its node.
    #[test]
    fn every_need_stands_before(edges in proptest::collection::vec((0..12_usize, 0..12_usize), 0..20)) {
        let step = |at: usize| {
            let mut needs: Vec<String> = edges.iter().filter(|(from, to)| *from == at && to != from).map(|(_, to)| format!("s{to}")).collect();
            needs.sort();
            needs.dedup();
            format!("  s{at}: {{ run: x, needs: [{}] }}\n", needs.join(", "))
        };
        let text = format!("name: x\nsteps:\n{}", (0..12).map(step).collect::<String>());
        match spec::load("p.yaml", &text, &|_| None) {
            Err(errors) => prop_assert!(errors.iter().all(|error| error.code == "cycle" && error.message.contains(" → "))),
            Ok(pipeline) => {
                let plan = build(&pipeline, &event(EventKind::Manual), &[]).expect("no cycle");
                prop_assert_eq!(plan.nodes.len(), 12);
                for (at, node) in plan.nodes.iter().enumerate() {
                    prop_assert!(node.needs.iter().all(|need| plan.nodes[..at].iter().any(|before| &before.id == need)));
                }
            }
        }
    }

    #[test]
    fn escapes_keep_any_text(text in any::<String>().prop_filter("a NUL has no place in a script", |text| !text.contains('\0'))) {
        let json = Template::parse("${{ v }}").expect("parses").render(Escape::Json, &serde_json::json!({ "v": text })).expect("renders");
        prop_assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
    }
}
