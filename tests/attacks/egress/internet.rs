//! An internet in a box: network namespaces of this test's own, with a machine that runs steps and a world around it, which has names, web servers, a cloud's
//! metadata address and a private network. Nothing in it leads outside.
//!
//! ```text
//! this process: 93.184.216.2, 127.0.0.1 ──veth── the world: 93.184.216.34 (names, servers), 10.0.0.7, 169.254.169.254, and the same in IPv6
//! ```

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

const PORTS: [u16; 4] = [53, 80, 443, 8080];

#[derive(Debug, Default)]
pub struct Seen {
    /// Names that somebody asked the DNS for.
    pub names: Vec<String>,
    /// Where a connection came in, and what was said first.
    pub visits: Vec<(IpAddr, u16, String)>,
}

/// What the world has seen so far.
pub type World = Arc<Mutex<Seen>>;

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Only in a process that has a network and a mount namespace of its own.
pub fn build(folder: &std::path::Path) -> World {
    for (name, text) in [
        ("resolv.conf", "nameserver 93.184.216.34\noptions timeout:2\n"),
        ("hosts", "127.0.0.1 localhost\n"),
        ("nsswitch.conf", "hosts: files dns\n"),
    ] {
        let (own, at) = (folder.join(name), format!("/etc/{name}"));
        std::fs::write(&own, text).unwrap();
        if std::path::Path::new(&at).exists() {
            rustix::mount::mount_bind(&own, at).unwrap();
        }
    }
    let seen = World::default();
    let (tell_id, id) = sync_channel(0);
    let (tell_ready, ready) = sync_channel::<()>(0);
    let (tell_wired, wired) = sync_channel::<()>(0);
    let world = seen.clone();
    std::thread::spawn(move || {
        leave_the_network();
        tell_id.send(rustix::thread::gettid().as_raw_nonzero()).unwrap();
        wired.recv().unwrap();
        for address in ["93.184.216.34/24", "10.0.0.7/32", "169.254.169.254/32"] {
            ip(&format!("addr add {address} dev net0"));
        }
        for address in ["2606:2800:220:1::34/64", "fd00:ec2::254/128"] {
            ip(&format!("-6 addr add {address} dev net0 nodad"));
        }
        ip("link set lo up");
        ip("link set net0 up");
        serve(&world, &PORTS);
        answer_names(world);
        tell_ready.send(()).unwrap();
        loop {
            std::thread::park();
        }
    });
    let id = id.recv().unwrap();
    ip("link set lo up");
    ip("link add host0 type veth peer name net0");
    ip(&format!("link set net0 netns {id}"));
    ip("addr add 93.184.216.2/24 dev host0");
    ip("-6 addr add 2606:2800:220:1::2/64 dev host0 nodad");
    ip("link set host0 up");
    tell_wired.send(()).unwrap();
    ready.recv().unwrap();
    ip("route add default via 93.184.216.34");
    ip("-6 route add default via 2606:2800:220:1::34");
    // What the machine itself offers, to itself.
    serve(&seen, &[8080]);
    seen
}

/// This thread, and those that come of it.
#[expect(unsafe_code, reason = "descriptors can be unshared by it as well, and are not")]
fn leave_the_network() {
    // SAFETY: CLONE_NEWNET changes which network new sockets of this thread are in, and nothing else.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
}

/// Servers that say where they were reached, and close.
fn serve(world: &World, ports: &[u16]) {
    for port in ports {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port)).unwrap();
        let (world, port) = (world.clone(), *port);
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let world = world.clone();
                std::thread::spawn(move || {
                    let own = client.local_addr().unwrap().ip().to_canonical();
                    let mut first = vec![0; 65536];
                    let length = client.read(&mut first).unwrap_or(0);
                    world.lock().unwrap().visits.push((own, port, String::from_utf8_lossy(&first[..length]).into_owned()));
                    let says = format!("reached {own} {port}");
                    let _ = write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{says}", says.len());
                });
            }
        });
    }
}

/// The DNS. `rebind.test` is public when it is asked for the first time, and the machine itself from then on.
fn answer_names(world: World) {
    let socket = UdpSocket::bind(("93.184.216.34", 53)).unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            let question = &question[..length];
            let (mut name, mut at) = (Vec::new(), 12);
            while question[at] != 0 {
                let length = usize::from(question[at]);
                name.push(String::from_utf8_lossy(&question[at + 1..at + 1 + length]).into_owned());
                at += 1 + length;
            }
            let (name, kind) = (name.join("."), question[at + 2]);
            let asked = {
                let mut seen = world.lock().unwrap();
                seen.names.push(name.clone());
                seen.names.iter().filter(|one| **one == name).count()
            };
            let v4 = |addresses: &[[u8; 4]]| addresses.iter().map(|address| address.to_vec()).collect::<Vec<_>>();
            let answers = match (name.as_str(), kind) {
                ("allowed.test" | "learned.test", 1) => v4(&[[93, 184, 216, 34]]),
                ("allowed.test", 28) => vec!["2606:2800:220:1::34".parse::<Ipv6Addr>().unwrap().octets().to_vec()],
                // Asked for both kinds of address each time.
                ("rebind.test", 1) if asked <= 2 => v4(&[[93, 184, 216, 34]]),
                ("rebind.test", 1) => v4(&[[127, 0, 0, 1]]),
                ("mixed.test", 1) => v4(&[[93, 184, 216, 34], [10, 0, 0, 7]]),
                ("private.test", 1) => v4(&[[10, 0, 0, 7]]),
                ("meta.test", 1) => v4(&[[169, 254, 169, 254]]),
                ("meta6.test", 28) => vec!["fd00:ec2::254".parse::<Ipv6Addr>().unwrap().octets().to_vec()],
                ("mapped.test", 28) => vec![Ipv4Addr::new(169, 254, 169, 254).to_ipv6_mapped().octets().to_vec()],
                ("own.test", 1) => v4(&[[93, 184, 216, 2]]),
                _ => Vec::new(),
            };
            let mut reply = question[..2].to_vec();
            reply.extend([0x81, 0x80, 0, 1, 0, u8::try_from(answers.len()).unwrap(), 0, 0, 0, 0]);
            reply.extend(&question[12..at + 5]);
            for address in answers {
                reply.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 0, 0, u8::try_from(address.len()).unwrap()]);
                reply.extend(address);
            }
            let _ = socket.send_to(&reply, from);
        }
    });
}
