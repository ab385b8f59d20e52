use super::*;

/// Runs a plan to its end, everything going well; answers how many facts that took.
fn complete(nodes: Vec<Node>, parallel: usize) -> usize {
    let (mut run, turn) = start(nodes, parallel);
    let mut facts = turn.facts.len();
    let mut invoked: std::collections::VecDeque<NodeId> = started(&turn).collect();
    while let Some(node) = invoked.pop_front() {
        let input = Input::InvocationEnded { node, attempt: 1, result: result(Outcome::Succeeded) };
        let turn = run.handle(input, rules(parallel), seconds(1)).expect("it fits");
        facts += turn.facts.len();
        invoked.extend(started(&turn));
    }
    assert!(run.outcome().is_some());
    facts
}

fn started(turn: &Turn<RunFact, Effect>) -> impl Iterator<Item = NodeId> {
    turn.effects.iter().filter_map(|effect| if let Effect::Invoke { node, .. } = effect { Some(node.clone()) } else { None })
}

#[test]
fn ten_thousand_nodes_are_no_trouble() {
    const N: usize = 10_000;
    let chain = (0..N).map(|n| if n == 0 { node("n0", &[]) } else { node(&format!("n{n}"), &[&format!("n{}", n - 1)]) }).collect();
    let fan = (0..N).map(|n| if n == 0 { node("n0", &[]) } else { node(&format!("n{n}"), &["n0"]) }).collect();
    // All of one step that may run one at a time: what a scan of the queue for each input would take 10,000² / 2 looks for.
    let lane = (0..N).map(|n| Node { step: "one".to_owned(), concurrency: Some(1), ..node(&format!("n{n}"), &[]) }).collect();
    for nodes in [chain, fan, lane] {
        // A node's life is four facts; the run's own are two.
        assert_eq!(complete(nodes, 64), 4 * N + 2);
    }
}
