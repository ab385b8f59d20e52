//! Random plans, driven by a random world: results in any order, said twice, for nobody, cancels, ticks and clocks that jump.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::model::fact::RolloutOutcome;
use crate::model::id::RolloutId;
use crate::model::trust::Permission;

/// What the world does next; numbers choose among what is there.
#[derive(Debug, Clone)]
enum Move {
    /// The n-th running invocation ends so.
    End(usize, Outcome),
    /// Something that was said before is said again.
    Again(usize),
    /// The end of any attempt of any node, fitting or not.
    Stray(usize, u32),
    /// The n-th deploy gets its rollout, or its end.
    Deploy(usize, bool),
    /// Somebody says yes or no to the n-th node, whether it waits or not, and whether they may or not.
    Word(usize, bool, bool),
    Tick,
    Cancel,
    Wait(u64),
    Interrupt,
}

/// What is drawn for one node.
type Drawn<C, R, I, K> = (Vec<prop::sample::Index>, C, R, I, K, usize, Option<(bool, u64)>);

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Succeeded),
        1 => Just(Outcome::Memoised { from: "r0".to_owned() }),
        2 => Just(failed()),
        2 => Just(infrastructure()),
        1 => Just(Outcome::TimedOut { after_ms: 60_000 }),
        1 => Just(Outcome::Cancelled { reason: "killed".to_owned() }),
    ]
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        12 => (any::<usize>(), outcomes()).prop_map(|(which, outcome)| Move::End(which, outcome)),
        2 => any::<usize>().prop_map(Move::Again),
        2 => (any::<usize>(), 0..4_u32).prop_map(|(which, attempt)| Move::Stray(which, attempt)),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(which, well)| Move::Deploy(which, well)),
        4 => (any::<usize>(), prop::bool::weighted(0.8), prop::bool::weighted(0.8)).prop_map(|(which, yes, may)| Move::Word(which, yes, may)),
        3 => Just(Move::Tick),
        3 => (0..40_u64).prop_map(Move::Wait),
        1 => prop_oneof![3 => Just(Move::Tick), 1 => Just(Move::Cancel), 1 => Just(Move::Interrupt)],
    ];
    prop::collection::vec(one, 0..120)
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let conditions = prop_oneof![
        6 => Just(Condition::NeedsSucceeded),
        1 => Just(Condition::Never { because: "the plan says so".to_owned() }),
        1 => Just(Condition::Cel { source: "always()".to_owned(), even_after_failure: true, known: serde_json::Value::Null }),
        1 => Just(Condition::Cel { source: "failed()".to_owned(), even_after_failure: true, known: serde_json::Value::Null }),
        1 => Just(Condition::Cel { source: "nonsense()".to_owned(), even_after_failure: false, known: serde_json::Value::Null }),
    ];
    let retries = (1..4_u32, any::<[bool; 3]>(), 0..20_u64).prop_map(|(attempts, reasons, delay)| {
        let all = [RetryOn::Infrastructure, RetryOn::Timeout, RetryOn::Failed];
        let on = all.into_iter().zip(reasons).filter_map(|(reason, covered)| covered.then_some(reason)).collect();
        Retry { attempts, on, delay: Duration::from_secs(delay), after_start: attempts % 2 == 0 }
    });
    let gates = prop::option::weighted(0.3, (any::<bool>(), 0..30_u64));
    let one = (prop::collection::vec(any::<prop::sample::Index>(), 0..4), conditions, retries, any::<bool>(), 0..6_u8, 0..4_usize, gates);
    prop::collection::vec(one, 1..25).prop_map(|drawn| {
        let make = |(at, (needs, condition, retry, idempotent, kind, step, gate)): (usize, Drawn<_, _, _, _>)| {
            let needs: Vec<String> = if at == 0 { Vec::new() } else { needs.iter().map(|need| format!("n{}", need.index(at))).collect() };
            let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
            let made = if kind == 0 { deploy(&format!("n{at}"), &needs) } else { node(&format!("n{at}"), &needs) };
            // Steps 1 to 3 may run so many of theirs at once; step 0 has no limit.
            let concurrency = u32::try_from(step).ok().filter(|limit| *limit > 0);
            let made = match gate {
                Some((approval, wait)) => gated(made, approval.then_some(Approvers::AtLeast(Permission::Write)), wait),
                None => made,
            };
            Node { condition, retry, idempotent, step: format!("step{step}"), concurrency, ..made }
        };
        drawn.into_iter().enumerate().map(make).collect()
    })
}

