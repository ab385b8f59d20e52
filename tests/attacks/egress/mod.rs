//! Attempts to get out of a network that has one way out, and to make that way lead elsewhere: in everything that runs steps (machines.rs). The world around
//! is made by the test (internet.rs).

mod internet;
mod lives;
pub mod machines;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use tidegate::model::egress::{Blocked, Egress, Verdict};
use tidegate::model::limits::Network;

use internet::{Seen, World};
use machines::{Machine, every_machine};

fn only(rules: &[&str]) -> Network {
    Network::Only(rules.iter().map(|rule| rule.parse().unwrap()).collect())
}

/// What was blocked, and why.
fn blocked(egress: &Egress) -> BTreeMap<String, Blocked> {
    let because = |verdict: &Verdict| if let Verdict::Blocked { because } = verdict { Some(because.clone()) } else { None };
    egress.attempts.iter().filter_map(|attempt| Some((format!("{}:{}", attempt.host, attempt.port), because(&attempt.verdict)?))).collect()
}

/// Runs a test of this file again, in an internet of its own.
fn in_a_box(name: &str) {
    // An ordinary user makes a namespace first in which networks may be made.
    let user: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    if !Command::new("unshare").args(user).args(["--net", "--mount", "--", "true"]).status().is_ok_and(|status| status.success()) {
        return crate::support::skip(name, "this machine gives nobody a network of his own");
    }
    let output = Command::new("unshare")
        .args(user)
        .args(["--net", "--mount", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("egress::{name}"), "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

struct Inside {
    world: World,
    machines: Vec<Machine>,
    _folder: tempfile::TempDir,
}

fn inside() -> Inside {
    let folder = tempfile::tempdir().unwrap();
    let world = internet::build(folder.path());
    Inside { world, machines: every_machine(), _folder: folder }
}

impl Inside {
    /// Nobody came to where nobody may come.
    fn nobody_came(&self) {
        let seen = self.world.lock().unwrap();
        let forbidden = ["10.0.0.7", "169.254.169.254", "fd00:ec2::254", "127.0.0.1", "93.184.216.2"].map(|address| address.parse().unwrap());
        let visits: Vec<_> = seen.visits.iter().filter(|(address, ..)| forbidden.contains(address)).collect();
        assert!(visits.is_empty(), "{visits:?}");
    }
}

#[test]
fn there_is_no_other_way_out() {
    in_a_box("no_other_way_out");
}

#[tokio::test]
#[ignore = "is started by the story above, in an internet of its own"]
async fn no_other_way_out() {
    let inside = inside();
    let script = "
show('tcp', attempt(socket.SOCK_STREAM, socket.AF_INET, ('93.184.216.34', 80)))
show('udp', attempt(socket.SOCK_DGRAM, socket.AF_INET, ('93.184.216.34', 53), b'a question'))
show('tcp 53', attempt(socket.SOCK_STREAM, socket.AF_INET, ('93.184.216.34', 53)))
show('tcp6', attempt(socket.SOCK_STREAM, socket.AF_INET6, ('2606:2800:220:1::34', 80)))
show('udp6', attempt(socket.SOCK_DGRAM, socket.AF_INET6, ('2606:2800:220:1::34', 53)))
show('metadata', attempt(socket.SOCK_STREAM, socket.AF_INET, ('169.254.169.254', 80)))
show('the machine', attempt(socket.SOCK_STREAM, socket.AF_INET, ('93.184.216.2', 8080)))
show('its loopback', attempt(socket.SOCK_STREAM, socket.AF_INET, ('127.0.0.1', 8080)))
try:
    socket.getaddrinfo('allowed.test', 80); show('a name', 'found')
except OSError as error:
    show('a name', 'not found')
for name in list(os.environ):
    if name.lower().endswith('_proxy'): del os.environ[name]
import urllib.request
try:
    urllib.request.urlopen('http://93.184.216.34/', timeout=5); show('without the variables', 'reached')
except OSError as error:
    show('without the variables', error.reason.strerror)
for name, reuse in [('the port', []), ('the port again', [socket.SO_REUSEADDR, socket.SO_REUSEPORT])]:
    s = socket.socket()
    for option in reuse: s.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        s.bind(PROXY); s.listen(); show(name, 'stolen')
    except OSError as error:
        show(name, error.strerror)
show('processes', [pid for pid in os.listdir('/proc') if pid.isdigit() and pid != '1' and b'sandbox-init' in open('/proc/%s/cmdline' % pid, 'rb').read()])
show('the proxy', connect('allowed.test:80'))
";
    let unreachable = "Network is unreachable";
    for machine in &inside.machines {
        *inside.world.lock().unwrap() = Seen::default();
        // It has the protocol switched off in networks that it makes: not even an address of one's own is there to ask from.
        let no_ipv6 = if machine.name == "Docker" { "Cannot assign requested address" } else { unreachable };
        let (said, egress) = machine.said("way", only(&["allowed.test:80"]), script).await;
        assert_eq!(
            said,
            format!(
                "tcp: {unreachable}\nudp: {unreachable}\ntcp 53: {unreachable}\ntcp6: {no_ipv6}\nudp6: {no_ipv6}\nmetadata: {unreachable}\nthe machine: {unreachable}\nits loopback: Connection refused\na name: not found\nwithout the variables: {unreachable}\nthe port: Address already in use\nthe port again: Address already in use\nprocesses: []\nthe proxy: 200\n"
            )
        );
        assert_eq!(egress.attempts.len(), 1);
        inside.nobody_came();
    }
}

#[test]
fn names_and_addresses_that_are_not_meant() {
    in_a_box("not_meant");
}

#[tokio::test]
#[ignore = "is started by the story above, in an internet of its own"]
async fn not_meant() {
    let inside = inside();
    // First what would happen: from the machine itself, all of it can be reached.
    for address in ["169.254.169.254:80", "10.0.0.7:80", "127.0.0.1:8080", "[fd00:ec2::254]:80"] {
        std::net::TcpStream::connect(address).unwrap();
    }
    while inside.world.lock().unwrap().visits.len() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    inside.world.lock().unwrap().visits.clear();
    let listed = [
        "allowed.test:80",
        "allowed.test:443",
        "mixed.test:80",
        "private.test:80",
        "meta.test:80",
        "meta6.test:80",
        "mapped.test:80",
        "own.test:8080",
        "rebind.test:80",
        "localhost:8080",
    ];
    let refused = [
        "93.184.216.34:443",
        "secret.exfiltrated.test:443",
        "allowed.test:53",
        "allowed.test:22",
        "sub.allowed.test:443",
        "allowed.test.evil.test:443",
        "169.254.169.254:80",
        "2852039166:80",
        "0xa9fea9fe:80",
        "0251.0376.0251.0376:80",
        "169.254.43518:80",
        "%31%36%39.254.169.254:80",
        "[fd00:ec2::254]:80",
        "[::ffff:169.254.169.254]:80",
        "[::ffff:a9fe:a9fe]:80",
        "127.0.0.1:8080",
        "0.0.0.0:8080",
        "[::]:8080",
        "[::1]:8080",
        "127.1:8080",
        "93.184.216.2:8080",
        "10.0.0.7:80",
        "localhost:8080",
        "mixed.test:80",
        "private.test:80",
        "meta.test:80",
        "meta6.test:80",
        "mapped.test:80",
        "own.test:8080",
    ];
    let script = format!(
        "
for to in {refused:?}:
    answer = connect(to)
    host, port = to.rsplit(':', 1)
    if answer != '403' and not (answer == '400' and '%' in to): show(to, 'CONNECT', answer)
    answer = get('http://%s/' % to, to)
    if answer not in ('403', '400'): show(to, 'GET', answer)
    answer = socks(host.strip('[]'), int(port))
    if answer not in (2, 8): show(to, 'SOCKS', answer)
show('allowed', connect('allowed.test:443'), connect('ALLOWED.test.:443'), get('http://allowed.test/', 'allowed.test'), socks('allowed.test', 80))
show('rebind', connect('rebind.test:80'), connect('rebind.test:80'), connect('rebind.test:80'))
show('listen', socks('allowed.test', 80, 2))
show('datagrams', socks('allowed.test', 80, 3))
"
    );
    for machine in &inside.machines {
        *inside.world.lock().unwrap() = Seen::default();
        let (said, egress) = machine.said("meant", only(&listed), &script).await;
        // A name may be looked up for both kinds of address at once, so the second connection may or may not be the first to see the change.
        assert!(said.starts_with("allowed: 200 200 200 0\nrebind: 200 ") && said.ends_with(" 403\nlisten: 7\ndatagrams: 7\n"), "{said}");
        inside.nobody_came();
        let names = inside.world.lock().unwrap().names.clone();
        assert!(!names.iter().any(|name| name.contains("exfiltrated") || name.contains("evil") || name.contains("sub.")), "{names:?}");
        let blocked = blocked(&egress);
        assert_eq!(blocked["secret.exfiltrated.test:443"], Blocked::NotListed);
        for place in [
            "169.254.169.254:80",
            "[fd00:ec2::254]:80",
            "meta.test:80",
            "mapped.test:80",
            "mixed.test:80",
            "own.test:8080",
            "rebind.test:80",
            "localhost:8080",
            "127.0.0.1:8080",
        ] {
            assert!(matches!(blocked[place], Blocked::NotPublic { .. }), "{place}: {blocked:?}");
        }
    }
}

#[test]
fn connections_that_turn_out_to_be_for_somebody_else() {
    in_a_box("somebody_else");
}

#[tokio::test]
#[ignore = "is started by the story above, in an internet of its own"]
async fn somebody_else() {
    let inside = inside();
    let script = r"
show('honest', tls('allowed.test:443', 'allowed.test'), tls('allowed.test:443', 'ALLOWED.test'), tls('allowed.test:443', 'allowed.test', 7))
show('another name', tls('allowed.test:443', 'evil.test'), tls('allowed.test:443', 'evil.test', 7))
show('no name', tls('allowed.test:443', None))
s, _ = tunnel('allowed.test:443')
s.sendall(b'\x16\x03\x01\x00\x05hello')
show('no TLS at all', len(heard(s)))
show('another Host', get('http://allowed.test/', 'evil.test'), get('http://allowed.test/', 'allowed.test:8080'), get('http://allowed.test/', 'allowed.test@evil.test'))
show('two Hosts', status(plain('GET http://allowed.test/ HTTP/1.1\nHost: allowed.test\nHost: evil.test\n\n')))
show('no Host', status(plain('GET http://allowed.test/ HTTP/1.1\nConnection: close\n\n')))
show('somebody before the host', get('http://allowed.test@evil.test/', 'evil.test'), get('http://allowed.test:80@evil.test/', 'allowed.test'))
show('a path only', get('/', 'allowed.test'), get('ftp://allowed.test/', 'allowed.test'), get('https://allowed.test/', 'allowed.test'))
hidden = 'GET http://evil.test/ HTTP/1.1\nHost: evil.test\n\n'
said = plain('POST http://allowed.test/ HTTP/1.1\nHost: allowed.test\nContent-Length: %d\nTransfer-Encoding: chunked\n\n0\n\n%s' % (len(hidden) + 7, hidden))
show('two lengths', [part.split(b' ')[1].decode() for part in said.split(b'HTTP/1.1')[1:]])
said = plain('POST http://allowed.test/ HTTP/1.1\nHost: allowed.test\nContent-Length: 5\nContent-Length: 60\n\n%s' % hidden)
show('two other lengths', status(said))
said = plain('GET http://allowed.test/ HTTP/1.1\nHost: allowed.test\n\n' + hidden)
show('one behind the other', [part.split(b' ')[1].decode() for part in said.split(b'HTTP/1.1')[1:]])
show('an upgrade', status(plain('GET http://allowed.test/ HTTP/1.1\nHost: allowed.test\nConnection: upgrade, host\nUpgrade: websocket\n\n')))
";
    for machine in &inside.machines {
        *inside.world.lock().unwrap() = Seen::default();
        let (said, egress) = machine.said("else", only(&["allowed.test", "allowed.test:80"]), script).await;
        assert_eq!(
            said,
            "honest: answered answered answered\nanother name: closed closed\nno name: closed\nno TLS at all: 0\nanother Host: 403 403 403\ntwo Hosts: 403\nno Host: 403\nsomebody before the host: 400 400\na path only: 400 400 400\ntwo lengths: ['200']\ntwo other lengths: 400\none behind the other: ['200', '403']\nan upgrade: 200\n"
        );
        let seen = inside.world.lock().unwrap();
        let evil: Vec<_> = seen
            .visits
            .iter()
            .filter(|(_, _, said)| said.contains("evil") || said.to_lowercase().contains("upgrade") || said.contains("hello"))
            .collect();
        assert!(evil.is_empty(), "{evil:?}");
        assert_eq!(blocked(&egress)["evil.test:443"], Blocked::OtherName { asked: "allowed.test".to_owned() });
    }
}

#[test]
fn as_much_as_a_step_can_ask_for() {
    in_a_box("much");
}

#[tokio::test]
#[ignore = "is started by the story above, in an internet of its own"]
async fn much() {
    let inside = inside();
    let script = r"
def refused(said): return 'refused' if status(said) in ('431', 'closed') else said
show('a long head', refused(plain('GET http://allowed.test/ HTTP/1.1\nHost: allowed.test\nX: %s\n\n' % ('x' * (1 << 20)))))
show('many headers', refused(plain('GET http://allowed.test/ HTTP/1.1\nHost: allowed.test\n%s\n' % ''.join('X-%d: x\n' % n for n in range(1000)))))
slow = []
for n in range(1000):
    s = opened(); s.sendall([b'GET http://allo', b'\x05', b'\x05\x01\x00\x05', b'CONNECT '][n % 4]); slow.append(s)
show('behind a thousand slow ones', connect('allowed.test:80'), socks('allowed.test', 80), get('http://allowed.test/', 'allowed.test'))
slow.clear()
for n in range(1100):
    connect('n%d.test:443' % n)
show('after as many as are kept', connect('allowed.test:80'))
";
    for machine in &inside.machines {
        *inside.world.lock().unwrap() = Seen::default();
        let (said, egress) = machine.said("much", only(&["allowed.test:80"]), script).await;
        assert_eq!(said, "a long head: refused\nmany headers: refused\nbehind a thousand slow ones: 200 0 200\nafter as many as are kept: 200\n");
        assert_eq!((egress.attempts.len(), egress.more), (Egress::LIMIT, 1101 - 1000));
        let (allowed, rest): (Vec<_>, Vec<_>) = egress.attempts.iter().partition(|attempt| attempt.verdict == Verdict::Allowed);
        assert_eq!((allowed.len(), allowed[0].count, rest.len()), (1, 4, 999));
    }
}

#[test]
fn learning_is_open_to_the_public_and_to_nobody_else() {
    in_a_box("learning");
}

#[tokio::test]
#[ignore = "is started by the story above, in an internet of its own"]
async fn learning() {
    let inside = inside();
    let script = "show('learned', get('http://learned.test/', 'learned.test'), connect('93.184.216.34:443'), connect('meta.test:80'), connect('169.254.169.254:80'), connect('10.0.0.7:80'), connect('localhost:8080'))";
    for machine in &inside.machines {
        *inside.world.lock().unwrap() = Seen::default();
        let (said, egress) = machine.said("learn", Network::Learn, script).await;
        assert_eq!(said, "learned: 200 200 403 403 403 403\n");
        let allowed: Vec<&str> =
            egress.attempts.iter().filter(|attempt| attempt.verdict == Verdict::Allowed).map(|attempt| attempt.host.as_str()).collect();
        assert!(egress.learning && allowed == ["learned.test", "93.184.216.34"]);
        inside.nobody_came();
    }
}
