//! What `cargo xtask services` promises, on real servers in folders of the tests' own.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use aidt_servers::{Condition, Error, Instance, Kind, Server, Started};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

/// An instance that is brought down and removed with its test.
struct Temporary {
    instance: Instance,
    _folder: tempfile::TempDir,
}

impl Temporary {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { instance: Instance::at(&folder.path().join("test")).unwrap(), _folder: folder }
    }

    fn up(&self, kind: Kind) -> (Server, Started) {
        let up = self.instance.up(&[kind], &|text| eprintln!("{text}")).unwrap();
        (self.instance.server(kind), up[0].1)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let down = self.instance.down(&Kind::ALL, true);
        if !std::thread::panicking() {
            down.unwrap();
        }
    }
}

fn pid(server: &Server) -> i32 {
    let status = server.status().unwrap();
    assert_eq!(status.condition, Condition::Up);
    status.pid.expect("a native server")
}

fn address(server: &Server) -> String {
    let url = server.url().unwrap();
    let rest = url.split("://").last().unwrap();
    rest.rsplit('@').next().unwrap().split('/').next().unwrap().to_owned()
}

/// One command to Redis, and all that it answers.
fn redis(server: &Server, command: &str) -> String {
    let mut stream = TcpStream::connect(address(server)).unwrap();
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.strip_suffix("+OK\r\n").unwrap().to_owned()
}

#[test]
fn a_second_up_and_a_second_down_change_nothing() {
    let test = Temporary::new();
    let (server, started) = test.up(Kind::Redis);
    assert_eq!(started, Started::Now);
    let (first, url) = (pid(&server), server.url().unwrap());
    assert_eq!(test.up(Kind::Redis).1, Started::Already);
    assert_eq!((pid(&server), server.url().unwrap()), (first, url.clone()));

    assert_eq!(test.instance.down(&Kind::ALL, false).unwrap(), [(Kind::Redis, true)]);
    assert_eq!(server.status().unwrap().condition, Condition::Down);
    assert_eq!(test.instance.down(&Kind::ALL, false).unwrap(), [(Kind::Redis, false)]);
    test.up(Kind::Redis);
    assert_eq!(server.url().unwrap(), url, "the address changed over a restart");
}

#[test]
fn two_instances_stand_side_by_side() {
    let (one, two) = (Temporary::new(), Temporary::new());
    let ((one, _), (two, _)) = (one.up(Kind::Redis), two.up(Kind::Redis));
    assert_ne!(address(&one), address(&two));
    redis(&one, "SET key one");
    assert_eq!(redis(&two, "GET key"), "$-1\r\n");
    one.kill().unwrap();
    assert_eq!(two.status().unwrap().condition, Condition::Up);
}

#[test]
fn a_killed_server_is_down_and_comes_back_with_its_data() {
    let test = Temporary::new();
    let (server, _) = test.up(Kind::Redis);
    let before = pid(&server);
    redis(&server, "SET key value");
    server.kill().unwrap();
    assert_eq!(server.status().unwrap().condition, Condition::Down);
    assert!(matches!(server.kill(), Err(Error::Down { .. })));
    assert_eq!(server.start().unwrap(), Started::Now);
    assert_ne!(pid(&server), before);
    assert_eq!(redis(&server, "GET key"), "$5\r\nvalue\r\n");
}

#[test]
fn postgres_comes_back_from_a_kill_at_the_same_address() {
    let test = Temporary::new();
    let (server, _) = test.up(Kind::Postgres);
    let url = server.url().unwrap();
    server.kill().unwrap();
    assert_eq!(server.start().unwrap(), Started::Now);
    assert_eq!(server.url().unwrap(), url);
    server.freeze().unwrap();
    server.thaw().unwrap();
    server.restart().unwrap();
    assert_eq!(server.status().unwrap().condition, Condition::Up);
}

#[test]
fn a_wiped_server_is_empty_and_runs() {
    let test = Temporary::new();
    let (server, _) = test.up(Kind::Redis);
    let url = server.url().unwrap();
    redis(&server, "SET key value");
    server.wipe().unwrap();
    assert_eq!(redis(&server, "GET key"), "$-1\r\n");
    assert_eq!(server.url().unwrap(), url);
    server.stop().unwrap();
    server.wipe().unwrap();
    assert_eq!(server.status().unwrap().condition, Condition::Down, "a wipe started a server that was down");
}

#[test]
fn a_taken_port_is_noticed_and_up_moves_away() {
    let test = Temporary::new();
    let (server, _) = test.up(Kind::Redis);
    let before = address(&server);
    server.stop().unwrap();
    let _taken = TcpListener::bind(&before).unwrap();
    assert!(matches!(server.start(), Err(Error::PortTaken { .. })));
    assert_eq!(address(&server), before, "a server that clients know moved by itself");
    assert_eq!(test.up(Kind::Redis).1, Started::Now);
    assert_ne!(address(&server), before);
}

#[test]
fn a_pid_that_is_another_process_by_now_is_not_taken_for_the_server() {
    let test = Temporary::new();
    let (server, _) = test.up(Kind::Redis);
    let state = server.folder().join("state.json");
    let text = fs::read_to_string(&state).unwrap();
    let real = pid(&server);
    server.kill().unwrap();
    // As after a crash, when the pid has been given to somebody else: to this test.
    let stale = text.replace(&format!("\"pid\": {real}"), &format!("\"pid\": {}", std::process::id()));
    assert_ne!(stale, text);
    fs::write(&state, stale).unwrap();
    assert_eq!(server.status().unwrap().condition, Condition::Down);
    assert!(matches!(server.kill(), Err(Error::Down { .. })));
    assert!(!server.stop().unwrap());
    assert_eq!(test.up(Kind::Redis).1, Started::Now);
}

#[test]
fn a_frozen_server_runs_and_does_not_answer() {
    let test = Temporary::new();
    let (server, _) = test.up(Kind::Redis);
    server.freeze().unwrap();
    assert!(matches!(server.status().unwrap().condition, Condition::Silent(_)));
    server.thaw().unwrap();
    assert_eq!(server.status().unwrap().condition, Condition::Up);
    server.freeze().unwrap();
    assert!(server.stop().unwrap(), "a frozen server could not be stopped");
}
