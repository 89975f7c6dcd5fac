//! A TCP proxy before a server, whose connections can be cut, or fall silent.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// More than any answer of a broker has.
const LARGEST_FRAME: usize = 64 << 20;

/// Listens on a port of its own until it is dropped.
pub(super) struct Proxy {
    /// Where clients find it.
    pub(super) address: SocketAddr,
    line: Arc<Line>,
}

/// What goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Traffic {
    /// Everything.
    Flows,
    /// Nothing, and nobody is told: what is sent meanwhile arrives when it flows again.
    Silent,
    /// Connections end, and new ones end at once.
    Cut,
    /// As cut, and for good.
    Over,
}

/// How bytes for the client are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    /// As they are.
    Plain,
    /// Kafka tells its clients where it is: they are to come back to the proxy.
    Kafka,
}

struct Line {
    server: SocketAddr,
    speech: Speech,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    traffic: Traffic,
    /// Both ends of what is open.
    ends: Vec<TcpStream>,
}

impl Proxy {
    /// Starts one before this server.
    #[must_use]
    pub(super) fn start(server: SocketAddr, speech: Speech) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { traffic: Traffic::Flows, ends: Vec::new() };
        let line = Arc::new(Line { server, speech, state: state.into(), changed: Condvar::new() });
        let listening = Arc::clone(&line);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if listening.state().traffic == Traffic::Over {
                    return;
                }
                let line = Arc::clone(&listening);
                std::thread::spawn(move || line.connect(client, address));
            }
        });
        Self { address, line }
    }

    /// From now on.
    pub(super) fn set(&self, traffic: Traffic) {
        let mut state = self.line.state();
        state.traffic = traffic;
        if matches!(traffic, Traffic::Cut | Traffic::Over) {
            // One that the other side has closed already is of no interest.
            state.ends.drain(..).for_each(|end| drop(end.shutdown(Shutdown::Both)));
        }
        drop(state);
        self.line.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Traffic::Over);
        // Wakes the thread that listens.
        drop(TcpStream::connect(self.address));
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits out a silence. False when the line is cut.
    fn flows(&self) -> bool {
        let silent = |state: &mut State| state.traffic == Traffic::Silent;
        let state = self.changed.wait_while(self.state(), silent).unwrap_or_else(PoisonError::into_inner);
        state.traffic == Traffic::Flows
    }

    fn connect(self: Arc<Self>, client: TcpStream, here: SocketAddr) {
        if !self.flows() {
            return;
        }
        let Ok(server) = TcpStream::connect(self.server) else { return };
        let mut state = self.state();
        if state.traffic != Traffic::Flows {
            return;
        }
        // Those that ended have no peer any more.
        state.ends.retain(|end| end.peer_addr().is_ok());
        for end in [&client, &server] {
            end.set_nodelay(true).unwrap();
            state.ends.push(end.try_clone().unwrap());
        }
        drop(state);
        let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let line = Arc::clone(&self);
        std::thread::spawn(move || line.pass_on(from_client, to_server, |_, _| ()));
        match self.speech {
            Speech::Plain => self.pass_on(server, client, |_, _| ()),
            Speech::Kafka => {
                let (told, meant) = (place(self.server), place(here));
                self.pass_on(server, client, move |from, bytes| complete_frame(from, bytes, &told, &meant));
            }
        }
    }

    /// Passes on until one side ends; `finish` may read on and change what was read.
    fn pass_on(&self, mut from: TcpStream, mut to: TcpStream, finish: impl Fn(&mut TcpStream, &mut Vec<u8>)) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let mut bytes = buffer[..length].to_vec();
            finish(&mut from, &mut bytes);
            if !self.flows() || to.write_all(&bytes).is_err() {
                break;
            }
        }
        // The other thread of the pair sees it, too.
        drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
    }
}

/// How Kafka writes where a broker is: host and port.
fn place(address: SocketAddr) -> Vec<u8> {
    let mut bytes = address.ip().to_string().into_bytes();
    bytes.extend(u32::from(address.port()).to_be_bytes());
    bytes
}

/// Reads on to the end of the last frame, and puts one place for another of the same length.
fn complete_frame(from: &mut TcpStream, bytes: &mut Vec<u8>, told: &[u8], meant: &[u8]) {
    let mut begin = 0;
    while begin < bytes.len() {
        let missing = (begin + 4).saturating_sub(bytes.len());
        if read_on(from, bytes, missing).is_none() {
            return;
        }
        let length = u32::from_be_bytes(bytes[begin..begin + 4].try_into().unwrap()) as usize;
        assert!(length < LARGEST_FRAME, "no frame of Kafka's: {length} bytes");
        let end = begin + 4 + length;
        if read_on(from, bytes, end.saturating_sub(bytes.len())).is_none() {
            return;
        }
        begin = end;
    }
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(told.len()).position(|window| window == told) {
        at += found;
        bytes[at..at + told.len()].copy_from_slice(meant);
    }
}

fn read_on(from: &mut TcpStream, bytes: &mut Vec<u8>, count: usize) -> Option<()> {
    let begin = bytes.len();
    bytes.resize(begin + count, 0);
    from.read_exact(&mut bytes[begin..]).ok()
}
