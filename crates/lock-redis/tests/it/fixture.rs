//! Servers, prefixes, and a network that fails.

use aidt_lock::Live;
use aidt_lock_redis::{Options, RedisLocks};
use bytes::Bytes;
use std::future::Future;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[expect(clippy::disallowed_methods, reason = "a test that needs a server is told where it is")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

pub(crate) fn url() -> String {
    setting("AIDT_TEST_REDIS_URL").expect(
        "AIDT_TEST_REDIS_URL is not set: run the tests by `cargo xtask test`, or start the servers with \
         `cargo xtask services up` and export what it prints",
    )
}

/// A prefix that no other test, and no other run of this one, uses.
#[expect(clippy::disallowed_methods, reason = "any will do, if it is new")]
pub(crate) fn prefix() -> String {
    format!("test-{}", uuid::Uuid::new_v4().simple())
}

/// As they are, with the time-out that calls have in earnest.
pub(crate) fn prompt(url: &str) -> Options {
    Options::new(url, prefix())
}

/// More patient: for tests that are not about time, on a machine that does other things too.
pub(crate) fn options(url: &str) -> Options {
    patient(url, prefix())
}

pub(crate) fn patient(url: &str, prefix: String) -> Options {
    Options { response_timeout: Duration::from_secs(10), ..Options::new(url, prefix) }
}

pub(crate) async fn connect(options: Options) -> RedisLocks {
    let locks = RedisLocks::connect(options).await.expect("sensible options");
    locks.ready().expect("a Redis that answers");
    locks
}

/// On the shared server, alone under its prefix.
pub(crate) async fn locks() -> RedisLocks {
    connect(options(&url())).await
}

/// A connection beside the adapter's.
pub(crate) async fn raw(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url).expect("a URL").get_multiplexed_async_connection().await.expect("a connection")
}

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    in_time(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

pub(crate) async fn next(live: &mut Box<dyn Live>) -> Bytes {
    in_time("a message", live.next()).await.expect("the fan-out goes on")
}

/// A port that nobody listens on now.
pub(crate) async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// A server of the test's own.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    pub(crate) async fn start(port: u16) -> Self {
        let program = setting("AIDT_TEST_REDIS_SERVER").unwrap_or_else(|| "redis-server".to_owned());
        let child = Command::new(&program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--dir", std::env::temp_dir().to_str().expect("a path")])
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {program} ({e}): apt-get install redis-server"));
        let server = Self { child, url: format!("redis://127.0.0.1:{port}") };
        let client = redis::Client::open(server.url.as_str()).unwrap();
        eventually("the server answers", || async { client.get_multiplexed_async_connection().await.is_ok() }).await;
        server
    }

    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Errors only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A proxy that can stop forwarding without closing anything.
pub(crate) struct Proxy {
    pub(crate) url: String,
    forwards: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn before(url: &str) -> Self {
        // The database, if the URL names one, is asked for by the client itself.
        let to = url.trim_start_matches("redis://").split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let forwards = watch::Sender::new(true);
        let mut task = JoinSet::new();
        let state = forwards.subscribe();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (from, _) = listener.accept().await.unwrap();
                connections.spawn(forward(from, to.clone(), state.clone()));
            }
        });
        Self { url, forwards, _task: task }
    }

    /// What is sent from now on arrives nowhere, on old connections and on new ones.
    pub(crate) fn swallow(&self) {
        self.forwards.send_replace(false);
    }

    pub(crate) fn forward(&self) {
        self.forwards.send_replace(true);
    }
}

/// Once it has swallowed, a connection never works again, and stays open.
async fn forward(mut from: TcpStream, to: String, mut forwards: watch::Receiver<bool>) {
    if *forwards.borrow_and_update() {
        let mut to = TcpStream::connect(to).await.unwrap();
        let (mut from_read, mut from_write) = from.split();
        let (mut to_read, mut to_write) = to.split();
        tokio::select! {
            biased;
            _ = forwards.wait_for(|forwards| !forwards) => {}
            _ = copy(&mut from_read, &mut to_write) => return,
            _ = copy(&mut to_read, &mut from_write) => return,
        }
        drop(to);
    }
    std::future::pending::<()>().await;
}
