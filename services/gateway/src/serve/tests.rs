use super::*;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use futures::stream;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::Instant;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

struct Incoming(mpsc::Receiver<DuplexStream>);

impl Listener for Incoming {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(io) => (io, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

struct Server {
    connect: mpsc::Sender<DuplexStream>,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Server {
    fn start(router: Router, limits: Limits) -> Self {
        let (connect, incoming) = mpsc::channel(8);
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(Incoming(incoming), router, limits, shutdown.clone()));
        Self { connect, shutdown, tasks }
    }

    async fn dial(&self) -> DuplexStream {
        let (ours, theirs) = duplex(1024);
        self.connect.send(theirs).await.unwrap();
        ours
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

fn endless() -> Router {
    let body = || Body::from_stream(stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[b'x'; 512]))));
    Router::new().route("/", get(async move || body()))
}

async fn read_to_end(io: &mut DuplexStream) -> String {
    let mut bytes = Vec::new();
    io.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_dropped_and_so_is_who_never_ends_a_head() {
    let server = Server::start(hello(), Limits::default());
    for beginning in ["", "GET / HTTP/1.1\r\nhost: local"] {
        let (mut io, start) = (server.dial().await, Instant::now());
        io.write_all(beginning.as_bytes()).await.unwrap();
        read_to_end(&mut io).await;
        assert_eq!(start.elapsed().as_secs(), 30, "{beginning:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_dropped() {
    let server = Server::start(endless(), Limits::default());
    let (mut io, start) = (server.dial().await, Instant::now());
    io.write_all(GET).await.unwrap();
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(read_to_end(&mut io).await.len() <= 1024, "nothing came after the pipe was full");
    assert_eq!(start.elapsed().as_secs(), 31);
}

#[tokio::test(start_paused = true)]
async fn a_connection_over_the_limit_waits_for_room() {
    let server = Server::start(hello(), Limits { max_connections: 1, ..Limits::default() });
    let first = server.dial().await;
    let mut second = server.dial().await;
    second.write_all(GET).await.unwrap();
    let mut byte = [0];
    assert!(tokio::time::timeout(Duration::from_secs(5), second.read(&mut byte)).await.is_err());
    drop(first);
    assert_eq!(second.read(&mut byte).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start(hello(), Limits { max_head_bytes: 8192, ..Limits::default() });
    let mut io = server.dial().await;
    let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(9000));
    // The server may close before it has read all of it.
    io.write_all(head.as_bytes()).await.ok();
    assert!(read_to_end(&mut io).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_finishes_what_is_in_flight_and_then_drops_the_rest() {
    let mut server = Server::start(endless(), Limits::default());
    let mut io = server.dial().await;
    io.write_all(GET).await.unwrap();
    let mut byte = [0];
    io.read_exact(&mut byte).await.unwrap();
    let start = Instant::now();
    server.shutdown.cancel();
    server.tasks.join_next().await.unwrap().unwrap();
    assert_eq!(start.elapsed(), Limits::default().drain);
}
