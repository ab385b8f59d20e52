//! The one that serves is killed, at the worst moments.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::clients::{Became, ask};
use crate::process::Place;

#[test]
fn killed_after_it_gave_its_listeners_it_takes_no_connection_with_it_that_it_had_not_accepted() {
    let place = Place::new();
    let serving = place.serve();
    let taken = tidegate::server::handover::ask(&place.state()).unwrap().expect("somebody serves");
    // It accepts no more from here, and does not know yet that it is to leave.
    serving.signal(Signal::STOP);
    stands_still(serving.id());
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let server = place.server;
            std::thread::spawn(move || ask(server, "/healthz", Duration::ZERO))
        })
        .collect();
    std::thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    serving.end(Signal::KILL);
    taken.predecessor.leave().expect("that it was killed is an end as well");
    assert!(began.elapsed() < Duration::from_secs(30), "its end is seen, not waited for");
    // Whoever has the listeners now answers those that waited.
    let listener = &taken.listeners["server"];
    for _ in 0..20 {
        let mut stream = accepted(listener);
        let mut bytes = [0; 1024];
        while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
            assert!(stream.read(&mut bytes).unwrap() > 0);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    }
    for asked in asked {
        assert_eq!(asked.join().unwrap(), Became::Answered(200));
    }
}

/// A signal to stop is not obeyed at once: until then it may still accept.
fn stands_still(process: i32) {
    let stopped = || {
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
        let states = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        states.into_iter().all(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
    };
    let began = Instant::now();
    while !stopped() {
        assert!(began.elapsed() < Duration::from_secs(60), "it goes on");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The next one in the queue, which is there: whoever was accepted by the dead one would be missing here.
fn accepted(listener: &std::net::TcpListener) -> std::net::TcpStream {
    listener.set_nonblocking(true).unwrap();
    let began = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                return stream;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && began.elapsed() < Duration::from_secs(60) => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => panic!("somebody who waited is not there: {error}"),
        }
    }
}

#[test]
fn killed_before_the_next_one_starts_it_leaves_nothing_in_the_way() {
    let place = Place::new();
    for _ in 0..3 {
        let serving = place.serve();
        assert_eq!(ask(place.server, "/readyz", Duration::ZERO), Became::Answered(200));
        serving.end(Signal::KILL);
    }
    // Nor does one that never was a socket, or is somebody else's word.
    std::fs::remove_file(place.state().join("handover.sock")).unwrap();
    std::fs::write(place.state().join("handover.sock"), "not a socket").unwrap();
    let serving = place.serve();
    assert_eq!(ask(place.server, "/readyz", Duration::ZERO), Became::Answered(200));
    assert_eq!(serving.end(Signal::TERM), Some(0));
}

#[test]
fn what_does_not_speak_its_protocol_is_no_successor() {
    use std::os::unix::net::UnixStream;
    let place = Place::new();
    let serving = place.serve();
    let socket = place.state().join("handover.sock");
    let says = |text: &[u8]| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let _ = stream.write_all(text);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    assert_eq!(says(b"go\n"), "", "not before it has asked");
    assert_eq!(says(&[b'x'; 10_000]), "");
    assert_eq!(says(b"{\"protocol\":1}\n"), "");
    assert!(says(b"{\"protocol\":2,\"version\":\"9.9\"}\n").contains("does not understand version 9.9"));
    assert!(says(b"{\"protocol\":1,\"version\":\"0.1.0\"}\nno\n").contains("listeners"));
    assert!(says(b"{\"protocol\":1,\"version\":\"0.1.0\"}\n").contains("gateway"));
    assert_eq!(ask(place.server, "/readyz", Duration::ZERO), Became::Answered(200), "it serves on");
    assert_eq!(serving.end(Signal::TERM), Some(0));
}
