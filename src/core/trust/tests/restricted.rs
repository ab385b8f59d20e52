//! What is left of a plan, for every plan.

use proptest::prelude::*;

use super::*;
use crate::core::plan::Work;
use crate::model::egress::Rule;
use crate::model::limits::Network;

fn rules(list: &[&str]) -> Vec<Rule> {
    list.iter().map(|rule| rule.parse().expect("a rule")).collect()
}

fn network(wanted: &str, allowed: &str) -> Network {
    let plan = plan_of(&format!("name: p\nsteps: {{ a: {{ run: x, network: {wanted} }} }}\n"), &event(EventKind::Push));
    match restrict(plan, &policy_of(&format!("forks: {{ network: {allowed} }}"))).nodes.remove(0).work {
        Work::Invoke(invoke) => invoke.network,
        other @ Work::Deploy(_) => panic!("{other:?}"),
    }
}

#[test]
fn the_network_is_what_both_step_and_policy_let_through() {
    for (wanted, allowed, left) in [
        ("none", "[\"a.com\"]", Network::None),
        ("open", "none", Network::None),
        ("learn", "none", Network::None),
        ("open", "[\"a.com\"]", Network::Only(rules(&["a.com"]))),
        ("learn", "[\"a.com\"]", Network::Only(rules(&["a.com"]))),
        ("[\"a.com\", \"b.com\"]", "[\"b.com\", \"c.com\"]", Network::Only(rules(&["b.com"]))),
        ("[\"x.a.com\"]", "[\"*.a.com\"]", Network::Only(rules(&["x.a.com"]))),
        ("[\"169.254.169.254:80\"]", "[\"0.0.0.0/0:80\"]", Network::None),
        ("[\"b.com\"]", "[\"a.com\"]", Network::None),
    ] {
        assert_eq!(network(wanted, allowed), left, "{wanted} where {allowed} is allowed");
    }
}

#[test]
fn a_plan_that_is_restricted_says_so_and_a_trusted_one_is_as_it_was() {
    let text = "name: p\nsteps: { a: { run: x } }\n";
    let plan = plan_of(text, &event(EventKind::Push));
    assert_eq!(plan.trust, Trust::Trusted);
    assert!(!serde_json::to_string(&plan).expect("json").contains("trust"));
    let restricted = restrict(plan, &Policy::default());
    let again: Plan = serde_json::from_value(serde_json::to_value(&restricted).expect("json")).expect("a plan");
    assert_eq!((again.trust, &again), (Trust::Untrusted, &restricted));
}

fn step() -> impl Strategy<Value = String> {
    let network = prop::sample::select(vec!["none", "open", "learn", "[\"a.com\", \"10.0.0.1:80\"]", "[\"*.b.com\"]"]);
    let image = prop::sample::select(vec!["", "image: \"rust:1\", ", "image: \"evil/x\", ", "image: \"${{ event.branch }}\", "]);
    let environment = prop::sample::select(vec!["", "environment: production, "]);
    (network, image, environment, 1_u32..200, 1_u32..500).prop_map(|(network, image, environment, minutes, gib)| {
        format!("run: x, {image}{environment}network: {network}, timeout: {minutes}m, resources: {{ memory: {gib}GiB }}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a file asks for: nothing that runs has more than the policy gives, and restricting twice changes nothing.
    #[test]
    fn nothing_is_more_than_the_policy_gives(steps in prop::collection::vec(step(), 1..6), head in any::<bool>(), allowed in prop::sample::select(vec!["none", "[\"a.com\"]", "[\"x.b.com\"]"])) {
        let steps: String = steps.iter().enumerate().map(|(n, step)| format!("  s{n}: {{ {step} }}\n")).collect();
        let text = format!("name: p\nsteps:\n{steps}  ship: {{ needs: out, deploy: {{ function: f, artifact: out.z }} }}\n  out: {{ run: x, outputs: {{ z: z }} }}\nfunctions:\n  f: {{ runtime: provided.al2023 }}\n");
        let policy = policy_of(&format!("forks: {{ network: {allowed}, pipeline: {}, images: [\"rust:*\"] }}", if head { "head" } else { "base" }));
        let plan = restrict(guard(plan_of(&text, &fork_pull(Association::None)), &policy), &policy);
        for node in plan.nodes.iter().filter(|node| !matches!(node.condition, Condition::Never { .. })) {
            let Work::Invoke(invoke) = &node.work else { panic!("{} deploys", node.id) };
            prop_assert!(node.environment.is_none());
            prop_assert!(node.timeout <= policy.forks.timeout);
            prop_assert!(invoke.resources.memory <= policy.forks.resources.memory);
            prop_assert!(invoke.image.as_ref().is_none_or(|image| image.as_text().is_some_and(|image| image.starts_with("rust:"))));
            match &invoke.network {
                Network::None => {}
                Network::Only(rules) => prop_assert!(rules.iter().all(|rule| policy.forks.network.iter().any(|cap| rule.within(cap).as_ref() == Some(rule)))),
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert_eq!(restrict(plan.clone(), &policy), plan);
    }
}