/// The world outside of the machine, which keeps its own books and checks the machine's against them.
struct World {
    run: Run,
    /// Follows by facts alone.
    shadow: Run,
    parallel: usize,
    now: u64,
    facts: Vec<(Timestamp, RunFact)>,
    invoked: Vec<(NodeId, u32)>,
    ever_invoked: HashSet<(NodeId, u32)>,
    deploys: Vec<(NodeId, bool)>,
    over: HashSet<NodeId>,
    /// When what has an environment may go in; `None` until somebody has approved it.
    held: HashMap<NodeId, (Option<()>, Timestamp)>,
    finished: usize,
    said: Vec<Input>,
}

impl World {
    fn begin(nodes: Vec<Node>, parallel: usize) -> Self {
        let (run, turn) = start(nodes, parallel);
        let (invoked, deploys, ever_invoked, over) = (Vec::new(), Vec::new(), HashSet::new(), HashSet::new());
        let shadow = Run::replay(&[(seconds(0), turn.facts[0].clone())]).expect("the start of a run");
        let mut world = Self {
            held: HashMap::new(),
            run,
            shadow,
            parallel,
            now: 0,
            facts: Vec::new(),
            invoked,
            ever_invoked,
            deploys,
            over,
            finished: 0,
            said: Vec::new(),
        };
        world.perform(turn);
        world
    }

    fn perform(&mut self, turn: Turn<RunFact, Effect>) {
        for fact in turn.facts {
            self.check(&fact);
            if !self.facts.is_empty() {
                assert_eq!(self.shadow.apply(&fact, seconds(self.now)), Ok(()));
            }
            self.facts.push((seconds(self.now), fact));
        }
        for effect in turn.effects {
            match effect {
                Effect::Invoke { node, attempt, deadline, .. } => {
                    assert!(self.ever_invoked.insert((node.clone(), attempt)), "{node} attempt {attempt} is invoked twice");
                    assert_eq!(deadline, seconds(self.now + 60));
                    self.invoked.push((node, attempt));
                }
                Effect::Deploy { node } => {
                    assert!(self.ever_invoked.insert((node.clone(), 0)), "{node} is deployed twice");
                    self.deploys.push((node, false));
                }
                Effect::Kill { node, attempt } => assert!(self.invoked.contains(&(node, attempt)), "what does not run is killed"),
                Effect::Abort { node, .. } => assert!(self.deploys.contains(&(node, true)), "what is not rolled out is aborted"),
                Effect::WakeAt(at) => assert!(at > seconds(self.now), "a wake-up in the past would be asked for for ever"),
                Effect::Finished { .. } => self.finished += 1,
            }
        }
        self.check_limits();
    }

