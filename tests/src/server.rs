//! A process of `aidt serve`.

use crate::{Reply, eventually, request, signal};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running `aidt serve`. Killed when dropped.
pub struct Server {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
    started: Instant,
    /// From exec to `/ready`.
    pub ready_after: Duration,
}

impl Server {
    /// Starts it and waits until it is ready.
    #[must_use]
    pub(crate) fn start(command: Command) -> Self {
        let mut server = Self::spawn(command);
        server.until_ready();
        server
    }

    /// Starts it and waits until it says where it listens.
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The address is on one of the streams; whichever says it first.
        let (tell, told) = std::sync::mpsc::channel();
        let out = child.stdout.take().unwrap();
        let err = child.stderr.take().unwrap();
        forward(out, tell.clone());
        forward(err, tell);
        let mut said = String::new();
        let address = loop {
            let line = told.recv_timeout(Duration::from_secs(30));
            let line = line.unwrap_or_else(|e| panic!("no address in 30 s ({e}); it said:\n{said}"));
            said.push_str(&line);
            said.push('\n');
            if let Some(rest) = line.split("http://").nth(1) {
                let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(rest.len());
                break rest[..end].trim_end_matches(['.', ':']).to_owned();
            }
        };
        Self { child, address, started, ready_after: Duration::ZERO }
    }

    /// Starts it where it is to listen, waits for nothing, and keeps all that it prints in a file.
    #[must_use]
    pub fn begin(mut command: Command, address: &str, log: &File) -> Self {
        let started = Instant::now();
        let streams = (log.try_clone().unwrap(), log.try_clone().unwrap());
        let command = command.env("AIDT_LISTEN", address).stdout(streams.0).stderr(streams.1);
        let child = command.spawn().unwrap();
        Self { child, address: address.to_owned(), started, ready_after: Duration::ZERO }
    }

    /// Waits until it can do its work.
    pub fn until_ready(&mut self) {
        let mut last = String::new();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let reply = self.get("/ready");
            if reply.status == 200 {
                break;
            }
            last = if reply.body.is_empty() { last } else { reply.body };
            assert!(Instant::now() < deadline, "not ready: {last}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        self.ready_after = self.started.elapsed();
    }

    /// `GET`.
    #[must_use]
    pub fn get(&self, path: &str) -> Reply {
        request(&self.address, "GET", path, &[], None)
    }

    /// `POST` of JSON.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        request(&self.address, "POST", path, &[], Some(body))
    }

    /// Submits a plan and answers its run.
    #[must_use]
    pub fn submit(&self, plan: &Value) -> String {
        let reply = self.post("/v1/runs", &serde_json::json!({ "plan": plan }));
        assert_eq!(reply.status, 202, "{}", reply.body);
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    /// The run as the API shows it.
    #[must_use]
    pub fn run(&self, id: &str) -> Value {
        self.get(&format!("/v1/runs/{id}")).json()
    }

    /// Waits until the run is in one of these states.
    pub fn until(&self, id: &str, states: &[&str]) -> Value {
        let mut last = Value::Null;
        eventually(&format!("{id} is {states:?}"), Duration::from_secs(60), || {
            last = self.run(id);
            last["state"].as_str().is_some_and(|s| states.contains(&s))
        });
        last
    }

    /// All events of a run.
    #[must_use]
    pub fn events(&self, id: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let after = events.last().map_or(0, |e: &Value| e["seq"].as_u64().unwrap());
            let page = self.get(&format!("/v1/runs/{id}/events?after={after}&limit=100")).json();
            let items = page["items"].as_array().unwrap().clone();
            if items.is_empty() {
                return events;
            }
            events.extend(items);
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// True once it has ended, however that came.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// SIGTERM, and its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        signal(self.child.id(), "TERM");
        self.child.wait().unwrap().code()
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn forward(stream: impl std::io::Read + Send + 'static, tell: std::sync::mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // Nobody listens once the server is up; the stream is drained all the same.
            drop(tell.send(line));
        }
    });
}
