//! A proxy between the adapter and the server, which cuts connections, swallows what goes through them,
//! and can say that the broker takes nothing more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

/// What a connection is told.
#[derive(Clone, Debug)]
enum Order {
    Cut,
    /// Bytes for the client, between two frames of the server.
    Say(Vec<u8>),
}

pub(crate) struct Proxy {
    pub(crate) url: String,
    orders: broadcast::Sender<Order>,
    swallow: watch::Sender<bool>,
    accepted: Arc<AtomicUsize>,
    refusing: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// A proxy to the server of this URL.
    pub(crate) async fn to(url: &str) -> Self {
        let uri: lapin::uri::AMQPUri = url.parse().expect("a URL");
        let server = format!("{}:{}", uri.authority.host, uri.authority.port);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut own = uri;
        own.authority.host = "127.0.0.1".to_owned();
        own.authority.port = listener.local_addr().expect("an address").port();
        let user = &own.authority.userinfo;
        let url = format!(
            "amqp://{}:{}@127.0.0.1:{}/{}",
            user.username,
            user.password,
            own.authority.port,
            own.vhost.replace('/', "%2f")
        );
        let (orders, _) = broadcast::channel(64);
        let (swallow, swallowing) = watch::channel(false);
        let (accepted, refusing) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        let (count, refuse, from) = (Arc::clone(&accepted), Arc::clone(&refusing), orders.clone());
        tasks.spawn(async move {
            let mut links = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if refuse.load(Ordering::SeqCst) {
                    continue;
                }
                let server = TcpStream::connect(&server).await.expect("the server");
                client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).expect("no delay");
                links.spawn(pass(client, server, from.subscribe(), swallowing.clone()));
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { url, orders, swallow, accepted, refusing, _tasks: tasks }
    }

    /// Cuts every connection that there is.
    pub(crate) fn cut(&self) {
        let _ = self.orders.send(Order::Cut);
    }

    /// Swallows everything, both ways, or no longer.
    pub(crate) fn swallow(&self, on: bool) {
        self.swallow.send_replace(on);
    }

    /// Takes no more connections, or takes them again.
    pub(crate) fn refuse(&self, on: bool) {
        self.refusing.store(on, Ordering::SeqCst);
    }

    /// Says to the connection that publishes that the broker has no room, or has room again. (The server does
    /// not mean it, so it does not wait with heartbeats: have them far apart.)
    pub(crate) fn say_blocked(&self, blocked: bool) {
        // A method frame of channel 0: connection.blocked (10, 60, reason) or connection.unblocked (10, 61).
        let payload: &[u8] = if blocked { b"\0\x0a\0\x3c\x06memory" } else { b"\0\x0a\0\x3d" };
        let length = u32::try_from(payload.len()).expect("a few bytes").to_be_bytes();
        let frame = [&[1, 0, 0], &length[..], payload, &[0xce]].concat();
        let _ = self.orders.send(Order::Say(frame));
    }

    /// How many connections were made so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

async fn pass(
    client: TcpStream,
    server: TcpStream,
    mut orders: broadcast::Receiver<Order>,
    mut swallow: watch::Receiver<bool>,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let mut frames = Frames::default();
    let (mut to_say, mut publishes) = (Vec::new(), false);
    loop {
        if frames.is_between() && to_client.write_all(&std::mem::take(&mut to_say)).await.is_err() {
            return;
        }
        // Its name, among what it says when it connects.
        let mut name = |bytes: &[u8]| publishes |= bytes.windows(8).any(|text| text == b" publish");
        let swallowing = *swallow.borrow_and_update();
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Ok(Order::Say(bytes)) if publishes => to_say.extend(bytes),
                Ok(Order::Say(_)) => {}
                Ok(Order::Cut) | Err(_) => return,
            },
            _ = swallow.changed() => {}
            read = from_client.read(&mut up) => match read {
                Ok(1..) if swallowing => {}
                Ok(n @ 1..) if to_server.write_all(&up[..n]).await.is_ok() => name(&up[..n]),
                _ => return,
            },
            read = from_server.read(&mut down) => match read {
                Ok(1..) if swallowing => {}
                Ok(n @ 1..) if to_client.write_all(&down[..n]).await.is_ok() => frames.follow(&down[..n]),
                _ => return,
            },
        }
    }
}

/// Where the server's bytes stand: 7 bytes of header with the payload's length in the last four, the
/// payload, one byte to end it.
#[derive(Default)]
struct Frames {
    header: Vec<u8>,
    rest: usize,
}

impl Frames {
    fn is_between(&self) -> bool {
        self.rest == 0 && self.header.is_empty()
    }

    fn follow(&mut self, mut bytes: &[u8]) {
        while let Some((&first, others)) = bytes.split_first() {
            if self.rest > 0 {
                let passed = self.rest.min(bytes.len());
                self.rest -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            self.header.push(first);
            bytes = others;
            if self.header.len() == 7 {
                let length = u32::from_be_bytes(self.header[3..].try_into().expect("4 bytes"));
                self.rest = length as usize + 1;
                self.header.clear();
            }
        }
    }
}