    fn check(&mut self, fact: &RunFact) {
        match fact {
            RunFact::NodeQueued { node } => {
                let needs = &self.run.node(node).expect("of the plan").needs;
                assert!(needs.iter().all(|need| self.over.contains(need)), "{node} starts before its needs");
                assert!(!self.over.contains(node), "{node} starts after its end");
                if self.run.node(node).is_some_and(|node| node.environment.is_some()) {
                    let (approved, opens) = self.held.get(node).expect("it was held");
                    assert!(approved.is_some() && *opens <= seconds(self.now), "{node} goes into its environment too early");
                }
            }
            RunFact::NodeHeld { node, approval, opens, .. } => {
                assert!(self.held.insert(node.clone(), ((!approval).then_some(()), *opens)).is_none(), "{node} is held twice");
            }
            RunFact::NodeApproved { node, by } => {
                assert!(matches!(by, Voice::Forge { permission, .. } if *permission >= Permission::Write), "{by} may not");
                self.held.get_mut(node).expect("it was held").0 = Some(());
            }
            RunFact::InvocationStarted { node, attempt, .. } => {
                let most = self.run.node(node).expect("of the plan").retry.attempts;
                assert!(*attempt >= 1 && *attempt <= most, "attempt {attempt} of {most}");
            }
            RunFact::NodeEnded { node, .. } => assert!(self.over.insert(node.clone()), "{node} ends twice"),
            _ => {}
        }
    }

    fn check_limits(&self) {
        let timed = |state: &NodeState| matches!(state, NodeState::Running { .. } | NodeState::BackingOff { .. } | NodeState::Held { .. });
        assert_eq!(self.run.timers.len(), self.run.nodes().filter(|(_, state)| timed(state)).count(), "a timer is left over or missing");
        if self.run.outcome().is_some() {
            return;
        }
        assert!(self.invoked.len() <= self.parallel, "{} run at once", self.invoked.len());
        let mut per_step: HashMap<&str, u32> = HashMap::new();
        for (node, _) in &self.invoked {
            let node = self.run.node(node).expect("of the plan");
            let running = per_step.entry(&node.step).or_default();
            *running += 1;
            assert!(node.concurrency.is_none_or(|limit| *running <= limit), "{running} of {} run at once", node.step);
        }
    }

    /// Says something to the machine. What it refuses must not have changed it.
    fn say(&mut self, input: Input) {
        let before = self.run.clone();
        match self.run.handle(input.clone(), rules(self.parallel), seconds(self.now)) {
            Ok(turn) => {
                self.note_end(&input);
                self.perform(turn);
            }
            Err(_) => assert_eq!(self.run, before),
        }
        self.said.push(input);
        assert_eq!(self.shadow, self.run);
    }

    fn note_end(&mut self, input: &Input) {
        match input {
            Input::InvocationEnded { node, attempt, .. } => {
                let before = self.invoked.len();
                self.invoked.retain(|running| running != &(node.clone(), *attempt));
                assert_eq!(self.invoked.len() + 1, before, "the end of what does not run was taken");
            }
            Input::RolloutAttached { node, .. } => self.deploys.iter_mut().filter(|deploy| &deploy.0 == node).for_each(|deploy| deploy.1 = true),
            Input::RolloutEnded { node, .. } => self.deploys.retain(|deploy| &deploy.0 != node),
            Input::Interrupted => {
                self.invoked.clear();
                self.deploys.clear();
            }
            Input::Approved { .. } | Input::Rejected { .. } | Input::Tick | Input::Cancel { .. } => {}
        }
    }

    fn make(&mut self, step: Move) {
        let chosen = |n: usize, of: usize| n.checked_rem(of);
        match step {
            Move::End(n, outcome) => {
                if let Some((node, attempt)) = chosen(n, self.invoked.len()).map(|n| self.invoked[n].clone()) {
                    self.say(Input::InvocationEnded { node, attempt, result: result(outcome) });
                }
            }
            Move::Again(n) => {
                if let Some(input) = chosen(n, self.said.len()).map(|n| self.said[n].clone()) {
                    self.say(input);
                }
            }
            Move::Stray(n, attempt) => self.say(ended(&format!("n{}", n % 30), attempt, Outcome::Succeeded)),
            Move::Deploy(n, well) => {
                if let Some((node, attached)) = chosen(n, self.deploys.len()).map(|n| self.deploys[n].clone()) {
                    self.say(match (attached, well) {
                        (false, true) => Input::RolloutAttached { rollout: RolloutId::new(format!("o-{node}")), node },
                        (true, true) => Input::RolloutEnded { node, outcome: RolloutOutcome::Promoted },
                        (_, false) => Input::RolloutEnded { node, outcome: RolloutOutcome::Failed { reason: "no bootstrap".to_owned() } },
                    });
                }
            }
            Move::Word(n, yes, may) => {
                let by = Voice::Forge { login: "bob".to_owned(), id: None, permission: if may { Permission::Admin } else { Permission::Read } };
                let node = id(&format!("n{}", n % 30));
                self.say(if yes { Input::Approved { node, by } } else { Input::Rejected { node, by, reason: "no".to_owned() } });
            }
            Move::Tick => self.say(Input::Tick),
            Move::Cancel => self.say(Input::Cancel { reason: "Ctrl-C".to_owned() }),
            Move::Interrupt => self.say(Input::Interrupted),
            Move::Wait(more) => {
                self.now += more;
                self.say(Input::Tick);
            }
        }
    }

