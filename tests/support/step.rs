//! A step like any other, as an executor is asked for it: the one place that names everything that can be asked.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate::model::id::{InvocationId, NodeId, RunId};
use tidegate::model::invocation::{CaptureLimits, InvocationSpec, default_grace};
use tidegate::model::limits::{Network, Resources};

/// The first attempt of a node of the run `r1`. Without layers, outputs, limits of its own or a network.
pub fn step(node: &str, script: &str) -> InvocationSpec {
    let (run, node) = (RunId::new("r1"), NodeId::new(node));
    InvocationSpec {
        id: InvocationId::of(&run, &node, 1),
        run,
        node,
        attempt: 1,
        script: script.to_owned(),
        env: BTreeMap::new(),
        layers: Vec::new(),
        outputs: Vec::new(),
        image: None,
        build: None,
        services: Vec::new(),
        timeout: Duration::from_secs(60),
        network: Network::None,
        resources: Resources { cpu: None, memory: None, pids: None, disk: None },
        limits: CaptureLimits::default(),
        grace: default_grace(),
    }
}
