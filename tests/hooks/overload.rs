//! More than there is room for: everybody gets an answer, and what was answered well is there.

use std::collections::BTreeSet;
use std::io::Write as _;

use tidegate::adapters::deliveries::Keep;
use tidegate::server::{listen, webhook};

use crate::client::{self, Post};
use crate::server::Server;

fn body(bytes: usize) -> String {
    format!(r#"{{"filling":"{}"}}"#, "x".repeat(bytes))
}

#[test]
fn what_has_no_room_is_told_to_come_back_and_comes_through_later() {
    let hooks = webhook::Limits { in_flight: 2 << 20, ..webhook::Limits::default() };
    let server = Server::with(hooks, listen::Limits::default(), Keep::default());
    let body = body(900 << 10);
    let (refused, sent): (Vec<usize>, Vec<usize>) = std::thread::scope(|scope| {
        let send = |n: usize| {
            let post = Post::new(&format!("d-{n}"), "push", body.as_str());
            let mut refused = 0;
            loop {
                let answer = post.send(server.address);
                match answer.status {
                    202 => return (refused, n),
                    503 => assert!(answer.head.contains("retry-after: 10"), "{answer:?}"),
                    _ => panic!("{answer:?}"),
                }
                refused += 1;
            }
        };
        let all: Vec<_> = (0..24).map(|n| scope.spawn(move || send(n))).collect();
        all.into_iter().map(|one| one.join().expect("no panic")).unzip()
    });
    assert_eq!(sent.len(), 24);
    assert!(refused.iter().sum::<usize>() > 0, "24 bodies of 900 KiB at once in 2 MiB");
    let stored: BTreeSet<String> = server.ids().into_iter().collect();
    assert_eq!(stored, (0..24).map(|n| format!("d-{n}")).collect(), "each once");
}

#[test]
fn who_only_says_that_much_will_come_takes_no_room() {
    let hooks = webhook::Limits { in_flight: 2 << 20, ..webhook::Limits::default() };
    let server = Server::with(hooks, listen::Limits::default(), Keep::default());
    let liars: Vec<_> = (0..20)
        .map(|n| {
            let mut stream = client::connect(server.address);
            stream.write_all(&Post::new(&format!("liar-{n}"), "push", "{").with("content-length", &(25 << 20).to_string()).bytes()).expect("sent");
            stream
        })
        .collect();
    assert_eq!(Post::new("honest", "push", body(1 << 20)).send(server.address).status, 202);
    drop(liars);
    assert_eq!(server.ids(), ["honest"]);
}

#[test]
fn when_the_store_is_full_it_is_said_and_nothing_is_dropped() {
    let keep = Keep { bytes: 1 << 20, ..Keep::default() };
    let server = Server::with(webhook::Limits::default(), listen::Limits::default(), keep);
    let statuses: Vec<u16> = (0..6).map(|n| Post::new(&format!("d-{n}"), "push", body(900 << 10)).send(server.address).status).collect();
    assert_eq!(statuses, [202, 202, 202, 503, 503, 503]);
    assert_eq!(server.ids(), ["d-0", "d-1", "d-2"]);
    assert!(server.stored().iter().all(|known| known.kept));
}

#[test]
fn a_server_that_ends_answers_what_is_under_way_and_takes_nothing_new() {
    let mut server = Server::start();
    let bytes = Post::new("late", "ping", "{\"zen\":\"…\"}").bytes();
    let mut stream = client::connect(server.address);
    stream.write_all(&bytes[..bytes.len() - 5]).expect("sent");
    // Heard of before the end begins: another one on a connection of its own has been answered since.
    assert_eq!(Post::new("first", "ping", "{}").send(server.address).status, 202);
    server.close();
    stream.write_all(&bytes[bytes.len() - 5..]).expect("sent");
    assert_eq!(client::read(&mut stream).status, 202);
    drop(stream);
    server.wait();
    assert!(std::net::TcpStream::connect(server.address).is_err());
    assert_eq!(server.ids(), ["first", "late"]);
}