    /// Whatever was left open ends well in the end.
    fn finish(&mut self) {
        for _ in 0..1_000 {
            if self.run.outcome().is_some() {
                break;
            }
            self.make(Move::End(0, Outcome::Succeeded));
            self.make(Move::Deploy(0, true));
            (0..25).for_each(|n| self.make(Move::Word(n, true, true)));
            self.make(Move::Wait(20));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_in_whatever_order_the_invariants_hold(nodes in nodes(), parallel in 1..5_usize, moves in moves()) {
        let mut world = World::begin(nodes, parallel);
        for step in moves {
            world.make(step);
        }
        world.finish();
        prop_assert!(world.run.outcome().is_some(), "the run never ends: {:?}", world.run.nodes().map(|(_, state)| state.word()).collect::<Vec<_>>());
        prop_assert_eq!(world.finished, 1);
        let replayed = Run::replay(&world.facts);
        prop_assert_eq!(replayed.as_ref(), Ok(&world.run));
        prop_assert_eq!(world.over.len(), world.run.plan().nodes.len());
        prop_assert!(world.invoked.is_empty() && world.deploys.is_empty(), "the run has ended before what it started");
    }

    /// A run that is replayed from its facts at any moment and goes on from there makes the same facts as one that was never stopped.
    #[test]
    fn a_replayed_run_goes_on_as_if_nothing_had_happened(nodes in nodes(), parallel in 1..5_usize, moves in moves(), at in any::<prop::sample::Index>()) {
        let (mut one, mut other) = (World::begin(nodes.clone(), parallel), World::begin(nodes, parallel));
        let stop = at.index(moves.len() + 1);
        for (n, step) in moves.into_iter().enumerate() {
            if n == stop {
                // Through the journal's own form and back.
                let json = serde_json::to_string(&other.facts).expect("facts have a JSON form");
                let facts: Vec<(Timestamp, RunFact)> = serde_json::from_str(&json).expect("and can be read back");
                other.run = Run::replay(&facts).expect("facts of a run");
            }
            one.make(step.clone());
            other.make(step);
        }
        one.finish();
        other.finish();
        prop_assert_eq!(one.facts, other.facts);
    }

    /// Facts reach the journal turn by turn, but every prefix is a state that recovery can end.
    #[test]
    fn every_prefix_of_the_facts_can_be_replayed_and_interrupted(nodes in nodes(), parallel in 1..5_usize, moves in moves()) {
        let mut world = World::begin(nodes, parallel);
        moves.into_iter().for_each(|step| world.make(step));
        for length in 1..=world.facts.len() {
            let mut run = Run::replay(&world.facts[..length]).expect("a prefix of the facts of a run");
            if run.outcome().is_none() {
                let turn = run.handle(Input::Interrupted, rules(parallel), seconds(world.now)).expect("a run that has not ended");
                let mut facts = world.facts[..length].to_vec();
                facts.extend(turn.facts.into_iter().map(|fact| (seconds(world.now), fact)));
                prop_assert_eq!(Run::replay(&facts), Ok(run));
            }
        }
    }
}
