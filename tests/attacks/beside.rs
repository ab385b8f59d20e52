//! What a step and its services have of one another, and neighbours of both, beside the network: signals, processes, abstract sockets, shared memory.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate::model::limits::Network;
use tidegate::model::outcome::Outcome;
use tidegate::model::service::{Ready, Service};

use crate::egress::machines::{IMAGE_OF_SERVICES, Machine, every_machine};

/// Tries everybody that it sees, and an abstract socket of this name.
const TRY: &str = "
import os, signal, socket, time
def reaches(name):
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect('\\0' + name); return 'reached'
    except OSError as error:
        return error.strerror
def listens(name):
    s = socket.socket(socket.AF_UNIX); s.bind('\\0' + name); s.listen(9); return s
def others():
    return [pid for pid in os.listdir('/proc') if pid.isdigit() and b'of-a-' in open('/proc/%s/cmdline' % pid, 'rb').read() + environment(pid)]
def environment(pid):
    try: return open('/proc/%s/environ' % pid, 'rb').read()
    except OSError: return b''
";

/// A service that listens at `of-a-service`, waits for the step's own socket, and says what it found.
fn service() -> Service {
    let script = format!(
        "{TRY}
own = listens('of-a-service')
tcp = socket.create_server(('0.0.0.0', 7777))
while True:
    step, _ = tcp.accept()
    if step.recv(2) == b'me': break
print('the step by its abstract socket:', reaches('of-a-step'), flush=True)
print('others:', len([pid for pid in others() if int(pid) != os.getpid()]), flush=True)
killed = []
for pid in range(2, 400):
    try:
        if pid != os.getpid(): os.kill(pid, 9); killed.append(pid)
    except OSError: pass
print('killed:', killed, flush=True)
print('shared memory:', os.listdir('/dev/shm'), flush=True)
step.sendall(b'done')
time.sleep(1000)
"
    );
    let env = BTreeMap::from([("SCRIPT".to_owned(), script)]);
    Service { name: "db".to_owned(), image: IMAGE_OF_SERVICES.to_owned(), user: None, env, ready: Some(Ready::Port(7777)) }
}

fn said_by_the_service(machine: &Machine, node: &str) -> String {
    std::fs::read_to_string(machine.state.path().join(format!("{node}.db.log"))).unwrap_or_default()
}

#[tokio::test]
async fn a_step_and_its_services_share_a_network_and_nothing_else() {
    for machine in every_machine().into_iter().filter(|machine| machine.name != "sandbox") {
        let step = format!(
            "{TRY}
own = listens('of-a-step')
open('/dev/shm/of-a-step', 'w').write('x')
print('the service by its abstract socket:', reaches('of-a-service'))
print('others:', len([pid for pid in others() if int(pid) > 1 and b'of-a-service' in environment(pid)]))
db = socket.create_connection(('db', 7777))
db.sendall(b'me')
print('it is', db.recv(9).decode())
"
        );
        let (said, result) = machine.step_beside("both", Network::None, &step, vec![service()]).await;
        let service = said_by_the_service(&machine, "both");
        assert_eq!(result.outcome, Outcome::Succeeded, "{}: {said} {service}", machine.name);
        // An engine has nothing that keeps abstract sockets of one network apart. The sandbox has Landlock, where the kernel has it.
        let held = result.record.isolation.iter().any(|held| held == "landlock");
        let reached = if held { "Operation not permitted" } else { "reached" };
        assert_eq!(said, format!("the service by its abstract socket: {reached}\nothers: 0\nit is done\n"), "{}", machine.name);
        assert_eq!(service, format!("the step by its abstract socket: {reached}\nothers: 0\nkilled: []\nshared memory: []\n"), "{}", machine.name);
    }
}

#[tokio::test]
async fn a_neighbour_has_nothing_of_a_step_nor_of_its_services() {
    let machines = every_machine();
    for machine in machines.iter().filter(|machine| machine.name != "sandbox") {
        let held = format!("{TRY}\nown = listens('of-a-step')\nprint('up', flush=True)\ntime.sleep(1000)");
        let watching = async {
            let log = machine.state.path().join("held.log");
            while !std::fs::read_to_string(&log).unwrap_or_default().contains("up") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            for neighbour in &machines {
                let script = format!(
                    "{TRY}
print(reaches('of-a-step'), reaches('of-a-service'), others())
for at in ['127.0.1.1', '127.0.0.1', 'db']:
    try:
        socket.create_connection((at, 7777), 3); print(at, 'reached')
    except OSError: pass
"
                );
                let node = format!("of-{}", machine.name.replace(' ', "-"));
                let (said, result) = neighbour.step(&node, Network::None, &script).await;
                assert_eq!(result.outcome, Outcome::Succeeded, "{said}");
                assert_eq!(said, "Connection refused Connection refused []\n", "{} of {}", neighbour.name, machine.name);
            }
        };
        let result = machine.step_while("held", &held, vec![service()], watching).await;
        assert!(matches!(result.outcome, Outcome::Cancelled { .. }), "{}: {result:?}", machine.name);
    }
}
